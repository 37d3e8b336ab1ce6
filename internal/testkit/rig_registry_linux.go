//go:build e2e && linux

package testkit

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A Registry says how a docker-registry of the rig serves. All of a rig have
// the same images.
type Registry struct {
	Addr     string  // one of the rig's addresses with a port
	Cert     *Cert   // nil: plain HTTP
	Above    []*Cert // shown after it
	ClientCA *Cert   // demands a client certificate below it

	User, Password string // asks for them, by Basic
	Token          *TokenServer
}

// StartRegistry starts a registry and waits until its port is open.
func (r *Rig) StartRegistry(t *testing.T, g Registry) *Process {
	t.Helper()
	program := Need(t, "docker-registry", "docker-registry")
	dir, err := os.MkdirTemp(r.Dir, "registry-") //nolint:usetesting // goes with the rig
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var config strings.Builder
	fmt.Fprintf(&config, "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\n", r.Dir+"/registry")
	switch {
	case g.Token != nil:
		fmt.Fprintf(&config, "auth: {token: {realm: %q, service: %s, issuer: %s, rootcertbundle: %s}}\n",
			g.Token.Realm, tokenService, tokenIssuer, file("token.crt", g.Token.signer.PEM()))
	case g.User != "":
		Need(t, "htpasswd", "apache2-utils")
		line := r.Run(t, g.Password+"\n", "htpasswd", "-niB", g.User)
		fmt.Fprintf(&config, "auth: {htpasswd: {realm: example, path: %s}}\n", file("htpasswd", []byte(line.Stdout)))
	}
	fmt.Fprintf(&config, "http:\n  addr: %q\n", g.Addr)
	if g.Cert != nil {
		fmt.Fprintf(&config, "  tls:\n    certificate: %s\n    key: %s\n",
			file("leaf.crt", append(g.Cert.PEM(), Bundle(g.Above...)...)), file("leaf.key", g.Cert.KeyPEM(t)))
	}
	if g.ClientCA != nil {
		fmt.Fprintf(&config, "    clientcas: [%s]\n", file("clients.crt", g.ClientCA.PEM()))
	}
	p := r.Launch(t, program, "serve", file("config.yml", []byte(config.String())))
	r.awaitPort(t, g.Addr)
	return p
}

func (r *Rig) awaitPort(t *testing.T, addr string) {
	t.Helper()
	Until(t, addr, func() bool {
		var err error
		r.inside(t, func() {
			var c net.Conn
			if c, err = net.Dial("tcp", addr); err == nil {
				c.Close()
			}
		})
		return err == nil
	})
}

// inside runs f on a thread that is in the rig's network. What f opens stays
// there and may be used anywhere. f must not start goroutines that open more.
func (r *Rig) inside(t *testing.T, f func()) {
	t.Helper()
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", r.holder), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := unix.Setns(fd, unix.CLONE_NEWNET)
		if err == nil {
			f()
		}
		failed <- err
	}()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

// Listen opens a port of the rig for a server of the test's own.
func (r *Rig) Listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	var l net.Listener
	var err error
	r.inside(t, func() { l, err = net.Listen("tcp", addr) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// Seed puts an image that prints word into the storage of the rig's
// registries, under each of the names, by a tool that is not vicr.
func (r *Rig) Seed(t *testing.T, word string, names ...string) {
	t.Helper()
	Need(t, "skopeo", "skopeo")
	img, err := SpeakingImage(Need(t, "busybox", "busybox-static"), word)
	if err != nil {
		t.Fatal(err)
	}
	archive := r.Archive()
	if err := WriteArchive(archive, "app:1", img); err != nil {
		t.Fatal(err)
	}
	const addr = "127.0.0.1:5999"
	p := r.StartRegistry(t, Registry{Addr: addr})
	defer p.Stop()
	for _, name := range names {
		run := r.Run(t, "", "skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false", "docker-archive:"+archive, "docker://"+addr+"/"+name)
		if run.Code != 0 {
			t.Fatalf("skopeo: exit %d", run.Code)
		}
	}
}

// Archive is the seeded image as a docker-archive.
func (r *Rig) Archive() string { return filepath.Join(r.Dir, "seed.tar") }

// Hosts adds names to the rig's /etc/hosts.
func (r *Rig) Hosts(t *testing.T, ip string, names ...string) {
	t.Helper()
	path := r.Etc("/etc/hosts")
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data := append(bytes.TrimRight(old, "\n"), []byte("\n"+ip+" "+strings.Join(names, " ")+"\n")...)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// ForClients makes it a client's certificate.
func ForClients() CertOption {
	return Template(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
}

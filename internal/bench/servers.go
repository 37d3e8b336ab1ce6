package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A server is a program that runs until the benchmark ends it.
type server struct {
	cmd *exec.Cmd
	log string // file
}

func launch(ctx context.Context, log string, env []string, argv ...string) (*server, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Env = f, f, env
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return &server{cmd, log}, cmd.Start()
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

// await waits until ready says so.
func await(what string, ready func() bool) error {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ready() {
			return nil
		}
	}
	return errors.New(what + " does not come up")
}

func freePort(ctx context.Context) (string, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// A registry is Debian's docker-registry over a folder.
type registry struct {
	*server
	addr string
	ca   string // file; "" for plain HTTP
}

func startRegistry(ctx context.Context, dir, storage string, tls bool) (*registry, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	addr, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	r := &registry{addr: addr}
	var config strings.Builder
	fmt.Fprintf(&config, "version: 0.1\nlog: {level: error, accesslog: {disabled: false}}\n")
	fmt.Fprintf(&config, "storage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\nhttp:\n  addr: %q\n", storage, addr)
	if tls {
		r.ca = filepath.Join(dir, "ca.crt")
		key := filepath.Join(dir, "ca.key")
		if err := selfSigned(r.ca, key); err != nil {
			return nil, err
		}
		fmt.Fprintf(&config, "  tls:\n    certificate: %s\n    key: %s\n", r.ca, key)
	}
	path := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(path, []byte(config.String()), 0o600); err != nil {
		return nil, err
	}
	if r.server, err = launch(ctx, filepath.Join(dir, "log"), os.Environ(), "docker-registry", "serve", path); err != nil {
		return nil, err
	}
	return r, await("docker-registry", func() bool {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// requests counts the requests in the access log.
func (r *registry) requests() (int, error) {
	raw, err := os.ReadFile(r.log)
	return bytes.Count(raw, []byte(` HTTP/1.1" `)) + bytes.Count(raw, []byte(` HTTP/2.0" `)), err
}

// selfSigned makes a certificate for 127.0.0.1 that is its own CA.
func selfSigned(certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "bench"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	pair := map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: private}}
	for name, block := range pair {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// An engine is a dockerd with a folder of its own, on a socket and on a TCP
// port: behind the port it is any engine, of which nothing is known.
type engine struct {
	*server
	host string // DOCKER_HOST of the socket
	tcp  string // DOCKER_HOST of the port
	data string
}

func startEngine(ctx context.Context, dir string) (*engine, error) {
	addr, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	e := &engine{data: filepath.Join(dir, "data"), host: "unix://" + filepath.Join(dir, "docker.sock"), tcp: "tcp://" + addr}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "daemon.json")
	if err := os.WriteFile(config, []byte("{}"), 0o600); err != nil {
		return nil, err
	}
	e.server, err = launch(ctx, filepath.Join(dir, "log"), os.Environ(), "dockerd", "--data-root", e.data,
		"--exec-root", filepath.Join(dir, "exec"), "--pidfile", filepath.Join(dir, "pid"), "-H", e.host, "-H", e.tcp,
		"--tls=false", "--iptables=false", "--ip6tables=false", "--bridge=none", "--config-file", config)
	if err != nil {
		return nil, err
	}
	client := http.Client{Timeout: time.Second}
	return e, await("dockerd", func() bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/_ping", http.NoBody)
		if err != nil {
			return false
		}
		resp, err := client.Do(req)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// forget makes the engine lose the digests that it keeps of layers, so that the
// next push is a first one.
func (e *engine) forget() error {
	return os.RemoveAll(filepath.Join(e.data, "image/overlay2/distribution"))
}

//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
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

// A registry is a Distribution over a folder.
type registry struct {
	*server
	addr    string
	ca      string // file; "" for plain HTTP
	storage string
}

// debianRegistry is Distribution 2.8 as Debian has it.
const debianRegistry = "docker-registry"

func startRegistry(ctx context.Context, program, dir, storage string, tls bool) (*registry, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	addr, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	r := &registry{addr: addr, storage: storage}
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
	env := append(os.Environ(), "OTEL_TRACES_EXPORTER=none") // Distribution 3 would look for a collector
	if r.server, err = launch(ctx, filepath.Join(dir, "log"), env, program, "serve", path); err != nil {
		return nil, err
	}
	return r, await(filepath.Base(program), func() bool {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// empty takes all images from the registry. It keeps nothing of them in memory.
func (r *registry) empty() error {
	return os.RemoveAll(filepath.Join(r.storage, "docker/registry/v2"))
}

// anyRequest is in each line of the access log.
const anyRequest = ` HTTP/1.1" `

// counted says in how many lines of the access log mark is, of those that come
// while do runs. The log is read piece by piece: what this program takes in
// memory hides what its children take.
func (r *registry) counted(mark string, do func() error) (float64, error) {
	f, err := os.Open(r.log)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	time.Sleep(50 * time.Millisecond) // a line is written after its answer
	n := 0
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if strings.Contains(lines.Text(), mark) {
			n++
		}
	}
	return float64(n), lines.Err()
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

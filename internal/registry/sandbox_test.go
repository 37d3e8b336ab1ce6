package registry_test

import (
	"crypto/x509"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/sandbox"
	"github.com/vicr-cli/vicr/internal/wire"
)

var update = flag.Bool("update", false, "write the golden files")

// A box is a sandbox, and the real road to it.
type box struct {
	*sandbox.Sandbox
	host ref.Host
}

func newBox(t *testing.T, o sandbox.Options) *box {
	t.Helper()
	s, err := sandbox.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	h, err := ref.ParseHost(s.Host())
	if err != nil {
		t.Fatal(err)
	}
	return &box{s, h}
}

func (b *box) password(user string) string {
	for _, u := range b.Users() {
		if u.Name == user {
			return u.Password
		}
	}
	return ""
}

// road is the transport of a user, or of nobody.
func (b *box) road(t *testing.T, user string) (*wire.Transport, *auth.Transport) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(b.CA())
	return roadTo(t, b.host, roots, auth.Credentials{Username: user, Password: b.password(user)})
}

func roadTo(t *testing.T, h ref.Host, roots *x509.CertPool, c auth.Credentials) (*wire.Transport, *auth.Transport) {
	t.Helper()
	w := wire.New(wire.Config{Host: h, Roots: roots, Silence: 5 * time.Second, Sleep: noSleep})
	t.Cleanup(w.CloseIdleConnections)
	return w, auth.NewTransport(w, w.Base(), c, auth.Policy{})
}

// open opens an image by what follows the host, as a user or as nobody.
func (b *box) open(t *testing.T, user, name string) *registry.Repository {
	t.Helper()
	w, rt := b.road(t, user)
	return openOn(t, b.Host(), name, rt, w)
}

func openOn(t *testing.T, host, name string, rt http.RoundTripper, w *wire.Transport) *registry.Repository {
	t.Helper()
	img, err := ref.ParseImage(host + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return registry.OpenWith(img, rt, w.Base(), noSleep)
}

// fronted serves b's answers at another address, behind front.
func (b *box) fronted(t *testing.T, front func(http.ResponseWriter, *http.Request) bool) *httptest.Server {
	t.Helper()
	behind := b.Handler()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !front(w, r) {
			behind.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// golden holds got against the file, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	was := strings.Split(string(want), "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(was) || line != was[i] {
			t.Fatalf("%s, line %d is now\n%s", name, i+1, line)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s has lines that do not come", name)
	}
}

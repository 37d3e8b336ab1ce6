package registry_test

import (
	"context"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	fake "github.com/google/go-containerregistry/pkg/registry"
	"go.uber.org/goleak"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
	"github.com/vicr-cli/vicr/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A server is a registry on a private address with TLS, with whatever a test
// puts in front of it, and the real transport to it.
type server struct {
	*httptest.Server
	rt *wire.Transport

	mu       sync.Mutex
	requests []*http.Request
}

// serve starts a registry; front answers a request and says so, or lets it through.
func serve(t *testing.T, front func(http.ResponseWriter, *http.Request) bool) *server {
	t.Helper()
	s := &server{}
	behind := fake.New(fake.Logger(log.New(io.Discard, "", 0)))
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r)
		s.mu.Unlock()
		if (front == nil || !front(w, r)) && !mounted(behind, w, r) {
			behind.ServeHTTP(w, r)
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	host, err := ref.ParseHost(strings.TrimPrefix(s.URL, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	s.rt = wire.New(wire.Config{Host: host, Roots: roots, Silence: 5 * time.Second, Sleep: noSleep})
	t.Cleanup(s.rt.CloseIdleConnections)
	return s
}

// mounted answers who asks to mount what is there already: go-containerregistry's
// registry begins an upload whatever it has.
func mounted(behind http.Handler, w http.ResponseWriter, r *http.Request) bool {
	q := r.URL.Query()
	if r.Method != http.MethodPost || !q.Has("mount") {
		return false
	}
	has := httptest.NewRecorder()
	behind.ServeHTTP(has, httptest.NewRequest(http.MethodHead, "/v2/"+q.Get("from")+"/blobs/"+q.Get("mount"), http.NoBody))
	if has.Code == http.StatusOK {
		w.WriteHeader(http.StatusCreated)
	}
	return has.Code == http.StatusOK
}

func noSleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// open opens an image by what follows the host.
func (s *server) open(t *testing.T, name string) *registry.Repository {
	t.Helper()
	return s.openWaiting(t, name, noSleep)
}

// openWaiting is open with another way to wait.
func (s *server) openWaiting(t *testing.T, name string, wait func(context.Context, time.Duration) error) *registry.Repository {
	t.Helper()
	img, err := ref.ParseImage(strings.TrimPrefix(s.URL, "https://") + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return registry.OpenWith(img, s.rt, s.rt.Base(), wait)
}

// seen counts the requests of a method whose path contains part.
func (s *server) seen(method, part string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if (method == "" || r.Method == method) && strings.Contains(r.URL.Path, part) {
			n++
		}
	}
	return n
}

// each looks at all requests so far.
func (s *server) each(look func(*http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		look(r)
	}
}

// sample is an image whose layer has 5000 bytes.
func sample(seed byte) *transfertest.Source {
	c := transfertest.Content{}
	return &transfertest.Source{Root: c.Image(transfertest.Amd64(), c.Layer(transfertest.Bytes(seed, 5000))), Content: c}
}

func push(t *testing.T, s *server, name string, src transfer.Source) error {
	t.Helper()
	_, err := transfer.Copy(t.Context(), src, s.open(t, name), transfer.Options{})
	return err
}

func pull(t *testing.T, s *server, name string) (*transfertest.Sink, error) {
	t.Helper()
	dst := &transfertest.Sink{}
	_, err := transfer.Copy(t.Context(), s.open(t, name), dst, transfer.Options{})
	return dst, err
}

// isGet says whether r is a GET of something of that kind ("blobs", "manifests").
func isGet(r *http.Request, kind string) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/"+kind+"/")
}

func refuse(w http.ResponseWriter, status int, body string) bool {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
	return true
}

func query(t *testing.T, u string) url.Values {
	t.Helper()
	parsed, err := url.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Query()
}

package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/wire"
)

// A foreign is a token service under another name than that of a registry. It
// asks for a client certificate, and goes on without one.
type foreign struct {
	*httptest.Server
	ca *testkit.Cert
	at string // its address by the other name

	mu    sync.Mutex
	asked []*http.Request
}

func newForeign(t *testing.T, answer http.HandlerFunc) *foreign {
	t.Helper()
	f := &foreign{ca: testkit.NewCA(t)}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.asked = append(f.asked, r.Clone(context.Background()))
		f.mu.Unlock()
		answer(w, r)
	}))
	f.Config.ErrorLog = log.New(io.Discard, "", 0)
	f.TLS = &tls.Config{
		MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert,
		Certificates: []tls.Certificate{f.ca.NewLeaf(t, testkit.SANs("localhost")).TLS()},
	}
	f.StartTLS()
	t.Cleanup(f.Close)
	f.at = strings.Replace(f.URL, "127.0.0.1", "localhost", 1)
	return f
}

func (f *foreign) requests() []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// publicOf is a registry whose tokens come from f, and the way to it as c; the
// machine trusts both, and has a client certificate for the registry.
func publicOf(t *testing.T, f *foreign, realm string, s setup) (*double, *Transport) {
	t.Helper()
	d := newDouble(t, harbor1)
	d.realm = func(string) string { return realm }
	roots := x509.NewCertPool()
	roots.AddCert(d.Certificate())
	roots.AddCert(f.ca.Certificate)
	pair := f.ca.NewLeaf(t, testkit.Subject("client")).TLS()
	w := wire.New(wire.Config{
		Host: d.host(t), Roots: roots, InsecureSkipVerify: s.skipVerify, Realms: s.policy.Origins(d.host(t)), ClientCert: &pair,
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	t.Cleanup(w.CloseIdleConnections)
	s.policy.Unverified = s.skipVerify
	a := NewTransport(w, w.Base(), s.credentials, s.policy)
	a.sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return d, a
}

func TestWhoIsNobodyMayAskATokenServiceElsewhere(t *testing.T) {
	t.Parallel()
	var d *double
	f := newForeign(t, func(w http.ResponseWriter, r *http.Request) {
		d.give(w, grant{access: reduced("", newScopeSet(r.URL.Query()["scope"]...))})
	})
	d, rt := publicOf(t, f, f.at+"/token", setup{})
	mustDo(t, rt, http.MethodGet, d.URL+publicTag, http.StatusOK)
	mustDo(t, rt, http.MethodGet, d.URL+demoTag, http.StatusUnauthorized) // not public
	if len(f.requests()) == 0 {
		t.Fatal("the token service was not asked")
	}
	for _, r := range f.requests() {
		if leaked := fmt.Sprint(r.Header.Values("Authorization"), r.Cookies()); leaked != "[] []" || r.ContentLength > 0 || len(r.TLS.PeerCertificates) > 0 {
			t.Errorf("the token service got %s, %d bytes, %d client certificates", leaked, r.ContentLength, len(r.TLS.PeerCertificates))
		}
		if r.Method != http.MethodGet || r.Host != strings.TrimPrefix(f.at, "https://") {
			t.Errorf("%s %s", r.Method, r.Host)
		}
	}
	before := len(f.requests())
	mustDo(t, rt, http.MethodGet, f.at+"/v2/library/app/manifests/1", http.StatusOK) // as a redirect or a Location would
	if r := f.requests()[before]; r.Header.Get("Authorization") != "" {
		t.Errorf("the token that it gave came back to it: %s", r.Header)
	}
}

func TestWhoIsSomebodyAsksNoTokenServiceElsewhere(t *testing.T) {
	t.Parallel()
	f := newForeign(t, func(http.ResponseWriter, *http.Request) {})
	for _, c := range []Credentials{{Username: user, Password: password}, {IdentityToken: "canary-identity"}, {Username: user}} {
		d, rt := publicOf(t, f, f.at+"/token", setup{credentials: c})
		_, _, err := do(t, rt, http.MethodGet, d.URL+publicTag, nil)
		if e, ok := errors.AsType[*RealmError](err); !ok || e.Origin != f.at {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if len(f.requests()) != 0 {
		t.Errorf("%d requests", len(f.requests()))
	}
}

// What is asked anonymously is held to the same as before.
func TestATokenServiceElsewhereIsVerifiedAndBounded(t *testing.T) {
	t.Parallel()
	evil := testkit.NewEvilTLS(t, "", testkit.NewCA(t).NewLeaf(t, testkit.SANs("localhost")).TLS(), testkit.Swallow)
	clear := testkit.NewEvil(t, "", testkit.Swallow)
	to := func(status int, location string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(status)
		}
	}
	stranger := strings.Replace(evil.URL().String(), "127.0.0.1", "localhost", 1)
	ours := func(f *foreign) string { return f.at + "/token" }
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		realm  func(*foreign) string
		setup  setup
		kind   wire.Kind // of an error of wire; "": a *RealmError that nobody can agree to, and of none
		why    string
	}{
		{"nobody vouches for it", nil, func(*foreign) string { return stranger }, setup{}, wire.TLS, ""},
		{"also where the registry is not verified", nil, func(*foreign) string { return stranger }, setup{skipVerify: true}, wire.TLS, ""},
		{"in clear", nil, func(*foreign) string { return "http://localhost" + clear.URL().Host[len("127.0.0.1"):] }, setup{}, "", "plain http"},
		{"a metadata service", nil, func(*foreign) string { return "https://169.254.169.254/token" }, setup{}, wire.Policy, "metadata"},
		{"redirects in clear", to(307, clear.URL().String()), ours, setup{}, wire.Policy, "it redirects to"},
		{"redirects elsewhere", to(307, evil.URL().String()), ours, setup{}, wire.Policy, "it redirects to"},
		{"redirects for ever", to(302, "/token"), ours, setup{}, wire.Policy, "it redirects to"},
		{"a large answer", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"token":"`+strings.Repeat("x", wire.MaxToken)+`"}`)
		}, ours, setup{}, wire.TooLarge, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newForeign(t, func(w http.ResponseWriter, r *http.Request) { tt.answer(w, r) })
			d, rt := publicOf(t, f, tt.realm(f), tt.setup)
			_, _, err := do(t, rt, http.MethodGet, d.URL+publicTag, nil)
			if err == nil || wire.KindOf(err) != tt.kind {
				t.Fatalf("%v, of kind %q", err, wire.KindOf(err))
			}
			if e, ok := errors.AsType[*RealmError](err); tt.why != "" && (!ok || e.Err != nil && e.Origin != "" || !strings.Contains(e.Why, tt.why)) {
				t.Errorf("%#v", err)
			}
			if len(f.requests()) > wire.MaxRedirects+1 {
				t.Errorf("%d requests", len(f.requests()))
			}
		})
	}
	t.Cleanup(func() {
		if len(evil.Received())+len(clear.Received()) > 0 {
			t.Errorf("%d bytes went astray", len(evil.Received())+len(clear.Received()))
		}
	})
}

// A realm of the registry's own that redirects elsewhere: to agree to it would
// change nothing.
func TestARealmThatRedirectsElsewhereCannotBeAgreedTo(t *testing.T) {
	t.Parallel()
	e := newEvil(t)
	for _, c := range []Credentials{{}, {Username: user, Password: password}, {IdentityToken: "canary-identity"}} {
		d := newDouble(t, harbor1)
		d.onToken = func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, e.URL+"/token", http.StatusTemporaryRedirect)
			return true
		}
		_, _, err := do(t, transportTo(t, d, setup{credentials: c}), http.MethodGet, d.URL+demoTag, nil)
		if r, ok := errors.AsType[*RealmError](err); !ok || r.Origin != "" || !strings.Contains(r.Why, e.URL) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if e.hits != 0 {
		t.Errorf("%d requests", e.hits)
	}
}

// The token service of Harbor 1 answers 500 for a name without a project, and
// will again.
func TestATokenServiceThatFailsIsNotAskedOverAndOver(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]int{http.StatusInternalServerError: 1, http.StatusBadGateway: maxSends} {
		for _, c := range []Credentials{{}, {Username: user, Password: password}} {
			d := newDouble(t, harbor1)
			d.onToken = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(status); return true }
			_, _, err := do(t, transportTo(t, d, setup{credentials: c}), http.MethodGet, d.URL+demoTag, nil)
			if e, ok := errors.AsType[*AnswerError](err); !ok || e.Status != status {
				t.Errorf("%v", err)
			}
			if _, trips, _ := d.counts(); trips != want {
				t.Errorf("%d, %+v: asked %d times, want %d", status, c, trips, want)
			}
		}
	}
}

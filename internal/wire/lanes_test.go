package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// A place is a server with a certificate of ca for addresses, and how many
// handshakes with it began.
type place struct {
	url   string
	begun atomic.Int32
	knew  atomic.Bool // it was shown the secret
}

func newPlace(t *testing.T, ca *testkit.Cert, h http.HandlerFunc, sans ...string) *place {
	t.Helper()
	return newPlaceOf(t, ca.NewLeaf(t, testkit.SANs(sans...)), h)
}

func newPlaceOf(t *testing.T, leaf *testkit.Cert, h http.HandlerFunc, above ...*testkit.Cert) *place {
	t.Helper()
	p := &place{}
	s := serve(t, &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{leaf.TLS(above...)},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { p.begun.Add(1); return nil, nil }, //nolint:nilnil // as it is
	})
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), secret) {
			p.knew.Store(true)
		}
		h(w, r)
	})
	p.url = s.URL
	return p
}

// system are roots that are read on demand, and how often they were.
type system struct {
	pool  *x509.CertPool
	err   error
	reads int
}

func (s *system) all() (*x509.CertPool, error) { s.reads++; return s.pool, s.err }

// both are the roots of two CAs.
func both(a, b *testkit.Cert) *x509.CertPool {
	pool := a.Pool()
	pool.AddCert(b.Certificate)
	return pool
}

func authorized(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	req := request(t, method, url, body)
	req.Header.Set("Authorization", "Bearer "+secret)
	return req
}

func TestTheSystemsRootsAreNotReadWhereTheRegistrysOwnDo(t *testing.T) {
	t.Parallel()
	own, public := testkit.NewCA(t), testkit.NewCA(t)
	p := newPlace(t, own, echo, "127.0.0.1")
	s := &system{pool: both(own, public)}
	tr := closing(t, New(Config{Host: hostOf(t, p.url[len("https://"):]), Roots: own.Pool(), AllRoots: s.all}))
	for range 3 {
		if a := do(tr, authorized(t, "PUT", p.url+"/x", "body")); a.err != nil || a.body != "PUT /x body" {
			t.Fatalf("%+v", a)
		}
	}
	if s.reads != 0 || p.begun.Load() != 1 {
		t.Errorf("the system's roots were read %d times, with %d handshakes", s.reads, p.begun.Load())
	}
}

func TestARegistryWithAPublicCertificateIsVerifiedBesideItsOwnCA(t *testing.T) {
	t.Parallel()
	own, public := testkit.NewCA(t), testkit.NewCA(t)
	s := &system{pool: both(own, public)}
	p := newPlace(t, public, echo, "127.0.0.1")
	tr := closing(t, New(Config{Host: hostOf(t, p.url[len("https://"):]), Roots: own.Pool(), AllRoots: s.all}))
	for range 3 {
		if a := do(tr, authorized(t, "PUT", p.url+"/x", "body")); a.err != nil || a.body != "PUT /x body" {
			t.Fatalf("%+v", a)
		}
	}
	if s.reads != 1 || p.begun.Load() != 1 {
		t.Errorf("the system's roots were read %d times, with %d handshakes; want 1 and 1", s.reads, p.begun.Load())
	}
}

func TestWhatIsBetweenARootAndTheRegistryCounts(t *testing.T) {
	t.Parallel()
	own, public := testkit.NewCA(t), testkit.NewCA(t)
	for reads, ca := range []*testkit.Cert{own, public} {
		between := ca.NewIntermediate(t)
		p := newPlaceOf(t, between.NewLeaf(t, testkit.SANs("127.0.0.1")), echo, between)
		s := &system{pool: both(own, public)}
		tr := closing(t, New(Config{Host: hostOf(t, p.url[len("https://"):]), Roots: own.Pool(), AllRoots: s.all}))
		if a := do(tr, authorized(t, "GET", p.url+"/x", "")); a.err != nil || s.reads != reads {
			t.Errorf("%v, the system's roots were read %d times, want %d", a.err, s.reads, reads)
		}
	}
}

func TestWhatNoRootVerifiesIsRefusedAndToldNothing(t *testing.T) {
	t.Parallel()
	own, public, stranger := testkit.NewCA(t), testkit.NewCA(t), testkit.NewCA(t)
	forClients := testkit.Template(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	here, there, name := testkit.SANs("127.0.0.1"), testkit.SANs("127.0.0.2"), testkit.SANs("reg.example")
	for name, tt := range map[string]struct {
		leaf    *testkit.Cert
		problem pki.Problem
	}{
		"of nobody's":                {stranger.NewLeaf(t, here), pki.UnknownIssuer},
		"own, for another address":   {own.NewLeaf(t, there), pki.WrongName},
		"own, for a name":            {own.NewLeaf(t, name), pki.WrongName},
		"system's, for another name": {public.NewLeaf(t, name), pki.WrongName},
		"system's, for clients":      {public.NewLeaf(t, here, forClients), pki.DoesNotVerify},
	} {
		p := newPlaceOf(t, tt.leaf, echo)
		s := &system{pool: both(own, public)}
		slept := &naps{}
		tr := closing(t, New(Config{Host: hostOf(t, p.url[len("https://"):]), Roots: own.Pool(), AllRoots: s.all, Sleep: slept.sleep}))
		for range 2 {
			err := do(tr, authorized(t, "GET", p.url+"/", "")).err
			wantKind(t, err, TLS)
			if bad, ok := errors.AsType[*pki.CertError](err); !ok || bad.Problem != tt.problem {
				t.Errorf("%s: %v", name, err)
			}
		}
		if p.knew.Load() || s.reads != 1 || len(slept.taken()) != 0 {
			t.Errorf("%s: told %t, system's roots read %d times, waited %v", name, p.knew.Load(), s.reads, slept.taken())
		}
	}
}

func TestAnotherHostIsVerifiedByAllRootsAtOnce(t *testing.T) {
	t.Parallel()
	own, public := testkit.NewCA(t), testkit.NewCA(t)
	for _, ca := range []*testkit.Cert{public, own} {
		store := newPlace(t, ca, echo, "localhost")
		_, port, _ := strings.Cut(store.url[len("https://"):], ":")
		p := newPlace(t, own, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://localhost:"+port+"/bytes", http.StatusTemporaryRedirect)
		}, "127.0.0.1")
		tr := closing(t, New(Config{Host: hostOf(t, p.url[len("https://"):]), Roots: own.Pool(), AllRoots: (&system{pool: both(own, public)}).all}))
		if a := do(tr, authorized(t, "GET", p.url+"/blob", "")); a.err != nil || a.body != "GET /bytes " {
			t.Errorf("%+v", a)
		}
		if p.begun.Load() != 1 || store.begun.Load() != 1 || store.knew.Load() {
			t.Errorf("%d and %d handshakes; storage was told: %t", p.begun.Load(), store.begun.Load(), store.knew.Load())
		}
	}
}

func TestAProxyOverHTTPSIsVerifiedByAllRoots(t *testing.T) {
	t.Parallel()
	own, public := testkit.NewCA(t), testkit.NewCA(t)
	for _, plain := range []bool{false, true} {
		proxy := newPlace(t, public, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, "127.0.0.1")
		u, err := url.Parse(proxy.url)
		if err != nil {
			t.Fatal(err)
		}
		tr := closing(t, New(Config{Host: hostOf(t, "reg.example"), Roots: own.Pool(), AllRoots: (&system{pool: both(own, public)}).all, PlainHTTP: plain, Proxy: fixed(u)}))
		a := get(t, tr, tr.Base().String()+"/")
		if plain && (a.err != nil || a.status != http.StatusForbidden) {
			t.Errorf("%+v", a)
		}
		if refusal, ok := errors.AsType[*ProxyError](a.err); !plain && (!ok || refusal.Status != http.StatusForbidden) {
			t.Errorf("%v", a.err)
		}
		if proxy.begun.Load() != 1 {
			t.Errorf("%d handshakes", proxy.begun.Load())
		}
	}
}

func TestRootsThatCannotBeReadVerifyNothing(t *testing.T) {
	t.Parallel()
	own, public := testkit.NewCA(t), testkit.NewCA(t)
	why := errors.New("no such file")
	p := newPlace(t, public, echo, "127.0.0.1")
	tr := closing(t, New(Config{Host: hostOf(t, p.url[len("https://"):]), Roots: own.Pool(), AllRoots: (&system{err: why}).all}))
	err := do(tr, authorized(t, "GET", p.url+"/", "")).err
	wantKind(t, err, TLS)
	if !errors.Is(err, why) || p.knew.Load() {
		t.Errorf("%v, told: %t", err, p.knew.Load())
	}
}

func TestAPinIsNotWidened(t *testing.T) {
	t.Parallel()
	public := testkit.NewCA(t)
	tr := Pinned(Config{Host: hostOf(t, "reg.example"), AllRoots: (&system{pool: public.Pool()}).all}, public.Certificate)
	if tr.config.AllRoots != nil {
		t.Error("what is not the pinned certificate may be verified")
	}
}

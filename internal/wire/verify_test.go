package wire

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/testkit"
)

// shake is what the client of c says of a server with cert, for name as net/http
// has it: an IPv6 address in brackets.
func shake(t *testing.T, c *tls.Config, name string, version uint16, cert tls.Certificate) string {
	t.Helper()
	c = c.Clone()
	c.ServerName, c.MaxVersion = name, version
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	var server sync.WaitGroup
	server.Go(func() {
		there, err := l.Accept()
		if err != nil {
			return
		}
		_ = tls.Server(there, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}).HandshakeContext(t.Context())
		_ = there.Close()
	})
	here, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	err = tls.Client(here, c).HandshakeContext(t.Context())
	_ = here.Close()
	server.Wait()
	if err == nil {
		return "verified"
	}
	said, _, _ := strings.Cut(err.Error(), "current time")
	return said
}

func usage(usages ...x509.ExtKeyUsage) testkit.CertOption {
	return testkit.Template(func(c *x509.Certificate) { c.ExtKeyUsage = usages })
}

// chains are what servers for name may show, good and bad, under two CAs.
func chains(t *testing.T, name string, own, public *testkit.Cert) map[string]tls.Certificate {
	t.Helper()
	all := map[string]tls.Certificate{}
	here, gone := testkit.SANs(name), testkit.NewCA(t, testkit.Expired())
	all["of nobody's"] = testkit.NewCA(t).NewLeaf(t, here).TLS()
	all["self-signed"] = testkit.NewSelfSigned(t, here).TLS()
	all["of a CA that nobody has and that calls itself the same"] = gone.NewLeaf(t, here).TLS(gone)
	asName := testkit.Template(func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, name) })
	for who, ca := range map[string]*testkit.Cert{"own": own, "public": public} {
		for what, opts := range map[string][]testkit.CertOption{
			"good": {here}, "another's": {testkit.SANs("other.example", "192.0.2.8", "2001:db8::2")},
			"name below": {testkit.SANs("a." + name)}, "wildcard": {testkit.SANs("*.example")}, "wide wildcard": {testkit.SANs("*")},
			"address as a name": {asName}, "trailing dot": {testkit.SANs(name + ".")}, "common name": {testkit.Subject(name)},
			"expired": {here, testkit.Expired()}, "not yet": {here, testkit.NotYetValid()}, "weak": {here, testkit.WeakKey(t)},
			"for clients": {here, usage(x509.ExtKeyUsageClientAuth)}, "for no use": {here, usage()}, "for any": {here, usage(x509.ExtKeyUsageAny)},
			"critical": {here, testkit.Template(unknownCritical)},
		} {
			all[who+", "+what] = ca.NewLeaf(t, opts...).TLS()
		}
		for what, opt := range map[string]testkit.CertOption{
			"plain": here, "expired": testkit.Expired(), "for clients": usage(x509.ExtKeyUsageClientAuth),
			"for other names": testkit.Template(func(c *x509.Certificate) {
				c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"other.example"}, true
			}),
			"no CA": testkit.Template(func(c *x509.Certificate) { c.IsCA = false }),
		} {
			between := ca.NewIntermediate(t, opt)
			leaf := between.NewLeaf(t, here)
			all[who+", under an intermediate, "+what], all[who+", without the intermediate, "+what] = leaf.TLS(between), leaf.TLS()
		}
		all[who+", the CA itself"] = ca.TLS()
	}
	return all
}

func unknownCritical(c *x509.Certificate) {
	c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 55555, 1}, Critical: true, Value: []byte{5, 0}})
}

// The registry's own roots first and then all: with the words that crypto/tls has
// for all of them.
func TestTheOriginIsVerifiedAsCryptoTLSDoes(t *testing.T) {
	t.Parallel()
	own, public := testkit.NewCA(t, testkit.Subject("own")), testkit.NewCA(t, testkit.Subject("public"))
	all := both(own, public)
	for host, name := range map[string]string{"reg.example": "reg.example", "192.0.2.7": "192.0.2.7", "[2001:db8::1]:5000": "2001:db8::1"} {
		tr := New(Config{Host: hostOf(t, host), Roots: own.Pool(), AllRoots: (&system{pool: all}).all})
		server := bracketed(name)
		verified := 0
		for what, cert := range chains(t, name, own, public) {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				want := shake(t, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: all}, server, version, cert)
				if got := shake(t, tr.lanes.http.TLSClientConfig, server, version, cert); got != want {
					t.Errorf("%s: %s, %s: %s, want %s", host, what, tls.VersionName(version), got, want)
				}
				if want == "verified" {
					verified++
				}
			}
		}
		if verified < 8 || verified > 30 {
			t.Errorf("%s: %d were verified", host, verified)
		}
	}
}

// A server that was verified is verified again: nothing is resumed.
func TestEachConnectionIsVerified(t *testing.T) {
	t.Parallel()
	own, public := testkit.NewCA(t), testkit.NewCA(t)
	here := testkit.SANs("127.0.0.1")
	good, bad := own.NewLeaf(t, here), testkit.NewCA(t).NewLeaf(t, here)
	for name, config := range map[string]func(c Config) *Transport{
		"by one pool":  New,
		"by two pools": func(c Config) *Transport { c.AllRoots = (&system{pool: both(own, public)}).all; return New(c) },
		"by a pin": func(c Config) *Transport {
			c.AllowCredentials = true
			return Pinned(c, good.Certificate)
		},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			var changed, told atomic.Bool
			s := serve(t, &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				cert := good
				if changed.Load() {
					cert = bad
				}
				return &tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: version, Certificates: []tls.Certificate{cert.TLS()}}, nil
			}})
			s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				told.Store(told.Load() || changed.Load())
				w.Header().Set("Connection", "close")
				echo(w, r)
			})
			tr := closing(t, config(Config{Host: hostOf(t, s.Listener.Addr().String()), Roots: own.Pool(), Sleep: (&naps{}).sleep}))
			if a := do(tr, authorized(t, "GET", s.URL+"/", "")); a.err != nil {
				t.Errorf("%s: %v", name, a.err)
			}
			changed.Store(true)
			wantKind(t, do(tr, authorized(t, "GET", s.URL+"/", "")).err, TLS)
			if told.Load() {
				t.Errorf("%s, %s: a request reached a server that was not verified", name, tls.VersionName(version))
			}
		}
	}
}

// What the user says of the registry is said of no proxy, and of no other host.
func TestSkippingVerificationIsForTheRegistryAloneWithRootsOfItsOwnToo(t *testing.T) {
	t.Parallel()
	own, public, stranger := testkit.NewCA(t), testkit.NewCA(t), testkit.NewCA(t)
	skipping := func(host string, proxy *place) *Transport {
		c := Config{Host: hostOf(t, host), Roots: own.Pool(), AllRoots: (&system{pool: both(own, public)}).all, InsecureSkipVerify: true, Silence: 10 * time.Second}
		if proxy != nil {
			c.Proxy = fixed(mustURL(t, proxy.url))
		}
		return closing(t, New(c))
	}
	for ca, ok := range map[*testkit.Cert]bool{own: true, public: true, stranger: false} {
		store := newPlace(t, ca, echo, "localhost")
		_, port, _ := strings.Cut(store.url[len("https://"):], ":")
		p := newPlace(t, stranger, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://localhost:"+port+"/bytes", http.StatusTemporaryRedirect)
		}, "127.0.0.1")
		a := do(skipping(p.url[len("https://"):], nil), authorized(t, "GET", p.url+"/blob", ""))
		if ok && (a.err != nil || a.body != "GET /bytes ") {
			t.Errorf("%+v", a)
		}
		if !ok {
			wantKind(t, a.err, TLS)
		}
	}
	asked := atomic.Int32{}
	proxy := newPlace(t, stranger, func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); w.WriteHeader(http.StatusForbidden) }, "127.0.0.1")
	tr := skipping("reg.example", proxy)
	wantKind(t, get(t, tr, "https://reg.example/").err, ProxyRefused)
	if proxy.begun.Load() != 0 {
		t.Error("the proxy was connected to")
	}
	// Nor would it be believed.
	for _, site := range []site{origin, elsewhere} {
		h := &hop{req: request(t, "GET", "https://reg.example/", ""), site: site, proxy: mustURL(t, proxy.url)}
		if _, _, err := tr.once(h); KindOf(err) != ProxyRefused { //nolint:bodyclose // there is none
			t.Errorf("%v", err)
		}
	}
	if proxy.begun.Load() != 2 || asked.Load() != 0 {
		t.Errorf("%d handshakes, asked %d times", proxy.begun.Load(), asked.Load())
	}
}

// TLS has no such server, but who asks is told.
func TestAServerThatShowsNothingIsNotVerified(t *testing.T) {
	t.Parallel()
	own := testkit.NewCA(t)
	tr := New(Config{Host: hostOf(t, "reg.example"), Roots: own.Pool(), AllRoots: (&system{pool: own.Pool()}).all})
	err := tr.verifyOrigin(tls.ConnectionState{})
	if err == nil {
		t.Fatal("it is")
	}
	h := &hop{req: request(t, "GET", "https://reg.example/", ""), site: origin}
	wantKind(t, tr.classify(t.Context(), h, tr.lanes, phaseHandshake, err), TLS)
}

package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// serve starts a server with TLS as config says.
func serve(t *testing.T, config *tls.Config) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = config
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func TestTLSBelow12IsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for version, ok := range map[uint16]bool{
		tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true,
	} {
		s := serve(t, &tls.Config{Certificates: []tls.Certificate{w.cert}, MinVersion: version, MaxVersion: version})
		for _, skip := range []bool{false, true} {
			tr := w.transport(t, func(c *Config) {
				c.Host, c.InsecureSkipVerify = hostOf(t, s.Listener.Addr().String()), skip
			})
			err := get(t, tr, s.URL+"/").err
			if ok && err != nil {
				t.Errorf("%s: %v", tls.VersionName(version), err)
			}
			if !ok {
				wantKind(t, err, TLS)
			}
		}
	}
}

func TestAServerThatWantsAClientCertificateIsATLSMatter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := serve(t, &tls.Config{
		Certificates: []tls.Certificate{w.cert}, MaxVersion: tls.VersionTLS12, ClientAuth: tls.RequireAnyClientCert,
	})
	tr := w.transport(t, func(c *Config) { c.Host = hostOf(t, s.Listener.Addr().String()) })
	wantKind(t, get(t, tr, s.URL+"/").err, TLS)

	// With TLS 1.3 the alert comes when the handshake is over for this side.
	alert := &net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}
	h := &hop{req: request(t, "GET", s.URL, "")}
	wantKind(t, tr.classify(t.Context(), h, tr.lanes, phaseHeaders, alert), TLS)
}

func TestBlobsComeOverHTTP1(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(rw, r.Proto) }))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{w.cert}}
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	tr := w.transport(t, func(c *Config) { c.Host = hostOf(t, s.Listener.Addr().String()) })
	if a := get(t, tr, s.URL+"/"); a.body != "HTTP/1.1" {
		t.Errorf("%+v", a)
	}
}

func TestACertificateThatDoesNotVerifyIsJudged(t *testing.T) {
	t.Parallel()
	ca, other := testkit.NewCA(t), testkit.NewCA(t)
	address := testkit.SANs("127.0.0.1")
	for _, tt := range []struct {
		name    string
		leaf    *testkit.Cert
		roots   *x509.CertPool
		problem pki.Problem
	}{
		{"unknown issuer", ca.NewLeaf(t, address), other.Pool(), pki.UnknownIssuer},
		{"other name", ca.NewLeaf(t, testkit.SANs("reg.example")), ca.Pool(), pki.WrongName},
		{"common name only", ca.NewLeaf(t, testkit.Subject("127.0.0.1")), ca.Pool(), pki.CommonNameOnly},
		{"expired", ca.NewLeaf(t, address, testkit.Expired()), ca.Pool(), pki.Expired},
		{"not yet valid", ca.NewLeaf(t, address, testkit.NotYetValid()), ca.Pool(), pki.NotYetValid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			evil := testkit.NewEvilTLS(t, "", tt.leaf.TLS(), testkit.Swallow)
			slept := &naps{}
			tr := closing(t, New(Config{Host: hostOf(t, evil.Addr()), Roots: tt.roots, Sleep: slept.sleep}))
			err := do(basic{tr}, request(t, "GET", tr.Base().String()+"/v2/", "")).err
			wantKind(t, err, TLS)
			if bad, ok := errors.AsType[*pki.CertError](err); !ok || bad.Problem != tt.problem {
				t.Errorf("error %v (%+v)", err, bad)
			}
			if !isX509(err) {
				t.Errorf("error %v does not hold what crypto/x509 said", err)
			}
			if evil.Knows(secret) || len(slept.taken()) != 0 {
				t.Error("the password was sent, or the handshake tried again")
			}
		})
	}
}

func isX509(err error) bool {
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	return unknown || name || invalid
}

func TestSkippingVerificationIsForTheRegistryAlone(t *testing.T) {
	t.Parallel()
	unknown := testkit.NewCA(t).NewLeaf(t, testkit.SANs("127.0.0.1", "reg.example", "store.example")).TLS()
	front := testkit.NewFront(t, http.HandlerFunc(echo))
	server := front.Serve(t, unknown)
	tr := closing(t, New(Config{
		Host: hostOf(t, "reg.example"), Roots: testkit.NewCA(t).Pool(), InsecureSkipVerify: true,
	}))
	dialing(tr, map[string]string{"reg.example:443": server.Listener.Addr().String(), "store.example:443": server.Listener.Addr().String()})
	if a := get(t, tr, "https://reg.example/v2/"); a.err != nil {
		t.Errorf("the registry: %v", a.err)
	}
	front.Script(testkit.On("", "/blob"), moved(307, "https://store.example/bytes"))
	wantKind(t, get(t, tr, "https://reg.example/blob").err, TLS)
}

func TestPinnedAcceptsThisLeafAndNoOther(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	key := testkit.WithKey(testkit.RSAKey(t, 2048))
	served := ca.NewLeaf(t, testkit.SANs("elsewhere.example"), testkit.Expired(), key)
	twin := ca.NewLeaf(t, testkit.SANs("elsewhere.example"), testkit.Expired(), key)
	front := testkit.NewFront(t, http.HandlerFunc(echo))
	server := front.Serve(t, served.TLS())
	host := hostOf(t, server.Listener.Addr().String())

	// Neither name, date nor issuer is in order: the pin alone decides.
	tr := closing(t, Pinned(Config{Host: host}, served.Certificate))
	if a := get(t, tr, server.URL+"/ca"); a.err != nil || a.body != "GET /ca " {
		t.Fatalf("%+v", a)
	}
	before := len(front.Seen(nil))
	for name, leaf := range map[string]*testkit.Cert{"same key and name": twin, "its issuer": ca} {
		tr := closing(t, Pinned(Config{Host: host, Roots: ca.Pool(), InsecureSkipVerify: true}, leaf.Certificate))
		err := get(t, tr, server.URL+"/ca").err
		wantKind(t, err, TLS)
		if pin, ok := errors.AsType[*PinError](err); !ok || !pin.Got.Equal(served.Certificate) || !pin.Want.Equal(leaf.Certificate) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if n := len(front.Seen(nil)); n != before {
		t.Errorf("%d requests reached a server whose leaf was not pinned", n-before)
	}
}

func TestPinnedSendsNoCredentialsUnlessItIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, header := range []string{"Authorization", "Cookie"} {
		for _, allow := range []bool{false, true} {
			tr := closing(t, Pinned(Config{Host: w.host, AllowCredentials: allow}, w.cert.Leaf))
			req := request(t, "GET", w.server.URL+"/ca", "")
			req.Header.Set(header, secret)
			err := do(tr, req).err
			if allow && err != nil {
				t.Errorf("%s: %v", header, err)
			}
			if !allow {
				wantPolicy(t, err, "credentials before")
			}
		}
	}
	if n := len(w.front.Seen(nil)); n != 2 {
		t.Errorf("%d requests", n)
	}
}

func TestPinnedSpeaksToNoOtherHostAndNeverInClear(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := testkit.NewEvilTLS(t, "", w.cert, testkit.Swallow) // with the very leaf
	tr := closing(t, Pinned(Config{
		Host: w.host, PlainHTTP: true, AllowCredentials: true, Realms: []string{"https://" + other.Addr()},
	}, w.cert.Leaf))
	if got := tr.Base().Scheme; got != "https" {
		t.Errorf("scheme %s", got)
	}
	w.front.Script(testkit.On("", "/ca"), moved(307, other.URL().String()))
	wantPolicy(t, get(t, tr, w.server.URL+"/ca").err, "pinned")
	wantPolicy(t, get(t, tr, other.URL().String()).err, "pinned")
	if other.Opened() != 0 {
		t.Error("another host was connected to")
	}
}

func TestErrorsShowForeignBytesEscaped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	evil := testkit.NewEvilTLS(t, "", w.cert, testkit.ReplyOnce("HTTP/1.1 \x1b[31m200 OK\r\n\r\n"))
	tr := w.transport(t, func(c *Config) { c.Host = hostOf(t, evil.Addr()) })
	err := get(t, tr, evil.URL().String()).err
	wantKind(t, err, BadAnswer)
	if err != nil && strings.Contains(err.Error(), "\x1b") {
		t.Errorf("error %q", err)
	}
	for in, want := range map[string]string{
		"plain": "plain", "\x1b[0m\a": `\x1b[0m\a`, "a\u202eb": `a\u202eb`, "\xff": `\xff`, "\"quoted\" ü": "\"quoted\" ü", "a\nb": `a\nb`,
	} {
		if got := printable(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

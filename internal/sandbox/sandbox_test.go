package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestCloseEndsAtOnceAndLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := start(t, Options{Dir: dir})
	b.push(t, "demo/app", make([]byte, maxInMemory+1)) // one whole blob in a file

	// An upload whose client has stopped in the middle, in a file too.
	where := b.begin(t, "demo/app")
	reader, writer := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "PATCH", where, reader)
	if err != nil {
		t.Fatal(err)
	}
	b.as("dev")(req)
	failed := make(chan error)
	go func() {
		resp, err := b.client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		failed <- err
	}()
	if _, err := writer.Write(make([]byte, maxInMemory+1)); err != nil {
		t.Fatal(err)
	}

	began := time.Now()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("Close took %v", took)
	}
	_ = writer.Close()
	if err := <-failed; err == nil {
		t.Error("the stopped upload was answered")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", b.Host()); err == nil {
		_ = conn.Close()
		t.Error("still listening")
	}
	if err := b.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestHandlerWorksBehindAnotherServerUntilClose(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	outer := httptest.NewServer(b.Handler())
	defer outer.Close()
	a := b.do(t, "GET", outer.URL+"/v2/").wants(t, 401)
	if want := `realm="https://` + strings.TrimPrefix(outer.URL, "http://") + `/service/token"`; !strings.Contains(a.header.Get("Www-Authenticate"), want) {
		t.Errorf("challenge %q lacks %q", a.header.Get("Www-Authenticate"), want)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", outer.URL+"/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := b.client.Do(req); err == nil {
		_ = resp.Body.Close()
		t.Errorf("answered with %d after Close", resp.StatusCode)
	}
}

func TestStartSaysWhyItCannotListen(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	dir := t.TempDir()
	s, err := Start(t.Context(), Options{Addr: b.Host(), Dir: dir})
	if taken := (*net.OpError)(nil); !errors.As(err, &taken) || taken.Op != "listen" || s != nil {
		t.Errorf("error %v", err)
	}
	if _, err := Start(t.Context(), Options{Addr: "127.0.0.1", Dir: dir}); err == nil {
		t.Error("an address without a port was taken")
	}
}

func TestUsersHavePasswordsOfTheirOwn(t *testing.T) {
	t.Parallel()
	const shortest = 16 // characters
	seen := map[string]bool{}
	for range 2 {
		b := start(t, Options{})
		names := []string{}
		for _, u := range b.Users() {
			names = append(names, u.Name)
			if len(u.Password) < shortest || seen[u.Password] {
				t.Errorf("password %q of %s is short or not new", u.Password, u.Name)
			}
			seen[u.Password] = true
		}
		if !slices.Equal(names, []string{"admin", "dev"}) {
			t.Errorf("users %q", names)
		}
		b.Users()[0].Password = "changed"
		b.do(t, "GET", "/v2/", b.as("admin")).wants(t, 200)
	}
}

func TestEveryRequestIsReported(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	got := []string{}
	b := start(t, Options{OnRequest: func(method, path string, status int) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, method+" "+path+" "+http.StatusText(status))
	}})
	b.do(t, "GET", "/v2/")
	b.do(t, "GET", "/service/token?service=harbor-registry&scope=repository:library/hello:pull")
	b.do(t, "HEAD", "/v2/demo/a%2Fb/manifests/1")
	b.do(t, "GET", "/")
	want := []string{
		"GET /v2/ Unauthorized", "GET /service/token OK", "HEAD /v2/demo/a%2Fb/manifests/1 Unauthorized", "GET / OK",
	}
	if err := b.Close(); err != nil { // the last report may come after the answer
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(got, want) {
		t.Errorf("reported %q, want %q", got, want)
	}
}

func TestTLSServesTheLeafAloneForLoopbackNames(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	roots := x509.NewCertPool()
	roots.AddCert(b.CA())
	for _, name := range []string{"127.0.0.1", "::1", "localhost"} {
		state, err := b.handshake(t, &tls.Config{RootCAs: roots, ServerName: name})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(state.PeerCertificates) != 1 || state.PeerCertificates[0].IsCA {
			t.Errorf("%s: served %d certificates", name, len(state.PeerCertificates))
		}
		if state.NegotiatedProtocol == "h2" {
			t.Error("HTTP/2, which Harbor's proxy does not speak")
		}
	}
	ca := b.CA()
	if !ca.IsCA || !ca.BasicConstraintsValid || ca.CheckSignatureFrom(ca) != nil || !b.clock.Now().Before(ca.NotAfter) {
		t.Errorf("not a valid CA: %+v", ca.Subject)
	}
	_, err := b.handshake(t, &tls.Config{ServerName: "localhost", RootCAs: x509.NewCertPool()})
	if unknown := (x509.UnknownAuthorityError{}); !errors.As(err, &unknown) {
		t.Errorf("without the CA: %v", err)
	}
}

// handshake makes one TLS connection, offering HTTP/2 too.
func (b *box) handshake(t *testing.T, c *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	c.NextProtos = []string{"h2", "http/1.1"}
	conn, err := (&tls.Dialer{Config: c}).DialContext(t.Context(), "tcp", b.Host())
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState(), nil
}

func TestCAIsGoodForItsNamesOnly(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"127.0.0.1", "registry.test", "192.0.2.9", "2001:db8::9"} {
		a, err := newAuthority(time.Now(), name)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(a.leaf.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(a.ca)
		for _, one := range []string{name, "localhost", "127.0.0.1", "::1"} {
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: one}); err != nil {
				t.Errorf("%s for %s: %v", name, one, err)
			}
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "example.com"}); err == nil {
			t.Errorf("%s: good for example.com", name)
		}
	}
}

func TestCACannotSignForOtherNames(t *testing.T) {
	t.Parallel()
	ca, _ := templates(time.Now(), "127.0.0.1")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := sign(&ca, &ca, key, key)
	if err != nil {
		t.Fatal(err)
	}
	anchor, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(anchor)
	for _, name := range []string{"registry.test", "192.0.2.9", "2001:db8::9"} {
		_, leaf := templates(time.Now(), name)
		der, err := sign(&leaf, anchor, key, key)
		if err != nil {
			t.Fatal(err)
		}
		stray, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		_, err = stray.Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
		if invalid := (x509.CertificateInvalidError{}); !errors.As(err, &invalid) || invalid.Reason != x509.CANotAuthorizedForThisName {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPlainHTTPHasNoCA(t *testing.T) {
	t.Parallel()
	b := start(t, Options{PlainHTTP: true})
	if b.CA() != nil {
		t.Error("a CA without TLS")
	}
	a := b.do(t, "GET", "/v2/").wants(t, 401)
	if want := `Bearer realm="http://` + b.Host() + `/service/token",service="harbor-registry"`; a.header.Get("Www-Authenticate") != want {
		t.Errorf("challenge %q, want %q", a.header.Get("Www-Authenticate"), want)
	}
	a = b.do(t, "GET", "/api/v2.0/systeminfo/getcert").wants(t, 404)
	if want := errorBody("NOT_FOUND", "resource not found: cert not found in path: /etc/core/ca/ca.crt"); a.body != want {
		t.Errorf("body %s, want %s", a.body, want)
	}
}

func TestPlainTextToTheTLSPortIsRefused(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	b.do(t, "GET", "http://"+b.Host()+"/v2/").wants(t, 400)
}

package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/vicr-cli/vicr/internal/testkit"
)

// A forwarder is an HTTP proxy that knows CONNECT and, for http, absolute URLs.
type forwarder struct {
	server *httptest.Server
	leads  map[string]string // address asked for -> where it is
	status int               // refuse with this; 0: do not

	mu    sync.Mutex
	asked []*http.Request
}

func newForwarder(t *testing.T, leads map[string]string, status int) *forwarder {
	t.Helper()
	f := &forwarder{leads: leads, status: status}
	f.server = httptest.NewServer(f)
	t.Cleanup(f.server.Close)
	return f
}

func (f *forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.asked = append(f.asked, r.Clone(context.WithoutCancel(r.Context())))
	f.mu.Unlock()
	if f.status != 0 {
		w.WriteHeader(f.status)
		return
	}
	to, ok := f.leads[r.Host]
	if !ok {
		to = r.Host
	}
	if r.Method != http.MethodConnect {
		f.forward(w, r, to)
		return
	}
	up, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", to)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer func() { _ = up.Close() }()
	down, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = down.Close() }()
	_, _ = io.WriteString(down, "HTTP/1.1 200 Connection established\r\n\r\n")
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(up, down); _ = up.Close() })
	both.Go(func() { _, _ = io.Copy(down, up); _ = down.Close() })
	both.Wait()
}

func (f *forwarder) forward(w http.ResponseWriter, r *http.Request, to string) {
	r.URL.Host, r.RequestURI = to, ""
	r.Header.Del("Proxy-Authorization")
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := tr.RoundTrip(r)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

// seen are the first requests of the connections, with their headers.
func (f *forwarder) seen() []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// proxy is what cmd makes of HTTPS_PROXY, HTTP_PROXY and NO_PROXY.
func proxy(c httpproxy.Config) func(*http.Request) (*url.URL, error) {
	choose := c.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return choose(r.URL) }
}

func (f *forwarder) config(noProxy string) httpproxy.Config {
	address := "http://user:" + secret + "@" + f.server.Listener.Addr().String()
	return httpproxy.Config{HTTPSProxy: address, HTTPProxy: address, NoProxy: noProxy}
}

func TestTheRegistryIsReachedThroughAnHTTPSProxyByConnect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := newForwarder(t, map[string]string{"reg.example:443": w.host.String(), "store.example:443": w.host.String()}, 0)
	tr := closing(t, New(Config{Host: hostOf(t, "reg.example"), Roots: w.ca.Pool(), Proxy: proxy(f.config(""))}))
	w.front.Script(testkit.On("", "/blob"), moved(307, "https://store.example/bytes"))

	req := request(t, "GET", "https://reg.example/blob", "")
	req.Header.Set("Authorization", "Bearer token")
	if a := do(tr, req); a.err != nil || a.body != "GET /bytes " {
		t.Fatalf("%+v", a)
	}
	asked := f.seen()
	if len(asked) != 2 || asked[0].Method != "CONNECT" || asked[0].Host != "reg.example:443" || asked[1].Host != "store.example:443" {
		t.Fatalf("the proxy was asked %v", asked)
	}
	for _, r := range asked {
		if !strings.HasPrefix(r.Header.Get("Proxy-Authorization"), "Basic ") || r.Header.Get("Authorization") != "" {
			t.Errorf("the proxy was shown %v", r.Header)
		}
	}
	for _, r := range w.front.Seen(nil) {
		if got := r.Header.Get("Proxy-Authorization"); got != "" {
			t.Errorf("%s was shown the proxy's password: %s", r.Host, got)
		}
	}
}

func TestNoProxyIsObeyed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for noProxy, used := range map[string]bool{
		"": true, "other.example": true, "198.51.100.0/24": true,
		"reg.example": false, ".example": false, "*": false, "reg.example:443": false, "reg.example:5000": true,
	} {
		f := newForwarder(t, map[string]string{"reg.example:443": w.host.String()}, 0)
		tr := closing(t, New(Config{Host: hostOf(t, "reg.example"), Roots: w.ca.Pool(), Proxy: proxy(f.config(noProxy))}))
		dialing(tr, map[string]string{"reg.example:443": w.host.String()})
		if a := get(t, tr, "https://reg.example/v2/"); a.err != nil {
			t.Errorf("NO_PROXY=%s: %v", noProxy, a.err)
		}
		if got := len(f.seen()) > 0; got != used {
			t.Errorf("NO_PROXY=%s: the proxy was used: %t", noProxy, got)
		}
	}
	f := newForwarder(t, map[string]string{"192.0.2.7:443": w.host.String()}, 0)
	tr := closing(t, New(Config{Host: hostOf(t, "192.0.2.7"), Roots: w.ca.Pool(), Proxy: proxy(f.config("192.0.2.0/24"))}))
	dialing(tr, map[string]string{"192.0.2.7:443": w.host.String()})
	wantKind(t, get(t, tr, "https://192.0.2.7/v2/").err, TLS) // reached, and it is another's certificate
	if len(f.seen()) != 0 {
		t.Error("the proxy was used for an address inside the CIDR of NO_PROXY")
	}
}

func TestPlainHTTPGoesThroughTheProxyToo(t *testing.T) {
	t.Parallel()
	front := testkit.NewFront(t, http.HandlerFunc(echo))
	server := front.Serve(t)
	f := newForwarder(t, map[string]string{"reg.example": server.Listener.Addr().String()}, 0)
	tr := closing(t, New(Config{Host: hostOf(t, "reg.example"), PlainHTTP: true, Proxy: proxy(f.config(""))}))
	if a := get(t, tr, "http://reg.example/v2/"); a.err != nil || a.body != "GET /v2/ " {
		t.Fatalf("%+v", a)
	}
	if got := front.Seen(nil)[0].Header.Get("Proxy-Authorization"); got != "" {
		t.Errorf("the registry was shown %q", got)
	}
}

func TestAProxyThatRefusesIsToldApartFromTheRegistry(t *testing.T) {
	t.Parallel()
	for _, status := range []int{407, 502, 403, 503} {
		f := newForwarder(t, nil, status)
		slept := &naps{}
		tr := closing(t, New(Config{Host: hostOf(t, "reg.example"), Proxy: proxy(f.config("")), Sleep: slept.sleep}))
		a := get(t, tr, "https://reg.example/v2/")
		wantKind(t, a.err, ProxyRefused)
		refusal, ok := errors.AsType[*ProxyError](a.err)
		if !ok || refusal.Status != status || refusal.Proxy != f.server.Listener.Addr().String() {
			t.Errorf("%d: %+v", status, refusal)
		}
		if a.err != nil && strings.Contains(a.err.Error(), secret) {
			t.Errorf("the error tells the proxy's password: %v", a.err)
		}
		if len(slept.taken()) != 0 {
			t.Errorf("%d: tried again", status)
		}
	}
	f := newForwarder(t, nil, 407)
	tr := closing(t, New(Config{Host: hostOf(t, "reg.example"), PlainHTTP: true, Proxy: proxy(f.config(""))}))
	wantKind(t, get(t, tr, "http://reg.example/v2/").err, ProxyRefused)
}

func TestAProxyThatIsNotThereIsTheProxysFault(t *testing.T) {
	t.Parallel()
	f := newForwarder(t, nil, 0)
	f.server.Close()
	tr := closing(t, New(Config{Host: hostOf(t, "reg.example"), Proxy: proxy(f.config(""))}))
	err := get(t, tr, "https://reg.example/v2/").err
	wantKind(t, err, ProxyRefused)
	if err != nil && strings.Contains(err.Error(), secret) {
		t.Errorf("the error tells the proxy's password: %v", err)
	}
}

func TestASilentProxyIsNotWaitedForEndlessly(t *testing.T) {
	t.Parallel()
	mute := testkit.NewEvil(t, "", testkit.Swallow)
	tr := closing(t, New(Config{
		Host: hostOf(t, "reg.example"), Silence: 200 * time.Millisecond,
		Proxy: proxy(httpproxy.Config{HTTPSProxy: "http://" + mute.Addr()}),
	}))
	wantTimeout(t, get(t, tr, "https://reg.example/v2/").err, phaseConnect)
}

func TestAProxyOnThisMachineOpensItToNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	evil := testkit.NewEvilTLS(t, "", w.cert, testkit.Swallow)
	f := newForwarder(t, map[string]string{"reg.example:443": w.host.String(), "store.example:443": w.host.String()}, 0)
	tr := closing(t, New(Config{Host: hostOf(t, "reg.example"), Roots: w.ca.Pool(), Proxy: fixed(mustURL(t, f.server.URL))}))
	w.front.Script(testkit.On("", "/blob"), moved(307, "https://store.example/bytes"), moved(307, evil.URL().String()))
	if a := get(t, tr, "https://reg.example/blob"); a.err != nil {
		t.Errorf("storage behind the proxy: %v", a.err)
	}
	wantPolicy(t, get(t, tr, "https://reg.example/blob").err, "loopback")
	if evil.Opened() != 0 {
		t.Error("a connection was opened")
	}
}

func TestAProxyOverHTTPSIsNotUsedWithoutVerification(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	evil := testkit.NewEvilTLS(t, "", w.cert, testkit.Swallow)
	for _, tr := range []*Transport{
		New(Config{Host: w.host, InsecureSkipVerify: true, Proxy: fixed(evil.URL())}),
		Pinned(Config{Host: w.host, Proxy: fixed(evil.URL())}, w.cert.Leaf),
	} {
		wantKind(t, get(t, tr, w.server.URL+"/").err, ProxyRefused)
	}
	if evil.Opened() != 0 {
		t.Error("the proxy was connected to")
	}
}

func fixed(u *url.URL) func(*http.Request) (*url.URL, error) {
	return func(*http.Request) (*url.URL, error) { return u, nil }
}

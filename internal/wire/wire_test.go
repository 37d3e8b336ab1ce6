package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "S3CRET-canary"

// A world is a registry behind a scripted front, and what is around it.
type world struct {
	ca     *testkit.Cert
	cert   tls.Certificate
	front  *testkit.Front
	server *httptest.Server
	host   ref.Host
}

// newWorld starts a registry with TLS on 127.0.0.1 that answers every request
// with its path.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{ca: testkit.NewCA(t)}
	w.cert = w.ca.NewLeaf(t, testkit.SANs("127.0.0.1", "::1", "localhost", "reg.example", "store.example")).TLS()
	w.front = testkit.NewFront(t, http.HandlerFunc(echo))
	w.server = w.front.Serve(t, w.cert)
	w.host = hostOf(t, w.server.Listener.Addr().String())
	return w
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, _ = io.WriteString(w, r.Method+" "+r.URL.Path+" "+string(body))
}

func hostOf(t *testing.T, s string) ref.Host {
	t.Helper()
	h, err := ref.ParseHost(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// transport speaks to the world's registry; opts change its configuration.
func (w *world) transport(t *testing.T, opts ...func(*Config)) *Transport {
	t.Helper()
	c := Config{Host: w.host, Roots: w.ca.Pool(), Silence: 5 * time.Second, Sleep: (&naps{}).sleep}
	for _, o := range opts {
		o(&c)
	}
	return closing(t, New(c))
}

func closing(t *testing.T, tr *Transport) *Transport {
	t.Helper()
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// naps records how long it was to sleep, and does not.
type naps struct {
	mu   sync.Mutex
	list []time.Duration
}

func (n *naps) sleep(ctx context.Context, d time.Duration) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, d)
	return ctx.Err()
}

func (n *naps) taken() []time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.list)
}

func request(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, r)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// An answer is a response that was read to its end.
type answer struct {
	status int
	body   string
	resp   *http.Response
	err    error // of the request or of reading the body
}

func do(rt http.RoundTripper, req *http.Request) answer {
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, body: string(body), resp: resp, err: err}
}

func get(t *testing.T, rt http.RoundTripper, url string) answer {
	t.Helper()
	return do(rt, request(t, http.MethodGet, url, ""))
}

func wantKind(t *testing.T, err error, kind Kind) {
	t.Helper()
	if KindOf(err) != kind {
		t.Errorf("error %v (%T) is of kind %q, not %q", err, err, KindOf(err), kind)
	}
}

func wantPolicy(t *testing.T, err error, why string) {
	t.Helper()
	wantKind(t, err, Policy)
	if p, ok := errors.AsType[*PolicyError](err); !ok || !strings.Contains(p.Why, why) {
		t.Errorf("error %v does not say %q", err, why)
	}
}

func TestBaseIsHTTPSAndLeavesOutTheUsualPort(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		host         string
		plain        bool
		base, origin string
	}{
		{"reg.example", false, "https://reg.example", "https://reg.example:443"},
		{"reg.example:443", false, "https://reg.example", "https://reg.example:443"},
		{"reg.example:5000", false, "https://reg.example:5000", "https://reg.example:5000"},
		{"[2001:db8::1]", false, "https://[2001:db8::1]", "https://[2001:db8::1]:443"},
		{"[2001:db8::1]:443", false, "https://[2001:db8::1]", "https://[2001:db8::1]:443"},
		{"reg.example", true, "http://reg.example", "http://reg.example:80"},
		{"reg.example:80", true, "http://reg.example", "http://reg.example:80"},
		{"reg.example:443", true, "http://reg.example:443", "http://reg.example:443"},
		{"docker.io", false, "https://registry-1.docker.io", "https://registry-1.docker.io:443"},
	} {
		tr := New(Config{Host: hostOf(t, tt.host), PlainHTTP: tt.plain})
		if got := tr.Base().String(); got != tt.base {
			t.Errorf("%s: base %s, want %s", tt.host, got, tt.base)
		}
		if got := tr.Origin(); got != tt.origin {
			t.Errorf("%s: origin %s, want %s", tt.host, got, tt.origin)
		}
	}
}

func TestEveryRequestSaysWhoAsksAndWhom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	req := request(t, "GET", w.server.URL+"/v2/", "")
	req.Header.Set("User-Agent", "go-containerregistry/0.22")
	req.Host = "other.example" // whom a request goes to is in its URL alone
	if a := do(w.transport(t), req); a.err != nil {
		t.Fatal(a.err)
	}
	// Harbor up to 1.6 lists only what clients pushed whose name begins so.
	if got := w.front.Seen(nil)[0].Header.Get("User-Agent"); !strings.HasPrefix(got, "docker") {
		t.Errorf("User-Agent %q", got)
	}
	if got := w.front.Seen(nil)[0].Host; got != w.host.String() {
		t.Errorf("Host %q", got)
	}
	if got := req.Header.Get("User-Agent"); got != "go-containerregistry/0.22" {
		t.Errorf("the caller's request was changed: %q", got)
	}
}

func TestBytesComeAsTheServerStoresThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if a := get(t, w.transport(t), w.server.URL+"/v2/x"); a.err != nil || a.body != "GET /v2/x " {
		t.Fatalf("%+v", a)
	}
	seen := w.front.Seen(nil)[0]
	if enc := seen.Header.Get("Accept-Encoding"); enc != "" {
		t.Errorf("Accept-Encoding %q was asked for", enc)
	}
}

func TestHTTPForTheOriginBecomesHTTPS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := get(t, w.transport(t), "http://"+w.host.String()+"/v2/")
	if a.err != nil || a.status != http.StatusOK || a.resp.TLS == nil {
		t.Fatalf("%+v", a)
	}
	if got := a.resp.Request.URL.Scheme; got != "https" {
		t.Errorf("the answer's request has scheme %s", got)
	}
}

func TestPlainHTTPIsSpokenOnlyWhereTheUserSaidSo(t *testing.T) {
	t.Parallel()
	front := testkit.NewFront(t, http.HandlerFunc(echo))
	server := front.Serve(t)
	host := hostOf(t, server.Listener.Addr().String())
	other := testkit.NewEvil(t, "", testkit.Swallow)

	tr := closing(t, New(Config{Host: host, PlainHTTP: true}))
	if a := get(t, tr, "https://"+host.String()+"/v2/"); a.err != nil || a.resp.TLS != nil {
		t.Errorf("%+v", a)
	}
	wantPolicy(t, get(t, tr, other.URL().String()).err, "plain http")
	if other.Opened() != 0 {
		t.Error("a connection to the other host was opened")
	}
}

func TestRequestsThatNameAStrangeTargetAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tr := w.transport(t)
	for _, tt := range []struct{ url, why string }{
		{"ftp://" + w.host.String() + "/x", "neither http nor https"},
		{"https://u:" + secret + "@" + w.host.String() + "/x", "user name"},
		{"http://store.example/x", "plain http"},
	} {
		a := get(t, tr, tt.url)
		wantPolicy(t, a.err, tt.why)
		if a.err != nil && strings.Contains(a.err.Error(), secret) {
			t.Errorf("the error tells the password: %v", a.err)
		}
	}
	if n := len(w.front.Seen(nil)); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestCredentialsForAnotherOriginAreRefusedUnlessItIsAnAgreedRealm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	evil := testkit.NewEvilTLS(t, "", w.cert, testkit.ReplyOnce("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}"))
	ask := func(tr *Transport, header string) error {
		req := request(t, "GET", evil.URL().String()+"token?service=s", "")
		if header != "" {
			req.Header.Set(header, secret)
		}
		return do(tr, req).err
	}
	strict := w.transport(t)
	for _, header := range []string{"Authorization", "Cookie", "Cookie2"} {
		wantPolicy(t, ask(strict, header), "credentials for another origin")
	}
	if evil.Opened() != 0 {
		t.Error("a connection was opened")
	}
	if err := ask(strict, ""); err != nil {
		t.Errorf("without credentials: %v", err)
	}
	agreed := w.transport(t, func(c *Config) { c.Realms = []string{"HTTPS://" + evil.Addr() + "/service/token"} })
	if err := ask(agreed, "Authorization"); err != nil {
		t.Errorf("to an agreed realm: %v", err)
	}
	if !evil.Knows(secret) {
		t.Error("the agreed realm got no credentials")
	}
}

func TestProxyAuthorizationOfACallerGoesNowhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	req := request(t, "GET", w.server.URL+"/", "")
	req.Header.Set("Proxy-Authorization", "Basic "+secret)
	if a := do(w.transport(t), req); a.err != nil {
		t.Fatal(a.err)
	}
	if got := w.front.Seen(nil)[0].Header.Get("Proxy-Authorization"); got != "" {
		t.Errorf("the registry was shown %q", got)
	}
}

func TestTraceShowsEveryAttemptAndNoQuery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.front.Script(testkit.On("", "/blob"),
		testkit.Fault{Status: 503},
		testkit.Fault{Status: 307, Header: http.Header{"Location": {"/store?_state=" + secret + "&digest=sha256:ab"}}})
	var mu sync.Mutex
	var seen []Exchange
	tr := w.transport(t, func(c *Config) {
		c.Trace = func(e Exchange) { mu.Lock(); seen = append(seen, e); mu.Unlock() }
	})
	if a := get(t, tr, w.server.URL+"/blob"); a.err != nil {
		t.Fatal(a.err)
	}
	want := []Exchange{
		{Method: "GET", URL: w.server.URL + "/blob", Status: 503},
		{Method: "GET", URL: w.server.URL + "/blob", Status: 307},
		{Method: "GET", URL: w.server.URL + "/store?_state=redacted&digest=sha256:ab", Status: 200},
	}
	for i := range seen {
		seen[i].Duration = 0
	}
	if !slices.Equal(seen, want) {
		t.Errorf("trace %+v, want %+v", seen, want)
	}
}

func TestAnUnreachableRegistryIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	slept := &naps{}
	tr := New(Config{Host: hostOf(t, l.Addr().String()), Sleep: slept.sleep})
	wantKind(t, get(t, tr, tr.Base().String()+"/v2/").err, Unreachable)
	if n := slept.taken(); len(n) != 0 {
		t.Errorf("slept %v", n)
	}
}

// dialing has the name that host is written with lead to the address to.
func dialing(tr *Transport, leads map[string]string) {
	direct := tr.dial
	tr.dial = func(ctx context.Context, network, address string, control controlFunc) (net.Conn, error) {
		if to, ok := leads[address]; ok {
			address = to
		}
		return direct(ctx, network, address, control)
	}
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

package sandbox

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A box is a sandbox and a client that trusts it, follows no redirect and
// keeps no cookie.
type box struct {
	*Sandbox
	origin string
	client *http.Client
	clock  *clock
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func start(t *testing.T, o Options) *box {
	t.Helper()
	b := &box{clock: &clock{now: time.Now()}}
	if o.Now == nil {
		o.Now = b.clock.Now
	}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	b.Sandbox, b.origin = s, "http://"+s.Host()
	if s.CA() != nil {
		b.origin = "https://" + s.Host()
		roots := x509.NewCertPool()
		roots.AddCert(s.CA())
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	b.client = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// password is the one of a user of the sandbox.
func (b *box) password(name string) string {
	for _, u := range b.Users() {
		if u.Name == name {
			return u.Password
		}
	}
	return ""
}

// An ask changes a request before it is sent.
type ask func(*http.Request)

// as logs in by Basic; a user that does not exist gets a wrong password.
func (b *box) as(name string) ask {
	return func(r *http.Request) { r.SetBasicAuth(name, b.password(name)) }
}

func wrongly(name string) ask {
	return func(r *http.Request) { r.SetBasicAuth(name, "wrong") }
}

func bearing(token string) ask { return header("Authorization", "Bearer "+token) }

func header(key, value string) ask { return func(r *http.Request) { r.Header.Set(key, value) } }

func body(p []byte) ask {
	return func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(p)), int64(len(p))
	}
}

type answer struct {
	status int
	header http.Header
	body   string
}

// do sends one request; where begins with a slash, or is a whole URL.
func (b *box) do(t *testing.T, method, where string, asks ...ask) answer {
	t.Helper()
	if strings.HasPrefix(where, "/") {
		where = b.origin + where
	}
	req, err := http.NewRequestWithContext(t.Context(), method, where, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range asks {
		a(req)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(raw)}
}

func (a answer) wants(t *testing.T, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d; body %s", a.status, status, a.body)
	}
	return a
}

func (a answer) decode(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
}

// token asks the token service, for scopes as somebody.
func (b *box) token(t *testing.T, who ask, scopes ...string) string {
	t.Helper()
	query := url.Values{"service": {"harbor-registry"}, "scope": scopes}
	asks := []ask{}
	if who != nil {
		asks = append(asks, who)
	}
	var got struct{ Token string }
	b.do(t, "GET", "/service/token?"+query.Encode(), asks...).wants(t, 200).decode(t, &got)
	return got.Token
}

// begin starts an upload as dev and returns its Location.
func (b *box) begin(t *testing.T, repo string) string {
	t.Helper()
	return b.do(t, "POST", "/v2/"+repo+"/blobs/uploads/", b.as("dev")).wants(t, 202).header.Get("Location")
}

// push uploads one blob as dev and returns its digest.
func (b *box) push(t *testing.T, repo string, content []byte) string {
	t.Helper()
	digest := digestOf(content)
	where := b.begin(t, repo) + "&digest=" + url.QueryEscape(digest)
	b.do(t, "PUT", where, b.as("dev"), body(content)).wants(t, 201)
	return digest
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func errorBody(code, message string) string {
	raw, _ := json.Marshal(message)
	return `{"errors":[{"code":"` + code + `","message":` + string(raw) + `}]}` + "\n"
}

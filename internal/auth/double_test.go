package auth

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/wire"
)

const (
	user     = "dev"
	password = "canary-Pa55word"
)

// A style is how a registry asks who somebody is, and how it refuses.
type style string

const (
	harbor1  style = "harbor 1.x"   // Bearer on /v2/, Basic ignored there, refusals with a Bearer challenge
	harbor2  style = "harbor 2.x"   // Bearer or Basic, refusals with a Basic challenge or an empty one
	htpasswd style = "distribution" // Basic
	open     style = "open"
)

// A double is a registry with its token service. It behaves as Harbor was seen
// to: actions that a user does not have are left out of the token in silence,
// a wrong password with a scope is nobody, without a scope it is 401.
// Repositories below library/ are public, those below demo/ are the user's,
// those below missing/ have no project.
type double struct {
	*httptest.Server
	style style

	realm   func(base string) string                          // nil: its own
	onToken func(w http.ResponseWriter, r *http.Request) bool // answers in its stead if it returns true
	onV2    func(w http.ResponseWriter, r *http.Request) bool
	onOther func(w http.ResponseWriter, r *http.Request) bool // beside the API
	life    int                                               // of tokens, in seconds; 0: 1800

	mu        sync.Mutex
	tokens    map[string]grant
	asked     []*http.Request // all requests, in order
	bodies    []string
	passwords int // requests with the password, or any other, in them
	trips     int // requests to the token service
	busy      int // requests with a password under way
	mostBusy  int
}

type grant struct {
	user   string
	access scopeSet
}

func newDouble(t *testing.T, s style) *double {
	t.Helper()
	return startDouble(t, s, (*httptest.Server).StartTLS)
}

func newClearDouble(t *testing.T, s style) *double {
	t.Helper()
	return startDouble(t, s, (*httptest.Server).Start)
}

func startDouble(t *testing.T, s style, start func(*httptest.Server)) *double {
	t.Helper()
	d := &double{style: s, tokens: map[string]grant{}}
	d.Server = httptest.NewUnstartedServer(d)
	d.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail are part of the tests
	start(d.Server)
	t.Cleanup(d.Close)
	return d
}

func (d *double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, _, basic := r.BasicAuth()
	d.mu.Lock()
	d.asked = append(d.asked, r.Clone(context.Background()))
	d.bodies = append(d.bodies, string(body))
	if basic {
		d.passwords++
		d.busy++
		d.mostBusy = max(d.mostBusy, d.busy)
		defer func() { d.mu.Lock(); d.busy--; d.mu.Unlock() }()
	}
	if r.URL.Path == "/service/token" {
		d.trips++
	}
	d.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: "sid", Value: "1", Path: "/"})
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	switch {
	case r.URL.Path == "/service/token":
		if d.onToken == nil || !d.onToken(w, r) {
			d.serveToken(w, r)
		}
	case strings.HasPrefix(r.URL.Path, "/v2/"):
		if d.onV2 == nil || !d.onV2(w, r) {
			d.serveV2(w, r)
		}
	default:
		if d.onOther == nil || !d.onOther(w, r) {
			http.NotFound(w, r)
		}
	}
}

func (d *double) serveToken(w http.ResponseWriter, r *http.Request) {
	name, right := who(r)
	scopes := newScopeSet(r.URL.Query()["scope"]...)
	switch {
	case r.Method != http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case r.URL.Query().Get("service") != "harbor-registry":
		http.Error(w, "Unable to handle service: "+r.URL.Query().Get("service"), http.StatusBadRequest)
	case len(scopes) == 0 && !right:
		w.WriteHeader(http.StatusUnauthorized)
	default:
		d.give(w, grant{user: name, access: reduced(name, scopes)})
	}
}

func who(r *http.Request) (string, bool) {
	name, pass, _ := r.BasicAuth()
	if name != user || pass != password {
		return "", false
	}
	return name, true
}

func reduced(name string, asked scopeSet) scopeSet {
	access := scopeSet{}
	for resource, actions := range asked {
		var may []string
		for _, a := range actions {
			if allowed(name, strings.TrimPrefix(resource, "repository:"), a) {
				may = append(may, a)
			}
		}
		access[resource] = may
	}
	return access
}

func allowed(name, repository, action string) bool {
	return strings.HasPrefix(repository, "library/") && action == "pull" ||
		strings.HasPrefix(repository, "demo/") && name == user
}

func (d *double) give(w http.ResponseWriter, g grant) {
	d.mu.Lock()
	value := fmt.Sprintf("token-%d", len(d.tokens)+1)
	d.tokens[value] = g
	life := d.life
	d.mu.Unlock()
	if life == 0 {
		life = 1800
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"token": value, "access_token": "", "expires_in": life})
}

// revoke makes all tokens given so far worthless.
func (d *double) revoke() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k := range d.tokens {
		d.tokens[k] = grant{}
	}
}

func (d *double) serveV2(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	needs := scopesFor(r.Method, r.URL)
	repository := ""
	for resource := range needs {
		repository = strings.TrimPrefix(resource, "repository:")
	}
	if d.lets(r, needs) {
		w.WriteHeader(http.StatusOK)
		return
	}
	realm := d.URL + "/service/token"
	if d.realm != nil {
		realm = d.realm(d.URL)
	}
	bearer := fmt.Sprintf(`Bearer realm="%s",service="harbor-registry"`, realm)
	if len(needs) > 0 {
		bearer += fmt.Sprintf(`,scope="%s"`, strings.Join(needs.list(), " "))
	}
	message := "authentication required"
	authorized := r.Header.Get("Authorization") != ""
	switch {
	case d.style == htpasswd:
		w.Header().Set("WWW-Authenticate", `Basic realm="Registry"`)
	case d.style == harbor2 && strings.HasPrefix(repository, "missing/") && (authorized || r.Method == http.MethodPost):
		w.Header().Set("WWW-Authenticate", "")
		message = "project missing not found"
	case d.style == harbor2 && authorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="harbor"`)
		message = "unauthorized to access repository"
	case authorized && d.knows(r):
		w.Header().Set("WWW-Authenticate", bearer+`,error="insufficient_scope"`)
	default:
		w.Header().Set("WWW-Authenticate", bearer)
	}
	w.WriteHeader(http.StatusUnauthorized)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"errors": []map[string]string{{"code": "UNAUTHORIZED", "message": message}},
	})
}

func (d *double) knows(r *http.Request) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	g, ok := d.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	return ok && g.access != nil
}

func (d *double) lets(r *http.Request, needs scopeSet) bool {
	_, right := who(r)
	d.mu.Lock()
	g, ok := d.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	d.mu.Unlock()
	switch d.style {
	case open:
		return true
	case htpasswd:
		return right
	case harbor2:
		if right {
			return reduced(user, needs).covers(needs)
		}
	}
	return ok && g.access != nil && g.access.covers(needs)
}

// seen counts the requests that a predicate is true of.
func (d *double) seen(is func(*http.Request) bool) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, r := range d.asked {
		if is(r) {
			n++
		}
	}
	return n
}

func (d *double) counts() (passwords, trips, mostBusy int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.passwords, d.trips, d.mostBusy
}

func (d *double) host(t *testing.T) ref.Host {
	t.Helper()
	u, err := url.Parse(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	h, err := ref.ParseHost(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// A setup is how a transport to a double is made.
type setup struct {
	credentials Credentials
	policy      Policy
	realms      []string
	skipVerify  bool
}

func login(pass string) setup { return setup{credentials: Credentials{Username: user, Password: pass}} }

// transportTo returns a transport to d over the real wire, that sleeps never.
func transportTo(t *testing.T, d *double, s setup) *Transport {
	t.Helper()
	roots := x509.NewCertPool()
	clear := strings.HasPrefix(d.URL, "http://")
	if !clear {
		roots.AddCert(d.Certificate())
	}
	noSleep := func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	w := wire.New(wire.Config{
		Host: d.host(t), Roots: roots, PlainHTTP: clear, InsecureSkipVerify: s.skipVerify,
		Realms: append(slices.Clone(s.realms), s.policy.Origins(d.host(t))...), Sleep: noSleep,
	})
	t.Cleanup(w.CloseIdleConnections)
	s.policy.Unverified = s.skipVerify
	a := NewTransport(w, w.Base(), s.credentials, s.policy)
	a.sleep = noSleep
	return a
}

// do sends a request through rt and returns its status and body.
func do(t *testing.T, rt http.RoundTripper, method, address string, body io.Reader) (int, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text), nil
}

func mustDo(t *testing.T, rt http.RoundTripper, method, address string, want int) {
	t.Helper()
	got, _, err := do(t, rt, method, address, nil)
	if err != nil {
		t.Fatalf("%s %s: %v", method, address, err)
	}
	if got != want {
		t.Fatalf("%s %s: status %d, want %d", method, address, got, want)
	}
}

package auth

import (
	"context"
	"errors"
	"fmt"
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

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/wire"
)

func TestRealmPolicy(t *testing.T) {
	t.Parallel()
	const registry = "https://registry.test:8443"
	agreed := Policy{Realm: "https://sso.test/token"}
	tests := []struct {
		name   string
		base   string
		policy Policy
		realm  string
		good   bool
	}{
		{"own", registry, Policy{}, "https://registry.test:8443/service/token", true},
		{"own, other port, as Harbor 1.x", registry, Policy{}, "https://registry.test/service/token", true},
		{"own, upper case", registry, Policy{}, "https://REGISTRY.test/service/token", true},
		{"own, harmless query", registry, Policy{}, "https://registry.test/token?tenant=7", true},
		{"own IPv6", "https://[2001:db8::1]:5000", Policy{}, "https://[2001:DB8:0::1]/token", true},
		{"own, in clear", registry, Policy{}, "http://registry.test:8443/service/token", false},
		{"own, in clear, although clear text is allowed", registry, Policy{AllowClear: true}, "http://registry.test/token", false},
		{"in clear as the registry", "http://registry.test", Policy{AllowClear: true}, "http://registry.test/token", true},
		{"over https, registry in clear", "http://registry.test", Policy{}, "https://registry.test/token", true},
		{"other host in clear as the registry", "http://registry.test", Policy{AllowClear: true}, "http://evil.test/token", false},
		{"other host", registry, Policy{}, "https://evil.test/token", false},
		{"subdomain", registry, Policy{}, "https://auth.registry.test/token", false},
		{"parent", registry, Policy{}, "https://test/token", false},
		{"suffix", registry, Policy{}, "https://registry.test.evil.test/token", false},
		{"other IP", "https://10.0.0.5", Policy{}, "https://10.0.0.6/token", false},
		{"trailing dot", registry, Policy{}, "https://registry.test./token", false},
		{"user name", registry, Policy{}, "https://registry.test@evil.test/token", false},
		{"own with user name", registry, Policy{}, "https://a:b@registry.test/token", false},
		{"backslash", registry, Policy{}, `https://evil.test\@registry.test/token`, false},
		{"file", registry, Policy{}, "file:///etc/passwd", false},
		{"data", registry, Policy{}, "data:application/json,{}", false},
		{"no scheme", registry, Policy{}, "//registry.test/token", false},
		{"relative", registry, Policy{}, "/service/token", false},
		{"no host", registry, Policy{}, "https:///token", false},
		{"bad port", registry, Policy{}, "https://registry.test:99999/token", false},
		{"fragment", registry, Policy{}, "https://registry.test/token#x", false},
		{"8 KB", registry, Policy{}, "https://registry.test/" + strings.Repeat("a", 8<<10), false},
		{"line break", registry, Policy{}, "https://registry.test/\r\nX: y", false},
		{"asks for a scope itself", registry, Policy{}, "https://registry.test/token?scope=repository:x:*", false},
		{"asks for a service itself", registry, Policy{}, "https://registry.test/token?%73ervice=x", false},
		{"malformed query", registry, Policy{}, "https://registry.test/token?a;b", false},
		{"docker.io", "https://registry-1.docker.io", Policy{}, "https://auth.docker.io/token", true},
		{"docker.io's for another", registry, Policy{}, "https://auth.docker.io/token", false},
		{"docker.io's, other port", "https://registry-1.docker.io", Policy{}, "https://auth.docker.io:8443/token", false},
		{"agreed", registry, agreed, "https://sso.test/other/path", true},
		{"agreed, as an origin", registry, Policy{Realm: "https://sso.test:443"}, "https://sso.test/token", true},
		{"agreed, as a host", registry, Policy{Realm: "sso.test"}, "https://sso.test/token", true},
		{"agreed, other port", registry, agreed, "https://sso.test:444/token", false},
		{"agreed, in clear", registry, agreed, "http://sso.test/token", false},
		{"agreed in clear", registry, Policy{Realm: "http://sso.test", AllowClear: true}, "http://sso.test/token", false},
		{"agreed nonsense", registry, Policy{Realm: "https://"}, "https://evil.test", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			base, err := url.Parse(tt.base)
			if err != nil {
				t.Fatal(err)
			}
			u, err := tt.policy.realmOf(base, tt.realm)
			if tt.good != (err == nil) {
				t.Fatalf("%v, %v", u, err)
			}
			if err == nil {
				return
			}
			if e, ok := errors.AsType[*RealmError](err); !ok || e.Realm != tt.realm || e.Host != base.Host {
				t.Errorf("%#v", err)
			}
			if e, _ := errors.AsType[*RealmError](err); e.Origin != "" {
				agreed := tt.policy
				agreed.Realm = e.Origin
				if _, err := agreed.realmOf(base, tt.realm); err != nil {
					t.Errorf("after agreeing to %s: %v", e.Origin, err)
				}
			}
			if strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 600 {
				t.Errorf("foreign bytes in %q", err)
			}
		})
	}
}

func TestOriginsAreThoseThatTokensMayLeadTo(t *testing.T) {
	t.Parallel()
	tests := []struct {
		host, realm string
		want        []string
	}{
		{"registry.test:8443", "", []string{"https://registry.test:443"}},
		{"[2001:db8::1]:5000", "", []string{"https://[2001:db8::1]:443"}},
		{"registry.test", "https://sso.test/token", []string{"https://registry.test:443", "https://sso.test:443"}},
		{"registry.test", "ftp://sso.test", []string{"https://registry.test:443"}},
	}
	for _, tt := range tests {
		h, err := ref.ParseHost(tt.host)
		if err != nil {
			t.Fatal(err)
		}
		if got := (Policy{Realm: tt.realm}).Origins(h); !slices.Equal(got, tt.want) {
			t.Errorf("%s, %q: %v, want %v", tt.host, tt.realm, got, tt.want)
		}
	}
}

// F7 and D19 of the fault catalogue. The evil origin is wherever the realm
// says; the registry is 127.0.0.1.
func TestF7RealmElsewhereGetsNoPassword(t *testing.T) {
	t.Parallel()
	e := newEvil(t)
	port := e.Listener.Addr().(*net.TCPAddr).Port
	realms := map[string]string{
		"other name":  fmt.Sprintf("https://localhost:%d/token", port),
		"other IP":    fmt.Sprintf("https://127.0.0.2:%d/token", port),
		"in clear":    fmt.Sprintf("http://127.0.0.1:%d/token", port),
		"user name":   fmt.Sprintf("https://127.0.0.1@localhost:%d/token", port),
		"own account": fmt.Sprintf("https://%s:%s@127.0.0.1:%d/token", user, "x", port),
		"8 KB":        fmt.Sprintf("https://127.0.0.1:%d/%s", port, strings.Repeat("a", 7<<10)),
		"file":        "file:///etc/passwd",
		"data":        "data:,x",
	}
	for name, realm := range realms {
		for _, c := range []Credentials{{Username: user, Password: password}, {IdentityToken: "canary-identity"}} {
			d := newDouble(t, harbor1)
			d.realm = func(string) string { return realm }
			_, _, err := do(t, transportTo(t, d, setup{credentials: c}), http.MethodGet, d.URL+demoTag, nil)
			if _, ok := errors.AsType[*RealmError](err); !ok {
				t.Errorf("%s: %v, want a *RealmError", name, err)
			}
			_, err = transportTo(t, d, setup{credentials: c}).Verify(t.Context())
			if _, ok := errors.AsType[*RealmError](err); !ok {
				t.Errorf("%s: verify: %v, want a *RealmError", name, err)
			}
			if passwords, _, _ := d.counts(); passwords != 0 {
				t.Errorf("%s: the registry itself got the password", name)
			}
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.hits != 0 {
		t.Errorf("the evil origin was asked %d times; leaks: %v", e.hits, leaks(e.seen.String()))
	}
}

// The transport below is stricter than the policy on ports of the registry's
// own host that it was not told of.
func TestARealmThatTheTransportRefusesCanBeAgreedTo(t *testing.T) {
	t.Parallel()
	tokens, d := newDouble(t, harbor1), newDouble(t, harbor1)
	d.realm = func(string) string { return tokens.URL + "/service/token" }
	tokens.onToken = func(w http.ResponseWriter, _ *http.Request) bool {
		d.give(w, grant{user: user, access: newScopeSet("repository:demo/app:pull")})
		return true
	}
	s := login(password)
	status, _, err := do(t, transportTo(t, d, s), http.MethodGet, d.URL+demoTag, nil)
	if err == nil && status == http.StatusOK {
		return // the transport knows the host by its name alone
	}
	refused, ok := errors.AsType[*RealmError](err)
	if !ok || refused.Origin != tokens.URL {
		t.Fatalf("%d, %v", status, err)
	}
	if passwords, _, _ := tokens.counts(); passwords != 0 {
		t.Errorf("%d password sends before anybody agreed", passwords)
	}
	s.policy.Realm = refused.Origin
	mustDo(t, transportTo(t, d, s), http.MethodGet, d.URL+demoTag, http.StatusOK)
}

func TestAnAgreedRealmIsAsked(t *testing.T) {
	t.Parallel()
	tokens, d := newDouble(t, harbor1), newDouble(t, harbor1)
	agreed := strings.Replace(tokens.URL, "127.0.0.1", "localhost", 1)
	d.realm = func(string) string { return agreed + "/service/token" }
	tokens.onToken = func(w http.ResponseWriter, _ *http.Request) bool {
		d.give(w, grant{user: user, access: newScopeSet("repository:demo/app:pull")})
		return true
	}
	s := login(password)
	s.policy.Realm = agreed
	rt := transportTo(t, d, s)
	status, _, err := do(t, rt, http.MethodGet, d.URL+demoTag, nil)
	// The certificate of httptest has no name but example.com: the road is
	// taken, and ends where TLS is verified, with no password sent.
	if err == nil {
		t.Fatalf("status %d", status)
	}
	if _, refused := errors.AsType[*RealmError](err); refused {
		t.Errorf("%v, want that only the certificate is wrong", err)
	}
	// The same token service by its right name, on another port than the registry.
	d.realm = func(string) string { return tokens.URL + "/service/token" }
	s.realms = []string{tokens.URL}
	mustDo(t, transportTo(t, d, s), http.MethodGet, d.URL+demoTag, http.StatusOK)
	if passwords, _, _ := tokens.counts(); passwords != 1 {
		t.Errorf("%d password sends to the token service", passwords)
	}
	if passwords, _, _ := d.counts(); passwords != 0 {
		t.Errorf("%d password sends to the registry", passwords)
	}
}

func TestCredentialsGoToTheOriginAlone(t *testing.T) {
	t.Parallel()
	e := newEvil(t)
	for _, s := range []style{harbor1, htpasswd} {
		d := newDouble(t, s)
		rt := transportTo(t, d, setup{credentials: Credentials{Username: user, Password: password}, skipVerify: true, policy: Policy{AllowClear: true}})
		mustDo(t, rt, http.MethodGet, d.URL+demoTag, http.StatusOK)
		mustDo(t, rt, http.MethodPut, e.URL+"/upload?signature=1", http.StatusOK)
		// Storage that a blob is redirected to, and that asks for a login as
		// if it were the registry.
		asking := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" {
				t.Error("the storage got credentials")
			}
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/service/token",service="harbor-registry"`, d.URL))
			w.Header().Add("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		}))
		t.Cleanup(asking.Close)
		d.onV2 = func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/blobs/sha256:") {
				return false
			}
			http.Redirect(w, r, asking.URL+"/blob", http.StatusTemporaryRedirect)
			return true
		}
		before, _, _ := d.counts()
		mustDo(t, rt, http.MethodGet, d.URL+"/v2/demo/app/blobs/sha256:00", http.StatusUnauthorized)
		after, _, _ := d.counts()
		if s == harbor1 && after != before {
			t.Errorf("%s: a refusal by the storage cost a password", s)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if found := leaks(e.seen.String()); e.hits != 2 || len(found) != 0 {
		t.Errorf("%d requests, leaks: %v", e.hits, found)
	}
}

// D24 of the fault catalogue.
func TestCredentialsStayAtHomeWhereOthersCanRead(t *testing.T) {
	t.Parallel()
	for _, s := range []style{harbor1, harbor2, htpasswd} {
		for _, c := range []Credentials{{Username: user, Password: password}, {IdentityToken: "canary-identity"}, {RegistryToken: "canary-identity"}} {
			for _, unverified := range []bool{false, true} {
				d := newClearDouble(t, s)
				if unverified {
					d = newDouble(t, s)
				}
				rt := transportTo(t, d, setup{credentials: c, skipVerify: unverified})
				_, _, err := do(t, rt, http.MethodGet, d.URL+demoTag, nil)
				_, verr := rt.Verify(t.Context())
				if s == htpasswd && !c.hasPassword() {
					continue // cannot answer Basic at all
				}
				for _, err := range []error{err, verr} {
					if _, ok := errors.AsType[*ClearTextError](err); !ok {
						t.Errorf("%s, unverified %v: %v, want a *ClearTextError", s, unverified, err)
					}
				}
				sent := d.seen(func(r *http.Request) bool { return r.Header.Get("Authorization") != "" || r.Method == http.MethodPost })
				if sent != 0 {
					t.Errorf("%s, unverified %v: %d requests with credentials", s, unverified, sent)
				}
			}
		}
	}
}

func TestCredentialsGoInClearOnceTheUserAgreed(t *testing.T) {
	t.Parallel()
	for _, s := range []style{harbor1, htpasswd} {
		d := newClearDouble(t, s)
		set := login(password)
		set.policy.AllowClear = true
		rt := transportTo(t, d, set)
		mustDo(t, rt, http.MethodGet, d.URL+demoTag, http.StatusOK)
		if _, err := rt.Verify(t.Context()); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestAnonymousRequestsGoOnInClear(t *testing.T) {
	t.Parallel()
	d := newClearDouble(t, harbor1)
	mustDo(t, transportTo(t, d, setup{}), http.MethodGet, d.URL+publicTag, http.StatusOK)
	d = newClearDouble(t, open)
	mustDo(t, transportTo(t, d, login(password)), http.MethodGet, d.URL+demoTag, http.StatusOK)
}

// F1 of the fault catalogue: the peer breaks TLS and speaks plain HTTP instead.
func TestF1APeerThatAnswersInClearGetsNoPassword(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a listener of the test
	if err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 4096)
			read, _ := c.Read(buf)
			seen.Write(buf[:read])
			if n%2 == 1 {
				_, _ = io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n")
			}
			_ = c.Close()
		}
	})
	h, err := ref.ParseHost(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	w := wire.New(wire.Config{Host: h, Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }})
	t.Cleanup(w.CloseIdleConnections)
	rt := NewTransport(w, w.Base(), login(password).credentials, Policy{AllowClear: true})
	for range 3 {
		// as go-containerregistry writes it
		status, _, err := do(t, rt, http.MethodGet, "http://"+l.Addr().String()+"/v2/", nil)
		if err == nil {
			t.Errorf("status %d from a peer that is not trusted", status)
		}
	}
	_ = l.Close()
	wg.Wait()
	if seen.Len() == 0 {
		t.Error("the peer was not asked at all")
	}
	if found := leaks(seen.String()); len(found) != 0 {
		t.Errorf("leaks: %v", found)
	}
}

package cmd_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vicr-cli/vicr/internal/sandbox"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// What became of a trick.
const (
	contacted = "contacted" // the other origin was asked, with nothing that says who asks
	refused   = "refused"   // it was not, and the command failed
	ignored   = "ignored"   // it was not, and the command went on without it
)

// A trick is a row for which the registry names another origin.
type trick struct {
	row

	match  testkit.Match
	status int    // of the answer; 0: the registry's own
	header string // NAME: VALUE, with EVIL for https:// and CLEAR for http:// of the other origin
	want   string
}

func anonymous(path string) testkit.Match {
	return func(r *http.Request) bool {
		return strings.HasPrefix(r.URL.Path, path) && r.Header.Get("Authorization") == ""
	}
}

func part(method, inside string) testkit.Match {
	return func(r *http.Request) bool { return r.Method == method && strings.Contains(r.URL.Path, inside) }
}

// authorized is match of requests that say who asks.
func authorized(match testkit.Match) testkit.Match {
	return func(r *http.Request) bool { return r.Header.Get("Authorization") != "" && match(r) }
}

// pinged matches what asks for the root of the API alone.
func pinged(r *http.Request) bool { return r.URL.Path == "/v2/" }

const (
	toEvil  = "Location: EVIL/"
	realmAt = "Www-Authenticate: Bearer service=\"harbor-registry\",realm="
)

func suiteTrickRows() []trick {
	login := row{argv: "login HOST -u dev --password-stdin", stdin: "{dev}\n"}
	list := row{as: "dev", argv: "ls HOST/demo"}
	tags := row{as: "dev", argv: "ls HOST/demo/app"}
	pull := row{as: "dev", argv: "pull -j 1 --to store HOST/demo/app:1"}
	push := row{as: "dev", argv: "push -j 1 --from oci:IMAGE HOST/empty/app:9"}
	copied := row{as: "dev", argv: "copy -j 1 HOST/demo/app:1 HOST/empty/app:9"}
	tied := row{as: "dev", argv: "copy -j 1 --referrers HOST/demo/app:1 HOST/empty/app:9"}
	create := row{as: "dev", argv: "project create HOST/another"}
	tokens := func(r row) row { r.likes = harbors(); return r }
	plain := func(r row) row { r.likes = []sandbox.Like{sandbox.Distribution}; return r }
	referrers := row{as: "dev", argv: "inspect HOST/demo/app:1", likes: []sandbox.Like{sandbox.Harbor216}}
	nobody := row{argv: "pull -j 1 --to store HOST/library/hello:1.0"}
	ours := row{argv: "trust --for vicr --accept-new HOST", blank: true, likes: []sandbox.Like{sandbox.Harbor17, sandbox.Harbor216}}
	asked := row{argv: "trust --for vicr --ca-file CA --accept-new HOST", blank: true}
	all := []trick{
		{login, anonymous("/v2/"), 401, realmAt + `"EVIL/token"`, refused},
		{login, anonymous("/v2/"), 401, realmAt + `"https://HOST@EVILHOST/token"`, refused},
		{login, anonymous("/v2/"), 401, realmAt + `"CLEAR/token"`, refused},
		{login, anonymous("/v2/"), 401, realmAt + `"http://HOST/token"`, refused},
		{login, testkit.On("", "/v2/"), 307, toEvil + "basic", contacted},
		{login, testkit.On("", "/v2/"), 307, toEvil + "bearer", contacted},
		{tokens(login), testkit.On("", "/service/token"), 307, toEvil + "token", refused},
		{pull, anonymous("/v2/"), 401, realmAt + `"EVIL/token"`, refused},
		{tokens(pull), testkit.On("", "/service/token"), 307, toEvil + "token", refused},
		{pull, part("GET", "/manifests/"), 307, toEvil + "basic", contacted},
		{pull, part("GET", "/manifests/"), 307, toEvil + "bearer", contacted},
		{pull, part("GET", "/manifests/"), 307, "Location: CLEAR/", refused},
		{pull, part("GET", "/blobs/"), 307, toEvil + "basic", contacted},
		{pull, part("GET", "/blobs/"), 307, toEvil + "bearer", contacted},
		{pull, part("GET", "/blobs/"), 307, toEvil + "home", contacted},
		{pull, part("GET", "/blobs/"), 307, "Location: CLEAR/", refused},
		{pull, part("GET", "/blobs/"), 307, "Location: https://dev:x@EVILHOST/", refused},
		{push, anonymous("/v2/"), 401, realmAt + `"EVIL/token"`, refused},
		{push, part("POST", "/uploads/"), 307, toEvil + "upload", refused},
		{push, part("POST", "/uploads/"), 202, toEvil + "upload", contacted},
		{push, part("POST", "/uploads/"), 202, toEvil + "basic", contacted},
		{push, part("POST", "/uploads/"), 202, "Location: CLEAR/upload", refused},
		{push, part("PUT", "/manifests/"), 307, toEvil + "manifest", refused},
		{push, part("PUT", "/manifests/"), 0, toEvil + "manifest", ignored},
		{copied, anonymous("/v2/"), 401, realmAt + `"EVIL/token"`, refused},
		{copied, part("GET", "/manifests/"), 307, toEvil + "bearer", contacted},
		{copied, part("POST", "/uploads/"), 307, toEvil + "upload", refused},
		{copied, part("POST", "/uploads/"), 202, toEvil + "upload", contacted},
		{copied, part("POST", "/uploads/"), 201, toEvil + "blob", refused}, // as if it were there: its manifest is not taken
		{tied, part("GET", "/tags/"), 0, "Link: <EVIL/tags?last=x>; rel=\"next\"", refused},
		{list, testkit.On("GET", "/api/"), 307, toEvil + "api", contacted},
		{tokens(list), testkit.On("GET", "/api/"), 401, realmAt + `"EVIL/token"`, refused},
		{plain(list), testkit.On("GET", "/api/"), 401, realmAt + `"EVIL/token"`, ignored},
		{tags, part("GET", "/demo/"), 0, "Link: <EVIL/tags?last=x>; rel=\"next\"", refused},
		{tokens(create), testkit.On("POST", "/api/"), 307, toEvil + "api", refused},
		{tokens(create), testkit.On("POST", "/api/"), 201, toEvil + "api", ignored},
		{referrers, part("GET", "/referrers/"), 0, "Link: <EVIL/referrers>; rel=\"next\"", ignored},
		{asked, anonymous("/v2/"), 401, realmAt + `"EVIL/token"`, contacted},
		{ours, part("GET", "/getcert"), 307, toEvil + "ca", refused},
		{nobody, anonymous("/v2/"), 401, realmAt + `"EVIL/token"`, contacted},
		{nobody, anonymous("/v2/"), 401, realmAt + `"EVIL/home"`, contacted},
		{nobody, anonymous("/v2/"), 401, realmAt + `"CLEAR/token"`, refused},
		{tokens(nobody), part("GET", "/blobs/"), 307, toEvil + "bearer", contacted},
		{tokens(nobody), testkit.On("", "/service/token"), 307, toEvil + "basic", refused},
		{tokens(pull), testkit.On("", "/service/token"), 307, toEvil + "basic", refused},
		{tokens(pull), authorized(part("GET", "/manifests/")), 307, toEvil + "basic", contacted},
		{plain(pull), authorized(part("GET", "/manifests/")), 307, toEvil + "basic", refused}, // with a password that is not proven
		{pull, authorized(part("GET", "/blobs/")), 307, toEvil + "basic", contacted},
		{push, pinged, 307, toEvil + "basic", contacted},
		{push, pinged, 307, toEvil + "bearer", contacted},
		{tokens(login), part("GET", "/users/current"), 307, toEvil + "basic", contacted},
		{tokens(login), part("GET", "/users/current"), 307, "Location: PORT/basic", contacted},
		{tokens(login), part("GET", "/users/current"), 307, "Location: CLEAR/basic", ignored},
		{tokens(login), part("GET", "/users/current"), 307, "Location: PLAIN/basic", ignored},
		{tokens(login), part("GET", "/users/current"), 401, "Www-Authenticate: Basic realm=\"EVIL/basic\"", ignored},
		{login, anonymous("/v2/"), 401, realmAt + `"PORT/token"`, refused},
		{tokens(login), testkit.On("", "/service/token"), 307, "Location: PORT/token", refused},
		{pull, part("GET", "/manifests/"), 307, "Location: PORT/basic", contacted},
		{pull, authorized(part("GET", "/blobs/")), 307, "Location: PORT/basic", contacted},
		{push, part("POST", "/uploads/"), 202, "Location: PORT/upload", contacted},
		{tokens(list), testkit.On("GET", "/api/"), 307, "Location: PORT/api", contacted},
	}
	for i := range all {
		t := &all[i]
		words := strings.Fields(t.argv)
		to, _, _ := strings.Cut(t.header, ": ")
		t.name = fmt.Sprintf("evil %02d, %s: %s", i+1, words[0], to)
	}
	return all
}

// suiteTricks plays every trick to a generation, and says how each went.
// Whatever became of it, nothing that says who asks came to the other origin.
func suiteTricks(t *testing.T, like sandbox.Like, images map[string]string) string {
	t.Helper()
	ca := testkit.NewCA(t)
	evils := newEvils(t, ca)
	var got strings.Builder
	sent := map[string]bool{}
	for _, trick := range suiteTrickRows() {
		if !trick.fits(like) {
			continue
		}
		front, c := openFront(t, like, ca, images)
		name, value, _ := strings.Cut(evils.at(c).Replace(trick.header), ": ")
		evils.home.Store(c.host)
		d := c.desk(t, trick.row)
		before := evils.opened()
		front.Always(trick.match, testkit.Fault{Status: trick.status, Header: http.Header{name: {value}}})
		code, shown := c.do(t, d, trick.row)
		shown = evils.hide(shown)
		if len(front.Seen(trick.match)) == 0 {
			t.Errorf("%s: the trick was not played\n%s", trick.name, shown)
		}
		became := refused
		switch {
		case evils.opened() > before:
			became = contacted
		case code == 0:
			became = ignored
		}
		if became != trick.want {
			t.Errorf("%s: the other origin was %s, want %s\n%s%s", trick.name, became, trick.want, trick.header, shown)
		}
		if n := len(front.Seen(spent)); n > 0 && like != sandbox.Distribution {
			t.Errorf("%s: the password itself was sent to /v2/ %d times, where it is for a token alone", trick.name, n)
		}
		for _, r := range front.Seen(nil) {
			if secret := r.Header.Get("Authorization"); secret != "" {
				_, bare, _ := strings.Cut(secret, " ")
				sent[bare] = true
			}
		}
		for _, password := range c.passwords {
			sent[password] = true
		}
		fmt.Fprintf(&got, "%sanswered: %d %s\nthe other origin: %s\n\n", shown, trick.status, trick.header, became)
	}
	evils.check(t, sent)
	return got.String()
}

// spent matches requests for images that have a password in them.
func spent(r *http.Request) bool {
	_, _, basic := r.BasicAuth()
	return basic && strings.HasPrefix(r.URL.Path, "/v2/")
}

// openFront starts a registry that misbehaves by script.
func openFront(t *testing.T, like sandbox.Like, ca *testkit.Cert, images map[string]string, adjust ...func(*sandbox.Options)) (*testkit.Front, *counter) {
	t.Helper()
	var inside http.Handler
	front := testkit.NewFront(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { inside.ServeHTTP(w, r) }))
	server := front.Serve(t, ca.NewLeaf(t, testkit.SANs("127.0.0.1")).TLS(ca))
	o := suiteOptions(like, "")
	o.Policy.Realm = server.Listener.Addr().String()
	for _, change := range adjust {
		change(&o)
	}
	s, err := sandbox.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	inside = s.Handler()
	t.Cleanup(func() { _ = s.Close() })
	c := &counter{host: o.Policy.Realm, ca: filepath.Join(t.TempDir(), "ca.crt"), passwords: map[string]string{}, words: map[string]string{"USER": "dev"}}
	for word, dir := range images {
		c.words[word] = dir
	}
	for _, u := range s.Users() {
		c.passwords[u.Name] = u.Password
	}
	if err := os.WriteFile(c.ca, ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return front, c
}

// Evils are one other origin, which the machine trusts, and the same in clear.
// Their name is another one than the registry's.
type evils struct {
	tls, clear *testkit.Evil
	home       atomic.Value // the registry, a string

	mu   sync.Mutex
	half map[net.Conn]*bytes.Buffer // requests that have not come whole
}

func newEvils(t *testing.T, ca *testkit.Cert) *evils {
	t.Helper()
	e := &evils{half: map[net.Conn]*bytes.Buffer{}}
	e.tls = testkit.NewEvilTLS(t, "", ca.NewLeaf(t, testkit.SANs("localhost", "127.0.0.1")).TLS(ca), e.answer)
	e.clear = testkit.NewEvil(t, "", e.answer)
	return e
}

func (e *evils) opened() int { return e.tls.Opened() + e.clear.Opened() }

func named(evil *testkit.Evil) string {
	_, port, _ := net.SplitHostPort(evil.Addr())
	return net.JoinHostPort("localhost", port)
}

func (e *evils) at(c *counter) *strings.Replacer {
	return strings.NewReplacer("EVILHOST", named(e.tls), "EVIL", "https://"+named(e.tls), "PORT", "https://"+e.tls.Addr(), "PLAIN", "http://"+e.clear.Addr(), "CLEAR", "http://"+named(e.clear), "HOST", c.host)
}

func (e *evils) hide(text string) string {
	return strings.NewReplacer(named(e.tls), "EVILHOST", named(e.clear), "CLEARHOST", e.tls.Addr(), "PORTHOST", e.clear.Addr(), "PLAINHOST").Replace(text)
}

// answer is what the other origin says to a whole request: it asks for a
// password, or sends back to the registry, or takes everything.
func (e *evils) answer(c net.Conn, received []byte) bool {
	e.mu.Lock()
	if e.half[c] == nil {
		e.half[c] = &bytes.Buffer{}
	}
	b := e.half[c]
	b.Write(received)
	whole := bytes.Clone(b.Bytes())
	e.mu.Unlock()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(whole)))
	if err == nil {
		_, err = io.Copy(io.Discard, r.Body)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return true
	}
	if err != nil {
		return false
	}
	status, body := "200 OK\r\n", `{"token":"from-evil","access_token":"from-evil","tags":["evil"],"manifests":[]}`
	switch {
	case strings.HasPrefix(r.URL.Path, "/basic"):
		status = "401 Unauthorized\r\nWww-Authenticate: Basic realm=\"evil\"\r\n"
	case strings.HasPrefix(r.URL.Path, "/bearer"):
		status = "401 Unauthorized\r\nWww-Authenticate: Bearer realm=\"https://" + named(e.tls) + "/token\",service=\"harbor-registry\"\r\n"
	case strings.HasPrefix(r.URL.Path, "/home"):
		status = "307 Temporary Redirect\r\nLocation: https://" + e.home.Load().(string) + "/v2/\r\n"
	case r.Method == http.MethodPut || r.Method == http.MethodPost:
		status = "201 Created\r\n"
	}
	if r.Method == http.MethodHead {
		body = ""
	}
	_, _ = fmt.Fprintf(c, "HTTP/1.1 %sContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(body), body)
	return false
}

// check says that none of the secrets that went to the registry, nor any
// header that carries one, came here.
func (e *evils) check(t *testing.T, secrets map[string]bool) {
	t.Helper()
	if e.tls.Opened() == 0 || len(secrets) < 4 {
		t.Errorf("%d connections and %d secrets: nothing is shown by that", e.tls.Opened(), len(secrets))
	}
	for _, evil := range []*testkit.Evil{e.tls, e.clear} {
		got := bytes.ToLower(evil.Received())
		for _, header := range []string{"authorization:", "cookie:", "x-registry-auth:"} {
			if bytes.Contains(got, []byte(header)) {
				t.Errorf("the other origin was sent %q", header)
			}
		}
		if i := slices.IndexFunc(keysOf(secrets), evil.Knows); i >= 0 {
			t.Errorf("the other origin knows %s", keysOf(secrets)[i])
		}
	}
	if n := len(e.clear.Received()); n > 0 {
		t.Errorf("%d bytes were sent in clear", n)
	}
}

func keysOf(m map[string]bool) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

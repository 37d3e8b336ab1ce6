package relay_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vicr-cli/vicr/internal/relay"
)

// askVar makes the test binary another process of this machine, which asks for
// the URLs in it.
const askVar = "VICR_RELAY_TEST_ASK"

func TestMain(m *testing.M) {
	if urls := os.Getenv(askVar); urls != "" {
		for _, u := range strings.Fields(urls) {
			resp, err := http.Get(u) //nolint:gosec,noctx // of the test's own
			if err != nil {
				fmt.Println(err)
				continue
			}
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			fmt.Println(resp.StatusCode, len(body))
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func listen(t *testing.T) *relay.Relay {
	t.Helper()
	s, err := relay.Listen(t.Context())
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// A client is what an engine is to the relay.
type client struct {
	t      *testing.T
	relay  *relay.Relay
	header http.Header
}

type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // of reading the body
}

func (c client) ask(method, path string, body io.Reader) answer {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, "http://"+c.relay.Addr()+path, body)
	must(c.t, err)
	for k, v := range c.header {
		req.Header[k] = v
	}
	req.SetBasicAuth(c.relay.User(), c.relay.Password())
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return answer{err: err}
	}
	raw, err := io.ReadAll(resp.Body)
	must(c.t, resp.Body.Close())
	return answer{resp.StatusCode, resp.Header, raw, err}
}

func (c client) want(status int, method, path string, body io.Reader) answer {
	c.t.Helper()
	got := c.ask(method, path, body)
	if got.status != status || got.err != nil {
		c.t.Errorf("%s %s: %d %q (%v), want %d", method, path, got.status, got.body, got.err, status)
	}
	return got
}

func TestOnlyLoopbackIsListenedOn(t *testing.T) {
	t.Parallel()
	a, b := listen(t), listen(t)
	if !strings.HasPrefix(a.Addr(), "127.0.0.1:") || a.Addr() == b.Addr() {
		t.Errorf("they listen on %s and %s", a.Addr(), b.Addr())
	}
	nonce, _ := a.Nonce()
	other, _ := b.Nonce()
	if a.Password() == b.Password() || len(a.Password()) < 32 || nonce == other || nonce == a.Password() {
		t.Error("passwords and nonces are not for one relay alone")
	}
}

// The engine shows that it is here by asking for the nonce, and gets nothing for it.
func TestNonce(t *testing.T) {
	t.Parallel()
	s := listen(t)
	nonce, heard := s.Nonce()
	get := func(path string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr()+path, http.NoBody)
		must(t, err)
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		must(t, err)
		must(t, resp.Body.Close())
		return resp
	}
	for _, path := range []string{"/v2/", "/v2/x" + nonce + "/manifests/latest", "/v2/" + nonce} {
		get(path)
		select {
		case <-heard:
			t.Fatalf("%s was taken for the nonce", path)
		default:
		}
	}
	// An engine without a password would not go on after a challenge.
	if resp := get("/v2/" + nonce + "/manifests/latest"); resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("Www-Authenticate") != "" {
		t.Errorf("the answer is %d, %q", resp.StatusCode, resp.Header)
	}
	<-heard
	if c := (client{t: t, relay: s}); c.ask(http.MethodGet, "/v2/", nil).status != http.StatusUnauthorized {
		t.Error("before there is anything to pass on the password is good for something")
	}
}

func TestWithoutThePasswordNothingIsLearnt(t *testing.T) {
	t.Parallel()
	s := listen(t)
	src := image(t)
	must(t, open(t, s, src))
	paths := []string{
		"/v2/", "/", "/v2/demo/app/manifests/1", "/v2/demo/app/manifests/none", "/v2/other/manifests/1",
		"/v2/demo/app/blobs/" + src.layers[0].Digest.String(), "/v2/_catalog",
	}
	var first []byte
	for _, path := range paths {
		for _, as := range [][2]string{{}, {relay0, ""}, {s.User(), s.Password()[1:]}, {"admin", s.Password()}, {s.User(), s.Password() + "x"}} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr()+path, http.NoBody)
			must(t, err)
			if as[0] != "" {
				req.SetBasicAuth(as[0], as[1])
			}
			resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
			must(t, err)
			body, err := io.ReadAll(resp.Body)
			must(t, errors.Join(err, resp.Body.Close()))
			if first == nil {
				first = body
			}
			if resp.StatusCode != http.StatusUnauthorized || !bytes.Equal(body, first) {
				t.Errorf("%s as %q: %d %s", path, as, resp.StatusCode, body)
			}
		}
	}
	if len(src.Opened()) > 0 || len(src.Manifests()) > 0 {
		t.Error("the registry was asked")
	}
}

const relay0 = "vicr"

func TestAnotherProcessIsRefused(t *testing.T) {
	t.Parallel()
	s := listen(t)
	src := image(t)
	must(t, open(t, s, src))
	base := "http://" + s.Addr()
	cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // ourselves
	cmd.Env = append(os.Environ(), askVar+"="+strings.Join([]string{
		base + "/v2/", base + "/v2/demo/app/manifests/1", base + "/v2/demo/app/blobs/" + src.layers[0].Digest.String(),
	}, " "))
	out, err := cmd.Output()
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "401 ") || slices.IndexFunc(lines, func(l string) bool { return l != lines[0] }) >= 0 {
		t.Errorf("it was told %q", lines)
	}
}

// Engines try TLS first; that is refused at once, and no harm.
func TestTLSIsNotSpoken(t *testing.T) {
	t.Parallel()
	s := listen(t)
	d := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // nothing is sent
	begun := time.Now()
	if c, err := d.DialContext(t.Context(), "tcp", s.Addr()); err == nil {
		_ = c.Close()
		t.Error("it speaks TLS")
	}
	if time.Since(begun) > 5*time.Second {
		t.Error("it let the engine wait")
	}
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	s, err := relay.Listen(t.Context())
	must(t, err)
	src := image(t)
	waiting := make(chan struct{})
	src.Fault = func(_ descriptor, _ int64, r io.Reader) (io.Reader, error) {
		return &stuck{r: io.LimitReader(r, 10), waiting: waiting, ctx: src.ctx}, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	src.ctx = ctx
	must(t, open(t, s, src))
	client{t: t, relay: s}.want(http.StatusOK, http.MethodGet, "/v2/demo/app/manifests/"+src.child.Digest.String(), nil)
	got := make(chan answer, 1)
	go func() {
		c := client{t: t, relay: s}
		got <- c.ask(http.MethodGet, "/v2/demo/app/blobs/"+src.layers[0].Digest.String(), nil)
	}()
	<-waiting
	cancel() // as the connection's end does
	begun := time.Now()
	must(t, s.Close())
	if a := <-got; a.err == nil {
		t.Errorf("the engine takes it for whole: %d, %d bytes", a.status, len(a.body))
	}
	if time.Since(begun) > time.Second {
		t.Errorf("Close took %s", time.Since(begun))
	}
	if s.Err() != nil {
		t.Errorf("that counts as a failure of the registry: %v", s.Err())
	}
	if a := (client{t: t, relay: s}).ask(http.MethodGet, "/v2/", nil); a.err == nil {
		t.Error("it still listens")
	}
}

// stuck is a reader that a broken network leaves waiting.
type stuck struct {
	r       io.Reader
	waiting chan struct{}
	ctx     context.Context
	told    bool
}

func (s *stuck) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if n > 0 || !errors.Is(err, io.EOF) {
		return n, err
	}
	if !s.told {
		s.told = true
		close(s.waiting)
	}
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

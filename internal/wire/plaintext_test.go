package wire

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/vicr-cli/vicr/internal/testkit"
)

const welcome = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"r\"\r\nContent-Length: 0\r\n\r\n"

// F1 of the reference: for these hosts go-containerregistry says http, and a
// peer that reset TLS and answered in clear was sent the password.
// (name.local is one of them up to v0.21.)
func TestF1PeerThatResetsTLSGetsNoByteOfAPassword(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, listen, host string }{
		{"loopback", "127.0.0.1:0", ""},
		{"loopback v6", "[::1]:0", ""},
		{"name below localhost", "127.0.0.1:0", "name.localhost"},
		{"private address", "127.0.0.1:0", "192.168.7.7"},
		{"local name", "127.0.0.1:0", "name.local"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", tt.listen); err != nil {
				t.Skipf("this machine has no such address: %v", err)
			} else {
				_ = l.Close()
			}
			evil := testkit.NewEvil(t, tt.listen, testkit.ResetTLS(welcome))
			host := evil.Addr()
			if tt.host != "" {
				_, port, _ := net.SplitHostPort(evil.Addr())
				host = net.JoinHostPort(tt.host, port)
			}
			tr := closing(t, New(Config{Host: hostOf(t, host), Sleep: (&naps{}).sleep}))
			dialing(tr, map[string]string{host: evil.Addr()})

			for way, rt := range map[string]http.RoundTripper{"with its ping": tr, "ready": ready(t, host, basic{tr})} {
				pullAndPush(t, way, host, rt)
			}
			for _, scheme := range []string{"http", "https"} {
				wantKind(t, do(basic{tr}, request(t, "GET", scheme+"://"+host+"/v2/", "")).err, Unreachable)
			}
			if evil.Opened() == 0 {
				t.Error("the peer was never asked")
			}
			checkOnlyHandshakes(t, evil)
		})
	}
}

// basic attaches a password to every request.
type basic struct{ inner http.RoundTripper }

func (b basic) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.SetBasicAuth("user", secret)
	return b.inner.RoundTrip(req)
}

// ready makes the wrapper by which go-containerregistry leaves out its own
// ping, tokens and retries.
func ready(t *testing.T, host string, rt http.RoundTripper) http.RoundTripper {
	t.Helper()
	registry, err := name.NewRegistry(host)
	if err != nil {
		t.Fatal(err)
	}
	w, err := transport.NewWithContext(t.Context(), registry, authn.Anonymous, pinged{rt}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := w.(*transport.Wrapper); !ok {
		t.Fatalf("go-containerregistry made a %T", w)
	}
	return w
}

// pinged answers the ping itself.
type pinged struct{ inner http.RoundTripper }

func (p pinged) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Path == "/v2/" {
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
	}
	return p.inner.RoundTrip(req)
}

func pullAndPush(t *testing.T, way, host string, rt http.RoundTripper) {
	t.Helper()
	image, err := name.NewTag(host + "/library/app:1")
	if err != nil {
		t.Fatal(err)
	}
	if image.Scheme() != "http" && !strings.HasPrefix(host, "name.local:") {
		t.Errorf("go-containerregistry no longer says http for %s: choose another host", host)
	}
	once := []remote.Option{
		remote.WithContext(t.Context()), remote.WithTransport(rt),
		remote.WithAuth(&authn.Basic{Username: "user", Password: secret}),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
	}
	if _, err := remote.Get(image, once...); err == nil {
		t.Errorf("%s: the pull went through", way)
	}
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(image, img, once...); err == nil {
		t.Errorf("%s: the push went through", way)
	}
}

// checkOnlyHandshakes fails if anything but TLS client hellos was received.
func checkOnlyHandshakes(t *testing.T, evil *testkit.Evil) {
	t.Helper()
	if evil.Knows(secret) {
		t.Error("the password was sent in clear")
	}
	got := string(evil.Received())
	for _, word := range []string{"GET ", "POST ", "HEAD ", "PUT ", "Authorization", "HTTP/1.1\r\n"} {
		if strings.Contains(got, word) {
			t.Errorf("a request in clear was sent: %q", word)
		}
	}
}

func TestAServerThatSpeaksHTTPOnTheHTTPSPortIsToldApart(t *testing.T) {
	t.Parallel()
	front := testkit.NewFront(t, http.HandlerFunc(echo))
	server := front.Serve(t)
	tr := closing(t, New(Config{Host: hostOf(t, server.Listener.Addr().String()), Sleep: (&naps{}).sleep}))
	a := do(basic{tr}, request(t, "GET", tr.Base().String()+"/v2/", ""))
	wantKind(t, a.err, NotHTTPS)
	if n := len(front.Seen(nil)); n != 0 {
		t.Errorf("%d requests in clear", n)
	}

	ssh := testkit.NewEvil(t, "", testkit.ReplyOnce("SSH-2.0-OpenSSH_9.2\r\n"))
	tr = closing(t, New(Config{Host: hostOf(t, ssh.Addr()), Sleep: (&naps{}).sleep}))
	err := get(t, tr, tr.Base().String()+"/v2/").err
	wantKind(t, err, TLS)
	if !strings.HasSuffix(err.Error(), "the first bytes of the answer are not those of TLS") {
		t.Errorf("it says %v", err)
	}
}

// What the proxy is, and that there are no cookies, is for the caller to say.
func TestWireReadsNoEnvironment(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"os.Getenv", "ProxyFromEnvironment", "http.DefaultTransport", "http.DefaultClient", "cookiejar"} {
			if strings.Contains(string(text), word) {
				t.Errorf("%s uses %s", file, word)
			}
		}
	}
}

package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/vicr-cli/vicr/internal/testkit"
)

func moved(status int, location string) testkit.Fault {
	return testkit.Fault{Status: status, Header: http.Header{"Location": {location}}, Body: "moved"}
}

// F2 of the reference: go-containerregistry followed this 83674 times in 8 s.
func TestF2EndlessSelfRedirectEndsAfterSixRequests(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"https", "http"} {
		w := newWorld(t)
		w.front.Always(testkit.On("", "/v2/library"), moved(307, scheme+"://"+w.host.String()+"/v2/library/again"))
		a := get(t, w.transport(t), w.server.URL+"/v2/library/x")
		wantKind(t, a.err, Policy)
		if n := len(w.front.Seen(nil)); n > MaxRedirects+1 {
			t.Errorf("%s: %d requests", scheme, n)
		}
	}
}

func TestF2HoldsUnderGoContainerregistry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.front.Always(testkit.On("", "/v2/library"), moved(307, "http://"+w.host.String()+"/v2/library/again"))
	image, err := name.NewTag(w.host.String() + "/library/app:1")
	if err != nil {
		t.Fatal(err)
	}
	_, err = remote.Get(image, remote.WithContext(t.Context()), remote.WithTransport(w.transport(t)), remote.WithAuth(authn.Anonymous))
	wantKind(t, err, Policy)
	if n := len(w.front.Seen(testkit.On("", "/v2/library"))); n > MaxRedirects+1 {
		t.Errorf("%d requests", n)
	}
}

// Nobody follows them, neither a client above nor at the origin itself.
func TestWhatWritesIsNotRedirected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	evil := testkit.NewEvilTLS(t, "", w.cert, testkit.Swallow)
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		for status, location := range map[int]string{301: "/again", 302: evil.URL().String(), 303: "/again", 307: evil.URL().String(), 308: w.server.URL + "/again"} {
			w.front.Script(testkit.On(method, "/v2/"), moved(status, location))
			resp, err := (&http.Client{Transport: w.transport(t)}).Do(request(t, method, w.server.URL+"/v2/", "password="+secret))
			if err == nil {
				_ = resp.Body.Close()
			}
			wantPolicy(t, err, "a redirect of a request that writes")
			if e, _ := errors.AsType[*PolicyError](err); !e.Redirected || !e.Writes {
				t.Errorf("%+v", e)
			}
		}
	}
	if n := len(w.front.Seen(testkit.On("", "/again"))); n != 0 || evil.Opened() != 0 {
		t.Errorf("%d requests, %d connections", n, evil.Opened())
	}
}

func TestFiveHopsAreFollowedAndSixAreNot(t *testing.T) {
	t.Parallel()
	for hops, ok := range map[int]bool{1: true, MaxRedirects: true, MaxRedirects + 1: false} {
		w := newWorld(t)
		for i := range hops {
			w.front.Always(testkit.On("", fmt.Sprintf("/hop%d", i)), moved(302, fmt.Sprintf("hop%d", i+1)))
		}
		a := get(t, w.transport(t), w.server.URL+"/hop0")
		if ok && (a.err != nil || a.body != fmt.Sprintf("GET /hop%d ", hops)) {
			t.Errorf("%d hops: %+v", hops, a)
		}
		if !ok {
			wantPolicy(t, a.err, "too many redirects")
		}
	}
}

func TestARedirectFromHTTPSToHTTPIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	evil := testkit.NewEvil(t, "", testkit.ResetTLS("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	for _, location := range []string{
		"http://" + w.host.String() + "/blob", evil.URL().String(), "HTTP://" + evil.Addr() + "/",
	} {
		w.front.Script(testkit.On("", "/blob"), moved(307, location))
		req := request(t, "GET", w.server.URL+"/blob", "")
		req.Header.Set("Authorization", "Bearer "+secret)
		wantPolicy(t, do(w.transport(t), req).err, "from https to http")
	}
	if got := evil.Received(); len(got) != 0 || evil.Opened() != 0 {
		t.Errorf("%d connections, %d bytes", evil.Opened(), len(got))
	}
}

func TestARedirectFromHTTPUpToHTTPSIsFollowedWithoutCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	front := testkit.NewFront(t, http.HandlerFunc(echo))
	plain := front.Serve(t)
	front.Always(testkit.On("", "/"), moved(301, w.server.URL+"/up"))
	tr := closing(t, New(Config{Host: hostOf(t, plain.Listener.Addr().String()), PlainHTTP: true, Roots: w.ca.Pool()}))
	req := request(t, "GET", plain.URL+"/", "")
	req.Header.Set("Authorization", "Bearer "+secret)
	if a := do(tr, req); a.err != nil || a.body != "GET /up " {
		t.Fatalf("%+v", a)
	}
	if got := w.front.Seen(nil)[0].Header.Get("Authorization"); got != "" {
		t.Errorf("sent along: %q", got)
	}
}

// A GET with a body is how package auth asks for tokens. Within one origin it
// may be sent on.
func TestABodyIsNotRedirectedToAnotherOrigin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tokens := testkit.NewFront(t, http.HandlerFunc(echo))
	other := tokens.Serve(t, w.cert)
	evil := testkit.NewEvilTLS(t, "", w.cert, testkit.Swallow)
	w.front.Always(testkit.On("GET", "/token"), moved(307, evil.URL().String()))
	a := do(w.transport(t), request(t, "GET", w.server.URL+"/token", "password="+secret))
	wantPolicy(t, a.err, "body")
	if e, _ := errors.AsType[*PolicyError](a.err); !e.Redirected || e.Writes {
		t.Errorf("%+v", e)
	}
	if evil.Opened() != 0 {
		t.Error("a connection was opened")
	}
	tokens.Always(testkit.On("GET", "/token"), moved(307, "/moved"))
	req := request(t, "GET", other.URL+"/token", "")
	req.Body = io.NopCloser(strings.NewReader("")) // as good as none
	if a := do(w.transport(t), req); a.err != nil || a.body != "GET /moved " {
		t.Errorf("within the other origin: %+v", a)
	}
}

func TestStorageElsewhereServesBlobsAndLearnsNoCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var seen http.Header
	store := testkit.NewFront(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		echo(rw, r)
	}))
	other := store.Serve(t, w.cert)
	w.front.Script(testkit.On("", "/blob"), moved(307, other.URL+"/bytes?sig=1"))
	req := request(t, "GET", w.server.URL+"/blob", "")
	req.Header.Set("Authorization", "Bearer "+secret)
	req.Header.Set("Cookie", "sid="+secret)
	req.Header.Set("X-Registry-Auth", secret)
	req.Header.Set("Range", "bytes=4-")
	a := do(w.transport(t), req)
	if a.err != nil || a.body != "GET /bytes " {
		t.Fatalf("%+v", a)
	}
	if got := fmt.Sprint(seen); strings.Contains(got, secret) {
		t.Errorf("storage was shown %s", got)
	}
	if seen.Get("Range") != "bytes=4-" || !strings.HasPrefix(seen.Get("User-Agent"), "docker") {
		t.Errorf("storage was not asked for the range: %v", seen)
	}
	if got := w.front.Seen(nil)[0].Header.Get("Authorization"); got != "Bearer "+secret {
		t.Errorf("the registry was shown %q", got)
	}
}

func TestCredentialsDoNotComeBackOnTheWayBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	there := testkit.NewFront(t, http.HandlerFunc(echo))
	other := there.Serve(t, w.cert)
	there.Always(testkit.On("", "/"), moved(307, w.server.URL+"/home"))
	w.front.Script(testkit.On("", "/blob"), moved(307, other.URL+"/away"))
	req := request(t, "GET", w.server.URL+"/blob", "")
	req.Header.Set("Authorization", "Bearer "+secret)
	if a := do(w.transport(t), req); a.err != nil || a.body != "GET /home " {
		t.Fatalf("%+v", a)
	}
	if got := w.front.Seen(testkit.On("", "/home"))[0].Header.Get("Authorization"); got != "" {
		t.Errorf("sent again: %q", got)
	}
}

func TestCredentialsStayOnTheOriginThroughItsOwnRedirects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.front.Script(testkit.On("", "/a"), moved(301, "/b"))
	req := request(t, "HEAD", w.server.URL+"/a", "")
	req.Header.Set("Authorization", "Bearer "+secret)
	if a := do(w.transport(t), req); a.err != nil || a.status != 200 {
		t.Fatalf("%+v", a)
	}
	seen := w.front.Seen(testkit.On("HEAD", "/b"))
	if len(seen) != 1 || seen[0].Header.Get("Authorization") == "" {
		t.Errorf("%+v", seen)
	}
}

func TestALocationThatIsNoneEndsARedirect(t *testing.T) {
	t.Parallel()
	for _, location := range []string{
		"https://u:" + secret + "@store.example/", "/" + strings.Repeat("x", MaxLocation), "https://reg.example/%zz", "mailto:x",
	} {
		w := newWorld(t)
		w.front.Always(testkit.On("", "/"), moved(302, location))
		a := get(t, w.transport(t), w.server.URL+"/")
		wantKind(t, a.err, BadAnswer)
		if a.err != nil && strings.Contains(a.err.Error(), secret) {
			t.Errorf("the error tells the password: %v", a.err)
		}
	}
	w := newWorld(t)
	w.front.Always(testkit.On("", "/"), testkit.Fault{Status: 302})
	if a := get(t, w.transport(t), w.server.URL+"/"); a.err != nil || a.status != 302 {
		t.Errorf("without a location: %+v", a)
	}
}

// F7 of the reference: 102244 bytes of a layer went in clear to another host.
func TestF7UploadIsNotSentToAnotherHostInClear(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	evil := testkit.NewEvil(t, "", testkit.Reply("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"))
	tr := w.transport(t)
	w.front.Script(testkit.On("POST", "/v2/"), testkit.Fault{Status: 202, Header: http.Header{"Location": {evil.URL().String() + "upload"}}})
	a := do(tr, request(t, "POST", w.server.URL+"/v2/a/blobs/uploads/", ""))
	if a.err != nil || a.status != 202 {
		t.Fatalf("%+v", a)
	}
	if _, err := Join(a.resp.Request.URL, a.resp.Header.Get("Location")); KindOf(err) != Policy {
		t.Errorf("Join let it through: %v", err)
	}
	// Whoever does not ask Join comes no further.
	wantPolicy(t, do(tr, request(t, "PATCH", a.resp.Header.Get("Location"), strings.Repeat("layer", 1000))).err, "plain http")
	if evil.Opened() != 0 {
		t.Errorf("%d bytes of the layer were sent", len(evil.Received()))
	}
}

// outside makes the registry stand at a public address: its name is reached at
// the world's listener, and every other address is the real one.
func outside(t *testing.T, w *world, leads map[string]string) *Transport {
	t.Helper()
	c := Config{Host: hostOf(t, "reg.example"), Roots: w.ca.Pool(), Sleep: (&naps{}).sleep}
	tr := closing(t, New(c))
	direct := tr.dial
	tr.dial = func(ctx context.Context, network, address string, control controlFunc) (net.Conn, error) {
		if address == "reg.example:443" {
			c, err := direct(ctx, network, w.host.String(), control)
			return elsewhereConn{c}, err
		}
		if to, ok := leads[address]; ok {
			address = to // what a resolver would have said
		}
		return direct(ctx, network, address, control)
	}
	return tr
}

// An elsewhereConn claims to lead to a public address.
type elsewhereConn struct{ net.Conn }

func (elsewhereConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("203.0.113.5:443"))
}

func TestARegistryElsewhereCannotSendUsToThisMachineOrALink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	evil := testkit.NewEvilTLS(t, "", w.cert, testkit.Reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	_, port, err := net.SplitHostPort(evil.Addr())
	if err != nil {
		t.Fatal(err)
	}
	leads := map[string]string{
		"store.example:" + port:   evil.Addr(),
		"mapped.example:" + port:  "[::ffff:7f00:1]:" + port,
		"aws.example:80":          "169.254.169.254:80",
		"nothing.example:" + port: "0.0.0.0:" + port,
	}
	for _, host := range []string{
		"127.0.0.1:" + port, "127.8.8.8:" + port, "localhost:" + port, "LOCALHOST.:" + port, "a.localhost:" + port,
		"[::1]:" + port, "[::ffff:7f00:1]:" + port, "[::ffff:127.0.0.1]:" + port, "[64:ff9b::7f00:1]:" + port, "0.0.0.0:" + port, "[::]:" + port,
		"169.254.169.254", "169.254.1.1", "[fe80::1]", "[fe80::1%25lo]", "[fd00:ec2::254]", "[fd00:ec2::254%25lo]", "168.63.129.16", "[::ffff:168.63.129.16]", "100.100.100.200", "224.0.0.1",
		"store.example:" + port, "mapped.example:" + port, "aws.example:80", "nothing.example:" + port,
	} {
		tr := outside(t, w, leads)
		w.front.Script(testkit.On("", "/blob"), moved(307, "https://"+host+"/x"))
		wantPolicy(t, get(t, tr, "https://reg.example/blob").err, "address")
	}
	if evil.Opened() != 0 {
		t.Errorf("%d connections were opened", evil.Opened())
	}
}

func TestARegistryOnThisMachineMayHaveItsStorageThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	store.TLS = w.server.TLS.Clone()
	store.StartTLS()
	t.Cleanup(store.Close)
	w.front.Script(testkit.On("", "/blob"), moved(307, store.URL+"/bytes"))
	if a := get(t, w.transport(t), w.server.URL+"/blob"); a.err != nil || a.body != "GET /bytes " {
		t.Errorf("%+v", a)
	}
	w.front.Script(testkit.On("", "/named"), moved(307, store.URL+"/bytes"))
	named := w.transport(t, func(c *Config) { c.Host = hostOf(t, "reg.example") })
	dialing(named, map[string]string{"reg.example:443": w.host.String()}) // where its name leads to counts
	if a := get(t, named, "https://reg.example/named"); a.err != nil || a.body != "GET /bytes " {
		t.Errorf("%+v", a)
	}
	w.front.Script(testkit.On("", "/meta"), moved(307, "https://169.254.169.254/latest"))
	wantPolicy(t, get(t, w.transport(t), w.server.URL+"/meta").err, "metadata")
}

func TestAddressesAreJudgedAfterResolutionAndBeforeTheConnection(t *testing.T) {
	t.Parallel()
	tr := New(Config{Host: hostOf(t, "reg.example")})
	h := &hop{req: request(t, "GET", "https://store.example/", "")}
	for address, ok := range map[string]bool{
		"203.0.113.9:443": true, "10.0.0.1:443": true, "[2001:db8::1]:443": true,
		"127.0.0.1:443": false, "[::1]:443": false, "[fe80::1%eth0]:443": false, "169.254.169.254:80": false,
		"[::ffff:168.63.129.16]:80": false, "[::ffff:10.0.0.1]:80": true, "[64:ff9b::a9fe:a9fe]:80": false, "garbage": false,
		"[fd00:ec2::254%eth0]:80": false,
	} {
		if err := tr.checkAddress(h, address); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

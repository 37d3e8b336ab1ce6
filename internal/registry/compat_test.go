package registry_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/sandbox"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
	"github.com/vicr-cli/vicr/internal/wire"
)

// Harbor up to 1.6 lists what a client pushes that calls itself docker.
func TestPushIsListed(t *testing.T) {
	t.Parallel()
	for _, like := range []sandbox.Like{sandbox.Harbor11, sandbox.Harbor15, sandbox.Harbor17, sandbox.Harbor110} {
		b := newBox(t, sandbox.Options{Like: like})
		if err := pushTo(t, b.open(t, "dev", "demo/app:1")); err != nil {
			t.Fatalf("%s: %v", like, err)
		}
		w, _ := b.road(t, "")
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+b.Host()+"/api/repositories?project_id=2", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("dev", b.password("dev"))
		resp, err := w.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"demo/app"`) {
			t.Errorf("%s lists %s, %v", like, body, err)
		}
	}
}

// Images of docker's and of OCI's media types go in and come out again, by tag
// and by digest, in one piece and in chunks.
func TestBothMediaTypesGoBothWays(t *testing.T) {
	t.Parallel()
	for _, like := range sandbox.Likes() {
		for name, src := range map[string]*transfertest.Source{"docker": dockerImage(false), "oci": sample(2)} {
			t.Run(string(like)+"/"+name, func(t *testing.T) {
				t.Parallel()
				b := newBox(t, sandbox.Options{Like: like})
				digest := src.Root.Digest.String()
				for i, to := range []string{"demo/app:1", "demo/app@" + digest, "demo/chunked:1"} {
					repo := b.open(t, "dev", to)
					if i == 2 {
						repo.InChunks(1000)
					}
					if _, err := transfer.Copy(t.Context(), src, repo, transfer.Options{}); err != nil {
						t.Fatal(err)
					}
				}
				for _, from := range []string{"demo/app:1", "demo/app@" + digest, "demo/chunked:1"} {
					dst := &transfertest.Sink{}
					res, err := transfer.Copy(t.Context(), b.open(t, "dev", from), dst, transfer.Options{})
					if err != nil || res.Root.Digest != src.Root.Digest || res.Root.MediaType != src.Root.MediaType {
						t.Errorf("%s came as %v, %v", from, res.Root, err)
					}
				}
			})
		}
	}
}

// A blob that is larger than what is in front lets through goes in chunks.
func TestChunksAreSmallEnough(t *testing.T) {
	t.Parallel()
	for _, like := range sandbox.Likes() {
		b := newBox(t, sandbox.Options{Like: like, Policy: sandbox.Policy{MaxBody: 1000, InsecureLocation: true}})
		if err := pushTo(t, b.open(t, "dev", "demo/app:1")); !isRefused(err, registry.TooLarge) {
			t.Errorf("%s: in one piece: %v", like, err)
		}
		if err := pushTo(t, b.open(t, "dev", "demo/app:1").InChunks(1000)); err != nil {
			t.Errorf("%s: in chunks: %v", like, err)
		}
	}
}

func isRefused(err error, want registry.Refusal) bool {
	e, ok := errors.AsType[*registry.Error](err)
	return ok && e.Refusal == want
}

func TestChunksFollowOneAnother(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		size  int
		chunk int64
		least string
		want  string
	}{
		"a rest":            {2500, 1000, "", "0-999 1000-1999 2000-2499"},
		"no rest":           {2000, 1000, "", "0-999 1000-1999"},
		"one":               {1000, 1000, "", ""},
		"the registry asks": {2500, 1000, "2000", "0-1999 2000-2499"},
		"asks too much":     {2500, 1000, "999999999999", "0-999 1000-1999 2000-2499"},
		"asks nonsense":     {2500, 1000, "-x", "0-999 1000-1999 2000-2499"},
		"off":               {2500, 0, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, sandbox.Options{})
			var mu sync.Mutex
			var ranges []string
			s := b.fronted(t, func(w http.ResponseWriter, r *http.Request) bool {
				mu.Lock()
				defer mu.Unlock()
				switch r.Method {
				case http.MethodPatch:
					ranges = append(ranges, r.Header.Get("Content-Range"))
				case http.MethodPost:
					w.Header().Set("OCI-Chunk-Min-Length", test.least)
				}
				return false
			})
			c := transfertest.Content{}
			layer := c.Layer(transfertest.Bytes(1, test.size))
			src := &transfertest.Source{Root: layer, Content: c}
			taken, err := b.openFronted(t, s, "demo/app:1").InChunks(test.chunk).PutBlob(t.Context(), layer, opener(src, layer))
			if got := strings.Join(ranges, " "); got != test.want || err != nil || taken != layer.Size || len(src.Opened()) != 1 || src.LeftOpen() != 0 {
				t.Errorf("sent %q, want %q; took %d, %v", got, test.want, taken, err)
			}
		})
	}
}

func opener(src *transfertest.Source, desc v1.Descriptor) transfer.Opener {
	return func(ctx context.Context, offset int64) (io.ReadCloser, error) { return src.Blob(ctx, desc, offset) }
}

// openFronted opens an image at what stands in front of b, as dev.
func (b *box) openFronted(t *testing.T, s *httptest.Server, name string) *registry.Repository {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	host := strings.TrimPrefix(s.URL, "https://")
	h, err := ref.ParseHost(host)
	if err != nil {
		t.Fatal(err)
	}
	w, rt := roadTo(t, h, roots, auth.Credentials{Username: "dev", Password: b.password("dev")})
	return openOn(t, host, name, rt, w)
}

// An upload that breaks off between two chunks goes on with the second.
func TestChunksThatAreCutGoOn(t *testing.T) {
	t.Parallel()
	b := newBox(t, sandbox.Options{})
	var mu sync.Mutex
	n := 0
	s := b.fronted(t, func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodPatch {
			if n++; n == 2 {
				panic(http.ErrAbortHandler)
			}
		}
		return false
	})
	if err := pushTo(t, b.openFronted(t, s, "demo/app:1").InChunks(1000)); err != nil || n != 6 {
		t.Errorf("%d chunks, %v", n, err)
	}
}

// A blob of another repository of the registry is not sent; where the registry
// does not let it be mounted, it is.
func TestMountOrSend(t *testing.T) {
	t.Parallel()
	for _, like := range sandbox.Likes() {
		for name, test := range map[string]struct {
			from   string
			policy sandbox.Policy
			puts   int
		}{
			"mounted":         {"demo/app", sandbox.Policy{}, 0},
			"refused":         {"demo/app", sandbox.Policy{NoMount: true}, 2},
			"not there":       {"demo/nosuch", sandbox.Policy{}, 2},
			"no permission":   {"closed/app", sandbox.Policy{}, 2},
			"not of this":     {"app", sandbox.Policy{}, 2},
			"from its own":    {"demo/other", sandbox.Policy{}, 2},
			"nothing to take": {"", sandbox.Policy{}, 2},
		} {
			t.Run(string(like)+"/"+name, func(t *testing.T) {
				t.Parallel()
				var mu sync.Mutex
				puts := 0
				o := sandbox.Options{Like: like, Policy: test.policy, Projects: []sandbox.Project{{Name: "closed"}}}
				o.OnRequest = func(method, path string, _ int) {
					mu.Lock()
					defer mu.Unlock()
					if method == http.MethodPut && strings.Contains(path, "/v2/demo/other/blobs/") {
						puts++
					}
				}
				b := newBox(t, o)
				if err := pushTo(t, b.open(t, "dev", "demo/app:1")); err != nil {
					t.Fatal(err)
				}
				if err := pushTo(t, b.open(t, "dev", "demo/other:1").MountFrom(test.from)); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if puts != test.puts {
					t.Errorf("%d blobs were sent, want %d", puts, test.puts)
				}
			})
		}
	}
}

// A layer that may not be distributed is neither asked for nor sent, and its
// manifest keeps the name of it; the address in it is not visited.
func TestForeignLayersStayWhereTheyAre(t *testing.T) {
	t.Parallel()
	evil := testkit.NewEvil(t, "", testkit.Reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	for _, like := range sandbox.Likes() {
		b := newBox(t, sandbox.Options{Like: like})
		src := withForeign(evil.URL().String())
		res, err := transfer.Copy(t.Context(), src, b.open(t, "dev", "demo/win:1"), transfer.Options{})
		if err != nil || len(res.Left) != 1 {
			t.Fatalf("%s: left %v, %v", like, res.Left, err)
		}
		for _, o := range src.Opened() {
			if o.Digest == res.Left[0].Digest {
				t.Errorf("%s: it was read", like)
			}
		}
		dst := &transfertest.Sink{}
		back, err := transfer.Copy(t.Context(), b.open(t, "dev", "demo/win:1"), dst, transfer.Options{})
		if err != nil || len(back.Left) != 1 || back.Root.Digest != src.Root.Digest {
			t.Errorf("%s: came back as %v, left %v, %v", like, back.Root, back.Left, err)
		}
	}
	if evil.Opened() != 0 {
		t.Error("the address in the manifest was visited")
	}
}

func withForeign(address string) *transfertest.Source {
	c := transfertest.Content{}
	config := c.Add(types.DockerConfigJSON, []byte(`{"architecture":"amd64","os":"windows"}`))
	layer := c.Add(types.DockerLayer, transfertest.Bytes(3, 5000))
	foreign := c.Add(types.DockerForeignLayer, transfertest.Bytes(4, 5000))
	foreign.URLs = []string{address}
	root := c.AddJSON(types.DockerManifestSchema2, map[string]any{
		"schemaVersion": 2, "mediaType": types.DockerManifestSchema2, "config": config, "layers": []v1.Descriptor{foreign, layer},
	})
	return &transfertest.Source{Root: root, Content: c}
}

// Whatever a registry of any kind points to, credentials and tokens do not go
// there. The other host records every byte.
func TestNoCredentialsGoToAnotherOrigin(t *testing.T) {
	t.Parallel()
	for _, like := range sandbox.Likes() {
		for _, trick := range []string{"storage", "location", "location in clear", "manifest", "tags"} {
			t.Run(string(like)+"/"+trick, func(t *testing.T) {
				t.Parallel()
				ca := testkit.NewCA(t)
				evil := testkit.NewEvilTLS(t, "127.0.0.1:0", ca.NewLeaf(t, testkit.SANs("localhost")).TLS(),
					testkit.ReplyOnce("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
				_, port, _ := strings.Cut(evil.Addr(), ":")
				elsewhere := "https://localhost:" + port
				b := newBox(t, sandbox.Options{Like: like})
				if err := pushTo(t, b.open(t, "dev", "demo/app:1")); err != nil {
					t.Fatal(err)
				}
				var tokens tokenLog
				s := b.fronted(t, tokens.front(tricked(trick, elsewhere)))
				repo := b.openAt(t, s, ca)
				var err error
				switch trick {
				case "storage", "manifest":
					_, err = transfer.Copy(t.Context(), repo, &transfertest.Sink{}, transfer.Options{})
				case "tags":
					_, err = repo.Tags(t.Context())
				default:
					_, err = transfer.Copy(t.Context(), sample(7), repo, transfer.Options{})
				}
				if err == nil {
					t.Error("it went well")
				}
				for _, secret := range append(tokens.all(), b.password("dev")) {
					if evil.Knows(secret) {
						t.Errorf("the other host got %q", secret)
					}
				}
				if got := string(evil.Received()); strings.Contains(strings.ToLower(got), "authorization") || strings.Contains(strings.ToLower(got), "cookie") {
					t.Errorf("the other host got %q", got)
				}
				if trick == "storage" && evil.Opened() == 0 {
					t.Errorf("nobody came: %v", err)
				}
			})
		}
	}
}

// tricked answers a request with an address elsewhere.
func tricked(trick, elsewhere string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") == "" {
			return false
		}
		to := elsewhere + "/x?token=1"
		switch {
		case trick == "storage" && isGet(r, "blobs"), trick == "manifest" && isGet(r, "manifests"):
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusTemporaryRedirect)
		case strings.HasPrefix(trick, "location") && r.Method == http.MethodPost:
			if trick == "location in clear" {
				to = strings.Replace(to, "https:", "http:", 1)
			}
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusAccepted)
		case trick == "tags" && isGet(r, "tags"):
			w.Header().Set("Link", fmt.Sprintf(`<%s/v2/demo/app/tags/list?n=1&last=a>; rel="next"`, elsewhere))
			_, _ = io.WriteString(w, `{"name":"demo/app","tags":["a"]}`)
		default:
			return false
		}
		return true
	}
}

// A tokenLog remembers the values of Authorization that came.
type tokenLog struct {
	mu   sync.Mutex
	seen []string
}

func (l *tokenLog) front(next func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if _, value, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok {
			l.mu.Lock()
			l.seen = append(l.seen, value)
			l.mu.Unlock()
		}
		return next(w, r)
	}
}

func (l *tokenLog) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string{}, l.seen...)
}

// openAt opens demo/app:1 at s as dev, with ca trusted as well. Tokens come
// from where b itself says, which the user agreed to.
func (b *box) openAt(t *testing.T, s *httptest.Server, ca *testkit.Cert) *registry.Repository {
	t.Helper()
	roots := x509.NewCertPool()
	for _, c := range []*x509.Certificate{s.Certificate(), ca.Certificate, b.CA()} {
		roots.AddCert(c)
	}
	host := strings.TrimPrefix(s.URL, "https://")
	h, err := ref.ParseHost(host)
	if err != nil {
		t.Fatal(err)
	}
	policy := auth.Policy{Realm: "https://" + b.Host()}
	w := wire.New(wire.Config{Host: h, Roots: roots, Realms: policy.Origins(h), Sleep: noSleep})
	t.Cleanup(w.CloseIdleConnections)
	rt := auth.NewTransport(w, w.Base(), auth.Credentials{Username: "dev", Password: b.password("dev")}, policy)
	return openOn(t, host, "demo/app:1", rt, w)
}

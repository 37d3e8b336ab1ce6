package registry_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// What was pushed under a name before takes one HEAD to be pushed again. A first
// push has no HEAD, and whatever is remembered wrongly costs no more than that.
func TestPushAgain(t *testing.T) {
	t.Parallel()
	first, other := sample(1), sample(2)
	noDigest := func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodHead {
			return false
		}
		w.WriteHeader(http.StatusOK)
		return true
	}
	atDigest := "demo/app:1@" + first.Root.Digest.String()
	for name, test := range map[string]struct {
		name    string
		between func(t *testing.T, s *server, dir string) // after the first push
		src     *transfertest.Source
		front   func(http.ResponseWriter, *http.Request) bool
		heads   int
		all     int // requests
	}{
		"the same":             {"demo/app:1", nil, first, nil, 1, 1},
		"the same, by digest":  {atDigest, nil, first, nil, 1, 1},
		"another image":        {"demo/app:1", nil, other, nil, 0, 4},
		"it tells no digest":   {"demo/app:1", nil, first, noDigest, 1, 4},
		"another tag":          {"demo/app:2", nil, first, nil, 0, 3},
		"the tag was moved":    {"demo/app:1", moveTag, first, nil, 1, 4},
		"the memo was lost":    {"demo/app:1", loseMemo, first, nil, 0, 3},
		"the memo is nonsense": {"demo/app:1", spoilMemo, first, nil, 0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var front func(http.ResponseWriter, *http.Request) bool
			s := serve(t, func(w http.ResponseWriter, r *http.Request) bool { return front != nil && front(w, r) })
			dir := t.TempDir()
			name := "demo/app:1"
			if test.name == atDigest {
				name = atDigest
			}
			remembering := func(name string, src transfer.Source) transfer.Result {
				t.Helper()
				res, err := transfer.Copy(t.Context(), src, s.open(t, name).Remembering(memo.OpenPushes(dir)), transfer.Options{})
				if err != nil {
					t.Fatal(err)
				}
				return res
			}
			was := remembering(name, first)
			if n := s.seen(http.MethodHead, ""); n != 0 || s.seen("", "") != 5 {
				t.Errorf("the first push took %d requests, %d HEAD", s.seen("", ""), n)
			}
			if test.between != nil {
				test.between(t, s, dir)
			}
			front = test.front
			heads, all := s.seen(http.MethodHead, ""), s.seen("", "")
			now := remembering(test.name, test.src)
			heads, all = s.seen(http.MethodHead, "")-heads, s.seen("", "")-all
			if heads != test.heads || all != test.all {
				t.Errorf("%d requests, %d HEAD; want %d, %d", all, heads, test.all, test.heads)
			}
			if now.Root.Digest != test.src.Root.Digest || (test.src == first) != (now.Bytes == 0 && now.Reused == was.Bytes) {
				t.Errorf("moved %+v after %+v", now, was)
			}
			if dst, err := pull(t, s, test.name); err != nil || dst.Committed().Digest != test.src.Root.Digest {
				t.Errorf("it is not there: %v", err)
			}
		})
	}
}

// A first push does not ask twice about large blobs either. The next one, be it
// that the first broke off, sends none again to a registry that begins uploads
// whatever it has.
func TestLargeBlobsAreSentOnce(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		breaks bool
	}{{"pushed", false}, {"broken off", true}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			breaks := atomic.Bool{}
			s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
				if breaks.Load() && r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
					return refuse(w, http.StatusForbidden, "{}")
				}
				if r.Method != http.MethodPost || !r.URL.Query().Has("mount") {
					return false
				}
				q := r.URL.Query()
				q.Del("mount")
				r.URL.RawQuery = q.Encode() // what is behind begins an upload
				return false
			})
			dir := t.TempDir()
			c := transfertest.Content{}
			large := c.Layer(transfertest.Bytes(1, sure))
			for i, p := range []v1.Platform{transfertest.Amd64(), transfertest.Arm64()} {
				breaks.Store(test.breaks && i == 0)
				src := &transfertest.Source{Root: c.Image(p, large), Content: c}
				_, err := transfer.Copy(t.Context(), src, s.open(t, "demo/app:1").Remembering(memo.OpenPushes(dir)), transfer.Options{})
				if (err != nil) != breaks.Load() {
					t.Fatal(err)
				}
				sent := slices.ContainsFunc(src.Opened(), func(o transfertest.Opening) bool { return o.Digest == large.Digest })
				if heads := s.seen(http.MethodHead, ""); sent != (i == 0) || heads != i {
					t.Errorf("push %d: sent %t, %d HEAD", i, sent, heads)
				}
			}
		})
	}
}

func moveTag(t *testing.T, s *server, _ string) {
	t.Helper()
	if err := push(t, s, "demo/app:1", sample(2)); err != nil {
		t.Fatal(err)
	}
}

func loseMemo(t *testing.T, _ *server, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}

func spoilMemo(t *testing.T, _ *server, dir string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "pushes"), []byte("\x00\nx y z\n \n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// One more name takes two requests and moves no blob.
func TestTag(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	src := sample(1)
	if err := push(t, s, "demo/app:1", src); err != nil {
		t.Fatal(err)
	}
	before := s.seen("", "")
	desc, err := s.open(t, "demo/app:1").Tag(t.Context(), nil, "2", "3")
	if err != nil || desc.Digest != src.Root.Digest || s.seen("", "")-before != 3 || s.seen(http.MethodPut, "/manifests/") != 3 {
		t.Fatalf("%v, %v, %d requests", desc, err, s.seen("", "")-before)
	}
	for _, tag := range []string{"2", "3"} {
		if dst, err := pull(t, s, "demo/app:"+tag); err != nil || dst.Committed().Digest != src.Root.Digest {
			t.Errorf("%s: %v", tag, err)
		}
	}
	if _, err := s.open(t, "demo/app:9").Tag(t.Context(), nil, "4"); err == nil || s.seen(http.MethodPut, "/manifests/4") != 0 {
		t.Errorf("got %v", err)
	}
}

// A page that answers everything, such as that of a proxy which wants a login, is
// no image that gets a name.
func TestTagOfAPage(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html>log in</html>"))
		return true
	})
	_, err := s.open(t, "demo/app:1").Tag(t.Context(), nil, "2")
	if _, ok := errors.AsType[*transfer.ManifestError](err); !ok || s.seen(http.MethodPut, "") != 0 {
		t.Errorf("got %v", err)
	}
}

package registry_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// interrupted is a push that ends with its context when the registry has got
// size bytes; what comes later is lost, unless the push may end well.
func interrupted(t *testing.T, u *testkit.UploadRegistry, repo *registry.Repository, layer v1.Descriptor, src *transfertest.Source, size int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	u.Watch(func(at, _ int64) bool {
		if at >= size {
			cancel()
			time.Sleep(time.Millisecond) // more than there is does not arrive in time
		}
		return at >= size && u.Broken != testkit.DropsUploads
	})
	start := time.Now()
	_, err := repo.PutBlob(ctx, layer, opener(src, layer))
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	u.Watch(nil)
	if src.LeftOpen() != 0 {
		t.Errorf("%d readers left open", src.LeftOpen())
	}
}

// What was interrupted goes on with the next run, and what is sent then is the
// rest; also where a registry drops requests that break, if the upload could end.
func TestTheNextRunGoesOn(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		broken testkit.Broken
		size   int
		at     int64
	}{
		"with PUT":                             {testkit.KeepsBytes, 20 * mib, 15 * mib},
		"with PATCH":                           {testkit.KeepsBytes, 64 * mib, 50 * mib},
		"with PATCH that ends, nothing broken": {testkit.DropsUploads, 96 * mib, 16 * mib},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := &testkit.UploadRegistry{Broken: test.broken}
			s := takes(t, u)
			dir := t.TempDir()
			layer, src := blobOf(test.size)
			interrupted(t, u, s.open(t, "demo/app:1").KeepingUploads(memo.OpenSessions(dir)), layer, src, test.at)
			first := u.Received()
			repo := s.open(t, "demo/app:2").KeepingUploads(memo.OpenSessions(dir))
			taken, err := repo.PutBlob(t.Context(), layer, opener(src, layer))
			if err != nil || !u.Has("demo/app", layer.Digest.String()) {
				t.Fatal(err)
			}
			if u.Received() != layer.Size || taken != layer.Size-first || first < test.at || first == layer.Size {
				t.Errorf("%d and %d bytes, took %d", first, u.Received()-first, taken)
			}
			if left, err := os.ReadDir(filepath.Join(dir, "uploads")); err != nil || len(left) != 0 {
				t.Errorf("left %v, %v", left, err)
			}
		})
	}
}

// A remembered upload is not gone on with in another repository, nor when the
// registry has dropped it; nor is one kept on another host.
func TestSessionsThatAreNotGoneOnWith(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		to     string
		forget bool
		spoil  func(*server) string // the address that is remembered
		asked  int
	}{
		"another repository": {"demo/other:1", false, nil, 0},
		"dropped":            {"demo/app:1", true, nil, 1},
		"of another host":    {"demo/app:1", false, func(*server) string { return "https://storage.test/upload?x=1" }, 0},
		"signed":             {"demo/app:1", false, func(s *server) string { return s.URL + "/v2/demo/app/blobs/uploads/99?X-Amz-Signature=1" }, 0},
		"in clear": {"demo/app:1", false, func(s *server) string {
			return strings.Replace(s.URL, "https", "http", 1) + "/v2/demo/app/blobs/uploads/99"
		}, 0},
		"with a user's name": {"demo/app:1", false, func(s *server) string {
			return strings.Replace(s.URL, "//", "//u:p@", 1) + "/v2/demo/app/blobs/uploads/99"
		}, 0},
		"of another's upload": {"demo/app:1", false, func(s *server) string { return s.URL + "/v2/demo/app/blobs/uploads/99?_state=0" }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := &testkit.UploadRegistry{}
			s := takes(t, u)
			dir := t.TempDir()
			layer, src := anyBlob()
			interrupted(t, u, s.open(t, "demo/app:1").KeepingUploads(memo.OpenSessions(dir)), layer, src, 5*mib)
			if test.forget && u.Forget() != 1 {
				t.Error("there was no upload")
			}
			repo := s.open(t, test.to)
			if test.spoil != nil {
				host := strings.TrimPrefix(s.URL, "https://")
				session := memo.OpenSessions(dir).Take(t.Context(), host, "demo/app", layer.Digest)
				if err := errors.Join(session.Keep(test.spoil(s)), session.Release()); err != nil {
					t.Fatal(err)
				}
			}
			before := s.seen(http.MethodGet, "/uploads/")
			taken, err := repo.KeepingUploads(memo.OpenSessions(dir)).PutBlob(t.Context(), layer, opener(src, layer))
			if asked := s.seen(http.MethodGet, "/uploads/") - before; err != nil || taken != layer.Size || asked != test.asked {
				t.Errorf("took %d, %v, asked %d times", taken, err, asked)
			}
		})
	}
}

// A session whose bytes turn out to be others is begun again once, from the
// beginning; a source whose bytes are wrong is not.
func TestWrongBytesBeforeTheRest(t *testing.T) {
	t.Parallel()
	u := &testkit.UploadRegistry{}
	s := takes(t, u)
	dir := t.TempDir()
	layer, src := blobOf(9 * mib)
	other, otherSource := blobOf(9 * mib)
	otherSource.Content[other.Digest] = transfertest.Bytes(8, 9*mib)
	interrupted(t, u, s.open(t, "demo/app:1").KeepingUploads(memo.OpenSessions(dir)), layer, otherSource, 5*mib)
	taken, err := s.open(t, "demo/app:1").KeepingUploads(memo.OpenSessions(dir)).PutBlob(t.Context(), layer, opener(src, layer))
	if err != nil || taken != layer.Size || !u.Has("demo/app", layer.Digest.String()) {
		t.Errorf("took %d, %v", taken, err)
	}
	_, err = s.open(t, "demo/x:1").PutBlob(t.Context(), other, opener(otherSource, other))
	if refused, ok := errors.AsType[*registry.Error](err); !ok || refused.Code != "DIGEST_INVALID" || s.seen(http.MethodPost, "/demo/x/") != 1 {
		t.Errorf("got %v", err)
	}
}

// Two pushes of one blob at the same time never share an upload.
func TestOneUploadIsOfOnePush(t *testing.T) {
	t.Parallel()
	u := &testkit.UploadRegistry{}
	s := takes(t, u)
	dir := t.TempDir()
	layer, src := blobOf(9 * mib)
	interrupted(t, u, s.open(t, "demo/app:1").KeepingUploads(memo.OpenSessions(dir)), layer, src, 5*mib)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := s.open(t, "demo/app:1").KeepingUploads(memo.OpenSessions(dir)).PutBlob(t.Context(), layer, opener(src, layer)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if !u.Has("demo/app", layer.Digest.String()) {
		t.Error("it is not there")
	}
}

// An upload that nobody goes on with is cancelled.
func TestAbandonedUploadsAreCancelled(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small": 5 * mib, "large, nothing remembers": 9 * mib} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := &testkit.UploadRegistry{}
			s := takes(t, u)
			layer, src := blobOf(size)
			interrupted(t, u, s.open(t, "demo/app:1"), layer, src, mib)
			if u.Uploads() != 0 || s.seen(http.MethodDelete, "/uploads/") != 1 {
				t.Errorf("%d uploads are left, %d cancelled", u.Uploads(), s.seen(http.MethodDelete, "/uploads/"))
			}
		})
	}
}

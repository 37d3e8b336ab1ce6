package registry_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
	"github.com/vicr-cli/vicr/internal/wire"
)

const (
	mib      = 1 << 20
	streamed = 32 * mib // bytes, from which on a blob is sent by PATCH
)

// takes is a registry that takes uploads as u does.
func takes(t *testing.T, u *testkit.UploadRegistry) *server {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		u.ServeHTTP(w, r)
		return true
	})
}

// blobOf is one blob, and a source that has it.
func blobOf(size int) (v1.Descriptor, *transfertest.Source) {
	c := transfertest.Content{}
	layer := c.Layer(transfertest.Bytes(7, size))
	return layer, &transfertest.Source{Root: layer, Content: c}
}

// A connection that is cut again and again loses at most what was on its way;
// where the registry keeps whole requests alone, at most one chunk each time.
func TestCutUploadsGoOn(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		broken testkit.Broken
		size   int
		every  int64
		chunk  int64
		again  int64 // bytes sent again for each cut, at most
	}{
		"with PUT":                       {testkit.KeepsBytes, 9 * mib, mib, 0, 0},
		"with PATCH":                     {testkit.KeepsBytes, streamed + 5, 5 * mib, 0, 0},
		"in chunks":                      {testkit.KeepsBytes, 5 * mib, 700 << 10, mib, 0},
		"in chunks, whole ones are kept": {testkit.KeepsParts, 5 * mib, 1500 << 10, mib, mib},
		"whole requests are kept":        {testkit.KeepsParts, 64 * mib, 25 * mib, 0, 25 * mib},
		"nothing is kept":                {testkit.DropsUploads, 9 * mib, 10 * mib, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := &testkit.UploadRegistry{Broken: test.broken, CutEvery: test.every}
			s := takes(t, u)
			layer, src := blobOf(test.size)
			taken, err := s.open(t, "demo/app:1").InChunks(test.chunk).PutBlob(t.Context(), layer, opener(src, layer))
			if err != nil || taken != layer.Size || !u.Has("demo/app", layer.Digest.String()) {
				t.Fatalf("took %d, %v, after %d cuts", taken, err, u.Cuts())
			}
			if most := layer.Size + int64(u.Cuts())*test.again; u.Received() > most || (u.Cuts() == 0) != (test.every > layer.Size) {
				t.Errorf("%d bytes of %d with %d cuts, at most %d", u.Received(), layer.Size, u.Cuts(), most)
			}
			if src.LeftOpen() != 0 {
				t.Errorf("%d readers left open", src.LeftOpen())
			}
		})
	}
}

// A registry that drops what broke, as Distribution 2 does, gets it all again.
func TestDroppedUploadsBeginAgain(t *testing.T) {
	t.Parallel()
	var cut atomic.Bool
	u := &testkit.UploadRegistry{Broken: testkit.DropsUploads}
	u.Watch(func(size, _ int64) bool { return size >= 3*mib && cut.CompareAndSwap(false, true) })
	s := takes(t, u)
	layer, src := blobOf(9 * mib)
	taken, err := s.open(t, "demo/app:1").PutBlob(t.Context(), layer, opener(src, layer))
	if err != nil || taken != layer.Size || u.Received() > layer.Size+4*mib || u.Received() < layer.Size+3*mib {
		t.Errorf("took %d, %v, %d received", taken, err, u.Received())
	}
}

// What a registry may answer in the middle of an upload.
func TestAnswersInTheMiddle(t *testing.T) {
	t.Parallel()
	refusal := func(status int, code string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { refuse(w, status, fmt.Sprintf(`{"errors":[{"code":%q}]}`, code)) }
	}
	for name, test := range map[string]struct {
		method string
		answer func(http.ResponseWriter)
		want   string // requests about the upload
		ok     bool
	}{
		"416 to a chunk":        {"PATCH", refusal(416, "RANGE_INVALID"), "POST PATCH PATCH GET PATCH PATCH PUT", true},
		"404 to a chunk":        {"PATCH", refusal(404, "BLOB_UPLOAD_UNKNOWN"), "POST PATCH PATCH GET PATCH PATCH PUT", true},
		"500 to a chunk":        {"PATCH", refusal(500, "UNKNOWN"), "POST PATCH PATCH GET PATCH PATCH PUT", true},
		"a quota":               {"PATCH", func(w http.ResponseWriter) { refuse(w, 403, `{"errors":[{"code":"DENIED"}]}`) }, "POST PATCH PATCH GET DELETE", false},
		"405 to the question":   {"GET", refusal(405, "UNSUPPORTED"), "POST PATCH PATCH GET POST PATCH PATCH PATCH PUT", true},
		"nonsense to the same":  {"GET", func(w http.ResponseWriter) { w.Header().Set("Range", "0-99999999999999999999"); w.WriteHeader(204) }, "POST PATCH PATCH GET POST PATCH PATCH PATCH PUT", true},
		"more than there is":    {"GET", func(w http.ResponseWriter) { w.Header().Set("Range", "0-999999999"); w.WriteHeader(204) }, "POST PATCH PATCH GET POST PATCH PATCH PATCH PUT", true},
		"no Range to the same":  {"GET", func(w http.ResponseWriter) { w.WriteHeader(204) }, "POST PATCH PATCH GET POST PATCH PATCH PATCH PUT", true},
		"502 to the question":   {"GET", refusal(502, ""), "POST PATCH PATCH GET GET PATCH PATCH PUT", true},
		"404 to the last chunk": {"PUT", refusal(404, "BLOB_UPLOAD_UNKNOWN"), "POST PATCH PATCH GET PATCH PATCH PUT GET PUT", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var patches, answered atomic.Int32
			u := &testkit.UploadRegistry{}
			u.Before = func(w http.ResponseWriter, r *http.Request) bool {
				second := r.Method == http.MethodPatch && patches.Add(1) == 2
				switch {
				case r.Method == test.method && (r.Method != http.MethodPatch || second) && answered.CompareAndSwap(0, 1):
					test.answer(w)
					return true
				case second:
					panic(http.ErrAbortHandler)
				}
				return false
			}
			s := takes(t, u)
			layer, src := blobOf(3000)
			_, err := s.open(t, "demo/app:1").InChunks(1000).PutBlob(t.Context(), layer, opener(src, layer))
			if (err == nil) != test.ok || u.Has("demo/app", layer.Digest.String()) != test.ok {
				t.Errorf("got %v", err)
			}
			var about []string
			for _, r := range u.Requests() {
				if method, ok := strings.CutSuffix(r, " uploads"); ok {
					about = append(about, method)
				}
			}
			// GET is asked again by the transport, which is not meant here.
			if got := strings.Join(about, " "); got != test.want {
				t.Errorf("asked %s; want %s", got, test.want)
			}
		})
	}
}

// A registry that says that it took less is sent the rest.
func TestTheRegistryMayTakeLess(t *testing.T) {
	t.Parallel()
	var less atomic.Bool
	var mu sync.Mutex
	var ranges []string
	s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPatch {
			return false
		}
		mu.Lock()
		ranges = append(ranges, r.Header.Get("Content-Range"))
		mu.Unlock()
		if !less.CompareAndSwap(false, true) {
			return false
		}
		w.Header().Set("Location", r.URL.Path)
		w.Header().Set("Range", "0-599")
		w.WriteHeader(http.StatusAccepted)
		return true
	})
	layer, src := blobOf(3000)
	_, err := s.open(t, "demo/app:1").InChunks(1000).PutBlob(t.Context(), layer, opener(src, layer))
	mu.Lock()
	defer mu.Unlock()
	if len(ranges) < 2 || ranges[0] != "0-999" || ranges[1] != "600-1599" {
		t.Errorf("sent %q, %v", ranges, err)
	}
}

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
		"another repository":  {"demo/other:1", false, nil, 0},
		"dropped":             {"demo/app:1", true, nil, 1},
		"of another host":     {"demo/app:1", false, func(*server) string { return "https://storage.test/upload?x=1" }, 0},
		"signed":              {"demo/app:1", false, func(s *server) string { return s.URL + "/v2/demo/app/blobs/uploads/99?X-Amz-Signature=1" }, 0},
		"in clear":            {"demo/app:1", false, func(s *server) string { return strings.Replace(s.URL, "https", "http", 1) + "/v2/demo/app/blobs/uploads/99" }, 0},
		"with a user's name":  {"demo/app:1", false, func(s *server) string { return strings.Replace(s.URL, "//", "//u:p@", 1) + "/v2/demo/app/blobs/uploads/99" }, 0},
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

// The registry says how long to wait, and is waited for; for too long it is not.
func TestRetryAfterOfAnUpload(t *testing.T) {
	t.Parallel()
	for after, ok := range map[string]bool{"7": true, "100000": false} {
		var failed atomic.Bool
		u := &testkit.UploadRegistry{}
		u.Before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut || !failed.CompareAndSwap(false, true) {
				return false
			}
			w.Header().Set("Retry-After", after)
			return refuse(w, http.StatusInternalServerError, "{}")
		}
		s := takes(t, u)
		var waited []time.Duration
		repo := s.openWaiting(t, "demo/app:1", func(ctx context.Context, d time.Duration) error {
			waited = append(waited, d)
			return ctx.Err()
		})
		layer, src := blobOf(1000)
		_, err := repo.PutBlob(t.Context(), layer, opener(src, layer))
		if (err == nil) != ok || (ok && (len(waited) != 1 || waited[0] != 7*time.Second)) {
			t.Errorf("%s: %v, waited %v", after, err, waited)
		}
	}
}

// Pauses grow, and tries end, as long as the registry gets no further.
func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	u := &testkit.UploadRegistry{}
	u.Before = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			panic(http.ErrAbortHandler)
		}
		return false
	}
	s := takes(t, u)
	var waited []time.Duration
	repo := s.openWaiting(t, "demo/app:1", func(ctx context.Context, d time.Duration) error {
		waited = append(waited, d)
		return ctx.Err()
	})
	layer, src := blobOf(1000)
	_, err := repo.PutBlob(t.Context(), layer, opener(src, layer))
	if wire.KindOf(err) != wire.Unreachable || len(waited) != 5 {
		t.Fatalf("%v, waited %v", err, waited)
	}
	for i, d := range waited {
		if most := time.Second << i; d < most/2 || d > most {
			t.Errorf("pause %d is %s", i, d)
		}
	}
}

// Whatever happens on the way, a blob is there in the end, or one of the next
// runs brings it there.
func TestAnyFaultsOnTheWay(t *testing.T) {
	t.Parallel()
	const seeds = 24
	for seed := range uint64(seeds) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			f := &faults{rand: rand.New(rand.NewPCG(seed, 0)), left: int(seed) / 2}
			u := &testkit.UploadRegistry{Broken: testkit.Broken(seed % 3)}
			u.Lose = func(*http.Request) bool { return f.loses() }
			u.Before = func(w http.ResponseWriter, r *http.Request) bool { return f.strike(u, w, r) }
			s := takes(t, u)
			dir := t.TempDir()
			chunk := []int64{0, 700_000, 3 * mib}[seed/3%3]
			layer, src := anyBlob()
			runs, err := 0, error(nil)
			for ; runs < seeds; runs++ {
				repo := s.open(t, "demo/app:1").InChunks(chunk).KeepingUploads(memo.OpenSessions(dir))
				if _, err = repo.PutBlob(f.run(t.Context()), layer, opener(src, layer)); err == nil {
					break
				}
			}
			if err != nil || !u.Has("demo/app", layer.Digest.String()) || src.LeftOpen() != 0 {
				t.Errorf("%v after %d runs, %d readers left open", err, runs, src.LeftOpen())
			}
		})
	}
}

// faults strike requests until none is left.
type faults struct {
	mu   sync.Mutex
	rand *rand.Rand
	left int
	lost bool
	end  context.CancelFunc
}

// run is the context of one run of the push.
func (f *faults) run(ctx context.Context) context.Context {
	f.mu.Lock()
	defer f.mu.Unlock()
	ctx, f.end = context.WithCancel(ctx)
	return ctx
}

func (f *faults) loses() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() { f.lost = false }()
	return f.lost
}

func (f *faults) strike(u *testkit.UploadRegistry, w http.ResponseWriter, r *http.Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left == 0 || f.rand.IntN(2) == 0 {
		return false
	}
	f.left--
	switch f.rand.IntN(6) {
	case 0:
		panic(http.ErrAbortHandler)
	case 1:
		return refuse(w, http.StatusInternalServerError, "{}")
	case 2:
		return r.Method == http.MethodPatch && refuse(w, http.StatusRequestedRangeNotSatisfiable, "{}")
	case 3:
		f.lost = true
	case 4:
		u.Forget()
	case 5:
		f.end()
	}
	return false
}

// anyBlob is one blob for many runs: to make it takes longer than to send it.
func anyBlob() (v1.Descriptor, *transfertest.Source) {
	layer, src := nineMiB()
	return layer, &transfertest.Source{Root: layer, Content: src.Content}
}

var nineMiB = sync.OnceValues(func() (v1.Descriptor, *transfertest.Source) { return blobOf(9 * mib) })

// An answer to the manifest that is lost is looked for; the manifest is sent again
// only if it did not arrive.
func TestLostAnswerToAManifest(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		arrives bool
		puts    int
	}{"it arrived": {true, 1}, "it did not": {false, 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var lost atomic.Bool
			manifest := func(r *http.Request) bool {
				return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/")
			}
			u := &testkit.UploadRegistry{}
			u.Before = func(_ http.ResponseWriter, r *http.Request) bool {
				if !test.arrives && manifest(r) && lost.CompareAndSwap(false, true) {
					panic(http.ErrAbortHandler)
				}
				return false
			}
			u.Lose = func(r *http.Request) bool { return test.arrives && manifest(r) && lost.CompareAndSwap(false, true) }
			s := takes(t, u)
			src := sample(1)
			if err := push(t, s, "demo/app:1", src); err != nil || !u.Has("demo/app", "1") {
				t.Error(err)
			}
			if puts, heads := s.seen(http.MethodPut, "/manifests/"), s.seen(http.MethodHead, "/manifests/"); puts != test.puts || heads != 1 {
				t.Errorf("%d PUT, %d HEAD", puts, heads)
			}
		})
	}
}

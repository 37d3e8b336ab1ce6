package registry_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
	"github.com/vicr-cli/vicr/internal/wire"
)

const streamed = 32 * mib // bytes, from which on a blob is sent by PATCH

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

// A registry may read for a while what came before a connection broke: an upload
// goes on when it stands still.
func TestAnUploadThatGrowsIsNotGoneOnWith(t *testing.T) {
	t.Parallel()
	u := &testkit.UploadRegistry{CutEvery: 5 * mib}
	var asked atomic.Int64
	u.Before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || asked.Add(1) > 3 {
			return false
		}
		w.Header().Set("Range", fmt.Sprint("0-", 1000*asked.Load()))
		w.WriteHeader(http.StatusNoContent)
		return true
	}
	s := takes(t, u)
	layer, src := blobOf(9 * mib)
	if _, err := s.open(t, "demo/app:1").PutBlob(t.Context(), layer, opener(src, layer)); err != nil {
		t.Fatal(err)
	}
	if u.Received() != layer.Size || asked.Load() != 5 {
		t.Errorf("%d bytes of %d, asked %d times", u.Received(), layer.Size, asked.Load())
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
		"502 to the question":   {"GET", refusal(502, ""), "POST PATCH PATCH GET GET GET PATCH PATCH PUT", true},
		"404 to the last chunk": {"PUT", refusal(404, "BLOB_UPLOAD_UNKNOWN"), "POST PATCH PATCH GET GET PATCH PATCH PUT GET PUT", true},
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

// A registry that takes no PATCH, or none of unknown length, gets a PUT.
func TestARegistryWithoutPatch(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 404, 405, 411} {
		u := &testkit.UploadRegistry{Before: func(w http.ResponseWriter, r *http.Request) bool {
			return r.Method == http.MethodPatch && refuse(w, status, "")
		}}
		s := takes(t, u)
		layer, src := blobOf(streamed)
		taken, err := s.open(t, "demo/app:1").PutBlob(t.Context(), layer, opener(src, layer))
		if err != nil || taken != layer.Size || !u.Has("demo/app", layer.Digest.String()) || s.seen(http.MethodPatch, "") != 1 {
			t.Errorf("%d: took %d, %v", status, taken, err)
		}
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
		var told []transfer.Event
		repo.Watched(func(e transfer.Event) { told = append(told, e) })
		layer, src := blobOf(1000)
		_, err := repo.PutBlob(t.Context(), layer, opener(src, layer))
		if ok && (len(told) != 1 || told[0].Stage != transfer.Retrying || told[0].Try != 2 || told[0].Wait != 7*time.Second || told[0].Err == nil || told[0].Desc.Digest != layer.Digest) {
			t.Errorf("said %v", told)
		}
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
	holdPauses(t, waited)
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

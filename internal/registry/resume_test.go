package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
	"github.com/vicr-cli/vicr/internal/wire"
)

// A shelf is a registry of one blob, which it gives out as net/http does files.
type shelf struct {
	data []byte
	desc v1.Descriptor
	tag  atomic.Value // ETag; nil: none

	mu     sync.Mutex
	ranges []string // asked for
}

func newShelf(size int) *shelf {
	data := transfertest.Bytes(7, size)
	return &shelf{data: data, desc: transfertest.DescriptorOf("sha256", types.OCILayer, data)}
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.ranges = append(s.ranges, r.Header.Get("Range"))
	s.mu.Unlock()
	if tag, ok := s.tag.Load().(string); ok {
		w.Header().Set("ETag", tag)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.data))
}

func (s *shelf) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.ranges...)
}

// plain opens an image of a registry that speaks plain HTTP at addr.
func plain(t *testing.T, addr string, silence time.Duration) *registry.Repository {
	t.Helper()
	img, err := ref.ParseImage(addr + "/demo/app:1")
	if err != nil {
		t.Fatal(err)
	}
	rt := wire.New(wire.Config{Host: img.Host, PlainHTTP: true, Silence: silence, Sleep: noSleep})
	t.Cleanup(rt.CloseIdleConnections)
	return registry.OpenWith(img, rt, rt.Base(), noSleep)
}

func readBlob(t *testing.T, r *registry.Repository, desc v1.Descriptor, offset int64) ([]byte, error) {
	t.Helper()
	rc, err := r.Blob(t.Context(), desc, offset)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(rc)
	return got, errors.Join(err, rc.Close())
}

const (
	mib      = 1 << 20
	patience = 20 * time.Second // of tests in which nobody is silent
)

// However often a line breaks, as long as bytes come in between the blob comes
// whole, and what was there is not asked for again.
func TestABlobOverALineThatBreaks(t *testing.T) {
	t.Parallel()
	for _, every := range []int64{mib, 2 * mib, 3*mib + 12345, 7 * mib, 96<<10 + 1} {
		for _, resets := range []bool{false, true} {
			t.Run(fmt.Sprintf("every %d bytes, reset %v", every, resets), func(t *testing.T) {
				t.Parallel()
				s := newShelf(16 * mib)
				server := testkit.NewFront(t, s).Serve(t)
				line := testkit.NewLine(t, strings.TrimPrefix(server.URL, "http://"), testkit.LineOptions{CutEvery: every, Reset: resets})
				tries := map[int]int{}
				r := plain(t, line.Addr(), patience).Watched(func(e transfer.Event) {
					tries[e.Try]++
					if e.Stage != transfer.Retrying || e.Err == nil || e.Desc.Digest != s.desc.Digest || e.Bytes == 0 {
						t.Errorf("said %+v", e)
					}
				})
				got, err := readBlob(t, r, s.desc, 0)
				if err != nil || !bytes.Equal(got, s.data) {
					t.Fatalf("%d bytes, %v", len(got), err)
				}
				if line.Cuts() < 2 {
					t.Errorf("only %d cuts", line.Cuts())
				}
				const header = 1 << 10 // of each answer
				most := (line.Cuts() + 1) * header
				if resets { // has the client's own kernel throw away what was not read yet
					most += line.Cuts() * every / 2
				}
				if again := line.Sent() - int64(len(s.data)); again > most {
					t.Errorf("%d bytes were sent again after %d cuts", again, line.Cuts())
				}
				for try := range tries {
					if try > 3 {
						t.Errorf("took %v tries", tries)
					}
				}
			})
		}
	}
}

// A line that brings nothing any more is given up, with what it last said.
func TestALineThatStaysBrokenIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]testkit.Fault{
		"cut":     {Act: testkit.Cut, Early: true},
		"refused": {Status: http.StatusBadGateway},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShelf(mib)
			front := testkit.NewFront(t, s)
			front.Script(testkit.On("GET", "/v2/"), testkit.Fault{Act: testkit.Reset, At: 1000})
			front.Always(testkit.On("GET", "/v2/"), fault)
			var waits []time.Duration
			r := plain(t, strings.TrimPrefix(front.Serve(t).URL, "http://"), patience).Watched(func(e transfer.Event) { waits = append(waits, e.Wait) })
			got, err := readBlob(t, r, s.desc, 0)
			if err == nil || len(got) >= 1001 {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			if len(waits) != 5 { // the first brought something
				t.Errorf("paused %v", waits)
			}
			holdPauses(t, waits)
		})
	}
}

// What ends the reading of a blob at once: answers that are no better the next time.
func TestWhatIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		next   testkit.Fault
		offset bool
		status int
	}{
		"gone":              {next: testkit.Fault{Status: http.StatusNotFound}, status: 404},
		"denied":            {next: testkit.Fault{Status: http.StatusForbidden}, status: 403},
		"another part":      {next: testkit.Fault{Header: http.Header{"Content-Range": {"bytes 5-9/10"}}}, offset: true},
		"no such part":      {next: testkit.Fault{Status: http.StatusRequestedRangeNotSatisfiable}, offset: true},
		"of something else": {next: testkit.Fault{Header: http.Header{"Etag": {`"other"`}}}, offset: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShelf(mib)
			s.tag.Store(`"one"`)
			front := testkit.NewFront(t, s)
			front.Script(testkit.On("GET", "/v2/"), testkit.Fault{Act: testkit.Reset, At: 100_000}, test.next)
			r := plain(t, strings.TrimPrefix(front.Serve(t).URL, "http://"), patience)
			_, err := readBlob(t, r, s.desc, 0)
			refused, _ := errors.AsType[*registry.Error](err)
			if errors.Is(err, transfer.ErrOffset) != test.offset || (refused != nil) != (test.status != 0) || refused != nil && refused.Status != test.status {
				t.Errorf("got %v", err)
			}
			if n := len(front.Seen(nil)); n != 2 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// Weak tags say nothing.
func TestEntityTagsThatSayNothing(t *testing.T) {
	t.Parallel()
	s := newShelf(mib)
	front := testkit.NewFront(t, s)
	front.Script(testkit.On("GET", "/v2/"),
		testkit.Fault{Act: testkit.Reset, At: 300_000, Header: http.Header{"Etag": {`W/"1"`}}},
		testkit.Fault{Act: testkit.Reset, At: 300_000, Header: http.Header{"Etag": {`W/"2"`}}})
	got, err := readBlob(t, plain(t, strings.TrimPrefix(front.Serve(t).URL, "http://"), patience), s.desc, 0)
	if err != nil || !bytes.Equal(got, s.data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// Nor do the tags of two hosts that have the same blob.
func TestEntityTagsOfTwoHosts(t *testing.T) {
	t.Parallel()
	s := newShelf(mib)
	var asked, elsewhere atomic.Int64
	storage := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere.Add(1)
		w.Header().Set("Etag", `"2"`)
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(storage.Close)
	first := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		if asked.Add(1) > 1 {
			http.Redirect(w, r, storage.URL+r.URL.Path, http.StatusTemporaryRedirect)
			return true
		}
		w.Header().Set("Etag", `"1"`)
		w.Header().Set("Content-Length", strconv.Itoa(len(s.data)))
		_, _ = w.Write(s.data[:300_000])
		panic(http.ErrAbortHandler)
	})
	got, err := readBlob(t, first.open(t, "demo/app:1"), s.desc, 0)
	if err != nil || !bytes.Equal(got, s.data) || elsewhere.Load() != 1 {
		t.Errorf("%d bytes, %v, asked for %d times elsewhere", len(got), err, elsewhere.Load())
	}
}

// A peer that is silent in the middle of a blob is left for a new connection.
func TestASilentPeerIsLeft(t *testing.T) {
	t.Parallel()
	s := newShelf(mib)
	front := testkit.NewFront(t, s)
	front.Script(testkit.On("GET", "/v2/"), testkit.Fault{Act: testkit.Stall, At: 300_000}, testkit.Fault{Act: testkit.Stall, At: 300_000})
	start := time.Now()
	got, err := readBlob(t, plain(t, strings.TrimPrefix(front.Serve(t).URL, "http://"), 200*time.Millisecond), s.desc, 0)
	if err != nil || !bytes.Equal(got, s.data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if took := time.Since(start); took < 400*time.Millisecond || took > 5*time.Second {
		t.Errorf("took %s", took)
	}
	if asked := s.asked(); len(asked) != 3 {
		t.Errorf("asked for %q", asked)
	}
}

// A peer that gives a little before each silence is given up, as one that gives
// nothing: each silence takes half a minute.
func TestAPeerThatTricklesIsGivenUp(t *testing.T) {
	t.Parallel()
	s := newShelf(mib)
	front := testkit.NewFront(t, s)
	front.Always(testkit.On("GET", "/v2/"), testkit.Fault{Act: testkit.Stall, At: 1 << 10})
	got, err := readBlob(t, plain(t, strings.TrimPrefix(front.Serve(t).URL, "http://"), 300*time.Millisecond), s.desc, 0)
	if wire.KindOf(err) != wire.Silent {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if n := len(front.Seen(nil)); n != 5 {
		t.Errorf("%d requests", n)
	}
}

// A line that breaks again and again after a few bytes is given up, though each
// try brings some.
func TestALineThatBringsLittleIsGivenUp(t *testing.T) {
	t.Parallel()
	s := newShelf(mib)
	front := testkit.NewFront(t, s)
	front.Always(testkit.On("GET", "/v2/"), testkit.Fault{Act: testkit.Reset, At: 1 << 10})
	got, err := readBlob(t, plain(t, strings.TrimPrefix(front.Serve(t).URL, "http://"), patience), s.desc, 0)
	if wire.KindOf(err) != wire.Unreachable {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if n := len(front.Seen(nil)); n != 40 {
		t.Errorf("%d requests", n)
	}
}

// A server without ranges is read from the start, and what was had is skipped.
func TestABrokenLineToAServerWithoutRanges(t *testing.T) {
	t.Parallel()
	s := newShelf(mib)
	first := true
	server := testkit.NewFront(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(s.data)))
		if first {
			first = false
			_, _ = w.Write(s.data[:600_000])
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(s.data)
	})).Serve(t)
	got, err := readBlob(t, plain(t, strings.TrimPrefix(server.URL, "http://"), patience), s.desc, 0)
	if err != nil || !bytes.Equal(got, s.data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// The end of the context ends a pause.
func TestAPauseEndsWithTheContext(t *testing.T) {
	t.Parallel()
	s := newShelf(mib)
	front := testkit.NewFront(t, s)
	front.Script(testkit.On("GET", "/v2/"), testkit.Fault{Act: testkit.Reset, At: 1000})
	front.Always(testkit.On("GET", "/v2/"), testkit.Fault{Act: testkit.Reset, Early: true})
	img, err := ref.ParseImage(strings.TrimPrefix(front.Serve(t).URL, "http://") + "/demo/app:1")
	if err != nil {
		t.Fatal(err)
	}
	rt := wire.New(wire.Config{Host: img.Host, PlainHTTP: true, Sleep: noSleep})
	t.Cleanup(rt.CloseIdleConnections)
	ctx, cancel := context.WithCancel(t.Context())
	rc, err := registry.Open(img, rt, rt.Base()).Watched(func(transfer.Event) {
		time.AfterFunc(20*time.Millisecond, cancel)
	}).Blob(ctx, s.desc, 0)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := io.Copy(io.Discard, rc); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > 400*time.Millisecond {
		t.Errorf("took %s", took)
	}
	if err := rc.Close(); err != nil {
		t.Error(err)
	}
}

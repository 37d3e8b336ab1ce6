package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

const name = "registry.example:5443/library/app:1"

func put1(tb testing.TB, e *engine.Engine, as string, src transfer.Source) error {
	tb.Helper()
	_, err := transfer.Copy(tb.Context(), src, e.Sink(as), transfer.Options{})
	return err
}

func TestSinkSendsEachFileOnce(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	src := app(t, 1)
	must(t, put1(t, f.open(t, engine.Options{}), name, src))
	for h, data := range src.Content {
		if got := f.files["blobs/sha256/"+h.Hex]; string(got) != string(data) {
			t.Errorf("%s came as %d bytes, not %d", h, len(got), len(data))
		}
	}
	if want := len(src.Content) + 3; len(f.files) != want {
		t.Errorf("%d files came, want %d", len(f.files), want)
	}
	if f.names[name] == "" {
		t.Errorf("the names are %v", f.names)
	}
	if n := src.LeftOpen(); n != 0 {
		t.Errorf("%d readers were left open", n)
	}
}

func TestSinkWithADigestAloneGivesNoName(t *testing.T) {
	t.Parallel()
	for _, keeps := range []bool{false, true} {
		f := newFake(t, keeps)
		src := app(t, 1)
		must(t, put1(t, f.open(t, engine.Options{}), "registry.example/app@"+src.Root.Digest.String(), src))
		if len(f.names) != 0 || len(f.images) != 1 {
			t.Errorf("names %v, %d images", f.names, len(f.images))
		}
	}
}

func TestSinkNamesAnImageGivenWithTagAndDigestByItsTag(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	src := app(t, 1)
	must(t, put1(t, f.open(t, engine.Options{}), name+"@"+src.Root.Digest.String(), src))
	if f.names[name] == "" || len(f.names) != 1 {
		t.Errorf("the names are %v", f.names)
	}
}

func TestSinkSendsIndexesToEnginesThatKeepThem(t *testing.T) {
	t.Parallel()
	index := func() *transfertest.Source {
		c := transfertest.Content{}
		plain := layerTar(t, "f", []byte("x"))
		return &transfertest.Source{
			Root:    c.Index(realImage(t, c, transfertest.Amd64(), plain), realImage(t, c, transfertest.Arm64(), plain)),
			Content: c,
		}
	}
	keeper := newFake(t, true)
	src := index()
	must(t, put1(t, keeper.open(t, engine.Options{}), name, src))
	if keeper.names[name] != src.Root.Digest.String() || keeper.files["manifest.json"] != nil {
		t.Errorf("the names are %v", keeper.names)
	}

	old := newFake(t, false)
	err := put1(t, old.open(t, engine.Options{}), name, index())
	if refused, ok := errors.AsType[*engine.IndexError](err); !ok || refused.Image != name {
		t.Errorf("got %v", err)
	}
	old.wait()
	if len(old.images) != 0 || old.broken != 0 {
		t.Errorf("%d images, %d broken loads", len(old.images), old.broken)
	}
}

// An engine says 200 before it loads anything.
func TestFailedLoadIsAnErrorAndTheNameStaysAsItWas(t *testing.T) {
	t.Parallel()
	answers := map[string]struct {
		status int
		body   string
		want   string
		moves  bool // the engine gives the name away all the same
	}{
		"errorDetail":       {200, `{"stream":"x"}{"errorDetail":{"message":"no space left on device"},"error":"no space left on device"}`, "no space left", false},
		"error alone":       {200, `{"error":"bad"}`, "bad", false},
		"empty error":       {200, `{"errorDetail":{}}`, "without words", false},
		"unpacking":         {200, `{"stream":"Loaded image: x"}` + "\r\n" + `{"stream":"Error unpacking image x: content digest sha256:0: not found"}`, "unpacking", true},
		"error after name":  {200, `{"stream":"Loaded image: x"}{"error":"late"}`, "late", true},
		"says done, is not": {200, `{"stream":"Loaded image: x"}`, "does not have it", false},
		"says nothing":      {200, ``, "does not have it", false},
		"another image":     {200, `{"stream":"Loaded image: x"}`, "stands for", true},
		"garbage":           {200, "\x1b[2Jgarbage", "cannot be read", false},
		"broken off":        {200, `{"stream":"Loa`, "broke off", false},
		"refused":           {500, `{"message":"no room\u001b[2J"}`, `no room\x1b[2J`, false},
		"endless":           {200, `{"stream":"` + strings.Repeat("x", 2<<20) + `"}`, "its answer is too long", false},
	}
	for what, a := range answers {
		for _, before := range []string{"", "sha256:old"} {
			t.Run(fmt.Sprintf("%s, before %q", what, before), func(t *testing.T) {
				t.Parallel()
				f := newFake(t, false)
				if before != "" {
					f.names[name], f.images[before] = before, transfertest.Content{}
				}
				f.instead["/images/load"] = func(w http.ResponseWriter, r *http.Request) bool {
					_, _ = io.Copy(io.Discard, r.Body)
					if a.moves {
						f.mu.Lock()
						f.names[name], f.images["sha256:other"] = "sha256:other", transfertest.Content{}
						f.mu.Unlock()
					}
					w.WriteHeader(a.status)
					_, _ = io.WriteString(w, a.body)
					return true
				}
				err := put1(t, f.open(t, engine.Options{}), name, app(t, 1))
				refused, ok := errors.AsType[*engine.LoadError](err)
				want := a.want
				if before != "" && want == "does not have it" {
					want = "stands for"
				}
				if !ok || !strings.Contains(refused.Error(), want) {
					t.Errorf("got %v", err)
				}
				if f.names[name] != before {
					t.Errorf("the name stands for %q afterwards", f.names[name])
				}
			})
		}
	}
}

func TestEngineThatHangsUpEndsTheTransfer(t *testing.T) {
	t.Parallel()
	for what, answer := range map[string]func(w http.ResponseWriter){
		"with an error": func(w http.ResponseWriter) { refuse(w, http.StatusInternalServerError, "no room") },
		"with a yes":    func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"stream":"Loaded"}`) },
		"without words": func(w http.ResponseWriter) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = c.Close()
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, false)
			f.instead["/images/load"] = func(w http.ResponseWriter, r *http.Request) bool {
				_, _ = io.CopyN(io.Discard, r.Body, 1000)
				answer(w)
				return true
			}
			src := app(t, 1)
			err := put1(t, f.open(t, engine.Options{}), name, src)
			_, refused := errors.AsType[*engine.LoadError](err)
			_, away := errors.AsType[*engine.UnavailableError](err)
			if !refused && !away || strings.Contains(err.Error(), "closed network connection") {
				t.Errorf("got %v", err)
			}
			if n := src.LeftOpen(); n != 0 {
				t.Errorf("%d readers were left open", n)
			}
		})
	}
}

func TestSourceThatFailsLeavesNothingInTheEngine(t *testing.T) {
	t.Parallel()
	gone := errors.New("the source is gone")
	for what, fault := range map[string]func(io.Reader, int64) (io.Reader, error){
		"cannot open": func(io.Reader, int64) (io.Reader, error) { return nil, gone },
		"cut":         func(r io.Reader, n int64) (io.Reader, error) { return transfertest.Cut(r, n/2, gone), nil },
		"wrong byte":  func(r io.Reader, n int64) (io.Reader, error) { return transfertest.Flip(r, n/2), nil },
		"short":       func(r io.Reader, n int64) (io.Reader, error) { return io.LimitReader(r, n-1), nil },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, false)
			e := f.open(t, engine.Options{})
			src := app(t, 1)
			src.Fault = func(d v1.Descriptor, _ int64, r io.Reader) (io.Reader, error) {
				if d.Size < 1<<19 {
					return r, nil
				}
				return fault(r, d.Size)
			}
			err := put1(t, e, name, src)
			_, wrong := errors.AsType[*transfer.DigestError](err)
			if !errors.Is(err, gone) && !wrong {
				t.Errorf("got %v", err)
			}
			f.wait()
			if len(f.images)+len(f.names) != 0 {
				t.Errorf("the engine has %d images and the names %v", len(f.images), f.names)
			}
		})
	}
}

func TestCancelledLoadEnds(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"blob", "answer"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, false)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			f.instead["/images/load"] = func(_ http.ResponseWriter, r *http.Request) bool {
				if at == "answer" {
					_, _ = io.Copy(io.Discard, r.Body)
				}
				cancel()
				return f.stall(nil, nil)
			}
			_, err := transfer.Copy(ctx, app(t, 1), f.open(t, engine.Options{}).Sink(name), transfer.Options{})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestEngineThatStallsIsGivenUp(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/images/load", "/images/get", "/images/" + name + "/json", "/info"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, false)
			must(t, put1(t, f.open(t, engine.Options{}), name, app(t, 1)))
			e := f.open(t, engine.Options{Silence: 100 * time.Millisecond, Watch: 20 * time.Millisecond})
			_, err := e.Platform(t.Context()) // settles the API version
			must(t, err)
			f.instead["/_ping"], f.instead[path] = f.stall, f.stall
			if path == "/images/load" {
				err = put1(t, e, name, app(t, 2))
			} else {
				s := e.Source(name)
				_, err = s.Resolve(t.Context())
				must(t, s.Close())
			}
			if away, ok := errors.AsType[*engine.UnavailableError](err); !ok || away.Host != f.host {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A busy engine may be silent for long, as long as it answers pings.
func TestSlowEngineIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	pings := make(chan struct{}, 100)
	f.instead["/_ping"] = func(http.ResponseWriter, *http.Request) bool {
		select {
		case pings <- struct{}{}:
		default:
		}
		return false
	}
	f.instead["/images/load"] = func(http.ResponseWriter, *http.Request) bool {
		for range 5 {
			select {
			case <-pings:
			case <-f.done:
			}
		}
		return false
	}
	must(t, put1(t, f.open(t, engine.Options{Watch: 10 * time.Millisecond}), name, app(t, 1)))
}

func TestSinkKeepsNothingOfABlobInMemory(t *testing.T) { //nolint:paralleltest // it measures the memory of the process
	f := newFake(t, false)
	f.instead["/images/load"] = func(_ http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		return true
	}
	const size = 64 << 20
	s := f.open(t, engine.Options{}).Sink(name)
	defer s.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d := v1.Descriptor{MediaType: types.OCILayer, Size: size, Digest: transfertest.DescriptorOf("sha256", "", nil).Digest}
	n, err := s.PutBlob(t.Context(), d, func(context.Context, int64) (io.ReadCloser, error) {
		return io.NopCloser(io.LimitReader(zeros{}, size)), nil
	})
	must(t, err)
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; n != size || used > size/2 {
		t.Errorf("%d bytes of memory for a blob of %d (%d taken)", used, size, n)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestClosedSinkTakesNothing(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	s := f.open(t, engine.Options{}).Sink(name)
	must(t, s.Close())
	must(t, s.Close())
	if err := s.Commit(t.Context(), v1.Descriptor{}, nil); err == nil {
		t.Error("it committed")
	}
	if slices.ContainsFunc(f.calls, func(c string) bool { return strings.Contains(c, "load") }) {
		t.Errorf("the calls were %v", f.calls)
	}
}

package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vicr-cli/vicr/internal/testkit"
)

func wantTimeout(t *testing.T, err error, phase string) {
	t.Helper()
	wantKind(t, err, Silent)
	timeout, ok := errors.AsType[*TimeoutError](err)
	if !ok || timeout.Phase != phase || !timeout.Timeout() {
		t.Errorf("error %v, want a timeout of %q", err, phase)
	}
}

// short makes a transport that waits long enough for a busy machine to shake
// hands, and no longer.
func short(c *Config) { c.Silence = 800 * time.Millisecond }

func TestF5SilenceEndsARequestAtEveryStage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mute := testkit.NewEvil(t, "", testkit.Swallow)
	tr := w.transport(t, short, func(c *Config) { c.Host = hostOf(t, mute.Addr()) })
	wantTimeout(t, get(t, tr, tr.Base().String()+"/v2/").err, phaseHandshake)

	deaf := testkit.NewEvilTLS(t, "", w.cert, testkit.Swallow)
	tr = w.transport(t, short, func(c *Config) { c.Host = hostOf(t, deaf.Addr()) })
	wantTimeout(t, get(t, tr, tr.Base().String()+"/v2/").err, phaseHeaders)

	w.front.Always(testkit.On("", "/stalled"), testkit.Fault{Act: testkit.Stall, At: 5})
	a := get(t, w.transport(t, short), w.server.URL+"/stalled")
	wantTimeout(t, a.err, phaseBody)
	if a.body != "GET /" {
		t.Errorf("body %q", a.body)
	}
}

func TestAServerThatDripsItsHeaderIsSilent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stop := make(chan struct{})
	defer close(stop)
	drip := testkit.NewEvilTLS(t, "", w.cert, func(c net.Conn, _ []byte) bool {
		for _, b := range []byte("HTTP/1.1 200 OK\r\nX-Slow: " + strings.Repeat("z", 10000)) {
			if _, err := c.Write([]byte{b}); err != nil {
				return false
			}
			select {
			case <-stop:
				return false
			case <-time.After(10 * time.Millisecond):
			}
		}
		return false
	})
	tr := w.transport(t, short, func(c *Config) { c.Host = hostOf(t, drip.Addr()) })
	wantTimeout(t, get(t, tr, tr.Base().String()+"/v2/").err, phaseHeaders)
}

func TestAHeaderWithoutEndIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := testkit.NewEvilTLS(t, "", w.cert, testkit.Reply("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("z", 4*maxHeaderBytes)+"\r\n\r\n"))
	tr := w.transport(t, func(c *Config) { c.Host = hostOf(t, long.Addr()) })
	wantKind(t, get(t, tr, tr.Base().String()+"/v2/").err, BadAnswer)
}

func TestAPeerThatDoesNotReadAnUploadIsSilent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stop := make(chan struct{})
	plug := testkit.NewEvilTLS(t, "", w.cert, func(net.Conn, []byte) bool { <-stop; return false })
	defer close(stop)
	tr := w.transport(t, short, func(c *Config) { c.Host = hostOf(t, plug.Addr()) })
	req := request(t, "PUT", tr.Base().String()+"/v2/", "")
	req.Body, req.ContentLength = io.NopCloser(zeros{}), 1<<40
	wantTimeout(t, do(tr, req).err, phaseRequest)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestTheContextEndsAReadThatWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.front.Always(testkit.On("", "/"), testkit.Fault{Act: testkit.Stall, At: 3})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	resp, err := w.transport(t).RoundTrip(request(t, "GET", w.server.URL+"/", "").WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.ReadFull(resp.Body, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) || KindOf(err) != "" {
		t.Errorf("error %v", err)
	}
}

func TestTheContextEndsARequestThatWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	arrived := func(*http.Request) bool { cancel(); return true }
	w.front.Always(arrived, testkit.Fault{Early: true, Act: testkit.Stall})
	a := do(w.transport(t), request(t, "GET", w.server.URL+"/", "").WithContext(ctx))
	if !errors.Is(a.err, context.Canceled) || KindOf(a.err) != "" {
		t.Errorf("error %v", a.err)
	}
	if n := len(w.front.Seen(nil)); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestABodyThatIsCutSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.front.Script(testkit.On("", "/"), testkit.Fault{Act: testkit.Cut, At: 4}, testkit.Fault{Act: testkit.Reset, At: 4})
	for range 2 {
		a := get(t, w.transport(t), w.server.URL+"/path")
		wantKind(t, a.err, Unreachable)
	}
}

// newTestBody is a body over r with no request but ctx.
func newTestBody(ctx context.Context, t *testing.T, r io.ReadCloser) *body {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://reg.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	attempt, cancel := context.WithCancelCause(ctx)
	// As net/http does: the end of the attempt fails the read under way.
	if p, ok := r.(*io.PipeReader); ok {
		context.AfterFunc(attempt, func() { _ = p.CloseWithError(io.ErrClosedPipe) })
	}
	return newBody(r, &hop{req: req}, attempt, cancel, DefaultSilence)
}

func TestABodyMayBeSlowButMustMove(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		chunk int
		every time.Duration
		ok    bool
	}{
		{"1 KiB in 29 s", minProgress, 29 * time.Second, true},
		{"1 KiB in 31 s", minProgress, 31 * time.Second, false},
		{"1 byte a second", 1, time.Second, false},
		{"100 bytes a second", 100, time.Second, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, w := io.Pipe()
				b := newTestBody(t.Context(), t, r)
				var writer sync.WaitGroup
				writer.Go(func() {
					for range 100 {
						time.Sleep(tt.every)
						if _, err := w.Write(make([]byte, tt.chunk)); err != nil {
							return
						}
					}
					_ = w.Close()
				})
				n, err := io.Copy(io.Discard, b)
				if tt.ok && (err != nil || n != int64(100*tt.chunk)) {
					t.Errorf("%d bytes, %v", n, err)
				}
				if !tt.ok {
					wantTimeout(t, err, phaseBody)
				}
				_ = b.Close()
				_ = r.Close()
				writer.Wait()
			})
		})
	}
}

func TestASlowReaderIsNotTheServersFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		b := newTestBody(t.Context(), t, r)
		var writer sync.WaitGroup
		writer.Go(func() { _, _ = w.Write([]byte("abc")); _ = w.Close() })
		defer writer.Wait()
		for range 3 {
			time.Sleep(time.Hour)
			if _, err := b.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Read(make([]byte, 1)); err != io.EOF { //nolint:errorlint // a reader's end is this very value
			t.Error(err)
		}
		_ = b.Close()
	})
}

func TestReadAllTakesTheLimitAndNotAByteMore(t *testing.T) {
	t.Parallel()
	for size, ok := range map[int]bool{0: true, 9: true, 10: true, 11: false, 1000: false} {
		got, err := ReadAll(strings.NewReader(strings.Repeat("x", size)), 10)
		if ok && (err != nil || len(got) != size) {
			t.Errorf("%d bytes: %d, %v", size, len(got), err)
		}
		if !ok {
			wantKind(t, err, TooLarge)
		}
	}
	if _, err := ReadAll(zeros{}, MaxToken); KindOf(err) != TooLarge {
		t.Errorf("an endless answer: %v", err)
	}
}

package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/vicr-cli/vicr/internal/testkit"
)

func times(n int, f testkit.Fault) []testkit.Fault {
	faults := make([]testkit.Fault, n)
	for i := range faults {
		faults[i] = f
	}
	return faults
}

func TestWhatMayPassIsTriedFiveTimes(t *testing.T) {
	t.Parallel()
	broken := map[string]testkit.Fault{
		"cut":   {Early: true, Act: testkit.Cut},
		"reset": {Early: true, Act: testkit.Reset},
	}
	for _, status := range []int{408, 429, 500, 502, 503, 504} {
		broken[http.StatusText(status)] = testkit.Fault{Status: status, Body: "not now"}
	}
	for name, fault := range broken {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, method := range []string{"GET", "HEAD"} {
				w := newWorld(t)
				slept := &naps{}
				tr := w.transport(t, func(c *Config) { c.Sleep = slept.sleep })
				w.front.Script(testkit.On(method, "/four"), times(MaxTries-1, fault)...)
				if a := do(tr, request(t, method, w.server.URL+"/four", "")); a.err != nil || a.status != 200 {
					t.Errorf("%s after four failures: %+v", method, a)
				}
				if n := len(slept.taken()); n != MaxTries-1 {
					t.Errorf("%s: slept %d times", method, n)
				}
				w.front.Always(testkit.On(method, "/ever"), fault)
				tr = w.transport(t) // net/http itself repeats what fails on a connection that was used before
				a := do(tr, request(t, method, w.server.URL+"/ever", ""))
				switch {
				case fault.Early:
					wantKind(t, a.err, Unreachable)
				case fault.Status == 429:
					wantKind(t, a.err, RateLimited)
				case a.err != nil || a.status != fault.Status:
					t.Errorf("%s: the last answer was not returned: %+v", method, a)
				}
				if n := len(w.front.Seen(testkit.On(method, "/ever"))); n != MaxTries {
					t.Errorf("%s: %d requests", method, n)
				}
			}
		})
	}
}

func TestWhatWillNotPassIsTriedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tr := w.transport(t)
	for _, status := range []int{400, 401, 403, 404, 416, 501} {
		w.front.Script(testkit.On("", "/x"), testkit.Fault{Status: status, Body: "why"})
		if a := get(t, tr, w.server.URL+"/x"); a.err != nil || a.status != status || a.body != "why" {
			t.Errorf("%d: %+v", status, a)
		}
	}
	if n := len(w.front.Seen(nil)); n != 6 {
		t.Errorf("%d requests", n)
	}
}

func TestWritesAreRepeatedOnlyWhenTheServerSaysThatItDidNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		fault   testkit.Fault
		rewinds bool
		want    int // requests
	}{
		{"503 and a body that can be sent again", testkit.Fault{Status: 503}, true, 2},
		{"429 and a body that can be sent again", testkit.Fault{Status: 429}, true, 2},
		{"503 and a body that cannot", testkit.Fault{Status: 503}, false, 1},
		{"500", testkit.Fault{Status: 500}, true, 1},
		{"502", testkit.Fault{Status: 502}, true, 1},
		{"a broken connection", testkit.Fault{Early: true, Act: testkit.Reset}, true, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
				w := newWorld(t)
				w.front.Script(testkit.On(method, "/"), tt.fault)
				req := request(t, method, w.server.URL+"/u", "body")
				if !tt.rewinds {
					req.GetBody = nil
				}
				a := do(w.transport(t), req)
				if n := len(w.front.Seen(nil)); n != tt.want {
					t.Errorf("%s: %d requests, want %d", method, n, tt.want)
				}
				if tt.want > 1 && a.body != method+" /u body" {
					t.Errorf("%s: the body did not come whole: %+v", method, a)
				}
			}
		})
	}
}

func TestAWriteThatWasNeverSentIsRepeated(t *testing.T) {
	t.Parallel()
	var conns atomic.Int32
	w := newWorld(t)
	tr := w.transport(t)
	gate := testkit.NewEvil(t, "", testkit.ResetTLS("")) // resets the handshake
	direct := tr.dial
	tr.dial = func(ctx context.Context, network, address string, control controlFunc) (net.Conn, error) {
		if conns.Add(1) < 3 {
			address = gate.Addr()
		}
		return direct(ctx, network, address, control)
	}
	a := do(tr, request(t, "POST", w.server.URL+"/u", "body"))
	if a.err != nil || a.body != "POST /u body" {
		t.Errorf("%+v", a)
	}
	if n := conns.Load(); n != 3 {
		t.Errorf("%d connections", n)
	}
}

func TestAWriteThatWasNeverSentAndCannotBeSentAgainIsTriedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gate := testkit.NewEvil(t, "", testkit.ResetTLS("")) // resets the handshake
	tr := w.transport(t, func(c *Config) { c.Host = hostOf(t, gate.Addr()) })
	req := request(t, "POST", tr.Base().String()+"/u", "body")
	req.GetBody = nil
	wantKind(t, do(tr, req).err, Unreachable)
	if n := gate.Opened(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// On a connection that was used before net/http would see to that.
func TestABodyIsSentAgainFromItsBeginningOnAnotherConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.front.Script(testkit.On("PUT", "/"), testkit.Fault{Status: 503, Header: http.Header{"Connection": {"close"}}})
	if a := do(w.transport(t), request(t, "PUT", w.server.URL+"/u", "body")); a.err != nil || a.body != "PUT /u body" {
		t.Errorf("%+v", a)
	}
}

func TestTheTriesAreSharedByAllHopsOfARequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.front.Always(testkit.On("", "/end"), testkit.Fault{Status: 503})
	w.front.Script(testkit.On("", "/a"), testkit.Fault{Status: 503}, moved(307, "/end"))
	if a := get(t, w.transport(t), w.server.URL+"/a"); a.err != nil || a.status != 503 {
		t.Errorf("%+v", a)
	}
	if n := len(w.front.Seen(nil)); n != MaxTries {
		t.Errorf("%d requests", n)
	}
}

// F5 of the reference: go-containerregistry ignored Retry-After: 7.
func TestF5RetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		value string
		want  time.Duration // 0: an ordinary back-off
		fails bool
	}{
		{"2", 2 * time.Second, false},
		{"120", 120 * time.Second, false},
		{"Mon, 23 Nov 2026 12:00:07 GMT", 7 * time.Second, false},
		{"Mon, 23 Nov 2026 11:00:00 GMT", 0, false},
		{"0", 0, false},
		{"-1", 0, false},
		{"soon", 0, false},
		{"1.5", 0, false},
		{"121", 0, true},
		{"86400", 0, true},
		{"99999999999999999999999", 0, true},
		{"Tue, 24 Nov 2026 12:00:00 GMT", 0, true},
	} {
		for _, status := range []int{429, 503} {
			w := newWorld(t)
			slept := &naps{}
			var told []Wait
			tr := w.transport(t, func(c *Config) {
				c.Sleep, c.Now = slept.sleep, func() time.Time { return now }
				c.Waiting = func(w Wait) { told = append(told, w) }
			})
			w.front.Script(testkit.On("", "/"), testkit.Fault{Status: status, Header: http.Header{"Retry-After": {tt.value}}, Body: "slow\x1b down"})
			a := get(t, tr, w.server.URL+"/")
			if tt.fails {
				checkRate(t, a.err, status, now)
				if n := slept.taken(); len(n) != 0 {
					t.Errorf("%s: slept %v", tt.value, n)
				}
				continue
			}
			long := tt.want > 2*time.Second
			if len(told) == 1 != long || long && (told[0].Status != status || told[0].For != tt.want || !strings.HasSuffix(w.server.URL, told[0].Host)) {
				t.Errorf("%s: told %+v", tt.value, told)
			}
			n := slept.taken()
			if a.err != nil || len(n) != 1 {
				t.Errorf("%s: slept %v, %v", tt.value, n, a.err)
			} else if tt.want > 0 && n[0] != tt.want || n[0] <= 0 {
				t.Errorf("%s: slept %s, want %s", tt.value, n[0], tt.want)
			}
		}
	}
}

func checkRate(t *testing.T, err error, status int, now time.Time) {
	t.Helper()
	wantKind(t, err, RateLimited)
	rate, ok := errors.AsType[*RateError](err)
	if !ok {
		t.Errorf("error %v holds no RateError", err)
		return
	}
	if rate.Status != status || rate.After <= MaxRetryAfter || rate.After < longestAfter && !rate.At.Equal(now.Add(rate.After)) || rate.Message != "slow\x1b down" {
		t.Errorf("%+v", rate)
	}
	if strings.Contains(err.Error(), "\x1b") || !strings.Contains(err.Error(), "slow") {
		t.Errorf("error %q", err)
	}
}

func TestBackOffEndsWithTheContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.front.Always(testkit.On("", "/"), testkit.Fault{Status: 503, Header: http.Header{"Retry-After": {"100"}}})
	ctx, cancel := context.WithCancel(t.Context())
	tr := w.transport(t, func(c *Config) {
		c.Sleep = func(ctx context.Context, d time.Duration) error {
			cancel()
			return Sleep(ctx, d)
		}
	})
	a := do(tr, request(t, "GET", w.server.URL+"/", "").WithContext(ctx))
	if !errors.Is(a.err, context.Canceled) {
		t.Errorf("error %v", a.err)
	}
	if n := len(w.front.Seen(nil)); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestSleepEndsOnTimeOrWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := Sleep(t.Context(), time.Hour); err != nil || time.Since(start) != time.Hour {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if err := Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

func TestBackOffGrowsFromAFifthOfASecondToFiveSeconds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 1000).Draw(t, "try")
		full := maxBackoff
		if n < 6 {
			full = minBackoff << (n - 1)
		}
		full = min(full, maxBackoff)
		if got := backoff(n); got < full/2 || got > full {
			t.Fatalf("%s after try %d, want %s to %s", got, n, full/2, full)
		}
	})
}

func TestRetryAfterIsNeverNegative(t *testing.T) {
	t.Parallel()
	now := time.Now()
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.String(), rapid.StringMatching(`-?[0-9]{1,30}`)).Draw(t, "value")
		if got := retryAfter(value, now); got < 0 || got > longestAfter {
			t.Fatalf("%q: %s", value, got)
		}
	})
}

// However long a server asks to wait, the words can be read.
func TestAWaitInWords(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]string{
		"3600":                          "1h0m0s",
		"999999":                        "12 days",
		"9999999999":                    "a year or more",
		"99999999999999999999999999":    "a year or more",
		"Fri, 31 Dec 9999 23:59:59 GMT": "a year or more",
	} {
		e := &RateError{Status: 429, After: retryAfter(value, now)}
		if got := e.Wait(); got != want || !strings.Contains(e.Error(), want) || strings.Contains(e.Error(), "0001-") {
			t.Errorf("%s: %q, %v", value, got, e)
		}
	}
}

func TestARefusalInClearSaysSo(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{true, false} { // nobody listens there
		tr := closing(t, New(Config{Host: hostOf(t, "127.0.0.1:1"), PlainHTTP: plain}))
		err := get(t, tr, tr.Base().String()+"/v2/").err
		if e, ok := errors.AsType[*Error](err); !ok || e.Plain != plain {
			t.Errorf("plain %t: %v", plain, err)
		}
	}
}

func TestTheBodyOfARefusedRequestIsClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := &closeWatch{Reader: strings.NewReader("x")}
	req := request(t, "PUT", "http://store.example/", "")
	req.Body = body
	wantKind(t, do(w.transport(t), req).err, Policy)
	if !body.closed {
		t.Error("left open")
	}
}

type closeWatch struct {
	io.Reader
	closed bool
}

func (c *closeWatch) Close() error { c.closed = true; return nil }

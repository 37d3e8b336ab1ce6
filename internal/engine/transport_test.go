package engine_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// hangUp answers a call with these bytes, and ends the connection in mid-answer.
func hangUp(t *testing.T, begun string) func(http.ResponseWriter, *http.Request) bool {
	t.Helper()
	return func(w http.ResponseWriter, _ *http.Request) bool {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return true
		}
		_, _ = io.WriteString(c, begun)
		_ = c.Close()
		return true
	}
}

// An engine that ends in mid-call has said nothing: whatever was heard last is no
// word of its own.
func TestAnEngineThatEndsInMidCall(t *testing.T) {
	t.Parallel()
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
	for what, begun := range map[string]string{
		"before it answers": "",
		"in a message":      head + "a\r\n" + `{"status":` + "\r\n",
		"between messages":  head + "10\r\n" + `{"status":"Pul"}` + "\r\n",
	} {
		for _, call := range []string{"pull", "push", "version"} {
			t.Run(call+" "+what, func(t *testing.T) {
				t.Parallel()
				r, src := newRig(t), inIndex(t)
				var err error
				switch call {
				case "pull":
					r.instead["/images/create"] = hangUp(t, begun)
					_, err = r.pull(t, src, nil)
				case "push":
					_, err = r.pull(t, src, nil)
					must(t, err)
					r.instead["push"] = hangUp(t, begun)
					_, err = r.relay.Push(t.Context(), parse(t, relayed), &remote{Source: &transfertest.Source{Content: transfertest.Content{}}}, nil, nil, nil)
				case "version":
					r.instead["/version"] = hangUp(t, begun)
					if strings.HasSuffix(begun, "}\r\n") {
						return // that is a whole answer
					}
					_, err = r.engine.Platform(t.Context())
				}
				if _, ok := errors.AsType[*engine.UnavailableError](err); !ok || !strings.HasSuffix(err.Error(), ": it broke off the connection") {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

// What an engine may make us hold in memory is bounded.
func TestAnAnswerWithoutEnd(t *testing.T) {
	t.Parallel()
	const most = 48 << 20 // bytes: what is allowed, and what lies in between
	for path, ask := range map[string]func(*testing.T, *engine.Engine) error{
		"/version": func(t *testing.T, e *engine.Engine) error {
			t.Helper()
			_, err := e.Platform(t.Context())
			return err
		},
		"/info": func(t *testing.T, e *engine.Engine) error {
			t.Helper()
			_, err := e.Info(t.Context())
			return err
		},
		"/images/demo:1/json": func(t *testing.T, e *engine.Engine) error {
			t.Helper()
			_, err := e.Has(t.Context(), "demo:1")
			return err
		},
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, false)
			var sent atomic.Int64
			f.instead[path] = func(w http.ResponseWriter, r *http.Request) bool {
				piece := bytes.Repeat([]byte("x"), 1<<20)
				_, err := io.WriteString(w, `{"Id":"`)
				for err == nil && sent.Load() < 2*most && r.Context().Err() == nil {
					var n int
					n, err = w.Write(piece)
					sent.Add(int64(n))
				}
				return true
			}
			want := ": its answer is too long"
			if path == "/info" { // the client library does not tell why
				want = ": its answer cannot be read"
			}
			err := ask(t, f.open(t, engine.Options{}))
			if _, ok := errors.AsType[*engine.UnavailableError](err); !ok || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("got %v", err)
			}
			if sent.Load() > most {
				t.Errorf("it took %d bytes", sent.Load())
			}
		})
	}
	f := newFake(t, false)
	f.instead["/version"] = func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = io.WriteString(w, `<html>`)
		return true
	}
	if _, err := f.open(t, engine.Options{}).Platform(t.Context()); err == nil || !strings.HasSuffix(err.Error(), ": its answer cannot be read") {
		t.Errorf("got %v", err)
	}
}

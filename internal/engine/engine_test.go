package engine_test

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/transfer"
)

func TestPingSaysWhatTheEngineIs(t *testing.T) {
	t.Parallel()
	e := newFake(t, false).open(t, engine.Options{})
	info, err := e.Ping(t.Context())
	if err != nil || info != (engine.Pong{APIVersion: "1.41", OS: "linux"}) {
		t.Errorf("got %+v (%v)", info, err)
	}
	p, err := e.Platform(t.Context())
	if err != nil || p.String() != "linux/amd64" {
		t.Errorf("got %s (%v)", p, err)
	}
}

// speaker answers each connection with the same bytes, whatever it is asked.
func speaker(t *testing.T, answer string) (host string) {
	t.Helper()
	l := listen(t)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, answer)
			if answer != "" {
				_ = c.Close()
			} else {
				t.Cleanup(func() { _ = c.Close() })
			}
		}
	}()
	return "unix://" + l.Addr().String()
}

func TestPingNamesTheHostThatDoesNotAnswerAsAnEngine(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	closed := listen(t)
	must(t, closed.Close())
	answering := func(header, body string, status int) string {
		return "unix://" + serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Api-Version", header)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})).Listener.Addr().String()
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, tcp.Close())
	for what, test := range map[string]struct{ host, want string }{
		"a file":               {"unix://" + file, ": nobody answers there"},
		"nothing":              {"unix://" + file + ".none", ": there is no such socket"},
		"nobody":               {"unix://" + closed.Addr().String(), ": there is no such socket"},
		"closed port":          {"tcp://" + tcp.Addr().String(), ": nobody answers there"},
		"garbage":              {speaker(t, "\x1b[2Jgarbage\r\n\r\n"), ""},
		"hangs up":             {speaker(t, "\n"), ""},
		"ends at once":         {speaker(t, "HTTP/1.1 200 OK\r\n"), ": it broke off the connection"},
		"silence":              {speaker(t, ""), "silent for 300ms"},
		"endless header":       {speaker(t, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 11<<20)), ""},
		"another server":       {answering("", "hello", 200), "does not speak the Docker API"},
		"refusal":              {answering("1.41", "go away\x1b[2J", 403), `go away\x1b[2J`},
		"old API":              {answering("1.24", "OK", 200), "1.24"},
		"version that is none": {answering("x", "OK", 200), ""},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			e, err := engine.Open(test.host, engine.Options{Configured: true, Silence: 300 * time.Millisecond})
			must(t, err)
			t.Cleanup(func() { must(t, e.Close()) })
			begin := time.Now()
			_, err = e.Ping(t.Context())
			away, ok := errors.AsType[*engine.UnavailableError](err)
			if !ok || away.Host != test.host || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
			if strings.ContainsRune(err.Error(), 0x1b) {
				t.Errorf("%q holds what the other side sent", err)
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestAbsentSocketThatNobodyNamedIsNoEngine(t *testing.T) {
	t.Parallel()
	e, err := engine.Open("unix://"+filepath.Join(t.TempDir(), "s"), engine.Options{})
	must(t, err)
	if _, err := e.Ping(t.Context()); !errors.Is(err, engine.ErrNoEngine) {
		t.Errorf("got %v", err)
	}
	file := filepath.Join(t.TempDir(), "s")
	must(t, os.WriteFile(file, nil, 0o600))
	e, err = engine.Open("unix://"+file, engine.Options{})
	must(t, err)
	if _, err := e.Ping(t.Context()); errors.Is(err, engine.ErrNoEngine) || err == nil {
		t.Errorf("a socket that is there and refuses: %v", err)
	}
}

func TestOpenRefusesHostsThatItCannotReach(t *testing.T) {
	t.Parallel()
	for _, host := range []string{
		"/var/run/docker.sock", "unix://", "tcp://", "ssh://me@host", "fd://", "http://x", "npipe:////./pipe/docker_engine",
		"unix://" + strings.Repeat("x", 200), "tcp://%zz", "\x1b[2J://x",
	} {
		e, err := engine.Open(host, engine.Options{})
		if away, ok := errors.AsType[*engine.UnavailableError](err); !ok || away.Host != host || e != nil {
			t.Errorf("%q: %v", host, err)
		}
		if err != nil && strings.ContainsRune(err.Error(), 0x1b) {
			t.Errorf("%q is raw in the error", host)
		}
	}
}

func TestEngineBehindTLS(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(newFake(t, false))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the test provokes a handshake error
	s.StartTLS()
	t.Cleanup(s.Close)
	host := "tcp://" + s.Listener.Addr().String()
	e, err := engine.Open(host, engine.Options{Configured: true, TLS: s.Client().Transport.(*http.Transport).TLSClientConfig})
	must(t, err)
	t.Cleanup(func() { must(t, e.Close()) })
	if _, err := e.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	clear, err := engine.Open(host, engine.Options{Configured: true})
	must(t, err)
	t.Cleanup(func() { must(t, clear.Close()) })
	if _, err := clear.Ping(t.Context()); err == nil {
		t.Error("an engine behind TLS answered in clear")
	}
}

func TestTag(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	e := f.open(t, engine.Options{})
	must(t, put1(t, e, name, app(t, 1)))
	must(t, e.Tag(t.Context(), name, "registry.example:5443/demo/app:1", "registry.example:5443/demo/app:2"))
	if id := f.names[name]; f.names["registry.example:5443/demo/app:1"] != id || f.names["registry.example:5443/demo/app:2"] != id {
		t.Errorf("the names are %v", f.names)
	}
	if err := e.Tag(t.Context(), "registry.example/none:1", name); !errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	for img, want := range map[string]bool{name: true, "registry.example/none:1": false} {
		if has, err := e.Has(t.Context(), img); has != want || err != nil {
			t.Errorf("has %s: %t (%v)", img, has, err)
		}
	}
	f.instead["/images/"+name+"/tag"] = func(w http.ResponseWriter, _ *http.Request) bool {
		refuse(w, http.StatusInternalServerError, "\x1b[2J")
		return true
	}
	err := e.Tag(t.Context(), name, "registry.example/x:1")
	if words, ok := errors.AsType[*engine.ResponseError](err); !ok || words.Message != "\x1b[2J" || strings.ContainsRune(err.Error(), 0x1b) {
		t.Errorf("got %q", err)
	}
}

// Package relay is a registry on loopback for one call of one engine: it passes
// on to the real registry, over whatever it is handed, what that call needs of
// one repository and nothing else. The engine needs no trust in the real
// registry for that: engines speak plain HTTP to 127.0.0.0/8.
package relay

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	headerTimeout  = 10 * time.Second // for the engine to say what it asks for
	maxHeaderBytes = 64 << 10
	// user is what the engine calls itself to the relay.
	user = "vicr"
)

// A Relay listens on a port of 127.0.0.1 from [Listen] to Close. To everybody
// without its password it answers 401 and nothing else; to the engine too until
// [Relay.Pull] or [Relay.Push].
type Relay struct {
	listener net.Listener
	server   *http.Server
	password [sha256.Size]byte // hashed: of one length whatever is compared
	plain    string
	nonce    string

	ctx    context.Context // of all that is asked upstream
	cancel context.CancelFunc
	served sync.WaitGroup

	mu       sync.Mutex
	requests requests // nil: nothing is passed on yet
	closed   bool
	heard    chan struct{}
	deaf     sync.Once
	err      error // the first of what went wrong upstream
	failed   func(error)
}

// requests answer what one call of the engine may ask of its one repository.
// path is what follows /v2/REPOSITORY/.
type requests interface {
	repository() string
	serve(w http.ResponseWriter, r *http.Request, path string)
	end()
}

// Listen opens a relay on a free port. Errors are those of the network.
func Listen(ctx context.Context) (*Relay, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Relay{listener: l, plain: secret(), nonce: secret(), heard: make(chan struct{})}
	s.password = sha256.Sum256([]byte(s.plain))
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.server = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, 0), // engines try TLS first
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
	}
	s.served.Go(func() { _ = s.server.Serve(l) }) // ends with Close
	return s, nil
}

// secret is 128 bits that fit in the name of a repository.
func secret() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // crypto/rand never fails
	return hex.EncodeToString(b)
}

// Addr is what an image reference to the relay begins with, 127.0.0.1:PORT.
func (s *Relay) Addr() string { return s.listener.Addr().String() }

// User and Password are what the engine shows to the relay. They are good until
// Close and for nothing else.
func (s *Relay) User() string { return user }

// Password is that of [Relay.User].
func (s *Relay) Password() string { return s.plain }

// Nonce is the name of a repository that nobody else can guess. Heard is closed
// once somebody asked for it: who was told the nonce shares this network.
func (s *Relay) Nonce() (repository string, heard <-chan struct{}) { return s.nonce, s.heard }

// Close ends what is under way and waits for it.
func (s *Relay) Close() error {
	s.cancel()
	err := s.server.Close()
	s.mu.Lock()
	r := s.requests
	s.closed = true
	s.mu.Unlock()
	if r != nil {
		r.end()
	}
	s.served.Wait()
	return err
}

// Err is the first error of the real registry: the engine tells it in words of
// its own.
func (s *Relay) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// OnFailure has failed called with what [Relay.Err] then returns. It is called
// before [Relay.Pull] or [Relay.Push].
func (s *Relay) OnFailure(failed func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = failed
}

// fail keeps the first error, unless it only says that the relay is closed or
// that the engine went away.
func (s *Relay) fail(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil || s.ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	failed := s.failed
	first := s.err == nil
	if first {
		s.err = err
	}
	s.mu.Unlock()
	if first && failed != nil {
		failed(err)
	}
}

func (s *Relay) open(r requests) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = r
}

// enter is for a request to be waited for when the relay closes; leave is nil if
// it does so already.
func (s *Relay) enter() (r requests, leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil
	}
	s.served.Add(1)
	return s.requests, s.served.Done
}

// ServeHTTP is for the server alone.
func (s *Relay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reqs, leave := s.enter()
	if leave == nil {
		panic(http.ErrAbortHandler) // it closes
	}
	defer leave()
	path, _ := strings.CutPrefix(r.URL.Path, "/v2/")
	if strings.HasPrefix(path, s.nonce+"/") {
		s.deaf.Do(func() { close(s.heard) })
	}
	if !s.knows(r) || reqs == nil {
		if reqs != nil { // before, an engine that has no password is to go on and ask for the nonce
			w.Header().Set("Www-Authenticate", `Basic realm="vicr"`)
		}
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
		return
	}
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	if r.URL.Path == "/v2/" {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{}") // the engine may be gone
		return
	}
	rest, ok := strings.CutPrefix(path, reqs.repository()+"/")
	if !ok || r.URL.Path == path {
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN")
		return
	}
	reqs.serve(w, r, rest)
}

// knows says whether r has the password. Names and passwords are compared by
// their hashes, in a time that tells nothing.
func (s *Relay) knows(r *http.Request) bool {
	name, password, ok := r.BasicAuth()
	got := sha256.Sum256([]byte(password))
	right := subtle.ConstantTimeCompare(got[:], s.password[:])
	return ok && name == user && right == 1
}

// refuse answers in the form of the Distribution API, without words: they are
// vicr's to say.
func refuse(w http.ResponseWriter, status int, code string) {
	body, err := json.Marshal(map[string]any{"errors": []any{map[string]string{"code": code, "message": "refused by vicr"}}})
	if err != nil {
		panic(err) // strings alone
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the engine may be gone
}

// denied ends what the engine does: of this it makes no second try.
func denied(w http.ResponseWriter) { refuse(w, http.StatusForbidden, "DENIED") }

// errGone is what a stream ends with when the relay closes.
var errGone = errors.New("the relay is closed")

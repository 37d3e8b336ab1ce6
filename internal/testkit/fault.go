package testkit

import (
	"crypto/tls"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// An Act is what a [Fault] does to the body of an answer at byte At.
type Act int

// The acts.
const (
	Leave   Act = iota // nothing
	Cut                // close the connection after At bytes
	Reset              // the same with a TCP RST
	Corrupt            // flip a bit of byte At
	Stall              // send At bytes and then nothing, the connection open
)

// A Fault changes one answer. The zero Fault changes nothing.
type Fault struct {
	Status int           // answer with this instead of asking the handler; 0: ask it
	Header http.Header   // set on the answer, over the handler's
	Body   string        // with Status
	Delay  time.Duration // before the answer
	Early  bool          // Cut, Reset and Stall before the first byte of the header, the request unread
	Act    Act
	At     int64 // byte of the body, from 0 on
}

// A Match says whether a request is meant.
type Match func(*http.Request) bool

// On matches requests by method, "" being any, and the beginning of their path.
func On(method, path string) Match {
	return func(r *http.Request) bool {
		return (method == "" || r.Method == method) && strings.HasPrefix(r.URL.Path, path)
	}
}

// A Request is what a [Front] saw.
type Request struct {
	Method string
	Host   string
	URL    url.URL
	Header http.Header
	At     time.Time
}

// A Front is a handler that misbehaves by script in front of one that does not.
type Front struct {
	handler http.Handler
	end     chan struct{}

	mu    sync.Mutex
	rules []*rule
	seen  []Request
}

type rule struct {
	match  Match
	faults []Fault
	always bool
}

// NewFront stands in front of handler. All delays and stalls are over when the
// test ends; [Front.Serve] makes a server that closes after that.
func NewFront(tb testing.TB, handler http.Handler) *Front {
	tb.Helper()
	f := &Front{handler: handler, end: make(chan struct{})}
	tb.Cleanup(f.Release)
	return f
}

// Serve starts a server on loopback that speaks HTTP/1.1, over TLS if it is
// given a certificate, and closes it at the end of the test.
func (f *Front) Serve(tb testing.TB, cert ...tls.Certificate) *httptest.Server {
	tb.Helper()
	s := httptest.NewUnstartedServer(f)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // connections are broken on purpose
	if len(cert) > 0 {
		s.TLS = &tls.Config{Certificates: cert}
		s.StartTLS()
	} else {
		s.Start()
	}
	tb.Cleanup(func() {
		f.Release()
		s.Close()
	})
	return s
}

// Release ends all delays and stalls, now and from now on.
func (f *Front) Release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.end:
	default:
		close(f.end)
	}
}

// Script has the first matching requests answered with faults, one each, and
// those after them by the handler alone. The rule that was added first and has
// a fault left is used.
func (f *Front) Script(match Match, faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, &rule{match: match, faults: faults})
}

// Always has every matching request answered with fault.
func (f *Front) Always(match Match, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, &rule{match: match, faults: []Fault{fault}, always: true})
}

// Seen lists the matching requests in the order of their arrival; nil matches all.
func (f *Front) Seen(match Match) []Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []Request
	for _, r := range f.seen {
		if match == nil || match(&http.Request{Method: r.Method, URL: &r.URL, Header: r.Header, Host: r.Host}) {
			found = append(found, r)
		}
	}
	return found
}

func (f *Front) next(r *http.Request) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, Request{Method: r.Method, Host: r.Host, URL: *r.URL, Header: r.Header.Clone(), At: time.Now()})
	for _, rule := range f.rules {
		if len(rule.faults) == 0 || !rule.match(r) {
			continue
		}
		fault := rule.faults[0]
		if !rule.always {
			rule.faults = rule.faults[1:]
		}
		return fault
	}
	return Fault{}
}

// ServeHTTP answers r as the script says.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault := f.next(r)
	if fault.Delay > 0 {
		f.wait(r, time.After(fault.Delay))
	}
	if fault.Early {
		f.act(w, r, fault.Act)
	}
	bad := &badWriter{ResponseWriter: w, front: f, request: r, fault: fault}
	if fault.Status == 0 {
		f.handler.ServeHTTP(bad, r)
		return
	}
	bad.WriteHeader(fault.Status)
	if _, err := io.WriteString(bad, fault.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func (f *Front) wait(r *http.Request, until <-chan time.Time) {
	select {
	case <-until:
	case <-r.Context().Done():
	case <-f.end:
	}
}

// act ends an answer; it comes back only from Leave and Corrupt.
func (f *Front) act(w http.ResponseWriter, r *http.Request, act Act) {
	switch act {
	case Cut, Reset:
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			if act == Reset {
				reset(c)
			}
			closeUnder(c)
		}
	case Stall:
		f.wait(r, nil)
	default:
		return
	}
	panic(http.ErrAbortHandler)
}

// closeUnder closes the TCP connection without TLS's own farewell.
func closeUnder(c net.Conn) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	_ = c.Close()
}

type badWriter struct {
	http.ResponseWriter
	front   *Front
	request *http.Request
	fault   Fault
	begun   bool
	sent    int64 // bytes of the body
}

// Unwrap lets [http.ResponseController] find the server's own writer.
func (b *badWriter) Unwrap() http.ResponseWriter { return b.ResponseWriter }

func (b *badWriter) WriteHeader(status int) {
	if !b.begun {
		b.begun = true
		maps.Copy(b.Header(), b.fault.Header)
	}
	b.ResponseWriter.WriteHeader(status)
}

func (b *badWriter) Write(p []byte) (int, error) {
	if !b.begun {
		b.WriteHeader(http.StatusOK)
	}
	at := b.fault.At - b.sent // of p
	if b.fault.Act == Leave || at < 0 || at >= int64(len(p)) {
		n, err := b.ResponseWriter.Write(p)
		b.sent += int64(n)
		return n, err
	}
	if b.fault.Act == Corrupt {
		changed := append([]byte(nil), p...)
		changed[at] ^= 1
		n, err := b.ResponseWriter.Write(changed)
		b.sent += int64(n)
		return n, err
	}
	n, err := b.ResponseWriter.Write(p[:at])
	b.sent += int64(n)
	if err == nil {
		err = http.NewResponseController(b.ResponseWriter).Flush()
	}
	if err == nil {
		b.front.act(b.ResponseWriter, b.request, b.fault.Act)
	}
	return n, err
}

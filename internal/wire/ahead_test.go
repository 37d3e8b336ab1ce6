package wire

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A hall counts who came in, and what they asked.
type hall struct {
	server    *httptest.Server
	conns     atomic.Int64
	handshook atomic.Int64
	requests  atomic.Int64
}

func newHall(t *testing.T, w *world, handler http.HandlerFunc) *hall {
	t.Helper()
	h := &hall{}
	h.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.requests.Add(1)
		handler(w, r)
	}))
	h.server.TLS = &tls.Config{Certificates: []tls.Certificate{w.cert}, VerifyConnection: func(tls.ConnectionState) error {
		h.handshook.Add(1)
		return nil
	}}
	h.server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			h.conns.Add(1)
		}
	}
	h.server.StartTLS()
	t.Cleanup(h.server.Close)
	return h
}

// until waits for what has to come.
func until(t *testing.T, what string, ready func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

func TestConnectionsAreThereBeforeTheyAreNeeded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 3 { // when the client has put them where requests find them is not seen from outside
		wait := make(chan struct{})
		h := newHall(t, w, func(http.ResponseWriter, *http.Request) { <-wait })
		tr := New(Config{Host: hostOf(t, h.server.Listener.Addr().String()), Roots: w.ca.Pool()})
		t.Cleanup(tr.CloseIdleConnections)
		tr.OpenAhead(t.Context(), 3)
		until(t, "three connections were not opened", func() bool { return h.handshook.Load() == 3 })
		if n := h.requests.Load(); n != 0 {
			t.Fatalf("%d requests were sent", n)
		}
		time.Sleep(20 * time.Millisecond)
		var group sync.WaitGroup
		for range 3 {
			group.Go(func() { get(t, tr, tr.Base().String()+"/v2/") })
		}
		until(t, "three requests do not come", func() bool { return h.requests.Load() == 3 })
		close(wait)
		group.Wait()
		if h.conns.Load() == 3 {
			return
		}
	}
	t.Error("requests do not use what was opened for them")
}

func TestWhereThereIsAConnectionNothingIsSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := newHall(t, w, func(http.ResponseWriter, *http.Request) {})
	tr := New(Config{Host: hostOf(t, h.server.Listener.Addr().String()), Roots: w.ca.Pool()})
	t.Cleanup(tr.CloseIdleConnections)
	for range 20 {
		get(t, tr, tr.Base().String()+"/v2/")
		tr.openAhead(tr.settleAhead(t.Context(), &sync.WaitGroup{}))
	}
	if n := h.requests.Load(); n != 20 {
		t.Errorf("%d requests instead of 20", n)
	}
}

// Where nothing may go nothing is opened.
func TestNothingIsOpenedAheadAgainstThePolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	refusing := func(*http.Request) (*url.URL, error) { return nil, errors.New("no") }
	tr := New(Config{Host: w.host, Roots: w.ca.Pool(), Proxy: refusing})
	if h := tr.settleAhead(t.Context(), &sync.WaitGroup{}); h != nil {
		t.Errorf("got %v", h)
	}
}

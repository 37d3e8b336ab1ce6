package testkit

import (
	"io"
	"net"
	"sync"
	"testing"
)

// A CutProxy passes TCP connections on, and cuts some of them when so many
// bytes have come from the client.
type CutProxy struct {
	Addr string

	target string
	after  int64

	mu    sync.Mutex
	left  int
	cuts  int
	sent  int64
	conns map[net.Conn]bool
}

// NewCutProxy passes connections on to target; the first cuts of them that bring
// after bytes end there, for the client with a reset.
func NewCutProxy(tb testing.TB, target string, cuts int, after int64) *CutProxy {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &CutProxy{Addr: l.Addr().String(), target: target, after: after, left: cuts, conns: map[net.Conn]bool{}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.serve(tb, c) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close() // ends the loop
		p.mu.Lock()
		for c := range p.conns {
			_ = c.Close() // an idle one
		}
		p.mu.Unlock()
		all.Wait()
	})
	return p
}

// Cuts is how many connections were cut so far.
func (p *CutProxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// Sent is how many bytes came from clients and were passed on.
func (p *CutProxy) Sent() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}

func (p *CutProxy) serve(tb testing.TB, client net.Conn) {
	tb.Helper()
	p.mu.Lock()
	p.conns[client] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, client)
	}()
	server, err := (&net.Dialer{}).DialContext(tb.Context(), "tcp", p.target)
	if err != nil {
		_ = client.Close() // nobody is there
		return
	}
	answers := make(chan struct{})
	go func() {
		defer close(answers)
		_, _ = io.Copy(client, server)
		_ = client.Close() // the server has ended it
	}()
	if p.pass(server, client) {
		reset(client)
	}
	_ = server.Close() // what was passed on arrives
	<-answers
}

// pass says whether the connection is to be cut.
func (p *CutProxy) pass(server io.Writer, client io.Reader) bool {
	buffer := make([]byte, 32<<10)
	for come := int64(0); ; {
		n, err := client.Read(buffer)
		if n > 0 {
			if _, err := server.Write(buffer[:n]); err != nil {
				return false
			}
		}
		come += int64(n)
		p.mu.Lock()
		p.sent += int64(n)
		cut := come >= p.after && p.left > 0
		if cut {
			p.left--
			p.cuts++
		}
		p.mu.Unlock()
		if cut || err != nil {
			return cut
		}
	}
}

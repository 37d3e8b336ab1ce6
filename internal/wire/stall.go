package wire

import (
	"context"
	"net"
	"sync"
	"time"
)

const (
	looks   = 30 // how often within a silence it is looked whether there is one
	goodbye = 100 * time.Millisecond
)

// A stall is how long the other side has taken next to nothing of what was
// written. That a write waits does not tell: a socket of which half is free
// again takes a slow line more than a silence.
type stall struct {
	conn  *conn // nil: nothing is written
	since time.Time
	taken int64 // by then, once looked is true

	looked bool
}

// lasts says whether the stall has lasted for limit.
func (s *stall) lasts(limit time.Duration) bool {
	taken, now := s.conn.taken(), time.Now()
	switch {
	case !s.looked:
		s.looked, s.taken = true, taken
	case taken-s.taken >= minProgress:
		s.taken, s.since = taken, now
	}
	return now.Sub(s.since) >= limit
}

// taken is how much of what was written has arrived, in bytes; where the system
// does not tell, how much was written.
func (c *conn) taken() int64 {
	if c == nil {
		return 0
	}
	return c.written.Load() - int64(unacknowledged(c.Conn))
}

// connOf is the connection that is beneath TLS.
func connOf(c net.Conn) *conn {
	for {
		switch above := c.(type) {
		case *conn:
			return above
		case interface{ NetConn() net.Conn }:
			c = above.NetConn()
		default:
			return nil
		}
	}
}

// A patience is that with an answer. It begins when the last of the request was
// written, and goes on while the other side still takes of it: a slow line needs
// longer for what is in the socket than a server may be silent.
type patience struct {
	silence time.Duration
	give    context.CancelCauseFunc // up

	mu    sync.Mutex
	conn  *conn
	stall stall
	timer *time.Timer
	over  bool
}

// on says which connection the request is written to.
func (p *patience) on(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn = c
}

// begin may come after the end: some answer before they have read all.
func (p *patience) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stall = stall{conn: p.conn, since: time.Now()}
	if p.timer == nil {
		p.timer = time.AfterFunc(p.silence/looks, p.look)
	}
}

func (p *patience) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.over:
	case p.stall.lasts(p.silence):
		p.give(&TimeoutError{Phase: phaseHeaders, Limit: p.silence})
	default:
		p.timer.Reset(p.silence / looks)
	}
}

func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	if p.timer != nil {
		p.timer.Stop()
	}
}

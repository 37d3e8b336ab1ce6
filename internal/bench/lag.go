package main

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// A link is a line between client and registry: half of the round trip each
// way, one round trip for the handshake, a rate for all connections together
// and one for each. It models neither slow start nor loss.
type link struct {
	rtt     time.Duration
	rate    float64 // bytes a second, of all connections from the registry; 0: none
	perConn float64 // the same of each connection; 0: none
}

// A lagProxy is a TCP proxy that is as slow as a link.
type lagProxy struct {
	link     link
	target   string
	listener net.Listener
	shared   *bucket
	wg       sync.WaitGroup
}

func startLag(ctx context.Context, target string, l link) (*lagProxy, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &lagProxy{link: l, target: target, listener: ln, shared: newBucket(l.rate)}
	go p.accept(ctx)
	return p, nil
}

func (p *lagProxy) addr() string { return p.listener.Addr().String() }

func (p *lagProxy) close() {
	_ = p.listener.Close()
	p.wg.Wait()
}

func (p *lagProxy) accept(ctx context.Context) {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(ctx, c) })
	}
}

func (p *lagProxy) serve(ctx context.Context, client net.Conn) {
	defer client.Close()
	time.Sleep(p.link.rtt) // the handshake
	server, err := new(net.Dialer).DialContext(ctx, "tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	up := make(chan struct{})
	go func() {
		defer close(up)
		p.pipe(server, client, newBucket(p.link.perConn), newBucket(p.link.rate))
	}()
	p.pipe(client, server, newBucket(p.link.perConn), p.shared)
	_ = client.Close()
	_ = server.Close()
	<-up
}

const (
	piece   = 64 << 10 // bytes
	flights = 256      // pieces under way in one direction of a connection
)

// pipe copies from src to dst, each piece half a round trip late, no faster
// than the buckets let through.
func (p *lagProxy) pipe(dst, src net.Conn, buckets ...*bucket) {
	type flight struct {
		data []byte
		due  time.Time
	}
	pieces := make(chan flight, flights)
	go func() {
		defer close(pieces)
		for {
			buf := make([]byte, piece)
			n, err := src.Read(buf)
			if n > 0 {
				due := time.Now()
				for _, b := range buckets {
					if t := b.take(n); t.After(due) {
						due = t
					}
				}
				time.Sleep(time.Until(due)) // the line is busy
				pieces <- flight{buf[:n], due.Add(p.link.rtt / 2)}
			}
			if err != nil {
				return
			}
		}
	}()
	for f := range pieces {
		time.Sleep(time.Until(f.due))
		if _, err := dst.Write(f.data); err != nil {
			_ = src.Close()
			for range pieces { //nolint:revive // what is under way is dropped
			}
			return
		}
	}
	if c, ok := dst.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, src)
}

// A bucket says when so many bytes have gone through at its rate.
type bucket struct {
	mu   sync.Mutex
	rate float64
	free time.Time
}

func newBucket(rate float64) *bucket { return &bucket{rate: rate} }

func (b *bucket) take(n int) time.Time {
	if b.rate == 0 {
		return time.Time{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); b.free.Before(now) {
		b.free = now
	}
	b.free = b.free.Add(time.Duration(float64(n) / b.rate * float64(time.Second)))
	return b.free
}

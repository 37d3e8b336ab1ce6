//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A gate is a TCP proxy that counts what passes it and, after so many bytes,
// lets no more through.
type gate struct {
	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu      sync.Mutex
	passed  int64         // bytes, in both directions
	limit   int64         // 0: none
	reached chan struct{} // closed when limit bytes have passed
	ended   chan struct{} // closed when the connections are cut
	conns   map[net.Conn]struct{}
}

func startGate(ctx context.Context, target string) (*gate, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g := &gate{target: target, listener: ln, conns: map[net.Conn]struct{}{}, ended: make(chan struct{})}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			g.wg.Go(func() { g.serve(ctx, c) })
		}
	}()
	return g, nil
}

func (g *gate) addr() string { return g.listener.Addr().String() }

func (g *gate) close() {
	_ = g.listener.Close()
	g.cut()
	g.wg.Wait()
}

// open counts from 0 and closes reached when limit bytes have passed.
func (g *gate) open(limit int64) (reached <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.passed, g.limit, g.reached = 0, limit, make(chan struct{})
	return g.reached
}

func (g *gate) count() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.passed
}

// cut breaks all connections.
func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.ended)
	g.ended = make(chan struct{})
	for c := range g.conns {
		_ = c.Close()
	}
}

// pass says how much of n bytes may go on, and, where that is not all, what to
// wait for.
func (g *gate) pass(n int) (int, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.limit == 0 || g.passed+int64(n) < g.limit {
		g.passed += int64(n)
		return n, nil
	}
	rest := int(g.limit - g.passed)
	g.passed = g.limit
	if rest > 0 {
		close(g.reached)
	}
	return rest, g.ended
}

func (g *gate) keep(c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns[c] = struct{}{}
}

func (g *gate) drop(c net.Conn) {
	_ = c.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
}

func (g *gate) serve(ctx context.Context, client net.Conn) {
	g.keep(client)
	defer g.drop(client)
	server, err := new(net.Dialer).DialContext(ctx, "tcp", g.target)
	if err != nil {
		return
	}
	g.keep(server)
	defer g.drop(server)
	up := make(chan struct{})
	go func() {
		defer close(up)
		g.pipe(server, client)
	}()
	g.pipe(client, server)
	_ = client.Close()
	<-up
}

// pipe ends with its source, or where the limit is reached with the cut.
func (g *gate) pipe(dst, src net.Conn) {
	buf := make([]byte, piece)
	for {
		n, err := src.Read(buf)
		n, ended := g.pass(n)
		if _, err := dst.Write(buf[:n]); err != nil {
			return
		}
		if ended != nil {
			<-ended
			return
		}
		if err != nil {
			if c, ok := dst.(*net.TCPConn); ok {
				_ = c.CloseWrite()
			}
			return
		}
	}
}

// What is cut: the one layer of big, when so much of it has passed.
const cutAt = 0.9

// settle is how long a tool may take in what has passed, before it is killed,
// and the registry, before it is asked again.
const settle = time.Second

// nextRun starts a tool through the gate, kills it a little after 90 % of size
// have passed and no more comes, and says how much of size, in per cent, the
// next run moves.
func (g *gate) nextRun(ctx context.Context, size int64, env, argv []string) (float64, error) {
	reached := g.open(int64(float64(size) * cutAt))
	killed, kill := context.WithCancel(ctx)
	defer kill()
	go func() {
		select {
		case <-reached:
			time.Sleep(settle)
			kill()
		case <-killed.Done():
		}
	}()
	_, err := run(killed, env, argv...)
	select {
	case <-reached:
	default:
		return 0, fmt.Errorf("%s did not come to the cut: %w", argv[0], errors.Join(err))
	}
	if err == nil {
		return 0, fmt.Errorf("%s did not notice the cut", argv[0])
	}
	g.cut()
	time.Sleep(settle)
	g.open(0)
	_, err = run(ctx, env, argv...)
	return 100 * float64(g.count()) / float64(size), err
}

// cutLimit is what a next run may move, in per cent of the blob.
const cutLimit = 11

func (b *bench) cutPull() counting {
	dir := filepath.Join(b.dir, "out")
	return b.newCount("cut-pull", "bytes of the next run: pull, the line dead at 90 % of big and the tool killed", "%", cutLimit, func(ctx context.Context, tool string) (float64, error) {
		if err := b.forget(tool); err != nil {
			return 0, err
		}
		if err := emptied(dir); err != nil {
			return 0, err
		}
		defer os.RemoveAll(dir)
		size, err := blobSize(filepath.Join(b.layout, "big"))
		if err != nil {
			return 0, err
		}
		return b.gate.nextRun(ctx, size, b.env(tool), pullLayout(tool, site{addr: b.gate.addr()}, "big", filepath.Join(dir, "big")))
	})
}

// cutPush needs a registry that keeps the bytes of a broken request.
func (b *bench) cutPush() counting {
	return b.newCount("cut-push", "bytes of the next run: push to Distribution 3, the line dead at 90 % of big and the tool killed", "%", cutLimit, func(ctx context.Context, tool string) (float64, error) {
		if b.keeping == nil {
			return 0, errors.New("no Distribution 3: `make e2e-tools` builds it")
		}
		if err := errors.Join(b.forget(tool), b.keeping.empty()); err != nil {
			return 0, err
		}
		layout := filepath.Join(b.layout, "big")
		size, err := blobSize(layout)
		if err != nil {
			return 0, err
		}
		return b.keepingGate.nextRun(ctx, size, b.env(tool), pushLayout(tool, site{addr: b.keepingGate.addr()}, layout, "big", b.fresh("cut")))
	})
}

// blobSize is the size of the largest blob in a layout.
func blobSize(layout string) (int64, error) {
	blobs, err := os.ReadDir(filepath.Join(layout, "blobs", "sha256"))
	var size int64
	for _, blob := range blobs {
		info, err := blob.Info()
		if err != nil {
			return 0, err
		}
		size = max(size, info.Size())
	}
	return size, err
}

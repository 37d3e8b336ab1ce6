//go:build linux

package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestAGateStopsAtItsLimit(t *testing.T) {
	t.Parallel()
	const size, limit = 4 << 20, 1 << 20
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, size)) }))
	defer server.Close()
	g, err := startGate(t.Context(), server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	reached := g.open(limit)
	c, err := net.Dial("tcp", g.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const request = "GET / HTTP/1.0\r\n\r\n"
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	got := make(chan int64)
	go func() {
		n, _ := io.Copy(io.Discard, c)
		got <- n
	}()
	select {
	case <-reached:
	case <-time.After(time.Minute):
		t.Fatal("the limit is never reached")
	}
	g.cut()
	if n := <-got; n != limit-int64(len(request)) || g.count() != limit {
		t.Errorf("%d bytes came, %d were counted", n, g.count())
	}
	g.open(0)
	resp, err := http.Get("http://" + g.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != size || g.count() < size {
		t.Errorf("%d bytes came, %d were counted, %v", n, g.count(), err)
	}
}

//go:build linux || darwin

package wire

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// A taker is a server of plain HTTP that takes what it is sent at its own speed.
type taker struct {
	silence time.Duration // of the client's patience
	addr    string
}

const (
	takerSilence = 800 * time.Millisecond
	takerRate    = 160 << 10 // bytes per second; half of maxUnsent takes longer than takerSilence
	takerPiece   = 4 << 10
)

// newTaker serves one connection by serve, with little room for what it does
// not read.
func newTaker(t *testing.T, serve func(net.Conn)) *taker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 32<<10) })
	var served sync.WaitGroup
	served.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		serve(c)
	})
	t.Cleanup(func() { _ = l.Close(); served.Wait() })
	return &taker{silence: takerSilence, addr: l.Addr().String()}
}

func (k *taker) transport(t *testing.T) *Transport {
	t.Helper()
	return closing(t, New(Config{Host: hostOf(t, k.addr), PlainHTTP: true, Silence: k.silence}))
}

// taking is r at takerRate.
type taking struct{ io.Reader }

func (r taking) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p[:min(len(p), takerPiece)])
	time.Sleep(time.Second * time.Duration(n) / takerRate)
	return n, err
}

// A socket that is full may be written to again when half of what it held was
// sent. That a slow line takes longer than a silence for it does not make its end
// silent.
func TestASlowPeerThatTakesWhatWaitsInTheSocketIsNotSilent(t *testing.T) {
	t.Parallel()
	sent := bytes.Repeat([]byte("bytes"), 640<<10/5)
	var got []byte
	arrived := make(chan struct{})
	k := newTaker(t, func(c net.Conn) { got, _ = io.ReadAll(taking{c}); close(arrived) })
	c, err := k.transport(t).dialContext(t.Context(), "tcp", k.addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := 0, error(nil)
	for piece := range slices.Chunk(sent, 16<<10) { // as TLS does
		if _, err = c.Write(piece); err != nil {
			break
		}
		n += len(piece)
	}
	_ = c.Close()
	<-arrived
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("sent %d, %d arrived, %v", n, len(got), err)
	}
}

// What was written last is on its way for longer than a silence, and only then
// may an answer be waited for.
func TestAnAnswerIsWaitedForWhileTheRequestIsTaken(t *testing.T) {
	t.Parallel()
	const size = 300 << 10 // all of it fits into the socket
	for name, all := range map[string]bool{"to its end": true, "and then no more": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stop := make(chan struct{})
			defer close(stop)
			k := newTaker(t, func(c net.Conn) {
				req, err := http.ReadRequest(bufio.NewReaderSize(taking{c}, takerPiece))
				if err != nil {
					return
				}
				if !all {
					_, _ = io.CopyN(io.Discard, req.Body, size/2)
					<-stop
					return
				}
				if n, _ := io.Copy(io.Discard, req.Body); n == size {
					_, _ = io.WriteString(c, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
				}
			})
			tr := k.transport(t)
			a := do(tr, request(t, "PUT", tr.Base().String()+"/blob", string(make([]byte, size))))
			if all && (a.err != nil || a.status != http.StatusCreated) {
				t.Errorf("%+v", a)
			}
			if !all {
				wantTimeout(t, a.err, phaseHeaders)
			}
		})
	}
}

// With an answer in hand nobody waits for one, though the request is written to
// its end later.
func TestAnAnswerBeforeTheEndOfTheRequestIsRead(t *testing.T) {
	t.Parallel()
	const size = 8 << 20 // much more than fits into the socket
	k := newTaker(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 12288\r\n\r\n")
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		for range 12 {
			time.Sleep(takerSilence / 8)
			_, _ = c.Write(make([]byte, minProgress))
		}
	})
	tr := k.transport(t)
	a := do(tr, request(t, "PUT", tr.Base().String()+"/blob", string(make([]byte, size))))
	if a.err != nil || len(a.body) != 12*minProgress {
		t.Errorf("%d bytes, %v", len(a.body), a.err)
	}
}

// TLS says goodbye when a connection is closed, and a peer that reads nothing
// keeps that waiting.
func TestAConnectionToAPeerThatReadsNothingIsClosedAtOnce(t *testing.T) {
	t.Parallel()
	client, server := tlsEnds(t)
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		c := tls.Client(&conn{Conn: here, silence: DefaultSilence}, client)
		s := tls.Server(there, server)
		var other sync.WaitGroup
		other.Go(func() { _ = s.Handshake() })
		if err := c.Handshake(); err != nil {
			t.Error(err)
		}
		other.Wait()
		start := time.Now()
		_ = c.Close()
		if took := time.Since(start); took >= time.Second { // of the bubble
			t.Errorf("that took %v", took)
		}
		_ = there.Close()
	})
}

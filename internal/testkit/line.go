package testkit

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A Line is a TCP proxy on loopback that is as bad as it is told to be. What is
// said of bytes is said of those that come from the server.
type Line struct {
	target string
	o      LineOptions
	l      net.Listener
	group  sync.WaitGroup

	sent  atomic.Int64
	cuts  atomic.Int64
	conns atomic.Int64

	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
	still  chan struct{} // closed when the line is not still
}

// LineOptions say how bad a [Line] is. The zero value is a good one.
type LineOptions struct {
	CutEvery int64         // bytes after which each connection ends; 0: never
	Reset    bool          // cut with a TCP RST
	Rate     int64         // bytes per second of each connection; 0: no limit
	Delay    time.Duration // each way
}

const (
	lineChunk  = 16 << 10
	lineQueue  = 256       // chunks on the way
	lineBuffer = 128 << 10 // of the kernel, for what the client does not take
)

// NewLine starts a line to target, host:port. It ends with the test.
func NewLine(tb testing.TB, target string, o LineOptions) *Line {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	open := make(chan struct{})
	close(open)
	line := &Line{target: target, o: o, l: l, open: map[net.Conn]bool{}, still: open}
	line.group.Go(line.accept)
	tb.Cleanup(line.Close)
	return line
}

// Addr is where the line begins, host:port.
func (l *Line) Addr() string { return l.l.Addr().String() }

// Sent is how many bytes went to clients.
func (l *Line) Sent() int64 { return l.sent.Load() }

// Cuts is how many connections were cut.
func (l *Line) Cuts() int64 { return l.cuts.Load() }

// Connections is how many there were.
func (l *Line) Connections() int64 { return l.conns.Load() }

// Hold stops all bytes, the connections open, as a cable that is pulled.
// Let lets them go again.
func (l *Line) Hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.still = make(chan struct{})
}

// Let ends [Line.Hold].
func (l *Line) Let() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.still:
	default:
		close(l.still)
	}
}

// Break ends all connections that are open now.
func (l *Line) Break() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		_ = c.Close()
	}
}

// Close ends the line.
func (l *Line) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	_ = l.l.Close()
	l.Let()
	l.Break()
	l.group.Wait()
}

func (l *Line) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = c.Close()
		return false
	}
	l.open[c] = true
	return true
}

func (l *Line) drop(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
	_ = c.Close()
}

func (l *Line) gate() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.still
}

func (l *Line) accept() {
	for {
		client, err := l.l.Accept()
		if err != nil {
			return
		}
		l.group.Go(func() { l.serve(client) })
	}
}

func (l *Line) serve(client net.Conn) {
	l.conns.Add(1)
	if !l.keep(client) {
		return
	}
	defer l.drop(client)
	<-l.gate()
	server, err := net.Dial("tcp", l.target)
	if err != nil || !l.keep(server) {
		return
	}
	defer l.drop(server)
	_ = client.(*net.TCPConn).SetWriteBuffer(lineBuffer)
	var both sync.WaitGroup
	both.Go(func() {
		l.carry(server, client, l.o.Delay, func(int) bool { return true })
		_ = server.Close()
	})
	var sent int64
	pace := pace{rate: l.o.Rate}
	l.carry(client, server, l.o.Delay, func(n int) bool {
		sent += int64(n)
		l.sent.Add(int64(n))
		pace.wait(n)
		return l.o.CutEvery == 0 || sent < l.o.CutEvery
	})
	if l.o.CutEvery > 0 && sent >= l.o.CutEvery {
		l.cuts.Add(1)
		if l.o.Reset {
			reset(client)
		}
	}
	_ = client.Close()
	_ = server.Close()
	both.Wait()
}

// carry moves bytes until one side ends or after says no, each chunk delayed.
func (l *Line) carry(to, from net.Conn, delay time.Duration, after func(int) bool) {
	type chunk struct {
		data []byte
		due  time.Time
	}
	queue := make(chan chunk, lineQueue)
	var group sync.WaitGroup
	group.Go(func() {
		defer close(queue)
		for {
			data := make([]byte, lineChunk)
			n, err := from.Read(data)
			if n > 0 {
				queue <- chunk{data[:n], time.Now().Add(delay)}
			}
			if err != nil {
				return
			}
		}
	})
	for c := range queue {
		time.Sleep(time.Until(c.due))
		<-l.gate()
		if _, err := to.Write(c.data); err != nil || !after(len(c.data)) {
			break
		}
	}
	_ = from.Close()
	for range queue { // so that the reader ends
	}
	group.Wait()
}

// A pace is a limit in bytes per second.
type pace struct {
	rate int64 // 0: none
	due  time.Time
}

// wait waits until n more bytes may have gone. Time that was not used is lost.
func (p *pace) wait(n int) {
	if p.rate == 0 {
		return
	}
	const burst = 50 * time.Millisecond
	if least := time.Now().Add(-burst); p.due.Before(least) {
		p.due = least
	}
	p.due = p.due.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	time.Sleep(time.Until(p.due))
}

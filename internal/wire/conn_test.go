package wire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vicr-cli/vicr/internal/testkit"
)

// slowly reads a few bytes a second, until c is closed.
func slowly(c io.Reader, bytesPerSecond int) (all []byte) {
	b := make([]byte, bytesPerSecond)
	for {
		n, err := c.Read(b)
		all = append(all, b[:n]...)
		if err != nil {
			return all
		}
		time.Sleep(time.Second * time.Duration(n) / time.Duration(bytesPerSecond))
	}
}

// What is sent at a time may take longer than the other side may be silent.
func TestASlowPeerIsNotSilent(t *testing.T) {
	t.Parallel()
	sent := bytes.Repeat([]byte("bytes"), sendBytes/5)
	for rate, ok := range map[int]bool{7 << 10: true, 100: true, 20: false} {
		synctest.Test(t, func(t *testing.T) {
			here, there := net.Pipe()
			c := &conn{Conn: here, silence: DefaultSilence, buffers: new(sync.Pool)}
			var got []byte
			var reader sync.WaitGroup
			reader.Go(func() { got = slowly(there, rate) })
			n, err := c.ReadFrom(bytes.NewReader(sent))
			_ = c.Close()
			reader.Wait()
			if ok && (err != nil || n != int64(len(sent)) || !bytes.Equal(got, sent)) {
				t.Errorf("%d bytes a second: sent %d of %d, %d arrived, %v", rate, n, len(sent), len(got), err)
			}
			if !ok && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%d bytes a second: %v", rate, err)
			}
		})
	}
}

// tlsEnds are the two sides of a handshake within a bubble, whose time is another.
func tlsEnds(t *testing.T) (client, server *tls.Config) {
	t.Helper()
	ca := testkit.NewCA(t)
	cert := ca.NewLeaf(t, testkit.SANs("reg.example")).TLS()
	now := time.Now()
	client = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: "reg.example", RootCAs: ca.Pool(), Time: func() time.Time { return now }}
	server = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, SessionTicketsDisabled: true}
	return client, server
}

// A TLS connection whose write was cut short takes no other: records are 16 KiB.
func TestASlowPeerIsNotSilentOverTLS(t *testing.T) {
	t.Parallel()
	client, server := tlsEnds(t)
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		c := tls.Client(&conn{Conn: here, silence: DefaultSilence}, client)
		var got []byte
		var reader sync.WaitGroup
		reader.Go(func() {
			s := tls.Server(readsSlowly{there, 300}, server)
			got, _ = io.ReadAll(s) // ends when the pipe does
		})
		sent := bytes.Repeat([]byte("bytes"), 64<<10/5)
		if n, err := c.Write(sent); err != nil {
			t.Errorf("%d of %d: %v", n, len(sent), err)
		}
		_ = here.Close()
		reader.Wait()
		if !bytes.Equal(got, sent) {
			t.Errorf("%d of %d arrived", len(got), len(sent))
		}
	})
}

// readsSlowly is a connection that gives so many bytes a second.
type readsSlowly struct {
	net.Conn
	rate int
}

func (r readsSlowly) Read(p []byte) (int, error) {
	time.Sleep(time.Second)
	return r.Conn.Read(p[:min(len(p), r.rate)])
}

// What a peer does not take stays with us, but for a little.
func TestLittleWaitsInTheSocket(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	tr := New(Config{Host: hostOf(t, l.Addr().String()), PlainHTTP: true, Silence: 300 * time.Millisecond})
	c, err := tr.dialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = peer.Close() }()
	n, err := c.Write(make([]byte, 32<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("sent %d, %v", n, err)
	}
	// What the peer's side holds comes to a few hundred KiB where it has read nothing.
	if n > 3<<19 {
		t.Errorf("%d bytes wait for a peer that reads none", n)
	}
}

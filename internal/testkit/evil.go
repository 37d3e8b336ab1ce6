package testkit

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"net"
	"net/url"
	"slices"
	"sync"
	"testing"
)

// A Manner is how an [Evil] goes on after it received bytes on a connection;
// false closes the connection.
type Manner func(c net.Conn, received []byte) bool

// tlsHandshake is the first byte of a TLS client's first record (RFC 8446 section 5.1).
const tlsHandshake = 0x16

// Swallow takes everything and answers nothing.
func Swallow(net.Conn, []byte) bool { return true }

// Reply answers whatever comes with text.
func Reply(text string) Manner {
	return func(c net.Conn, _ []byte) bool {
		_, err := c.Write([]byte(text))
		return err == nil
	}
}

// ReplyOnce answers with text and closes the connection.
func ReplyOnce(text string) Manner {
	return func(c net.Conn, _ []byte) bool {
		_, _ = c.Write([]byte(text))
		return false
	}
}

// ResetTLS breaks every connection that begins with a TLS handshake, and
// answers text to everything else: a peer that waits for a fall-back to http.
func ResetTLS(text string) Manner {
	return func(c net.Conn, received []byte) bool {
		if len(received) > 0 && received[0] == tlsHandshake {
			reset(c)
			return false
		}
		return Reply(text)(c, received)
	}
}

// An Evil is a host that records every byte that reaches it.
type Evil struct {
	listener net.Listener
	manner   Manner
	scheme   string

	mu     sync.Mutex
	got    bytes.Buffer
	conns  []net.Conn
	opened int
	done   sync.WaitGroup
}

// NewEvil listens on address, "127.0.0.1:0" if it is empty, until the test
// ends. It records what comes over TCP.
func NewEvil(tb testing.TB, address string, manner Manner) *Evil {
	tb.Helper()
	return newEvil(tb, address, "http", nil, manner)
}

// NewEvilTLS is [NewEvil] with TLS: it records what was sent through it.
func NewEvilTLS(tb testing.TB, address string, cert tls.Certificate, manner Manner) *Evil {
	tb.Helper()
	return newEvil(tb, address, "https", &tls.Config{Certificates: []tls.Certificate{cert}}, manner)
}

func newEvil(tb testing.TB, address, scheme string, config *tls.Config, manner Manner) *Evil {
	tb.Helper()
	if address == "" {
		address = "127.0.0.1:0"
	}
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", address)
	fatalIf(tb, err)
	if config != nil {
		l = tls.NewListener(l, config)
	}
	e := &Evil{listener: l, manner: manner, scheme: scheme}
	e.done.Go(e.accept)
	tb.Cleanup(e.close)
	return e
}

func (e *Evil) accept() {
	for {
		c, err := e.listener.Accept()
		if err != nil {
			return
		}
		e.mu.Lock()
		e.opened++
		e.conns = append(e.conns, c)
		e.mu.Unlock()
		e.done.Go(func() { e.serve(c) })
	}
}

func (e *Evil) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		if n > 0 {
			e.mu.Lock()
			e.got.Write(buf[:n])
			e.mu.Unlock()
			if !e.manner(c, buf[:n]) {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (e *Evil) close() {
	_ = e.listener.Close()
	e.mu.Lock()
	for _, c := range e.conns {
		_ = c.Close()
	}
	e.mu.Unlock()
	e.done.Wait()
}

// Addr is host:port.
func (e *Evil) Addr() string { return e.listener.Addr().String() }

// URL is the root of the host.
func (e *Evil) URL() *url.URL { return &url.URL{Scheme: e.scheme, Host: e.Addr(), Path: "/"} }

// Opened is how many connections were accepted.
func (e *Evil) Opened() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.opened
}

// Received is every byte so far, of all connections.
func (e *Evil) Received() []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return bytes.Clone(e.got.Bytes())
}

// Knows says whether secret reached the host: as it is, in base64 at any
// offset, or in the forms of a URL.
func (e *Evil) Knows(secret string) bool {
	got := e.Received()
	forms := append(base64Forms(secret), secret, url.QueryEscape(secret), url.PathEscape(secret))
	return slices.ContainsFunc(forms, func(f string) bool { return bytes.Contains(got, []byte(f)) })
}

// base64Forms are what secret looks like inside the base64 of a longer text:
// for each of the three offsets, the characters that depend on secret alone.
func base64Forms(secret string) []string {
	var forms []string
	for offset := range 3 {
		padded := append(make([]byte, offset), secret...)
		whole := len(padded) / 3 * 3
		from := (offset + 2) / 3 * 4
		if to := whole / 3 * 4; to > from {
			forms = append(forms,
				base64.StdEncoding.EncodeToString(padded[:whole])[from:to],
				base64.URLEncoding.EncodeToString(padded[:whole])[from:to])
		}
	}
	return forms
}

// reset ends c with a TCP RST instead of a FIN.
func reset(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

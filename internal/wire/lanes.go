package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/vicr-cli/vicr/internal/pki"
)

// Lanes are connections that are verified by the same roots.
type lanes struct {
	roots  *x509.CertPool  // nil: the system's
	certed *http.Transport // to the origin, and to realms under its host name; shows the client certificate
	http   *http.Transport // to what else is under the origin's host name
	others *http.Transport // to all others
}

func (t *Transport) newLanes(roots *x509.CertPool, leaf *x509.Certificate) *lanes {
	l := &lanes{roots: roots, http: t.transport(t.tlsConfig(roots, leaf))}
	l.others, l.certed = l.http, l.http
	if t.config.InsecureSkipVerify {
		l.others = t.transport(verifyingConfig(roots))
	}
	if t.config.ClientCert != nil {
		l.certed = t.transport(t.answering(t.tlsConfig(roots, leaf), t.config.ClientCert))
	}
	return l
}

func (l *lanes) closeIdle() {
	l.certed.CloseIdleConnections()
	l.http.CloseIdleConnections()
	l.others.CloseIdleConnections()
}

// wideLanes are those that all roots count for, once they are needed.
type wideLanes struct {
	needed atomic.Bool // the origin shows what its own roots do not verify

	mu    sync.Mutex
	lanes *lanes // nil: not made yet
}

func (w *wideLanes) closeIdle() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lanes != nil {
		w.lanes.closeIdle()
	}
}

func (t *Transport) wideLanes() (*lanes, error) {
	t.wide.mu.Lock()
	defer t.wide.mu.Unlock()
	if t.wide.lanes == nil {
		roots, err := t.config.AllRoots()
		if err != nil {
			return nil, err
		}
		t.wide.lanes = t.newLanes(roots, nil)
	}
	return t.wide.lanes, nil
}

// once sends h one time, over a connection that either Roots verify or AllRoots:
// what the former refuse is shown to the latter in a handshake of its own, and
// nothing of h is sent before.
func (t *Transport) once(h *hop) (*http.Response, bool, error) {
	if t.config.AllRoots == nil {
		return t.over(t.lanes, h)
	}
	if t.narrow(h) {
		body := hold(h.req)
		resp, sent, err := t.over(t.lanes, h)
		if !unverified(err) || !body.untouched() {
			body.release()
			return resp, sent, err
		}
		t.wide.needed.Store(true)
		if err := body.handBack(h); err != nil {
			return nil, false, err
		}
	}
	l, err := t.wideLanes()
	if err != nil {
		closeBody(h.req)
		return nil, false, h.fail(TLS, err)
	}
	return t.over(l, h)
}

// narrow says whether Roots are to verify whom h goes to, if anybody is. They
// are those of the origin's host alone: no other host and no proxy is expected
// to be known by them.
func (t *Transport) narrow(h *hop) bool {
	switch {
	case h.proxy != nil && h.proxy.Scheme == schemeHTTPS:
		return false
	case h.req.URL.Scheme == schemeHTTP:
		return true
	}
	return t.underOrigin(h) && !t.wide.needed.Load()
}

// A heldBody is one that cannot be had anew: it is kept open while the handshake
// that it waits for may fail, which closes it in net/http.
type heldBody struct {
	io.ReadCloser

	mu     sync.Mutex
	loose  bool // Close closes it
	closed bool // Close was called before that
	read   bool
}

// hold returns nil for a request that can be sent again in any case.
func hold(req *http.Request) *heldBody {
	if repeatable(req) {
		return nil
	}
	b := &heldBody{ReadCloser: req.Body}
	req.Body = b
	return b
}

func (b *heldBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	b.read = true
	b.mu.Unlock()
	return b.ReadCloser.Read(p)
}

func (b *heldBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.loose {
		b.closed = true
		return nil
	}
	return b.ReadCloser.Close()
}

func (b *heldBody) untouched() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.read
}

// release has Close close it, and what Close was called for before.
func (b *heldBody) release() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.loose = true; b.closed {
		_ = b.ReadCloser.Close() // whoever asked for it was told that it is
	}
}

// handBack makes h ready to be sent again.
func (b *heldBody) handBack(h *hop) error {
	if b == nil {
		return h.rewind()
	}
	h.req.Body = b.ReadCloser
	return nil
}

// unverified says whether err is that a certificate was not verified.
func unverified(err error) bool {
	if KindOf(err) != TLS {
		return false
	}
	_, judged := errors.AsType[*pki.CertError](err)
	_, plain := errors.AsType[*tls.CertificateVerificationError](err)
	return judged || plain
}

// via is the connections of l that h may use.
func (t *Transport) via(l *lanes, h *hop) *http.Transport {
	switch {
	case t.own(h):
		return l.certed
	case t.underOrigin(h):
		return l.http
	}
	return l.others
}

// underOrigin says whether h goes to the host name of the registry.
func (t *Transport) underOrigin(h *hop) bool {
	return strings.EqualFold(h.req.URL.Hostname(), t.base.Hostname())
}

package wire

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
)

// Lanes are connections that are verified by the same roots.
type lanes struct {
	roots  *x509.CertPool  // nil: the system's
	certed *http.Transport // to the origin, and to realms under its host name; shows the client certificate
	http   *http.Transport // to what else is under the origin's host name
	others *http.Transport // to all others
}

// newLanes verifies the origin by verify, and by roots if that is nil.
func (t *Transport) newLanes(roots *x509.CertPool, verify func(tls.ConnectionState) error) *lanes {
	origin := func(cert *tls.Certificate) *http.Transport {
		c := t.answering(verifyingConfig(roots), cert)
		if verify != nil {
			c.InsecureSkipVerify, c.VerifyConnection = true, verify // in its place
		}
		return t.transport(c)
	}
	l := &lanes{roots: roots, http: origin(nil)}
	l.others, l.certed = l.http, l.http
	if t.config.InsecureSkipVerify {
		l.others = t.transport(verifyingConfig(roots))
	}
	if t.config.ClientCert != nil {
		l.certed = origin(t.config.ClientCert)
	}
	return l
}

func verifyingConfig(roots *x509.CertPool) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
}

// verifier is what holds the origin's certificate against something else than
// roots; nil if nothing does.
func (t *Transport) verifier(pin *x509.Certificate) func(tls.ConnectionState) error {
	switch {
	case pin != nil:
		return verifyPin(pin)
	case t.config.InsecureSkipVerify: // the user said so
		return t.asking.see
	case t.config.AllRoots != nil:
		return t.verifyOrigin
	}
	return nil
}

func (l *lanes) closeIdle() {
	l.certed.CloseIdleConnections()
	l.http.CloseIdleConnections()
	l.others.CloseIdleConnections()
}

// wideLanes are those that all roots count for, made when they are needed. There
// all is verified: the registry is reached by them through a proxy over https
// alone, which would be believed as it is.
func (t *Transport) wideLanes() (*lanes, error) {
	if l := t.wide.Load(); l != nil {
		return l, nil
	}
	roots, err := t.allRoots()
	if err != nil {
		return nil, err
	}
	t.wide.CompareAndSwap(nil, t.newLanes(roots, nil))
	return t.wide.Load(), nil
}

// once sends h one time. The registry's own roots are for its host alone: no
// other host and no proxy is expected to be known by them.
func (t *Transport) once(h *hop) (*http.Response, bool, error) {
	narrow := h.req.URL.Scheme == schemeHTTP || t.underOrigin(h)
	if h.proxy != nil && h.proxy.Scheme == schemeHTTPS {
		narrow = false
	}
	if narrow || t.config.AllRoots == nil {
		return t.over(t.lanes, h)
	}
	l, err := t.wideLanes()
	if err != nil {
		closeBody(h.req)
		return nil, false, h.fail(TLS, err)
	}
	return t.over(l, h)
}

// verifyOrigin is what crypto/tls does with RootCAs, for the registry's host, but
// by Roots first and then by all: those take longer to read than all else before
// the first byte, and are rarely needed where a registry has roots of its own.
// The name is not that of the connection, which has none for an address.
func (t *Transport) verifyOrigin(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
	}
	leaf, between := s.PeerCertificates[0], x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	opts := x509.VerifyOptions{Roots: t.config.Roots, DNSName: t.base.Hostname(), Intermediates: between}
	if _, err := leaf.Verify(opts); err == nil {
		return nil
	}
	all, err := t.allRoots()
	if err != nil {
		return &rootsError{err}
	}
	opts.Roots = all
	if _, err := leaf.Verify(opts); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
	}
	return nil
}

// A rootsError says that there is nothing to hold a certificate against.
type rootsError struct{ err error }

func (e *rootsError) Error() string { return e.err.Error() }
func (e *rootsError) Unwrap() error { return e.err }

// judges are the roots that the origin's certificate was held against in l.
func (t *Transport) judges(l *lanes) *x509.CertPool {
	if l == t.lanes && t.config.AllRoots != nil {
		if all, err := t.allRoots(); err == nil {
			return all
		}
	}
	return l.roots
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

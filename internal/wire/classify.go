package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
)

// The phases of a [TimeoutError].
const (
	phaseConnect   = "connect"
	phaseHandshake = "tls handshake"
	phaseHeaders   = "response headers"
	phaseBody      = "response body"
	phaseRequest   = "request body"
)

// classify makes a typed error of what net/http says. ctx is the attempt's
// own, whose cause is a TimeoutError when a timer of ours ended it.
func (t *Transport) classify(ctx context.Context, h *hop, l *lanes, phase string, err error) error {
	if end := h.req.Context().Err(); end != nil {
		return fmt.Errorf("%s: %w", printable(h.op()), end)
	}
	if timeout, ok := errors.AsType[*TimeoutError](context.Cause(ctx)); ok {
		return h.fail(Silent, timeout)
	}
	if ours, ok := errors.AsType[*Error](err); ok {
		return ours
	}
	if kind, cause := t.proxyFault(h, err); kind != "" {
		return h.fail(kind, cause)
	}
	if kind, cause := t.tlsFault(h, l, phase, err); kind != "" {
		return h.fail(kind, cause)
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return t.timeoutFault(h, phase, err)
	}
	if opError, ok := errors.AsType[*net.OpError](err); ok {
		return h.fail(Unreachable, opError)
	}
	if phase == phaseHeaders && !isConnection(err) {
		return h.fail(BadAnswer, answerFault(err))
	}
	return h.fail(Unreachable, err)
}

func (t *Transport) proxyFault(h *hop, err error) (Kind, error) {
	if refusal, ok := errors.AsType[*ProxyError](err); ok {
		return ProxyRefused, refusal
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "proxyconnect" && h.proxy != nil {
		return ProxyRefused, &ProxyError{Proxy: h.proxy.Host, Err: op.Err}
	}
	return "", nil
}

// tlsFault tells what went wrong in a handshake, apart from its end by the
// other side or by time.
func (t *Transport) tlsFault(h *hop, l *lanes, phase string, err error) (Kind, error) {
	if bad, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return TLS, t.certFault(h.req.URL.Hostname(), t.judges(l), bad)
	}
	if _, ok := errors.AsType[*PinError](err); ok {
		return TLS, err
	}
	if bad, ok := errors.AsType[*rootsError](err); ok {
		return TLS, bad.err
	}
	if record, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		if string(record.RecordHeader[:]) == "HTTP/" {
			return NotHTTPS, err
		}
		return TLS, &noTLSError{err}
	}
	if fault := t.clientFault(h, err); fault != nil {
		return TLS, fault
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "remote error" || op.Op == "local error") {
		return TLS, err // an alert, as crypto/tls has it: with TLS 1.3 also after the handshake
	}
	if phase != phaseHandshake || connectionBroke(&Error{Kind: Unreachable, Err: err}) {
		return "", nil
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return "", nil
	}
	return TLS, err
}

func (t *Transport) timeoutFault(h *hop, phase string, err error) error {
	limit := t.config.Silence
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "write" {
		phase = phaseRequest
	}
	switch phase {
	case phaseConnect:
		return h.fail(Unreachable, &TimeoutError{Phase: phase, Limit: min(limit, dialTimeout)})
	case phaseHandshake:
		return h.fail(Silent, &TimeoutError{Phase: phase, Limit: min(limit, handshakeTimeout)})
	}
	return h.fail(Silent, &TimeoutError{Phase: phase, Limit: limit})
}

// A noTLSError says that what answers a handshake is something else.
type noTLSError struct{ err error }

func (e *noTLSError) Error() string { return "the first bytes of the answer are not those of TLS" }
func (e *noTLSError) Unwrap() error { return e.err }

// A PinError says that the server showed another certificate than the one pinned.
type PinError struct {
	Want, Got *x509.Certificate // Got nil: none
}

func (e *PinError) Error() string { return "the server shows another certificate than a moment ago" }

func verifyPin(leaf *x509.Certificate) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return &PinError{Want: leaf}
		}
		if got := s.PeerCertificates[0]; !bytes.Equal(got.Raw, leaf.Raw) {
			return &PinError{Want: leaf, Got: got}
		}
		return nil
	}
}

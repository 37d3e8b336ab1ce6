package wire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
)

// A ClientCertError says that the registry lets nobody in without a client
// certificate that it knows. It comes in an [Error] of kind TLS.
type ClientCertError struct {
	Shown bool // it was shown one, and refused that
	// State is what the server showed of itself before it said so, its
	// certificates not verified. Nil where the connection was to be verified:
	// then they were.
	State *tls.ConnectionState
	Err   error // its own words, mostly an alert; may be nil
}

func (e *ClientCertError) Error() string {
	what := "the registry asks for a client certificate"
	if e.Shown {
		what = "the registry refused the client certificate"
	}
	if e.Err == nil {
		return what
	}
	return what + ": " + e.Err.Error()
}

func (e *ClientCertError) Unwrap() error { return e.Err }

// ClientCertRequired says whether err is that of a registry that asks for a
// client certificate, and was shown none or one that it refused.
func ClientCertRequired(err error) bool {
	_, ok := errors.AsType[*ClientCertError](err)
	return ok
}

// asking remembers which servers asked for a client certificate. A server may
// ask and go on without one.
type asking struct {
	mu      sync.Mutex
	origins map[string]bool
	state   *tls.ConnectionState // of the last unverified handshake with the registry's host
}

func (a *asking) note(origin string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.origins == nil {
		a.origins = map[string]bool{}
	}
	a.origins[origin] = true
}

func (a *asking) noted(origin string) (bool, *tls.ConnectionState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.origins[origin], a.state
}

// see keeps what a server shows where it is not verified: in TLS 1.2 a
// handshake without a client certificate fails, and leaves nothing else.
func (a *asking) see(s tls.ConnectionState) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state = &s
	return nil
}

// answering gives c what answers a request for a client certificate: cert, or
// none. It is called in a handshake, when the server asks.
func (t *Transport) answering(c *tls.Config, cert *tls.Certificate) *tls.Config {
	c.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		h := hopOf(info.Context())
		if h == nil || !t.own(h) {
			return new(tls.Certificate), nil
		}
		t.asking.note(OriginOf(h.req.URL))
		if cert == nil {
			return new(tls.Certificate), nil
		}
		return cert, nil
	}
	return c
}

// own says whether h goes to the registry itself, or to an agreed token service
// under the same name: who may see the client certificate.
func (t *Transport) own(h *hop) bool {
	return h.site != elsewhere && strings.EqualFold(h.req.URL.Hostname(), t.base.Hostname())
}

// clientFault is what an alert says to whom was asked for a client
// certificate; nil if it is about something else.
func (t *Transport) clientFault(h *hop, err error) error {
	alert, ok := errors.AsType[*net.OpError](err)
	if !ok || alert.Op != "remote error" || !t.own(h) || !aboutCertificates(alert.Err.Error()) {
		return nil
	}
	asked, state := t.asking.noted(OriginOf(h.req.URL))
	if !asked {
		return nil
	}
	return &ClientCertError{Shown: t.config.ClientCert != nil, State: state, Err: alert.Err}
}

// aboutCertificates knows the alerts for a client certificate that is missing
// or does not please (RFC 8446 section 6.2, as crypto/tls words them). TLS 1.2
// has no alert of its own for one that is missing.
func aboutCertificates(alert string) bool {
	for _, word := range []string{"certificate", "handshake failure", "access denied"} {
		if strings.Contains(alert, word) {
			return true
		}
	}
	return false
}

// nginxPage is how much of an answer with status 400 is looked at, in bytes;
// nginx's own pages have 250.
const nginxPage = 2 << 10

// refusedByPage knows nginx, which makes TLS without a client certificate or
// with a wrong one, and then answers every request with a page
// (ngx_http_special_response.c, NGX_HTTPS_NO_CERT and NGX_HTTPS_CERT_ERROR).
// What it read of any other answer is put back.
func (t *Transport) refusedByPage(h *hop, resp *http.Response) error {
	if resp.StatusCode != http.StatusBadRequest || !t.own(h) {
		return nil
	}
	asked, state := t.asking.noted(OriginOf(h.req.URL))
	if !asked {
		return nil
	}
	page, err := io.ReadAll(io.LimitReader(resp.Body, nginxPage))
	missing := bytes.Contains(page, []byte("No required SSL certificate was sent"))
	if missing || bytes.Contains(page, []byte("The SSL certificate error")) {
		_ = resp.Body.Close()
		return &ClientCertError{Shown: !missing, State: state}
	}
	resp.Body = &putBack{Reader: io.MultiReader(bytes.NewReader(page), &failing{resp.Body, err}), Closer: resp.Body}
	return nil
}

// A putBack is a body of which the beginning was read already.
type putBack struct {
	io.Reader
	io.Closer
}

// A failing reader ends with the error that was met before, if there was one.
type failing struct {
	io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return f.Reader.Read(p)
}

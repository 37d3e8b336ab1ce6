// Package probe asks a host what it shows: whether it speaks TLS, with which
// certificates, and whether a registry answers. It alone looks at a chain
// without verifying it, and it never carries credentials.
package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/wire"
)

// A Verdict is the one word for what was found.
type Verdict string

// The verdicts. Where several are true, the one further up is said: what
// cannot be mended from here comes first.
const (
	PlainHTTP      Verdict = "plain http"
	WrongName      Verdict = "wrong name"
	CommonNameOnly Verdict = "common name only"
	Expired        Verdict = "expired"
	NotYetValid    Verdict = "not yet valid"
	OnlyV1         Verdict = "only v1" // a registry of the first protocol, which docker left behind
	NotRegistry    Verdict = "not a registry"
	Public         Verdict = "publicly trusted" // by the system's roots alone
	SelfSigned     Verdict = "self-signed"      // the served certificate issued itself
	PrivateCA      Verdict = "private ca"
)

// A Report is what a host showed. What is foreign in it is raw.
type Report struct {
	Host    ref.Host
	Verdict Verdict

	Chain      []*x509.Certificate // as served, leaf first; nil over plain HTTP
	CertErr    *pki.CertError      // why the system's roots do not verify it; nil with Public
	TLSVersion uint16              // as in crypto/tls; 0 over plain HTTP

	// ClientCert says that it answers nobody without a client certificate that
	// it knows. What answers there is not known then: nothing below is set.
	ClientCert bool

	Registry   bool   // it answers as a registry does
	Status     int    // of GET /v2/; 0 if it led to another host
	Challenge  string // the Www-Authenticate header, at most 4 KiB
	Realm      string // where tokens are given, or what Basic calls itself
	Service    string // "harbor-registry" is Harbor
	APIVersion string // the Docker-Distribution-Api-Version header, at most 4 KiB
}

// Options are what a probe works with.
type Options struct {
	System  *x509.CertPool                        // the system's roots; nil: none
	Now     func() time.Time                      // nil: time.Now
	Proxy   func(*http.Request) (*url.URL, error) // nil: none
	Timeout time.Duration                         // longest silence of the other side; 0: wire's

	Sleep func(context.Context, time.Duration) error // between tries; nil: wire's
}

// maxHeader is how much of a header is kept, in bytes.
const maxHeader = 4 << 10

// Host asks h, first over TLS alone, then with GET /v2/ over a connection on
// which the same certificate must be shown. Plain HTTP is tried only where the
// server itself answered TLS with it. Errors are those of package wire.
func Host(ctx context.Context, h ref.Host, o Options) (Report, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	config := wire.Config{Host: h, Proxy: o.Proxy, Silence: o.Timeout, Now: o.Now, Sleep: o.Sleep}
	r := Report{Host: h}
	state, err := handshake(ctx, config)
	if wire.KindOf(err) == wire.NotHTTPS {
		return r.plain(ctx, config, err)
	}
	if err != nil {
		return r, err
	}
	r.Chain, r.TLSVersion = state.PeerCertificates, state.Version
	r.CertErr, _ = errors.AsType[*pki.CertError](pki.Judge(r.Chain, o.System, h.Endpoint().Name(), o.Now()))
	t := wire.Pinned(config, r.Chain[0])
	defer t.CloseIdleConnections()
	v1, err := r.ask(ctx, t)
	if err != nil && !wire.ClientCertRequired(err) {
		return r, err
	}
	r.ClientCert = err != nil
	r.Verdict = r.verdict(v1)
	return r, nil
}

// handshake fetches what a server shows, and hangs up before a request is sent.
func handshake(ctx context.Context, c wire.Config) (*tls.ConnectionState, error) {
	c.InsecureSkipVerify = true // only to see the chain
	t := wire.New(c)
	defer t.CloseIdleConnections()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var seen atomic.Pointer[tls.ConnectionState]
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			if err == nil && len(s.PeerCertificates) > 0 {
				seen.CompareAndSwap(nil, &s)
				cancel()
			}
		},
	})
	resp, err := get(ctx, t, "/v2/")
	if resp != nil {
		_ = resp.Body.Close()
	}
	if state := seen.Load(); state != nil {
		return state, nil
	}
	if e, ok := errors.AsType[*wire.ClientCertError](err); ok && e.State != nil && len(e.State.PeerCertificates) > 0 {
		return e.State, nil // TLS 1.2: it hung up within the handshake
	}
	if err == nil {
		err = &wire.Error{Op: "tls handshake", Host: c.Host.String(), Kind: wire.TLS, Err: errNoCertificate}
	}
	return nil, err
}

var errNoCertificate = errors.New("the server showed no certificate")

// plain confirms that h speaks HTTP in clear; cause is how that came up.
func (r Report) plain(ctx context.Context, c wire.Config, cause error) (Report, error) {
	c.PlainHTTP = true
	t := wire.New(c)
	defer t.CloseIdleConnections()
	v1, err := r.ask(ctx, t)
	switch {
	case ctx.Err() != nil:
		return r, err
	case err != nil:
		return r, cause
	}
	r.Verdict = PlainHTTP
	if !r.Registry && !v1 && r.answered() {
		r.Verdict = NotRegistry
	}
	return r, nil
}

// answered says whether the status tells what the host is: a server's own
// failure tells nothing.
func (r *Report) answered() bool { return r.Status < http.StatusInternalServerError }

func (r *Report) verdict(v1 bool) Verdict {
	problem := pki.Problem(0)
	if r.CertErr != nil {
		problem = r.CertErr.Problem
	}
	switch problem {
	case pki.WrongName:
		return WrongName
	case pki.CommonNameOnly:
		return CommonNameOnly
	case pki.Expired:
		return Expired
	case pki.NotYetValid:
		return NotYetValid
	}
	switch {
	case v1:
		return OnlyV1
	case !r.Registry && r.answered() && !r.ClientCert:
		return NotRegistry
	case r.CertErr == nil:
		return Public
	case pki.SelfSigned(r.Chain[0]):
		return SelfSigned
	default:
		return PrivateCA
	}
}

// ask sends GET /v2/ and, where no registry answers, the ping of the first
// protocol; v1 says whether that one was understood.
func (r *Report) ask(ctx context.Context, t *wire.Transport) (v1 bool, err error) {
	resp, err := get(ctx, t, "/v2/")
	if wire.KindOf(err) == wire.Policy { // it leads elsewhere, where this host's registry is not
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end or of no use any more
	r.Status = resp.StatusCode
	r.APIVersion = bounded(resp.Header.Get("Docker-Distribution-Api-Version"))
	r.Challenge = bounded(resp.Header.Get("Www-Authenticate"))
	scheme, params := parseChallenge(r.Challenge)
	r.Realm, r.Service = params["realm"], params["service"]
	r.Registry = strings.HasPrefix(r.APIVersion, "registry/2") ||
		r.Status == http.StatusUnauthorized && (scheme == "bearer" || scheme == "basic") ||
		r.Status == http.StatusOK && emptyObject(resp)
	if r.Registry || !r.answered() {
		return false, nil
	}
	return pingV1(ctx, t)
}

// emptyObject knows the answer of a registry without the version header:
// JSON, and nothing in it. A web page for every path is none.
func emptyObject(resp *http.Response) bool {
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		return false
	}
	body, err := wire.ReadAll(resp.Body, wire.MaxError)
	text := strings.TrimSpace(string(body))
	return err == nil && (text == "" || text == "{}")
}

// pingV1 asks as docker did before 1.6: the answer is "true" or an object, and
// has a header with the version (docker registry 0.9, _ping in app.py).
func pingV1(ctx context.Context, t *wire.Transport) (bool, error) {
	resp, err := get(ctx, t, "/v1/_ping")
	if err != nil {
		return false, ctx.Err() // what else fails here was no registry
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end or of no use any more
	if resp.StatusCode != http.StatusOK {
		return false, nil
	}
	if resp.Header.Get("X-Docker-Registry-Version") != "" {
		return true, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, wire.MaxError))
	return err == nil && strings.TrimSpace(string(body)) == "true", ctx.Err()
}

func get(ctx context.Context, t *wire.Transport, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.Base().String()+path, nil)
	if err != nil {
		return nil, err
	}
	return t.RoundTrip(req)
}

func bounded(s string) string { return s[:min(len(s), maxHeader)] }

package wire

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A site is what a host is to this transport.
type site int

const (
	elsewhere site = iota // storage and the like: no credentials, no addresses of this machine
	realm                 // a token service that the user agreed to
	origin                // the registry
)

// A hop is one request as it goes out: scheme and host are settled.
type hop struct {
	req   *http.Request
	site  site
	proxy *url.URL // nil: none
}

type hopKey struct{}

func hopOf(ctx context.Context) *hop { h, _ := ctx.Value(hopKey{}).(*hop); return h }

func (h *hop) op() string { return h.req.Method + " " + Redact(h.req.URL) }

func (h *hop) fail(kind Kind, err error) *Error {
	return &Error{Op: h.op(), Host: h.req.URL.Host, Kind: kind, Err: err, Plain: h.req.URL.Scheme == schemeHTTP}
}

// refuse is the refusal to go to u with h.
func (h *hop) refuse(u *url.URL, why string) *Error {
	if h.req.Response != nil {
		return refusedRedirect(h.op(), u, why)
	}
	return refused(h.op(), u, why)
}

// A trip is one call of RoundTrip: several hops, each sent once or more.
type trip struct {
	t     *Transport
	first string // origin of the first hop
	hops  int
	tries int
}

// credentials are the headers that say who asks.
var credentials = []string{"Authorization", "Cookie", "Cookie2"}

// harmless are the headers that go along to another origin.
var harmless = []string{"Accept", "Accept-Encoding", "If-Match", "If-None-Match", "If-Range", "Range", "User-Agent"}

// RoundTrip sends req, through redirects (GET and HEAD) and retries, and
// returns the last answer, whose Request is the last one sent and which is no
// redirect: one of a request that writes is a [*PolicyError]. An error is an
// [*Error] or wraps that of the request's context. The caller closes the body,
// whose reads fail with a [*TimeoutError] inside when the other side is silent.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	h, err := t.settle(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	r := &trip{t: t, first: OriginOf(h.req.URL)}
	for {
		resp, err := r.send(h)
		if err != nil {
			return nil, err
		}
		next, err := r.redirect(h, resp)
		if err != nil {
			drain(resp)
			return nil, err
		}
		if next == nil {
			return resp, nil
		}
		drain(resp)
		h = next
	}
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// settle decides where req goes and whether it may.
func (t *Transport) settle(req *http.Request) (*hop, error) {
	u := *req.URL
	u.Scheme = strings.ToLower(u.Scheme)
	out := req.Clone(req.Context())
	out.URL, out.Host = &u, ""
	if out.Header == nil {
		out.Header = http.Header{}
	}
	h := &hop{req: out, site: t.siteOf(&u, req.Response != nil)}
	no := func(why string) (*hop, error) { return nil, h.refuse(&u, why) }
	switch {
	case u.Scheme != schemeHTTP && u.Scheme != schemeHTTPS:
		return no("neither http nor https")
	case u.User != nil:
		return no("a user name in the URL")
	case u.Scheme == schemeHTTP && cameOverHTTPS(req):
		return no("a redirect from https to http")
	case h.site == origin:
		u.Scheme, u.Host = t.base.Scheme, t.base.Host
	case u.Scheme == schemeHTTP && h.site != realm:
		return no("plain http")
	case hasBody(req) && h.site == elsewhere && cameFromElsewhere(req):
		return no("a redirect to another origin of a request with a body or a password")
	}
	if why := t.whyNot(h); why != "" {
		return no(why)
	}
	out.Header.Del("Proxy-Authorization")
	out.Header.Set("User-Agent", t.config.UserAgent)
	return h, t.setProxy(h)
}

// whyNot says why h may not go to its host, or "".
func (t *Transport) whyNot(h *hop) string {
	secret := slices.ContainsFunc(credentials, func(k string) bool { return h.req.Header.Get(k) != "" })
	switch {
	case t.pinned && h.site != origin:
		return "the certificate of this one host was pinned"
	case t.pinned && secret && !t.config.AllowCredentials:
		return "credentials before the certificate is trusted"
	case h.site != elsewhere:
		return ""
	case secret:
		return "credentials for another origin"
	}
	return t.whyNotAddress(literalClass(h.req.URL.Hostname()))
}

// cameOverHTTPS says whether a redirect led to req from https.
func cameOverHTTPS(req *http.Request) bool {
	return req.Response != nil && req.Response.Request != nil && req.Response.Request.URL.Scheme == schemeHTTPS
}

// cameFromElsewhere says whether a redirect led to req from another origin.
func cameFromElsewhere(req *http.Request) bool {
	return req.Response != nil && (req.Response.Request == nil || OriginOf(req.Response.Request.URL) != OriginOf(req.URL))
}

// siteOf says what u is. A caller names the registry by any scheme, since
// libraries guess it; a redirect means what it says.
func (t *Transport) siteOf(u *url.URL, redirected bool) site {
	if t.aliases[strings.ToLower(u.Hostname())] {
		usual := u.Port() == "" && (t.base.Port() == "" || t.base.Port() == httpsPort)
		switch {
		case !redirected && (usual || u.Port() == portOf(t.base)),
			redirected && u.Scheme == t.base.Scheme && portOf(u) == portOf(t.base):
			return origin
		}
	}
	if t.realms[OriginOf(u)] {
		return realm
	}
	return elsewhere
}

// redirect is the hop that resp asks for, or nil if resp is the answer. What
// writes is redirected by nobody.
func (r *trip) redirect(h *hop, resp *http.Response) (*hop, error) {
	location := resp.Header.Get("Location")
	if !isRedirect(resp.StatusCode) || location == "" {
		return nil, nil //nolint:nilnil // no redirect, and nothing wrong
	}
	u, err := parseLocation(h.req.URL, location)
	if err != nil {
		return nil, err
	}
	if !idempotent(h.req.Method) {
		e := &PolicyError{URL: Redact(u), Why: "a redirect of a request that writes", Redirected: true, Writes: true}
		return nil, h.fail(Policy, e)
	}
	if r.hops++; r.hops > MaxRedirects {
		return nil, refusedRedirect(h.op(), u, "too many redirects")
	}
	next := h.req.Clone(h.req.Context())
	next.URL, next.Response = u, resp
	if OriginOf(u) != r.first {
		next.Header = http.Header{}
		for _, k := range harmless {
			if v := h.req.Header.Values(k); len(v) > 0 {
				next.Header[k] = v
			}
		}
	}
	return r.t.settle(next)
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// drain reads what little is left of an answer, so that its connection can be
// used again, and closes it.
func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, MaxError)
	_ = resp.Body.Close()
}

// progress is how far one attempt is; the callbacks of a trace come from
// goroutines that may outlive it.
type progress struct {
	handshake atomic.Bool
	connected atomic.Bool
}

func (p *progress) phase() string {
	switch {
	case p.connected.Load():
		return phaseHeaders
	case p.handshake.Load():
		return phaseHandshake
	}
	return phaseConnect
}

// over sends h one time. Connecting, the proxy and the handshake together may
// not last longer than Silence; what follows has timers of its own.
func (t *Transport) over(l *lanes, h *hop) (*http.Response, bool, error) {
	ctx, cancel := context.WithCancelCause(context.WithValue(h.req.Context(), hopKey{}, h))
	var p progress
	setup := time.AfterFunc(t.config.Silence, func() {
		cancel(&TimeoutError{Phase: p.phase(), Limit: t.config.Silence})
	})
	answer := patience{silence: t.config.Silence, give: cancel}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeStart: func() { p.handshake.Store(true) },
		GotConn: func(got httptrace.GotConnInfo) {
			setup.Stop()
			p.connected.Store(true)
			answer.on(connOf(got.Conn))
		},
		WroteRequest: func(httptrace.WroteRequestInfo) { answer.begin() },
	})
	start := time.Now()
	resp, err := t.via(l, h).RoundTrip(h.req.WithContext(ctx))
	setup.Stop()
	answer.end()
	seen := Exchange{Method: h.req.Method, URL: Redact(h.req.URL), Duration: time.Since(start)}
	if err != nil {
		err = t.classify(ctx, h, l, p.phase(), err)
		cancel(nil)
		seen.Err = err
		t.config.Trace(seen)
		return nil, p.connected.Load(), err
	}
	seen.Status = resp.StatusCode
	t.config.Trace(seen)
	resp.Request = h.req
	resp.Body = newBody(resp.Body, h, ctx, cancel, t.config.Silence)
	if resp.StatusCode == http.StatusProxyAuthRequired && h.proxy != nil && h.req.URL.Scheme == schemeHTTP {
		drain(resp)
		return nil, true, h.fail(ProxyRefused, &ProxyError{Proxy: h.proxy.Host, Status: resp.StatusCode})
	}
	if err := t.refusedByPage(h, resp); err != nil {
		return nil, true, h.fail(TLS, err)
	}
	return resp, true, nil
}

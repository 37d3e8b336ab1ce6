package auth

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/vicr-cli/vicr/internal/wire"
)

// A Transport is an [http.RoundTripper] that answers the challenges of one
// registry. It is safe for use by several goroutines.
//
// It spends the password sparingly, since servers lock users out: only after a
// challenge, never twice at the same time before the registry accepted it, and
// at most three times without a success in between.
type Transport struct {
	inner       http.RoundTripper
	base        *url.URL
	credentials Credentials
	policy      Policy
	now         func() time.Time
	sleep       func(context.Context, time.Duration) error

	turn chan struct{} // holds one value: whoever has it may ask for a token or send an unproven password

	mu         sync.Mutex
	bearer     *challenge // as the registry last wrote it; nil: not seen
	tokens     []*token
	basicAsked bool   // the registry asked for HTTP Basic when nothing was at stake
	message    string // with which the registry asked then, raw
	basicOK    bool   // the registry accepted the password by HTTP Basic
	sends      int    // of secrets, since the registry last accepted what came of one
	refusal    *DeniedError
	failure    *failure // nil: no token was asked for in vain
	more       *failure // see fetchMore; nil: nothing optional was refused
}

// NewTransport returns a round-tripper that speaks to the registry at base
// through inner, which is to be a [wire.Transport], as c.
//
// Besides those of inner, RoundTrip returns [*DeniedError] when the registry
// or its token service refuses c or wants a login, [*RealmError],
// [*ClearTextError], and [*AnswerError] when the token service answers
// nonsense. A 401 to a request with a token that was fetched just for it is
// returned as the answer: its body says what the registry found.
func NewTransport(inner http.RoundTripper, base *url.URL, c Credentials, p Policy) *Transport {
	b := *base
	t := &Transport{
		inner: inner, base: &b, credentials: c, policy: p,
		now: time.Now, sleep: wire.Sleep, turn: make(chan struct{}, 1),
	}
	t.turn <- struct{}{}
	return t
}

// LoggedIn says whether there are credentials for the registry.
func (t *Transport) LoggedIn() bool { return !t.credentials.IsZero() }

// HasPassword says whether there is a user name with a password: what a registry
// serves beside /v2/ takes no token.
func (t *Transport) HasPassword() bool { return t.credentials.hasPassword() }

// A pass is what a request carries to be let in.
type pass struct {
	header string // value of Authorization, "": nothing
	token  *token // nil: the header is HTTP Basic or a registry token
	fresh  bool   // the token was fetched for this request
}

// RoundTrip sends req, with what credentials it needs if it is for the
// registry, and bare of any if it is not.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	out := req.Clone(req.Context())
	if out.Header == nil {
		out.Header = http.Header{}
	}
	for _, name := range []string{"Authorization", "Cookie"} {
		out.Header.Del(name)
	}
	if !t.owns(req.URL) {
		return t.inner.RoundTrip(out)
	}
	out.URL.Scheme, out.URL.Host, out.Host = t.base.Scheme, t.base.Host, ""
	p, err := t.inHand(out)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := t.send(out, p)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || t.isElsewhere(resp) {
		return resp, err
	}
	p, err = t.answer(out, p, resp)
	if err != nil {
		discard(resp)
		return nil, err
	}
	if p.header == "" {
		return resp, nil
	}
	again, ok := rewound(out)
	if !ok {
		return resp, nil // the caller has to send the body again; what it needs is in hand now
	}
	discard(resp)
	resp, err = t.send(again, p)
	if err == nil && p.token == nil && resp.StatusCode == http.StatusUnauthorized && !t.isElsewhere(resp) {
		defer discard(resp)
		return nil, t.denied(resp)
	}
	return resp, err
}

// owns says whether u is the registry's. go-containerregistry writes http for
// hosts that look private, and index.docker.io for Docker Hub.
func (t *Transport) owns(u *url.URL) bool {
	name, own := strings.ToLower(u.Hostname()), strings.ToLower(t.base.Hostname())
	if name != own && (name != hubIndex || wire.OriginOf(t.base) != hubEndpoint) {
		return false
	}
	if u.User != nil || (u.Scheme != t.base.Scheme && u.Scheme != schemeHTTP) {
		return false
	}
	as := url.URL{Scheme: t.base.Scheme, Host: bracketed(own)} // u in the registry's words
	if p := u.Port(); p != "" {
		as.Host += ":" + p
	}
	return wire.OriginOf(&as) == wire.OriginOf(t.base)
}

// isElsewhere says whether resp is the answer of a host that the registry
// redirected to, whose challenges are not the registry's.
func (t *Transport) isElsewhere(resp *http.Response) bool {
	return resp.Request != nil && !t.owns(resp.Request.URL)
}

// isAnotherHost is [Transport.isElsewhere] without the same host by another
// scheme or port, to which a registry may move.
func (t *Transport) isAnotherHost(resp *http.Response) bool {
	return t.isElsewhere(resp) && !SameHost(resp.Request.URL.Hostname(), t.base.Hostname())
}

// inHand is what req can carry before the registry asks for anything.
func (t *Transport) inHand(req *http.Request) (pass, error) {
	ctx := req.Context()
	t.mu.Lock()
	bearer, basic := t.bearer, t.basicOK || t.basicAsked && t.credentials.hasPassword()
	t.mu.Unlock()
	switch {
	case t.credentials.RegistryToken != "" && t.mayReveal() == nil:
		return pass{header: "Bearer " + t.credentials.RegistryToken}, nil
	case basic:
		return t.basicPass(), nil
	case bearer == nil || !isAPI(req.URL):
		return pass{}, nil
	}
	want := scopesFor(req.Method, req.URL).union(scopesOf(ctx))
	if len(want) > 0 {
		return t.tokenFor(ctx, want, nil)
	}
	if tok := t.cached(want, nil); tok != nil {
		return tok.pass(false), nil
	}
	return pass{}, nil
}

func isAPI(u *url.URL) bool { return strings.HasPrefix(u.Path, apiRoot) }

// answer is what to send req with once more after resp, a 401 to req with p;
// the empty pass if resp stands.
func (t *Transport) answer(req *http.Request, p pass, resp *http.Response) (pass, error) {
	ctx := req.Context()
	want := scopesFor(req.Method, req.URL).union(scopesOf(ctx))
	c, ok := choose(challengesOf(resp.Header))
	switch {
	case p.header != "" && p.token == nil:
		return pass{}, t.denied(resp)
	case ok && c.scheme == schemeBearer:
		if p.token == nil {
			t.hear(resp)
		}
		return t.answerBearer(ctx, c, p, want)
	case p.fresh:
		return pass{}, nil
	case p.token != nil:
		// Harbor 2.x answers Basic, or nothing, to a token of any kind that
		// does not do: this one may be too old.
		return t.tokenFor(ctx, want.union(p.token.scopes), p.token)
	case ok:
		return t.firstBasic(resp)
	case t.credentials.IsZero() || !isAPI(req.URL):
		return pass{}, nil
	}
	// Harbor 2.x challenges with nothing where the project is missing.
	if err := t.learn(ctx); err != nil || t.known() == nil {
		return pass{}, err
	}
	return t.tokenFor(ctx, want, nil)
}

func (t *Transport) answerBearer(ctx context.Context, c challenge, p pass, want scopeSet) (pass, error) {
	asked := newScopeSet(c.params["scope"])
	t.mu.Lock()
	t.bearer = &c
	t.mu.Unlock()
	if p.token == nil {
		return t.tokenFor(ctx, asked.union(want), nil)
	}
	enough := p.token.scopes.covers(asked)
	if enough && (p.fresh || c.params["error"] == "insufficient_scope") {
		return pass{}, nil // another token would be no better
	}
	return t.tokenFor(ctx, asked.union(want).union(p.token.scopes), p.token)
}

// firstBasic is the answer to resp, a challenge of HTTP Basic.
func (t *Transport) firstBasic(resp *http.Response) (pass, error) {
	if !t.credentials.hasPassword() {
		t.mu.Lock()
		t.basicAsked = true
		t.mu.Unlock()
		return pass{}, t.deniedAs(false, resp)
	}
	if err := t.mayReveal(); err != nil {
		return pass{}, err
	}
	return t.basicPass(), nil
}

// learn asks the registry for its challenge.
func (t *Transport) learn(ctx context.Context) error {
	resp, err := t.ping(ctx, pass{})
	if err != nil {
		return err
	}
	defer discard(resp)
	c, ok := choose(challengesOf(resp.Header))
	if !ok || resp.StatusCode != http.StatusUnauthorized || t.isAnotherHost(resp) {
		return nil
	}
	message := messageOf(resp)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.message = message
	if c.scheme == schemeBearer {
		t.bearer = &c
	} else {
		t.basicAsked = true
	}
	return nil
}

func (t *Transport) known() *challenge {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bearer
}

// ping asks for the root of the API.
func (t *Transport) ping(ctx context.Context, p pass) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.base.Scheme+"://"+t.base.Host+apiRoot, nil)
	if err != nil {
		return nil, err
	}
	return t.send(req, p)
}

// send sends req with p, and remembers whether p was accepted.
func (t *Transport) send(req *http.Request, p pass) (*http.Response, error) {
	if p.header == "" {
		return t.inner.RoundTrip(req)
	}
	if err := t.mayReveal(); err != nil && !t.credentials.IsZero() {
		closeBody(req)
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", p.header)
	if p.token == nil && t.credentials.RegistryToken == "" {
		return t.sendBasic(req)
	}
	resp, err := t.inner.RoundTrip(req)
	if err == nil && accepted(resp) {
		t.settle(false)
	}
	return resp, err
}

// sendBasic sends req, which has the password in it: one at a time until the
// registry accepted it once.
func (t *Transport) sendBasic(req *http.Request) (*http.Response, error) {
	if t.proven() {
		return t.inner.RoundTrip(req)
	}
	release, err := t.takeTurn(req.Context())
	if err != nil {
		closeBody(req)
		return nil, err
	}
	defer release()
	if t.proven() {
		return t.inner.RoundTrip(req)
	}
	resp, err := t.sendSecret(req)
	if err == nil && accepted(resp) {
		t.settle(true)
	}
	return resp, err
}

func (t *Transport) proven() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.basicOK
}

// settle notes that the registry accepted what came of the credentials.
func (t *Transport) settle(basic bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sends = 0
	t.basicOK = t.basicOK || basic
}

func accepted(resp *http.Response) bool {
	return resp.StatusCode != http.StatusUnauthorized && resp.StatusCode < http.StatusInternalServerError
}

// takeTurn waits until no other goroutine asks for a token or sends an
// unproven password.
func (t *Transport) takeTurn(ctx context.Context) (release func(), err error) {
	select {
	case <-t.turn:
		return func() { t.turn <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// mayReveal says whether credentials may go to the registry at all.
func (t *Transport) mayReveal() error {
	if (t.base.Scheme != schemeHTTPS || t.policy.Unverified) && !t.policy.AllowClear {
		return &ClearTextError{Host: t.base.Host, Plain: t.base.Scheme == "http"}
	}
	return nil
}

// denied is the refusal in resp, whose body it reads.
func (t *Transport) denied(resp *http.Response) *DeniedError {
	return t.deniedAs(!t.credentials.IsZero(), resp)
}

func (t *Transport) deniedAs(loggedIn bool, resp *http.Response) *DeniedError {
	e := &DeniedError{Host: t.base.Host, Status: resp.StatusCode, Message: messageOf(resp), LoggedIn: loggedIn}
	t.mu.Lock()
	t.refusal = e
	t.mu.Unlock()
	return e
}

// rewound is req as it can be sent a second time.
func rewound(req *http.Request) (*http.Request, bool) {
	if req.Body == nil || req.Body == http.NoBody {
		return req, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, false
	}
	again := req.Clone(req.Context())
	again.Body = body
	return again, true
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// discard reads what little is left of an answer, so that its connection can
// be used again, and closes it.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, wire.MaxError)
	_ = resp.Body.Close()
}

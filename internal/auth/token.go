package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vicr-cli/vicr/internal/wire"
)

const (
	// maxSends is how often a secret is sent without a success in between.
	maxSends = 3

	// A token lives for 60 s if nothing else is said (Distribution, token
	// specification), and no statement beyond a day is believed.
	leastLife = 60 * time.Second
	mostLife  = 24 * time.Hour

	// useOfLife is how much of a token's life it is used for: a request that
	// begins within may last longer than the rest.
	useOfLife = 0.8

	maxTokens   = 64 // kept at the same time
	firstPause  = 200 * time.Millisecond
	pauseGrowth = 4
	clientID    = "vicr"
)

// A token lets requests for its scopes in.
type token struct {
	value  string
	scopes scopeSet
	until  time.Time // when to fetch another
}

func (k *token) pass(fresh bool) pass {
	return pass{header: "Bearer " + k.value, token: k, fresh: fresh}
}

// cached is a token that does for want and is not stale.
func (t *Transport) cached(want scopeSet, stale *token) *token {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	t.tokens = slices.DeleteFunc(t.tokens, func(k *token) bool { return k == stale || !now.Before(k.until) })
	for _, k := range t.tokens {
		if k.scopes.covers(want) {
			return k
		}
	}
	return nil
}

// tokenFor returns a pass with a token for want: one in hand that is not
// stale, else a fresh one. However many goroutines want one, they ask one
// after the other, and those that waited take what the first got: the token, or
// the refusal.
func (t *Transport) tokenFor(ctx context.Context, want scopeSet, stale *token) (pass, error) {
	if k := t.cached(want, stale); k != nil {
		return k.pass(false), nil
	}
	before := t.lastFailure()
	release, err := t.takeTurn(ctx)
	if err != nil {
		return pass{}, err
	}
	defer release()
	if k := t.cached(want, stale); k != nil {
		return k.pass(false), nil
	}
	scopes := strings.Join(want.list(), " ")
	if f := t.lastFailure(); f != nil && f != before && f.scopes == scopes {
		return pass{}, f.err
	}
	if f := t.refusedMore(); f != nil && f.scopes == scopes {
		return pass{}, f.err
	}
	k, err := t.fetchMore(ctx, want)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil { // it was not this request alone that ended
			t.failure = &failure{scopes: scopes, err: err}
		}
		return pass{}, err
	}
	t.tokens = append(t.tokens, k)
	if n := len(t.tokens); n > maxTokens {
		t.tokens = slices.Delete(t.tokens, 0, n-maxTokens)
	}
	return k.pass(true), nil
}

// A failure is what came of the last time that a token was asked for in vain.
type failure struct {
	scopes string
	err    error
}

func (t *Transport) lastFailure() *failure {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failure
}

// fetch asks the token service for a token.
func (t *Transport) fetch(ctx context.Context, want scopeSet) (*token, error) {
	c := t.known()
	realm, err := t.realm(c.params["realm"])
	if err != nil {
		return nil, err
	}
	if err := t.mayReveal(); err != nil && !t.credentials.IsZero() {
		return nil, err
	}
	start := t.now()
	resp, err := t.ask(ctx, realm, c.params["service"], want)
	if err != nil {
		return nil, t.refusedRealm(realm, c.params["realm"], err)
	}
	defer discard(resp)
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, t.denied(resp)
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		if t.credentials.IdentityToken != "" && !t.credentials.hasPassword() {
			return nil, &DeniedError{Host: t.base.Host, Status: resp.StatusCode, Message: "it takes no identity token", LoggedIn: true}
		}
		fallthrough
	default:
		return nil, &AnswerError{
			Host: realm.Host, Status: resp.StatusCode,
			Why: strings.TrimSpace("the token service gave no token " + quoted(messageOf(resp))),
		}
	}
	value, life, err := readToken(resp.Body)
	if errors.Is(err, errNoToken) {
		return nil, &AnswerError{Host: realm.Host, Status: resp.StatusCode, Why: "the token service's answer has no usable token"}
	}
	if err != nil {
		return nil, err
	}
	return &token{value: value, scopes: want, until: start.Add(life)}, nil
}

// ask sends the request for a token: by GET, with the password if there is
// one; an identity token by POST (OAuth2), which Harbor has no ear for.
func (t *Transport) ask(ctx context.Context, realm *url.URL, service string, want scopeSet) (*http.Response, error) {
	if t.credentials.IdentityToken != "" {
		resp, err := t.askOAuth(ctx, realm, service, want)
		missing := err == nil && (resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusMethodNotAllowed)
		if !missing || !t.credentials.hasPassword() {
			return resp, err
		}
		discard(resp)
	}
	u := *realm
	q := u.Query()
	if service != "" {
		q.Set("service", service)
	}
	for _, s := range want.list() {
		q.Add("scope", s)
	}
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	if !t.credentials.hasPassword() {
		return t.sendSparingly(req, false)
	}
	req.Header.Set("Authorization", t.basicPass().header)
	return t.sendSecret(req)
}

func (t *Transport) askOAuth(ctx context.Context, realm *url.URL, service string, want scopeSet) (*http.Response, error) {
	form := url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {t.credentials.IdentityToken},
		"client_id":     {clientID},
		"service":       {service},
	}
	if scopes := want.list(); len(scopes) > 0 {
		form.Set("scope", strings.Join(scopes, " "))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, realm.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return t.sendSecret(req)
}

// basicPass is the password as HTTP Basic has it.
func (t *Transport) basicPass() pass {
	req := http.Request{Header: http.Header{}}
	req.SetBasicAuth(t.credentials.Username, t.credentials.Password)
	return pass{header: req.Header.Get("Authorization")}
}

// sendSecret sends req, which has a secret in it that is not yet known to be
// right. The caller has the turn.
func (t *Transport) sendSecret(req *http.Request) (*http.Response, error) {
	return t.sendSparingly(req, true)
}

// sendSparingly sends req at most three times, and where it has a secret in it
// counts each time. The transport below would repeat it on its own, and oftener:
// also after a 500, which the token service of Harbor 1 gives for a name without
// a project as often as it is asked.
func (t *Transport) sendSparingly(req *http.Request, secret bool) (*http.Response, error) {
	pause := firstPause
	for sent := 1; ; sent++ {
		if secret && !t.count() {
			closeBody(req)
			return nil, t.refused()
		}
		resp, err := t.inner.RoundTrip(once(req))
		wait, again := passes(resp, err)
		last := sent == maxSends || secret && !t.left()
		if !again || last || (req.Method != http.MethodGet && req.Method != http.MethodHead) {
			return resp, err
		}
		if resp != nil {
			discard(resp)
		}
		if err := t.sleep(req.Context(), max(wait, pause)); err != nil {
			return nil, err
		}
		pause *= pauseGrowth
	}
}

func (t *Transport) count() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sends >= maxSends {
		return false
	}
	t.sends++
	return true
}

func (t *Transport) left() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sends < maxSends
}

// refused is the error when the secret was sent often enough.
func (t *Transport) refused() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := DeniedError{Host: t.base.Host, Message: "the credentials were sent three times to no avail", LoggedIn: true}
	if t.refusal != nil {
		e.Message = t.refusal.Message
	}
	return &e
}

// once is req in a form that nobody sends twice: with a body that is empty and
// cannot be had again. It goes out as if there were none.
func once(req *http.Request) *http.Request {
	req = req.Clone(req.Context())
	req.GetBody = nil
	if req.Body == nil || req.Body == http.NoBody {
		req.Body = io.NopCloser(strings.NewReader(""))
	}
	return req
}

// passes says whether what came back may be better the next time, and how long
// the server wants to be left alone before.
func passes(resp *http.Response, err error) (wait time.Duration, passing bool) {
	if err != nil {
		rate, ok := errors.AsType[*wire.RateError](err)
		switch {
		case ok:
			return rate.After, rate.After <= wire.MaxRetryAfter
		default:
			return 0, wire.KindOf(err) == wire.Unreachable
		}
	}
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusTooManyRequests:
		return 0, true
	}
	return 0, false
}

var errNoToken = errors.New("no token")

// readToken reads the answer of a token service: the token and how long it is
// to be used. Harbor has it in token, beside an empty access_token.
func readToken(body io.Reader) (value string, use time.Duration, err error) {
	data, err := wire.ReadAll(body, wire.MaxToken)
	if err != nil {
		return "", 0, err
	}
	var answer struct {
		Token       string          `json:"token"`
		AccessToken string          `json:"access_token"`
		ExpiresIn   json.RawMessage `json:"expires_in"` // seconds
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return "", 0, errNoToken
	}
	value = answer.Token
	if value == "" {
		value = answer.AccessToken
	}
	if value == "" || strings.IndexFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f }) >= 0 {
		return "", 0, errNoToken
	}
	life, err := strconv.ParseFloat(string(answer.ExpiresIn), 64)
	if err != nil {
		life = 0 // missing or nonsense
	}
	life = min(max(life, leastLife.Seconds()), mostLife.Seconds())
	return value, time.Duration(life * useOfLife * float64(time.Second)), nil
}

// messageOf is what an answer says in words, raw and short: the message of the
// first error in the registry's form, else plain text.
func messageOf(resp *http.Response) string {
	data, err := io.ReadAll(io.LimitReader(resp.Body, wire.MaxError))
	if err != nil {
		return ""
	}
	var answer struct {
		Errors  []struct{ Message string } `json:"errors"`
		Details string                     `json:"details"`
		Message string                     `json:"message"`
	}
	text := ""
	if json.Unmarshal(data, &answer) == nil {
		switch {
		case len(answer.Errors) > 0:
			text = answer.Errors[0].Message
		case answer.Message != "":
			text = answer.Message
		default:
			text = answer.Details
		}
	} else if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && kind == "text/plain" {
		text = string(bytes.TrimSpace(data))
	}
	return text[:min(len(text), maxShown)]
}

func quoted(s string) string {
	if s == "" {
		return ""
	}
	return "(" + quote(s) + ")"
}

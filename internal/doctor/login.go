package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vicr-cli/vicr/internal/auth"
)

// A keptFacts is what the user's store of credentials said.
type keptFacts struct {
	asked  bool
	c      auth.Credentials
	source auth.Source
	err    error
	late   time.Duration // after which it was not waited for; 0: it answered
}

// keep asks for the user's login while the registry is asked: a helper may take
// its time.
func (d *doctor) keep(ctx context.Context, f facts) outcome {
	k := keptFacts{asked: true}
	if d.o.Credentials != nil {
		k.c, k.source, k.err = d.o.Credentials.Get(ctx, d.target.Host)
		if ctx.Err() != nil {
			k.late = f.limit
		}
	}
	return ok("").with(func(f *facts) { f.kept = k })
}

// credentials says where the user's login is kept. Nothing secret is shown.
func (d *doctor) credentials(_ context.Context, f facts) outcome {
	h, c, source, err := d.target.Host, f.kept.c, f.kept.source, f.kept.err
	var helper *auth.HelperError
	var config *auth.ConfigError
	switch {
	case d.o.Credentials == nil:
		return skip("%s", d.o.NoCredentials)
	case !f.kept.asked:
		return skip("see %s", kept)
	case errors.As(err, &helper) && f.kept.late > 0:
		return fail("credential helper %s: no answer within %s", strconv.Quote(helper.Helper), f.kept.late).
			try("echo " + h.String() + " | docker-credential-" + word(helper.Helper) + " get > /dev/null")
	case errors.As(err, &helper):
		return fail("%v", err).
			try("docker-credential-"+word(helper.Helper)+" list", "or take it out of credsStore and credHelpers in docker's config.json, then: "+d.loginLines(f, "")[0])
	case errors.As(err, &config):
		return fail("%v", err).try("mend the file or move it away; vicr leaves it as it is")
	case err != nil:
		return fail("%v", err).try(d.loginLines(f, "")...)
	case c.IsZero():
		return warn("nobody is logged in: only what is public can be pulled").try(d.loginLines(f, "")...)
	}
	who := strconv.Quote(c.Username)
	if c.Username == "" {
		who = "a token"
	}
	return ok("%s, from %s", who, source).with(func(f *facts) { f.credentials, f.source = c, source })
}

// login asks the registry whether it takes the credentials. They are sent once.
func (d *doctor) login(ctx context.Context, f facts) outcome {
	if f.problem != "" {
		return skip("no password goes to a server that was not verified")
	}
	s := d.newSession(f, f.credentials)
	open := func(f *facts) { f.session = s }
	switch {
	case f.credentials.IsZero() && d.o.Credentials == nil:
		return skip("%s", d.o.NoCredentials).with(open)
	case f.credentials.IsZero():
		return skip("nobody is logged in").with(open)
	case f.scheme == "" && f.report.Status == http.StatusOK:
		return skip("the registry asks nobody who they are").with(open)
	}
	id, err := s.auth.Verify(ctx)
	if err != nil {
		return d.loginFault(f, s, err)
	}
	s.settle()
	if id.Scheme == "" {
		return skip("the registry asks nobody who they are").with(open)
	}
	return ok("accepted").with(open)
}

func (d *doctor) loginFault(f facts, s *session, err error) outcome {
	var clear *auth.ClearTextError
	var denied *auth.DeniedError
	var realm *auth.RealmError
	switch {
	case errors.As(err, &clear):
		anonymous := d.newSession(f, auth.Credentials{})
		return skip("no password goes over plain HTTP; after %s it does", d.loginLines(f, "")[0]).
			with(func(f *facts) { f.session = anonymous })
	case errors.As(err, &denied) && denied.Message != "":
		return fail("refused: status %d: %s", denied.Status, strconv.Quote(denied.Message)).try(d.loginLines(f, "")...)
	case errors.As(err, &denied):
		return fail("refused: status %d", denied.Status).try(d.loginLines(f, "")...)
	case errors.As(err, &realm) && realm.Origin != "":
		return fail("%v", err).try(d.loginLines(f, " --realm "+word(realm.Origin))...)
	case errors.Is(err, errTwice):
		return fail("the answer was %s; the password is not sent twice", s.first()).try("run it again later; ask the administrator of " + d.target.Host.String())
	}
	return fail("%s", wireWhy(err, f.limit)).try("ask the administrator of " + d.target.Host.String())
}

// A session asks the registry as the user, or as nobody. It lies beneath
// [auth.Transport]: it sends a password once until that is known to be right,
// and keeps the tokens that come by.
type session struct {
	auth      *auth.Transport
	inner     http.RoundTripper
	anonymous bool

	mu      sync.Mutex
	settled bool
	sent    int
	got     string // what the first answer to a password was
	bearers []string
}

var errTwice = errors.New("the password would be sent twice")

func (d *doctor) newSession(f facts, c auth.Credentials) *session {
	w := d.transport(f)
	s := &session{inner: w, anonymous: c.IsZero()}
	s.auth = auth.NewTransport(s, w.Base(), c, d.policy())
	return s
}

// RoundTrip sends req unless it is a password that was sent before.
func (s *session) RoundTrip(req *http.Request) (*http.Response, error) {
	header := req.Header.Get("Authorization")
	secret := strings.HasPrefix(header, "Basic ") || req.Method == http.MethodPost
	if !s.may(header, secret) {
		if req.Body != nil {
			_ = req.Body.Close() // as RoundTrippers do, also with an error
		}
		return nil, errTwice
	}
	resp, err := s.inner.RoundTrip(req)
	if secret {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case s.got != "":
		case err != nil:
			s.got = err.Error()
		default:
			s.got = fmt.Sprintf("status %d", resp.StatusCode)
		}
	}
	return resp, err
}

func (s *session) may(header string, secret bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if token, ok := strings.CutPrefix(header, "Bearer "); ok && !slices.Contains(s.bearers, token) {
		s.bearers = append(s.bearers, token)
	}
	if !secret || s.settled {
		return true
	}
	s.sent++
	return s.sent == 1
}

// settle notes that the registry accepted the password.
func (s *session) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled = true
}

func (s *session) first() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got
}

func (s *session) tokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.bearers)
}

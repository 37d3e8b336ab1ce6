package auth

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	notFound := func(w http.ResponseWriter, r *http.Request) bool { http.NotFound(w, r); return true }
	noChallenge := func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	tests := []struct {
		name   string
		style  style
		pass   string
		onV2   func(http.ResponseWriter, *http.Request) bool
		scheme string
		err    any
		sends  int
	}{
		{name: "harbor 1.x", style: harbor1, pass: password, scheme: "bearer", sends: 1},
		{name: "harbor 2.x", style: harbor2, pass: password, scheme: "bearer", sends: 1},
		{name: "distribution", style: htpasswd, pass: password, scheme: "basic", sends: 1},
		{name: "open", style: open, pass: password, scheme: ""},
		{name: "harbor 1.x, wrong", style: harbor1, pass: "wrong", err: new(*DeniedError), sends: 1},
		{name: "harbor 2.x, wrong", style: harbor2, pass: "wrong", err: new(*DeniedError), sends: 1},
		{name: "distribution, wrong", style: htpasswd, pass: "wrong", err: new(*DeniedError), sends: 1},
		{name: "no registry", style: open, pass: password, onV2: notFound, err: new(*AnswerError)},
		{name: "no challenge", style: open, pass: password, onV2: noChallenge, err: new(*AnswerError)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDouble(t, tt.style)
			d.onV2 = tt.onV2
			id, err := transportTo(t, d, login(tt.pass)).Verify(t.Context())
			switch {
			case tt.err == nil && (err != nil || id.Scheme != tt.scheme || id.Username != user):
				t.Errorf("%+v, %v", id, err)
			case tt.err != nil && !errors.As(err, tt.err):
				t.Errorf("%v, want %T", err, tt.err)
			}
			if passwords, _, _ := d.counts(); passwords != tt.sends {
				t.Errorf("%d password sends, want %d", passwords, tt.sends)
			}
			scoped := d.seen(func(r *http.Request) bool { return r.URL.Query().Has("scope") })
			if scoped != 0 {
				t.Errorf("%d token requests had a scope", scoped)
			}
		})
	}
}

// Why Verify asks without one: with a scope, a wrong password is let in.
func TestWithAScopeAWrongPasswordIsNotNoticed(t *testing.T) {
	t.Parallel()
	d := newDouble(t, harbor1)
	rt := transportTo(t, d, login("wrong"))
	mustDo(t, rt, http.MethodGet, d.URL+publicTag, http.StatusOK)
	_, err := rt.Verify(WithScope(t.Context(), "repository:library/app:pull"))
	if denied, ok := errors.AsType[*DeniedError](err); !ok || !denied.LoggedIn {
		t.Errorf("%v, want a refusal", err)
	}
}

// A moved is a registry that redirects to host, which names the registry's own
// token service.
type moved struct {
	host  string
	asked []string
}

func (m *moved) RoundTrip(req *http.Request) (*http.Response, error) {
	m.asked = append(m.asked, req.URL.Path)
	resp := httptest.NewRecorder()
	if req.URL.Path == apiRoot {
		req = req.Clone(req.Context())
		req.URL.Host = m.host
		resp.Header().Set("Www-Authenticate", `Bearer realm="https://registry.test/token",service="s"`)
		resp.WriteHeader(http.StatusUnauthorized)
	}
	answer := resp.Result()
	answer.Request = req
	return answer, nil
}

// Where a password goes is not for another host to say.
func TestAnotherHostDoesNotSayWhoMayLogIn(t *testing.T) {
	t.Parallel()
	for host, other := range map[string]bool{"registry.test": false, "registry.test:8443": false, "elsewhere.test": true} {
		m := &moved{host: host}
		tr := NewTransport(m, &url.URL{Scheme: "https", Host: "registry.test"}, Credentials{Username: user, Password: password}, Policy{})
		_, err := tr.Verify(t.Context())
		if strange, ok := errors.AsType[*AnswerError](err); other && (!ok || !strings.Contains(strange.Why, "another host")) {
			t.Errorf("%s: %v", host, err)
		}
		if asked := slices.Contains(m.asked, "/token"); asked == other {
			t.Errorf("%s: asked for %q", host, m.asked)
		}
		fresh := NewTransport(m, &url.URL{Scheme: "https", Host: "registry.test"}, Credentials{Username: user, Password: password}, Policy{})
		if asks, err := fresh.Learn(t.Context()); err != nil || (asks.Scheme == "") != other {
			t.Errorf("%s: learnt %+v, %v", host, asks, err)
		}
	}
}

package auth

import (
	"errors"
	"net/http"
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

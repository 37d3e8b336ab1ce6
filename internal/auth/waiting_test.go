package auth

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// A service is a registry with its token service in one function, that answers
// a request for a token when it is told to.
type service struct {
	asked  atomic.Int32
	answer chan int // statuses
}

func (s *service) RoundTrip(r *http.Request) (*http.Response, error) {
	closeBody(r)
	status, body := http.StatusOK, ""
	if r.URL.Path == "/service/token" {
		s.asked.Add(1)
		select {
		case status = <-s.answer:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		body = `{"token":"t"}`
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// Of two who want a token at the same time the second waits for the first, and
// takes its token; what became of the first is no matter of the second where it
// wants another, or where the first was called off.
func TestWhoWaitsForAToken(t *testing.T) {
	t.Parallel()
	const one, two = "repository:demo/one:pull", "repository:demo/two:pull"
	for name, test := range map[string]struct {
		second string
		end    bool // of the first, before there is an answer
		status int  // of the first answer
		asked  int32
		failed bool // the first
	}{
		"the same":               {one, false, http.StatusOK, 1, false},
		"another":                {two, false, http.StatusOK, 2, false},
		"another, and a refusal": {two, false, http.StatusForbidden, 2, true},
		"the first is gone":      {one, true, 0, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &service{answer: make(chan int)}
				a := NewTransport(s, &url.URL{Scheme: schemeHTTPS, Host: "r.test"}, Credentials{Username: user, Password: password}, Policy{})
				a.bearer = &challenge{scheme: schemeBearer, params: map[string]string{"realm": "https://r.test/service/token"}}
				ask := func(ctx context.Context, scope string) chan error {
					result := make(chan error, 1)
					go func() {
						_, err := a.tokenFor(ctx, newScopeSet(scope), nil)
						result <- err
					}()
					synctest.Wait()
					return result
				}
				ctx, end := context.WithCancel(t.Context())
				defer end()
				first := ask(ctx, one)
				second := ask(t.Context(), test.second)
				if test.end {
					end()
				} else {
					s.answer <- test.status
				}
				if err := <-first; (err != nil) != test.failed {
					t.Errorf("the first: %v", err)
				}
				synctest.Wait()
				if s.asked.Load() == 2 {
					s.answer <- http.StatusOK
				}
				if err := <-second; err != nil {
					t.Errorf("the second: %v", err)
				}
				if n := s.asked.Load(); n != test.asked {
					t.Errorf("asked %d times, want %d", n, test.asked)
				}
			})
		})
	}
}

// Tokens are for the registry's API for images: what else it serves is asked
// without one, and what it says there teaches nothing.
func TestWhatIsBesideTheAPIGetsNoToken(t *testing.T) {
	t.Parallel()
	d := newDouble(t, harbor1)
	rt := transportTo(t, d, login(password))
	mustDo(t, rt, http.MethodGet, d.URL+demoTag, http.StatusOK)
	_, before, _ := d.counts()
	mustDo(t, rt, http.MethodGet, d.URL+"/other", http.StatusNotFound)
	with := d.seen(func(r *http.Request) bool { return r.URL.Path == "/other" && r.Header.Get("Authorization") != "" })
	if _, after, _ := d.counts(); with != 0 || after != before {
		t.Errorf("%d requests with a token, %d tokens were asked for", with, after-before)
	}
	d.onOther = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	fresh := transportTo(t, d, login(password))
	pings := d.seen(func(r *http.Request) bool { return r.URL.Path == "/v2/" })
	mustDo(t, fresh, http.MethodGet, d.URL+"/other", http.StatusUnauthorized)
	if n := d.seen(func(r *http.Request) bool { return r.URL.Path == "/v2/" }); n != pings {
		t.Error("its refusal without a challenge had the registry asked for one")
	}
}

// A challenge of the host that a registry redirects to is not the registry's,
// also where the password was proven while a request was under way.
func TestAnotherHostsChallengeIsNoRefusal(t *testing.T) {
	t.Parallel()
	other := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="storage"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer other.Close()
	d := newDouble(t, htpasswd)
	proven, came := make(chan struct{}), make(chan struct{})
	d.onV2 = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.URL.Path != demoTag:
			return false
		case r.Header.Get("Authorization") != "":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
			return true
		}
		close(came)
		<-proven
		return false
	}
	rt := transportTo(t, d, login(password))
	type answer struct {
		status int
		err    error
	}
	answers := make(chan answer, 1)
	go func() {
		status, _, err := do(t, rt, http.MethodGet, d.URL+demoTag, nil)
		answers <- answer{status, err}
	}()
	<-came
	mustDo(t, rt, http.MethodGet, d.URL+"/v2/demo/app/manifests/2", http.StatusOK)
	close(proven)
	if a := <-answers; a.err != nil || a.status != http.StatusUnauthorized {
		t.Errorf("%+v, want the answer as it is", a)
	}
}

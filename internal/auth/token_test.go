package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/wire"
)

func TestAnIdentityTokenIsExchangedByPost(t *testing.T) {
	t.Parallel()
	for _, c := range []Credentials{
		{IdentityToken: "canary-identity"},
		{IdentityToken: "canary-identity", Username: user, Password: password},
	} {
		d := newDouble(t, harbor1)
		oauth := !c.hasPassword()
		d.onToken = func(w http.ResponseWriter, r *http.Request) bool {
			if !oauth || r.Method != http.MethodPost {
				return false // Harbor: 405 to POST
			}
			if r.FormValue("grant_type") != "refresh_token" || r.FormValue("refresh_token") != "canary-identity" ||
				r.FormValue("service") != "harbor-registry" || r.FormValue("scope") != "repository:demo/app:pull" {
				t.Errorf("form %v", r.Form)
			}
			d.give(w, grant{user: user, access: newScopeSet(r.FormValue("scope"))})
			return true
		}
		mustDo(t, transportTo(t, d, setup{credentials: c}), http.MethodGet, d.URL+demoTag, http.StatusOK)
		if passwords, _, _ := d.counts(); (passwords == 0) != oauth {
			t.Errorf("oauth %v: %d password sends", oauth, passwords)
		}
	}
}

func TestARegistryTokenIsSentAsItIs(t *testing.T) {
	t.Parallel()
	d := newDouble(t, harbor1)
	d.tokens["given"] = grant{user: user, access: newScopeSet("repository:demo/app:pull")}
	mustDo(t, transportTo(t, d, setup{credentials: Credentials{RegistryToken: "given"}}), http.MethodGet, d.URL+demoTag, http.StatusOK)
	_, _, err := do(t, transportTo(t, d, setup{credentials: Credentials{RegistryToken: "other"}}), http.MethodGet, d.URL+demoTag, nil)
	if _, ok := errors.AsType[*DeniedError](err); !ok {
		t.Errorf("%v", err)
	}
	if _, trips, _ := d.counts(); trips != 0 {
		t.Errorf("%d token trips", trips)
	}
}

func TestATokenServiceThatStumblesCostsAtMostThreePasswords(t *testing.T) {
	t.Parallel()
	reset := func(w http.ResponseWriter, _ *http.Request) bool {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return true
		}
		_ = c.Close()
		return true
	}
	busy := func(status int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(status)
			return true
		}
	}
	tests := map[string]struct {
		fault func(http.ResponseWriter, *http.Request) bool
		sends int
	}{
		"closed connection":   {reset, 3},
		"502":                 {busy(http.StatusBadGateway), 3},
		"503":                 {busy(http.StatusServiceUnavailable), 3},
		"429":                 {busy(http.StatusTooManyRequests), 3},
		"500, which is final": {busy(http.StatusInternalServerError), 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDouble(t, harbor1)
			d.onToken = tt.fault
			_, _, err := do(t, transportTo(t, d, login(password)), http.MethodGet, d.URL+demoTag, nil)
			if err == nil {
				t.Error("no error")
			}
			if passwords, _, _ := d.counts(); passwords != tt.sends {
				t.Errorf("%d password sends, want %d", passwords, tt.sends)
			}
			// Twice a stumble and then an answer is no error.
			d = newDouble(t, harbor1)
			n := 0
			d.onToken = func(w http.ResponseWriter, r *http.Request) bool {
				n++
				return n < tt.sends && tt.fault(w, r)
			}
			mustDo(t, transportTo(t, d, login(password)), http.MethodGet, d.URL+demoTag, http.StatusOK)
		})
	}
}

// A server says how long to wait, and no login waits for years.
func TestATokenServiceThatWantsMorePatienceThanVicrHasEndsTheLogin(t *testing.T) {
	t.Parallel()
	for after, sends := range map[string]int{"120": 3, "121": 1, "99999999": 1} {
		d := newDouble(t, harbor1)
		d.onToken = func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}
		rt := transportTo(t, d, login(password))
		longest := time.Duration(0)
		rt.sleep = func(ctx context.Context, d time.Duration) error {
			longest = max(longest, d)
			return ctx.Err()
		}
		_, _, err := do(t, rt, http.MethodGet, d.URL+demoTag, nil)
		if _, limited := errors.AsType[*wire.RateError](err); !limited {
			t.Errorf("after %s: %v", after, err)
		}
		if passwords, _, _ := d.counts(); passwords != sends || longest > wire.MaxRetryAfter {
			t.Errorf("after %s: %d password sends, want %d; slept %v", after, passwords, sends, longest)
		}
	}
}

// A push of many repositories keeps the newest tokens.
func TestTokensKeptAreBounded(t *testing.T) {
	t.Parallel()
	d := newDouble(t, harbor1)
	rt := transportTo(t, d, login(password))
	for i := range maxTokens + 3 {
		mustDo(t, rt, http.MethodGet, fmt.Sprintf("%s/v2/demo/app%d/manifests/1", d.URL, i), http.StatusOK)
	}
	if len(rt.tokens) != maxTokens {
		t.Errorf("%d tokens kept, want %d", len(rt.tokens), maxTokens)
	}
	_, before, _ := d.counts()
	mustDo(t, rt, http.MethodGet, fmt.Sprintf("%s/v2/demo/app%d/manifests/1", d.URL, maxTokens+2), http.StatusOK)
	if _, trips, _ := d.counts(); trips != before {
		t.Error("the newest token was not kept")
	}
}

func TestTokenAnswers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, answer string
		good         bool
	}{
		{"harbor", `{"token":"given","access_token":"","expires_in":1800}`, true},
		{"access_token alone", `{"access_token":"given"}`, true},
		{"token before access_token", `{"access_token":"other","token":"given"}`, true},
		{"lives for less than nothing", `{"token":"given","expires_in":-1}`, true},
		{"lives for ever", `{"token":"given","expires_in":1e18}`, true},
		{"lives for words", `{"token":"given","expires_in":"long"}`, true},
		{"no token", `{"expires_in":1800}`, false},
		{"empty", ``, false},
		{"html", `<html>log in</html>`, false},
		{"escape in the token", `{"token":"gi\u001b[31mven"}`, false},
		{"line break in the token", `{"token":"given\r\nX-Evil: 1"}`, false},
		{"huge", `{"token":"given","x":"` + strings.Repeat("x", 65<<10) + `"}`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDouble(t, harbor1)
			d.tokens["given"] = grant{user: user, access: newScopeSet("repository:demo/app:pull")}
			d.onToken = func(w http.ResponseWriter, _ *http.Request) bool {
				_, _ = io.WriteString(w, tt.answer)
				return true
			}
			rt := transportTo(t, d, login(password))
			status, _, err := do(t, rt, http.MethodGet, d.URL+demoTag, nil)
			if good := err == nil && status == http.StatusOK; good != tt.good {
				t.Fatalf("%d, %v", status, err)
			}
			if tt.good {
				mustDo(t, rt, http.MethodGet, d.URL+demoTag, http.StatusOK)
				if _, trips, _ := d.counts(); trips != 1 {
					t.Errorf("%d token trips: the token was not kept", trips)
				}
				return
			}
			_, nonsense := errors.AsType[*AnswerError](err)
			if strings.ContainsAny(err.Error(), "\x1b\r\n") || !nonsense && wire.KindOf(err) != wire.TooLarge {
				t.Errorf("%q", err)
			}
		})
	}
}

func TestTheTokenServicesWordsAreInTheError(t *testing.T) {
	t.Parallel()
	d := newDouble(t, harbor1)
	d.onToken = func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "Unable to handle service: \x1b[2J", http.StatusBadRequest)
		return true
	}
	_, _, err := do(t, transportTo(t, d, login(password)), http.MethodGet, d.URL+demoTag, nil)
	answer, ok := errors.AsType[*AnswerError](err)
	if !ok || answer.Status != http.StatusBadRequest {
		t.Fatalf("%v", err)
	}
	if text := err.Error(); !strings.Contains(text, "Unable to handle service") || strings.Contains(text, "\x1b") {
		t.Errorf("%q", text)
	}
}

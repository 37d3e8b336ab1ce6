package cmd

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/harbor"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/wire"
)

func TestHintsOfTheWire(t *testing.T) {
	t.Parallel()
	policy := func(p wire.PolicyError) error { return &wire.Error{Kind: wire.Policy, Err: &p} }
	untrusted := func(host string) error {
		return &wire.Error{Op: "POST https://" + host + "/v2/p/r/blobs/uploads/", Host: host, Kind: wire.TLS, Err: &pki.CertError{Problem: pki.UnknownIssuer}}
	}
	for _, tt := range []struct {
		name string
		err  error
		code int
		hint string
	}{
		{"a redirected write", policy(wire.PolicyError{URL: "https://new.example:443/v2/", Redirected: true, Writes: true}), 8, "ask the administrator of old.example:5000 whether it is now new.example; if so, use that name"},
		{"a redirected write, to the same host", policy(wire.PolicyError{URL: "https://old.example/v2/", Redirected: true, Writes: true}), 8, "mend the address that it sends clients to"},
		{"a redirected write, in clear", policy(wire.PolicyError{URL: "http://new.example/", Redirected: true, Writes: true}), 8, "mend the address that it sends clients to"},
		{"a redirected write, to no host", policy(wire.PolicyError{URL: "https://a_b!/", Redirected: true, Writes: true}), 8, "mend the address that it sends clients to"},
		{"a redirected read", policy(wire.PolicyError{URL: "http://new.example/", Redirected: true}), 8, "mend the address that it sends clients to"},
		{"a realm that redirects", &auth.RealmError{Realm: "https://old.example:5000/service/token", Err: policy(wire.PolicyError{Redirected: true})}, 8, "mend the address of its token server"},
		{"an answer over its bound", &wire.Error{Kind: wire.TooLarge, Err: &wire.TooLargeError{Limit: 1}}, 6, "nothing on the way changes its answers"},
		{"a location with a user name", &wire.Error{Kind: wire.BadAnswer, Err: errors.New("x")}, 6, "nothing on the way changes its answers"},
		{"a token service that fails", &auth.AnswerError{Status: 500}, 6, "finds the reason in its log"},
		{"an API that fails", &harbor.AnswerError{Status: 502}, 6, "finds the reason in its log"},
		{"an API that is none", &harbor.AnswerError{Status: 404}, 6, "check that old.example:5000 is the address of a registry"},
		{"no trust", untrusted("old.example:5000"), 3, "vicr trust old.example:5000"},
		{"no trust in another host", untrusted("store.example:443"), 3, "old.example:5000 sends there, and another CA vouches for that: --ca-file FILE"},
		{"silence", &wire.Error{Kind: wire.Silent, Host: "old.example:5000", Err: &wire.TimeoutError{}}, 6, "curl -v https://old.example:5000/v2/"},
		{"silence in clear", &wire.Error{Kind: wire.Silent, Host: "old.example:5000", Plain: true, Err: &wire.TimeoutError{}}, 6, "curl -v http://old.example:5000/v2/"},
		{"silence of another host, in clear", &wire.Error{Kind: wire.Silent, Host: "store.example:80", Plain: true, Err: &wire.TimeoutError{}}, 6, "curl -v http://store.example"},
		{"silence of another host", &wire.Error{Kind: wire.Silent, Host: "store.example:443", Err: &wire.TimeoutError{}}, 6, "old.example:5000 sends there: check the network: curl -v https://store.example/"},
	} {
		h, _ := ref.ParseHost("old.example:5000")
		err := aboutHost(h, fmt.Errorf("deeper: %w", tt.err))
		if code := exitCode(err); code != tt.code {
			t.Errorf("%s: exit %d", tt.name, code)
		}
		if strings.Contains(words(err), "/blobs/") {
			t.Errorf("%s: %s", tt.name, words(err))
		}
		if got := strings.Join(ruleFor(err).hintsFor(err), "\n"); !strings.Contains(got, tt.hint) {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}

package cmd

import (
	"errors"
	"io"
	"testing"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/trust"
)

// What was agreed to without a look at the recorded CA replaces none.
func TestConsentWithoutAQuestion(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t).Certificate
	for name, tt := range map[string]struct {
		o       trustOptions
		matched pki.Matched
		changed bool
		how     string // "": refused
	}{
		"the CA's fingerprint":                     {trustOptions{}, pki.MatchedAnchor, false, howFingerprint},
		"another CA, by its fingerprint":           {trustOptions{}, pki.MatchedAnchor, true, howFingerprint},
		"a new CA, none is to be replaced":         {trustOptions{keep: true}, pki.MatchedAnchor, false, howFingerprint},
		"another CA, none is to be replaced":       {trustOptions{keep: true}, pki.MatchedAnchor, true, ""},
		"another CA, by the leaf, none replaced":   {trustOptions{keep: true}, pki.MatchedLeaf, true, ""},
		"whatever is shown":                        {trustOptions{acceptNew: true}, pki.MatchedNone, false, howAcceptNew},
		"whatever is shown, and another is there":  {trustOptions{acceptNew: true}, pki.MatchedNone, true, ""},
		"the plan alone":                           {trustOptions{yes: true}, pki.MatchedNone, false, ""},
		"the plan alone, none is to be replaced":   {trustOptions{yes: true, keep: true}, pki.MatchedNone, true, ""},
		"no verification, none is to be replaced":  {trustOptions{yes: true, keep: true, insecure: true}, pki.MatchedNone, true, howInsecure},
		"no verification, and nobody said yes":     {trustOptions{insecure: true}, pki.MatchedNone, false, ""},
		"a fingerprint, and whatever else is here": {trustOptions{acceptNew: true}, pki.MatchedAnchor, true, howFingerprint},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &app{env: Env{Stderr: io.Discard, Getenv: func(string) string { return "" }}}
			r := trusting{o: tt.o, request: trust.Request{Anchor: pki.Anchor{Cert: ca, Matched: tt.matched}}}
			how, err := a.consent(t.Context(), r, tt.changed)
			_, refused := errors.AsType[*consentError](err)
			if refused != (tt.how == "") || !refused && (err != nil || how != tt.how) {
				t.Errorf("agreed by %q, %v; want %q", how, err, tt.how)
			}
		})
	}
}

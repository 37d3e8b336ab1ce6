package cmd

import (
	"context"
	"fmt"
	"os"

	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/probe"
	"github.com/vicr-cli/vicr/internal/trust"
)

// ask finds out what is to be planned for: the CA of the registry, or for
// --insecure what it speaks. It says whether nothing has to be, because the
// system trusts the registry already.
func (a *app) ask(ctx context.Context, r *trusting) (public bool, err error) {
	r.request = trust.Request{Host: r.target.host, Network: r.target.network, Insecure: r.o.insecure, Restart: r.o.restart}
	if r.request.Tools, err = trust.ParseTools(r.o.tools); err != nil {
		return false, err
	}
	if r.o.insecure {
		return a.askWhatItSpeaks(ctx, r)
	}
	if r.request.Client, err = a.clientPair(r.o); err != nil {
		return false, err
	}
	f, err := a.findAnchor(ctx, r.target.host, r.o)
	if err == nil && f.public && r.request.Client != nil {
		return false, &usageError{
			text: r.target.String() + " is trusted by the system already: a client certificate goes with the registry's own CA, and there is none to install",
			hint: "name the CA too, with --ca-file FILE",
		}
	}
	r.request.Anchor = f.anchor
	return f.public, err
}

// askWhatItSpeaks: plain HTTP or TLS; tools write them differently.
func (a *app) askWhatItSpeaks(ctx context.Context, r *trusting) (public bool, err error) {
	if r.o.offline || r.o.speaks != "" || r.target.network.IsValid() {
		r.request.HTTP = r.o.speaks == "http"
		return false, nil
	}
	system, err := trust.System()
	if err != nil {
		return false, err
	}
	found, err := probe.Host(ctx, r.target.host, probe.Options{System: system, Now: a.env.Now, Proxy: a.proxy(), Timeout: a.flags.timeout})
	if err != nil {
		return false, err
	}
	r.request.HTTP = found.Verdict == probe.PlainHTTP
	if r.request.HTTP {
		r.o.speaks = "http"
	} else {
		r.o.speaks = "https"
	}
	return found.Verdict == probe.Public && a.ownRoots(found) == nil, nil
}

// clientFiles are the bytes of a client certificate and its key.
type clientFiles struct{ Cert, Key []byte }

func (a *app) clientFiles(o trustOptions) (f clientFiles, err error) {
	if o.pair != nil {
		return *o.pair, nil
	}
	if f.Cert, err = a.readSmall("--client-cert", o.clientCert); err != nil {
		return f, err
	}
	f.Key, err = a.readSmall("--client-key", o.clientKey)
	return f, err
}

// clientPair reads the client certificate and its key.
func (a *app) clientPair(o trustOptions) (*pki.Pair, error) {
	if o.clientCert == "" {
		return nil, nil
	}
	files, err := a.clientFiles(o)
	if err != nil {
		return nil, err
	}
	if o.pair == nil { // else it is another process's to read
		if info, err := os.Stat(o.clientKey); err == nil && info.Mode().Perm()&0o077 != 0 {
			a.warn("%s can be read by others: chmod 600 %s", o.clientKey, o.clientKey)
		}
	}
	pair, err := pki.ParsePair(files.Cert, files.Key, a.env.Now())
	if err != nil {
		return nil, &usageError{text: err.Error()}
	}
	return pair, nil
}

// consent finds out whether the user agrees to the CA and to the plan, and how.
// Changed says that another CA was recorded before.
func (a *app) consent(ctx context.Context, r trusting, changed bool) (how string, err error) {
	anchor := r.request.Anchor
	switch {
	case r.o.insecure:
		return howInsecure, a.consentToLoss(ctx, r)
	case r.o.keep && changed:
		return "", notAgreed(r, changed)
	case anchor.Matched != pki.MatchedNone && r.o.how != "":
		return r.o.how, nil // the fingerprint is that of what was agreed to
	case anchor.Matched != pki.MatchedNone:
		return howFingerprint, nil
	case r.o.acceptNew && !changed:
		return howAcceptNew, nil
	case !a.interactive():
		return "", notAgreed(r, changed)
	}
	question := "Trust this CA for " + r.target.String() + " and make these changes?"
	if r.o.yes {
		question = "Trust this CA for " + r.target.String() + "?"
	}
	return howAsked, a.yes(ctx, question)
}

// unasked is how a CA is trusted by the flags alone; "" where they say nothing.
func (r trusting) unasked() string {
	switch {
	case r.o.insecure:
		return howInsecure
	case r.o.how != "":
		return r.o.how
	case r.request.Anchor.Matched != pki.MatchedNone:
		return howFingerprint
	case r.o.acceptNew:
		return howAcceptNew
	}
	return ""
}

// consentToLoss: the flag says that it is wanted, a yes that the plan is.
func (a *app) consentToLoss(ctx context.Context, r trusting) error {
	if r.o.yes {
		return nil
	}
	if !a.interactive() {
		return &consentError{
			what:  fmt.Sprintf("%s: nobody agreed to the changes; nothing was changed", r.target),
			hints: []string{shellLine(append(repeat(r), "--yes"))},
		}
	}
	return a.yes(ctx, "Make these changes, so that "+r.target.String()+" is not verified any more?")
}

func (a *app) yes(ctx context.Context, question string) error {
	yes, err := a.confirm(ctx, question)
	if err == nil && !yes {
		err = &consentError{what: "you said no; nothing was changed"}
	}
	return err
}

// notAgreed says which command would agree, with the flags that were typed.
func notAgreed(r trusting, changed bool) error {
	fp := pki.SHA256(r.request.Anchor.Cert).String()
	what := "nobody agreed to trust the CA " + fp + "; nothing was changed"
	if changed {
		what = "the CA is not the recorded one and nobody agreed to replace it; nothing was changed"
	}
	return &consentError{what: r.target.String() + ": " + what, hints: []string{
		"compare the fingerprint with what the registry's administrator says, then: " + shellLine(repeat(r)),
	}}
}

// repeat is the command that was typed, with the fingerprint in it.
func repeat(r trusting) []string {
	words := []string{"vicr", "trust", r.target.String()}
	if r.o.insecure {
		words = append(words, "--insecure")
	} else {
		words = append(words, "--fingerprint", pki.SHA256(r.request.Anchor.Cert).String())
	}
	for _, f := range []struct{ name, value string }{
		{"--ca-file", r.o.caFile},
		{"--client-cert", r.o.clientCert},
		{"--client-key", r.o.clientKey},
		{"--for", r.o.tools},
		{"--root", r.o.root},
	} {
		if f.value != "" {
			words = append(words, f.name, f.value)
		}
	}
	if r.o.restart {
		words = append(words, "--restart")
	}
	return words
}

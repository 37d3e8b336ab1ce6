package cmd

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/trust"
)

type trustOptions struct {
	hosts       []ref.Host
	caFile      string
	fingerprint pki.Fingerprint
	acceptNew   bool
	tools       string
	offline     bool
	root        string
	dryRun      bool
	yes         bool
	keep        bool // never replace a CA, whatever was agreed to
}

// How a CA came to be trusted, as the journal keeps it.
const (
	howFingerprint = "fingerprint"
	howAcceptNew   = "accept-new"
	howAsked       = "asked"
)

type trustResult struct {
	Host        string
	Public      bool `json:",omitempty"` // trusted by the system already
	Fingerprint string
	Tools       []string
	Changes     []string
	Proofs      []string
	DryRun      bool
}

func newTrust(a *app) *cobra.Command {
	var o trustOptions
	c := &cobra.Command{
		Use:   "trust HOST[:PORT]...",
		Short: "Install a registry's CA for vicr and the tools on this machine",
		Long: `Find out what a registry is, show its CA, install it where each tool looks for it,
and prove that it worked. Nothing is changed before you agree: by a yes at the
terminal, by the CA's fingerprint, or by --accept-new. vicr untrust takes it back.`,
		Example: `  vicr trust registry.example.com
  vicr trust --dry-run registry.example.com:8443
  vicr trust --fingerprint sha256:0123... registry.example.com`,
		Args: atLeast(1, "the address of a registry"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.hosts, err = each(args, ref.ParseHost); err != nil {
				return err
			}
			return runTrust(c.Context(), a, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.caFile, "ca-file", "", "take the CA from this `file`, or from standard input for -")
	f.Var(&o.fingerprint, "fingerprint", "trust the CA, or the served certificate, with this SHA-256 and do not ask")
	f.BoolVar(&o.acceptNew, "accept-new", false, "trust whatever CA the registry shows now, unless another is recorded")
	f.StringVar(&o.tools, "for", "", "only for these tools, a `list` of: vicr, docker")
	f.BoolVar(&o.offline, "offline", false, "open no connection; needs --ca-file and --fingerprint")
	f.StringVar(&o.root, "root", "", "write to the machine that lies in this `folder`, an image or a chroot")
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "show what would change, and change nothing")
	// What a vicr under sudo is told by the one above it.
	f.BoolVar(&o.keep, "keep-recorded", false, "")
	f.Lookup("keep-recorded").Hidden = true
	f.BoolVarP(&o.yes, "yes", "y", false, "agree to the changes, but still ask about an unknown CA")
	return c
}

func (o trustOptions) check() error {
	switch {
	case o.offline && (o.caFile == "" || o.fingerprint.IsZero()):
		return usagef("--offline needs --ca-file and --fingerprint")
	case len(o.hosts) > 1 && (o.caFile == "-" || !o.fingerprint.IsZero()):
		return usagef("a fingerprint and a CA on standard input are for one registry at a time")
	}
	return nil
}

func runTrust(ctx context.Context, a *app, o trustOptions) error {
	if err := a.checkFormat(trustResult{Host: "h", Fingerprint: exampleDigest, Tools: []string{"vicr"}, Changes: []string{"write"}, Proofs: []string{"proven"}}); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	return forEach(a, o.hosts, func(h ref.Host) error { return aboutHost(h, trustOne(ctx, a, h, o)) })
}

func trustOne(ctx context.Context, a *app, h ref.Host, o trustOptions) error {
	tools, err := trust.ParseTools(o.tools)
	if err != nil {
		return err
	}
	f, err := a.findAnchor(ctx, h, o)
	if err != nil {
		return err
	}
	res := trustResult{Host: h.String(), Tools: []string{}, Changes: []string{}, Proofs: []string{}, DryRun: o.dryRun}
	if f.public {
		res.Public = true
		return a.result(res, line("%s is publicly trusted: nothing to change", h))
	}
	m := a.machine(o.root)
	j, err := a.journals(o.root, m)
	if err != nil {
		return err
	}
	defer j.Close()
	// First, so that what is shown and agreed to is what will be done.
	if err := a.recover(ctx, a.ownJournals(j, o.root), o.dryRun); err != nil {
		return err
	}
	planned, err := trust.Plan(m, trust.Request{Host: h, Anchor: f.anchor, Tools: tools})
	if err != nil {
		return err
	}
	if len(planned.Tools) == 0 {
		return nothingPlanned(planned)
	}
	todo, err := j.pending(planned)
	if err != nil {
		return err
	}
	res.Fingerprint = pki.SHA256(f.anchor.Cert).String()
	res.Tools = toolNames(planned.Tools)
	res.Changes = todo.lines()
	a.showAnchor(h, f.anchor)
	a.showPlan(planned, todo)
	conflict := a.showConflict(h, f.anchor, m, planned)
	if o.dryRun {
		return a.result(res, todo.text)
	}
	how := ""
	if len(res.Changes) > 0 {
		if how, err = a.consent(ctx, h, f.anchor, conflict, o); err != nil {
			return err
		}
		if err := j.unchanged(m, h, f.anchor, tools, todo); err != nil {
			return err
		}
	}
	subject := change.Subject{Host: h.Canonical().String(), Fingerprint: res.Fingerprint, How: how, NotAfter: f.anchor.Cert.NotAfter}
	proofs, err := a.install(ctx, installation{
		host: h, anchor: f.anchor, subject: subject, machine: m, journal: j, planned: planned, todo: todo, o: o,
	})
	if err != nil {
		return err
	}
	res.Proofs = append(res.Proofs, proofs...)
	return a.result(res, res.text)
}

func (r trustResult) text(w io.Writer) error {
	word := "trusted"
	if len(r.Changes) == 0 {
		word = "already trusted"
	}
	return line("%s: %s for %s (%s)", r.Host, word, strings.Join(r.Tools, ", "), r.Fingerprint)(w)
}

// consent finds out whether the user agrees to the CA and to the plan, and how.
// Changed says that another CA was recorded before.
func (a *app) consent(ctx context.Context, h ref.Host, anchor pki.Anchor, changed bool, o trustOptions) (how string, err error) {
	switch {
	case o.keep && changed:
		return "", notAgreed(h, anchor, o, changed)
	case anchor.Matched != pki.MatchedNone:
		return howFingerprint, nil
	case o.acceptNew && !changed:
		return howAcceptNew, nil
	case !a.interactive():
		return "", notAgreed(h, anchor, o, changed)
	}
	question := "Trust this CA for " + h.String() + " and make these changes?"
	if o.yes {
		question = "Trust this CA for " + h.String() + "?"
	}
	yes, err := a.confirm(ctx, question)
	if err != nil {
		return "", err
	}
	if !yes {
		return "", &consentError{what: "you said no; nothing was changed"}
	}
	return howAsked, nil
}

// notAgreed says which command would agree, with the flags that were typed.
func notAgreed(h ref.Host, anchor pki.Anchor, o trustOptions, changed bool) error {
	fp := pki.SHA256(anchor.Cert).String()
	words := []string{"vicr", "trust", h.String(), "--fingerprint", fp}
	for _, f := range []struct{ name, value string }{{"--ca-file", o.caFile}, {"--for", o.tools}, {"--root", o.root}} {
		if f.value != "" {
			words = append(words, f.name, f.value)
		}
	}
	what := "nobody agreed to trust the CA " + fp + "; nothing was changed"
	if changed {
		what = "the CA is not the recorded one and nobody agreed to replace it; nothing was changed"
	}
	return &consentError{what: h.String() + ": " + what, hints: []string{
		"compare the fingerprint with what the registry's administrator says, then: " + shellLine(words),
	}}
}

// nothingPlanned says why no tool can be set up.
func nothingPlanned(p trust.Planned) error {
	why := "no tool was found"
	for _, s := range p.Skipped {
		why = string(s.Tool) + ": " + s.Why
	}
	return usagef("there is nothing to set up: %s", why)
}

func toolNames(tools []trust.Tool) []string {
	names := make([]string, len(tools))
	for i, t := range tools {
		names[i] = string(t)
	}
	return names
}

package cmd

import (
	"io"
	"slices"
	"strings"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/trust"
)

// showAnchor shows a CA so that a person can compare it with what the
// registry's administrator says.
func (a *app) showAnchor(h ref.Host, anchor pki.Anchor) {
	if a.flags.quiet {
		return
	}
	d := pki.Describe(anchor.Cert)
	kind := "CA"
	if anchor.Leaf {
		kind = "self-signed certificate"
	}
	a.say("vicr: the %s of %s, from %s:", kind, h, string(anchor.From))
	a.say("  subject  %s", d.Subject)
	if d.Issuer != d.Subject {
		a.say("  issuer   %s", d.Issuer)
	}
	if len(d.Names) > 0 {
		a.say("  names    %s", strings.Join(d.Names, ", "))
	}
	a.say("  valid    %s to %s", d.NotBefore.UTC().Format("2006-01-02"), d.NotAfter.UTC().Format("2006-01-02"))
	a.say("  sha256   %s", d.SHA256.Colons())
	a.say("  sha1     %s", d.SHA1.Colons())
	for _, w := range anchor.Warnings {
		a.warn("%s", w)
	}
}

// showConflict warns of another CA that is recorded for h, by any tool.
func (a *app) showConflict(h ref.Host, anchor pki.Anchor, m machine.Machine, p trust.Planned) bool {
	for _, r := range p.Replaces {
		a.warn("%s holds another CA now", r.Path)
		for _, c := range r.Was {
			a.say("  sha256   %s", pki.SHA256(c).Colons())
		}
	}
	if len(p.Replaces) > 0 {
		return true
	}
	recorded, err := trust.RecordedAnchor(m, h)
	if err != nil { // what cannot be read may be another CA
		a.warn("%s", err)
		return true
	}
	if recorded.IsZero() || recorded.Holds(anchor.Cert) {
		return false
	}
	a.warn("%s holds another CA", recorded.Path)
	return true
}

// todo is what of a plan is not yet so.
type todo struct {
	user, machine change.Plan
	replaces      []string // the fingerprints of what is replaced
}

// unchanged plans once more: what was agreed to is what was shown.
func (j *journals) unchanged(m machine.Machine, h ref.Host, anchor pki.Anchor, tools []trust.Tool, shown todo) error {
	again, err := trust.Plan(m, trust.Request{Host: h, Anchor: anchor, Tools: tools})
	if err != nil {
		return err
	}
	now, err := j.pending(again)
	if err != nil {
		return err
	}
	if !slices.Equal(now.lines(), shown.lines()) || !slices.Equal(now.replaces, shown.replaces) {
		return &consentError{what: "the files changed while you were asked; nothing was done", hints: []string{"run it again to see what would change now"}}
	}
	return nil
}

func (t todo) lines() []string {
	all := []string{}
	for _, s := range t.user {
		all = append(all, s.String())
	}
	for _, s := range t.machine {
		all = append(all, s.String())
	}
	return all
}

// text is the result of a dry run.
func (t todo) text(w io.Writer) error {
	if len(t.user)+len(t.machine) == 0 {
		return line("nothing to change")(w)
	}
	return lines(t.lines())(w)
}

func (a *app) showPlan(p trust.Planned, t todo) {
	if !a.flags.quiet {
		changes := t.lines()
		if len(changes) == 0 {
			a.say("vicr: everything is in place, nothing to change")
		} else {
			a.say("vicr: the changes:")
		}
		for _, c := range changes {
			a.say("  %s", c)
		}
		for _, s := range p.Skipped {
			a.say("vicr: not for %s: %s", string(s.Tool), s.Why)
			if s.Command != "" {
				a.say("  %s", s.Command)
			}
		}
	}
	for _, n := range p.Notes {
		a.warn("%s", n.String())
	}
}

package cmd

import (
	"io"
	"slices"
	"strings"

	"github.com/vicr-cli/vicr/internal/install"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/trust"
)

// show shows what was found and what will change. It says whether another CA is
// recorded.
func (a *app) show(r trusting) (conflict bool) {
	if r.o.insecure {
		a.showLoss(r)
		a.showPlan(r.planned, r.todo)
		return false
	}
	a.showAnchor(r.target.host, r.request.Anchor)
	a.showPlan(r.planned, r.todo)
	return a.showConflict(r)
}

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

// showLoss says what --insecure gives up.
func (a *app) showLoss(r trusting) {
	switch {
	case r.target.network.IsValid():
		a.warn("no registry in %s will be verified: whoever is on the way can pose as one, read and change what is moved, and read passwords", r.target)
	case r.request.HTTP:
		a.warn("%s speaks plain HTTP: whoever is on the way can read and change what is moved, and read passwords", r.target)
	default:
		a.warn("%s will not be verified: whoever is on the way can pose as it, read and change what is moved, and read passwords", r.target)
		if !r.o.offline {
			a.warn("it speaks TLS, so none of that is needed: vicr trust %s", r.target)
		}
	}
}

// showConflict warns of another CA that is recorded for h, by any tool.
func (a *app) showConflict(r trusting) bool {
	for _, old := range r.planned.Replaces {
		if len(old.Was) == 0 {
			a.warn("%s cannot be read as a CA, and would be replaced", old.Path)
		} else {
			a.warn("%s holds another CA now", old.Path)
		}
		for _, c := range old.Was {
			a.say("  sha256   %s", pki.SHA256(c).Colons())
		}
	}
	if len(r.planned.Replaces) > 0 {
		return true
	}
	recorded, err := trust.RecordedAnchor(r.site.Machine, r.target.host)
	if err != nil { // what cannot be read may be another CA
		a.warn("%s", err)
		return true
	}
	if recorded.IsZero() || recorded.Holds(r.request.Anchor.Cert) {
		return false
	}
	a.warn("%s holds another CA", recorded.Path)
	return true
}

// dryRun is the result of a dry run.
func dryRun(changes []string) func(io.Writer) error {
	if len(changes) == 0 {
		return line("nothing to change")
	}
	return lines(changes)
}

// restarts are what has to be typed before the changes count.
func restarts(t install.Todo) []string {
	all := []string{}
	for _, h := range install.Halves() {
		for _, s := range t.Plans[h] {
			if s.Restart != "" && !slices.Contains(all, s.Restart) {
				all = append(all, s.Restart)
			}
		}
	}
	return all
}

func (a *app) showPlan(p trust.Planned, t install.Todo) {
	defer func() {
		for _, n := range p.Notes {
			a.warn("%s", n)
		}
		for _, r := range t.Remarks {
			a.warn("%s", r)
		}
	}()
	if a.flags.quiet {
		return
	}
	if t.Nothing() {
		a.say("vicr: everything is in place, nothing to change")
	} else {
		a.say("vicr: the changes:")
	}
	for _, c := range t.Lines {
		a.say("  %s", c)
	}
	for _, r := range restarts(t) {
		a.say("vicr: this counts after: %s", r)
	}
	for _, s := range p.Skipped {
		a.say("vicr: not for %s: %s", string(s.Tool), s.Why)
		if s.Command != "" {
			a.say("  %s", s.Command)
		}
	}
	for _, s := range p.Pastes {
		a.say("vicr: for %s, %s:", s.Tool, s.Why)
		for _, l := range s.Lines {
			a.say("  %s", l)
		}
	}
	if len(p.NotFound) > 0 {
		a.say("vicr: looked for and not found: %s", strings.Join(toolNames(p.NotFound), ", "))
	}
}

package cmd

import (
	"context"
	"io"
	"runtime"
	"slices"

	"github.com/spf13/cobra"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/install"
	"github.com/vicr-cli/vicr/internal/trust"
)

type untrustOptions struct {
	targets []target
	all     bool
	force   bool
	dryRun  bool
	root    string
}

type untrustResult struct {
	Host    string
	Changes []string
	Left    []string // changed by somebody since, left as they are

	Forgotten []string `json:",omitempty"` // not believed, and left as they are
	DryRun    bool
}

func newUntrust(a *app) *cobra.Command {
	var o untrustOptions
	c := &cobra.Command{
		Use:   "untrust HOST[:PORT]...",
		Short: "Take back exactly what vicr trust did",
		Long: `Take back what vicr trust did for a registry: every file is as it was before, to
the byte. A file that somebody changed since is left alone, unless --force.`,
		Example: "  vicr untrust registry.example.com\n  vicr untrust --all",
		Args: func(_ *cobra.Command, args []string) error {
			if o.all == (len(args) > 0) {
				return usagef("vicr untrust takes the addresses of registries, or --all")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.targets, err = each(args, parseTarget); err != nil {
				return err
			}
			return runUntrust(c.Context(), a, o)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.all, "all", false, "for every registry that is recorded")
	f.BoolVar(&o.force, "force", false, "also take back files that somebody changed since, and forget those that vicr would not change now")
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "show what would change, and change nothing")
	f.StringVar(&o.root, "root", "", "the machine that lies in this `folder`, an image or a chroot")
	return c
}

func runUntrust(ctx context.Context, a *app, o untrustOptions) error {
	if err := a.checkFormat(untrustResult{Host: "h", Changes: []string{"remove"}, Left: []string{"file"}}); err != nil {
		return err
	}
	site, err := a.site(o.root)
	if err != nil {
		return err
	}
	defer site.Close()
	mine := a.ownJournals(site)
	if o.all {
		if o.targets, err = recordedTargets(ctx, mine); err != nil {
			return err
		}
		if len(o.targets) == 0 {
			a.note("nothing is recorded here")
		}
		if a.unread(site.Machine) {
			a.note("%s", unseenHint(runtime.GOOS, "untrust --all"))
		}
	}
	if _, err = a.recover(ctx, mine, o.dryRun); o.force && is[*change.DoubtError](err) {
		err = nil // what it is about is forgotten by this undo, or said again
	}
	if err == nil {
		err = forEach(ctx, a, o.targets, func(t target) error { return aboutHost(t.host, a.aboutHome(untrustOne(ctx, a, t, site, o))) })
	}
	if a.underSudo() && o.root == "" {
		// The user's own part, also when something of the machine's was left.
		if again := a.again(ctx, nil, nil); err == nil {
			err = again
		}
	}
	return err
}

// recover puts in order what killed runs left in the journals, and says so.
func (a *app) recover(ctx context.Context, mine []*change.Journal, dryRun bool) (recovered bool, err error) {
	for _, j := range mine {
		if dryRun {
			continue
		}
		lines, err := j.Recover(ctx)
		for _, l := range lines {
			a.note("an interrupted run: %s", l)
		}
		recovered = recovered || len(lines) > 0
		if err != nil {
			return recovered, err
		}
	}
	return recovered, nil
}

// ownJournals are those that this process may change.
func (a *app) ownJournals(s *install.Site) []*change.Journal {
	switch {
	case s.Machine.Root != "", a.underSudo():
		return []*change.Journal{s.Journal(install.Machine)}
	case a.env.Euid == 0:
		return []*change.Journal{s.Journal(install.Machine), s.Journal(install.User)}
	}
	return []*change.Journal{s.Journal(install.User)}
}

func recordedTargets(ctx context.Context, all []*change.Journal) ([]target, error) {
	var targets []target
	for _, j := range all {
		entries, err := j.Entries(ctx)
		if err != nil {
			return nil, err
		}
		for _, e := range slices.Backward(entries) { // the last change is taken back first
			t, err := parseTarget(e.Subject.Host)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(targets, t) {
				targets = append(targets, t)
			}
		}
	}
	return targets, nil
}

func untrustOne(ctx context.Context, a *app, t target, site *install.Site, o untrustOptions) error {
	name := t.subject()
	res := untrustResult{Host: t.String(), Changes: []string{}, DryRun: o.dryRun}
	machineToo := a.leavesToRoot(t, site)
	for _, j := range a.ownJournals(site) {
		u, err := j.UndoPlan(ctx, name, o.force)
		if err != nil {
			return err
		}
		if !o.dryRun {
			for _, l := range u.Lines {
				a.note("%s", l)
			}
			// Also when nothing is recorded: a killed run may have left the journal.
			if u, err = j.Undo(ctx, name, o.force); err != nil {
				return err
			}
		}
		res.Changes = append(res.Changes, u.Lines...)
		res.Left = append(res.Left, u.Changed...)
		res.Forgotten = append(res.Forgotten, u.Forgotten...)
	}
	for _, f := range res.Left {
		a.warn("%s was changed by somebody else since: left as it is", f)
	}
	if machineToo && !o.dryRun {
		if err := a.untrustAsRoot(ctx, t, o); err != nil {
			return err
		}
	}
	if err := a.result(res, res.text); err != nil || len(res.Left) == 0 {
		return err
	}
	again := []string{"vicr", "untrust", t.String(), "--force"}
	if o.root != "" {
		again = append(again, "--root", o.root)
	}
	return &partlyError{left: true, hint: "to take them back all the same: " + shellLine(again)}
}

func (r untrustResult) text(w io.Writer) error {
	switch {
	case len(r.Left) > 0 && !r.DryRun:
		return line("%s: taken back, except for %d of its files", r.Host, len(r.Left))(w)
	case r.DryRun:
		if len(r.Changes) == 0 {
			return line("nothing to change")(w)
		}
		return lines(r.Changes)(w)
	}
	if len(r.Changes) == 0 {
		return line("%s: nothing was recorded, nothing to change", r.Host)(w)
	}
	if len(r.Forgotten) > 0 {
		return line("%s: taken back and forgotten; %d of its files were left as they are", r.Host, len(r.Forgotten))(w)
	}
	return line("%s: as it was before vicr trust", r.Host)(w)
}

// leavesToRoot says whether the machine's folders, which this user cannot
// undo, hold the CA that vicr recorded for h.
func (a *app) leavesToRoot(t target, s *install.Site) bool {
	if a.env.Euid == 0 || s.Machine.Root != "" {
		return false
	}
	return trust.InMachine(s.Machine, t.host)
}

func (a *app) untrustAsRoot(ctx context.Context, t target, o untrustOptions) error {
	args := append([]string{a.env.Executable}, untrustArgs(t, o)...)
	command := withRights(runtime.GOOS, args)
	sudo, err := change.Sudo()
	if err != nil || !a.interactive() {
		return a.declined(restHint(runtime.GOOS, command))
	}
	a.say("vicr: the rest needs root:")
	a.say("  %s", command)
	yes, err := a.confirm(ctx, "Run it now?")
	if err != nil {
		return err
	}
	if !yes {
		return a.declined("later: " + command)
	}
	return a.delegate(ctx, change.Program{Path: sudo, Args: args})
}

func untrustArgs(t target, o untrustOptions) []string {
	args := []string{"untrust", t.String(), "--no-input"}
	if o.force {
		args = append(args, "--force")
	}
	return args
}

package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/install"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/status"
)

type statusOptions struct {
	targets []target // none: all that are recorded
	root    string
}

// A driftError says that something is not as it was recorded.
type driftError struct{ remedies []string }

func (e *driftError) Error() string { return "something on this machine is not as vicr left it" }

// An unrecordedError says that vicr set nothing up for the hosts that were named.
type unrecordedError struct{ hosts, remedies []string }

func (e *unrecordedError) Error() string {
	return "not recorded here: " + strings.Join(e.hosts, ", ")
}

func newStatus(a *app) *cobra.Command {
	var o statusOptions
	c := &cobra.Command{
		Use:   "status [HOST...]",
		Short: "Show what vicr set up here, and whether it still is so",
		Long: `Show each registry that vicr trust set up here, for each tool: whether the files
are as vicr left them, which CA they hold and how long it is valid, how it came
to be trusted, what has to be restarted, and who is logged in. Nothing is
changed and no registry is asked.

The exit code is 0 when all is well and 1 otherwise. A CA with less than 30 days
left is told; with less than 14 days left all is not well. JSON has everything
in one object.`,
		Example: `  vicr status
  vicr status registry.example.com
  vicr status --format json`,
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.targets, err = each(args, parseTarget); err != nil {
				return err
			}
			return runStatus(c.Context(), a, o)
		},
	}
	c.Flags().StringVar(&o.root, "root", "", "the machine that lies in this `folder`, an image or a chroot")
	return c
}

func runStatus(ctx context.Context, a *app, o statusOptions) error {
	example := status.Report{Registries: []status.Registry{{Tools: []status.Tool{{Files: []status.File{{}}}}, Findings: []status.Finding{{}}}}}
	if err := a.checkFormat(example); err != nil {
		return err
	}
	site, err := a.site(o.root)
	if err != nil {
		return err
	}
	defer site.Close()
	entries, err := a.recorded(ctx, site)
	if err != nil {
		return err
	}
	look := status.Options{Now: a.env.Now(), Unread: a.unread(site.Machine)}
	for _, t := range o.targets {
		look.Hosts = append(look.Hosts, t.subject())
	}
	if o.root == "" && !a.underSudo() {
		look.User = func(h ref.Host) string { return a.loggedIn(ctx, h) }
	}
	report := status.Of(entries, site.Machine, look)
	if err := a.result(report, func(w io.Writer) error { return statusText(w, report) }); err != nil {
		return err
	}
	a.sayUnseen(o.root, look.Unread)
	if report.OK {
		return nil
	}
	if e := unrecordedIn(report); e != nil {
		return e
	}
	return driftOf(report)
}

// unrecordedIn is the error when the hosts that were named are the only thing
// that is wrong: none of them is recorded. nil: something else is wrong.
func unrecordedIn(r status.Report) error {
	e := &unrecordedError{}
	for _, g := range r.Registries {
		for _, f := range g.Findings {
			switch {
			case f.Kind == status.KindUnrecorded:
				e.hosts, e.remedies = append(e.hosts, g.Host), append(e.remedies, f.Remedy)
			case f.Counts():
				return nil
			}
		}
	}
	return e
}

// recorded is what the journals hold that this process may read, the user's own first.
func (a *app) recorded(ctx context.Context, site *install.Site) ([]change.Entry, error) {
	var all []change.Entry
	for _, j := range slices.Backward(a.ownJournals(site)) {
		entries, err := j.Entries(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
	}
	return all, nil
}

// unread says whether there is a journal that only root reads.
func (a *app) unread(m machine.Machine) bool {
	if m.Root != "" || a.env.Euid == 0 {
		return false
	}
	_, err := m.Stat(m.Dirs.MachineState)
	return err == nil
}

// sayUnseen names the part that somebody else has to ask for.
func (a *app) sayUnseen(root string, unread bool) {
	if unread {
		a.note("%s", unseenHint(runtime.GOOS, "status"))
	}
	if root != "" || !a.underSudo() {
		return
	}
	name := "the user who called sudo"
	if u, err := change.SudoUser(a.env.Getenv("SUDO_UID")); err == nil {
		name = u.Name
	}
	a.note("this is the machine's part; as %s: vicr status", name)
}

// loggedIn is the user whose password is kept for h, "" for nobody.
func (a *app) loggedIn(ctx context.Context, h ref.Host) string {
	creds, _, err := a.credentials().Get(ctx, h)
	switch {
	case err != nil:
		a.warn("%s: %s", h, err)
		return ""
	case creds.Username == "" && !creds.IsZero():
		return "(token)"
	}
	return creds.Username
}

func driftOf(r status.Report) error {
	e := &driftError{}
	for _, g := range r.Registries {
		for _, f := range g.Findings {
			if f.Counts() && f.Remedy != "" && !slices.Contains(e.remedies, f.Remedy) {
				e.remedies = append(e.remedies, f.Remedy)
			}
		}
	}
	return e
}

// statusText is the table, and below it what is not as it should be.
func statusText(out io.Writer, r status.Report) error {
	if len(r.Registries) == 0 {
		return line("nothing is recorded here")(out)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	header := "REGISTRY\tTOOL\tSTATE\tCA\tVALID\tACCEPTED\tUSER\n"
	for _, g := range r.Registries {
		for _, t := range g.Tools {
			row := fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s\n", escaped(g.Host), escaped(t.Tool), t.State,
				orNone(shortFingerprint(t.Fingerprint)), orNone(validFor(t.Trust)), orNone(escaped(t.How)), orNone(escaped(g.User)))
			if _, err := io.WriteString(w, header+row); err != nil {
				return err
			}
			header = ""
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, g := range r.Registries {
		for _, f := range g.Findings {
			about := g.Host + ": "
			if f.Path != "" {
				about += f.Path + ": "
			}
			if err := line("%s", escaped(about+f.Text))(out); err != nil {
				return err
			}
		}
	}
	return nil
}

// shortFingerprint is as much of one as tells CAs apart on a machine.
func shortFingerprint(fp string) string {
	const enough = len("sha256:") + 12
	return escaped(fp[:min(len(fp), enough)])
}

func validFor(g status.Trust) string {
	switch {
	case g.NotAfter == "":
		return ""
	case g.DaysLeft < 0:
		return "expired"
	}
	return strconv.Itoa(g.DaysLeft) + " days"
}

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func unrecordedHints(err error, _ string) []string {
	var u *unrecordedError
	errors.As(err, &u)
	return u.remedies
}

func driftHints(err error, _ string) []string {
	var d *driftError
	errors.As(err, &d)
	return d.remedies
}

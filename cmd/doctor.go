package cmd

import (
	"context"
	"fmt"
	"io"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/doctor"
)

// A doctorError says that something on the road to a registry is broken. What
// it is and what to type was printed as the result.
type doctorError struct{ failed, of int }

func (e *doctorError) Error() string { return fmt.Sprintf("%d of %d checks failed", e.failed, e.of) }

func newDoctor(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor HOST[/PROJECT[/REPO[:TAG]]]",
		Short: "Check the whole road to a registry, and say what to type",
		Long: `Check the whole road to a registry: address, DNS, proxy, TCP, TLS, the CA, the
API, the token server, credentials, permissions, the container engine. One line
a check: ok, warn, fail or skip, what was seen, and under what is not well the
lines to type. Nothing is changed. It takes 12 seconds at most, talks to no host
but this one and the token server that it names, and sends a password once, over
a verified connection. No secret is shown: the result can be sent to somebody.
The exit code is 1 if a check failed.`,
		Example: `  vicr doctor registry.example.com
  vicr doctor registry.example.com/demo/ubuntu:14.04
  vicr doctor registry.example.com --format json`,
		Args: exactly(1, "the address of one registry, or the name of an image in it"),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := doctor.ParseTarget(args[0])
			if err != nil {
				return err
			}
			return aboutHost(t.Host, runDoctor(c.Context(), a, t))
		},
	}
}

func runDoctor(ctx context.Context, a *app, t doctor.Target) error {
	example := doctor.Report{Host: "h", Checks: []doctor.Check{{Name: "dns", Verdict: doctor.OK, Remedy: []string{"x"}}}}
	if err := a.checkFormat(example); err != nil {
		return err
	}
	m := a.machine()
	marks, err := auth.LoadMarks(marksFile(m.Dirs))
	if err != nil {
		return err
	}
	c, err := a.withClientCert(m, t.Host, a.wireConfig(t.Host))
	if err != nil {
		return err
	}
	o := doctor.Options{
		Machine: m, Wire: c, Marks: marks, Now: a.env.Now,
		Environ: a.env.Environ, Dropped: a.env.Dropped, Sudo: a.underSudo(),
	}
	if a.underSudo() {
		// A helper would run with root's rights.
		o.NoCredentials = "not looked at under sudo: run it as yourself"
	} else {
		o.Credentials = a.credentials()
	}
	r := doctor.Run(ctx, t, o)
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := a.result(r, a.checks(r)); err != nil {
		return err
	}
	if n := r.Failed(); n > 0 {
		return &doctorError{failed: n, of: len(r.Checks)}
	}
	return nil
}

// checks prints a report for people. Its texts are escaped already.
func (a *app) checks(r doctor.Report) func(io.Writer) error {
	colors := map[doctor.Verdict]color.Attribute{doctor.OK: color.FgGreen, doctor.Warn: color.FgYellow, doctor.Fail: color.FgRed, doctor.Skip: color.Faint}
	return func(w io.Writer) error {
		for _, c := range r.Checks {
			verdict := a.paint(colors[c.Verdict], fmt.Sprintf("%-4s", c.Verdict))
			if err := line(verdict+"  %-12s  %s", c.Name, c.Seen)(w); err != nil {
				return err
			}
			for _, l := range c.Remedy {
				if err := line("                      %s", l)(w); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

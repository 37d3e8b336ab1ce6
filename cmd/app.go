package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/template"
	"time"

	"github.com/fatih/color"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vicr-cli/vicr/internal/ref"
)

// app is one run of the command line: the environment and the flags that all
// commands share.
type app struct {
	env   Env
	args  []string
	flags globalFlags
	root  *waitingRoot // nil: none waits
	// plugin says that docker runs this: what is said to type begins with docker.
	plugin bool

	unlisted bool // that a registry does not list an image was explained

	archives map[ref.Place]*archivePlace // that are open
	holding  bool                        // results wait in held for the archive that they are about
	held     []func() error
}

type globalFlags struct {
	format   string
	quiet    bool
	progress string
	noInput  bool
	color    string
	debug    bool
	timeout  time.Duration
	waits    bool // somebody said how long silence may be
}

func (f *globalFlags) register(s *pflag.FlagSet) {
	s.StringVar(&f.format, "format", "table", "how results are printed: table, json or a Go `template`")
	s.BoolVarP(&f.quiet, "quiet", "q", false, "print results and errors only")
	s.StringVar(&f.progress, "progress", "auto", "how far a transfer is: auto, tty, plain, json or none")
	s.BoolVar(&f.noInput, "no-input", false, "never ask, fail instead")
	s.StringVar(&f.color, "color", "auto", "colours: auto, always or never")
	s.BoolVarP(&f.debug, "debug", "D", false, "show each request on standard error, without secrets")
	s.DurationVar(&f.timeout, "timeout", 30*time.Second, "longest silence of the other side")
}

func (f *globalFlags) check() error {
	if !oneOf(f.progress, "auto", "tty", "plain", "json", "none") {
		return usagef("--progress %q: not one of auto, tty, plain, json, none", f.progress)
	}
	if !oneOf(f.color, "auto", "always", "never") {
		return usagef("--color %q: not one of auto, always, never", f.color)
	}
	if f.timeout <= 0 {
		return usagef("--timeout %s: not more than nothing", f.timeout)
	}
	if f.format != "table" && f.format != "json" {
		if !strings.Contains(f.format, "{{") {
			return usagef("--format %q: not one of table, json or a Go template such as '{{.Digest}}'", f.format)
		}
		if _, err := template.New("format").Parse(f.format); err != nil {
			return usagef("--format: %s", strings.TrimPrefix(err.Error(), "template: format:"))
		}
	}
	return nil
}

func oneOf(s string, of ...string) bool {
	for _, o := range of {
		if s == o {
			return true
		}
	}
	return false
}

// noTwin are the flags that weaken or consent, or take more than was named:
// they are typed, never read from the environment.
var noTwin = map[string]bool{
	"accept-new": true, "insecure": true, "restart": true, "half": true, "root-waits": true, "how": true, "speaks": true, "client-key": true, "client-cert": true, "insecure-skip-verify": true, "plain-http": true,
	"allow-insecure-credentials": true, "yes": true, "force": true, "root": true, "ca-file": true,
	"src-ca-file": true, "src-insecure-skip-verify": true, "src-plain-http": true, "dest-ca-file": true, "dest-insecure-skip-verify": true, "dest-plain-http": true,
	"realm": true, "create-project": true, "public": true, "fingerprint": true, "all": true, "parts": true, "keep-recorded": true, "password": true, "help": true, "version": true,
}

// twin is the variable that sets a flag.
func twin(flag string) string { return "VICR_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_")) }

// fromEnvironment sets flags that were not typed from their VICR_ twins. Under
// sudo the environment is somebody else's and is not read.
func (a *app) fromEnvironment(c *cobra.Command) error {
	if a.underSudo() {
		return nil
	}
	var bad error
	c.Flags().VisitAll(func(f *pflag.Flag) {
		name := twin(f.Name)
		value := a.env.Getenv(name)
		if value == "" || f.Changed || noTwin[f.Name] || bad != nil {
			return
		}
		if err := c.Flags().Set(f.Name, value); err != nil {
			bad = usagef("%s: %s", name, flagWhy(err))
		}
	})
	return bad
}

// interactive says whether the user can be asked.
func (a *app) interactive() bool { return a.env.Terminal && !a.flags.noInput }

// note says something beside the result, on standard error.
func (a *app) note(format string, args ...any) {
	if !a.flags.quiet {
		a.say("vicr: "+format, args...)
	}
}

// warn says what the user should not miss, even when quiet.
func (a *app) warn(format string, args ...any) {
	a.say("vicr: "+a.paint(color.FgYellow, "warning:")+" "+format, args...)
}

// say writes one line to standard error. Every argument may come from outside.
func (a *app) say(format string, args ...any) {
	_, _ = fmt.Fprintf(a.env.Stderr, format+"\n", allEscaped(args)...) // nobody is left to tell
}

func (a *app) paint(c color.Attribute, s string) string {
	p := color.New(c)
	switch a.flags.color {
	case "always":
		p.EnableColor()
	case "never":
		p.DisableColor()
	default:
		if !a.env.Terminal || a.env.Getenv("NO_COLOR") != "" || a.env.Getenv("TERM") == "dumb" {
			p.DisableColor()
		} else {
			p.EnableColor()
		}
	}
	return p.Sprint(s)
}

// result prints v on standard output: by text for people, or as --format says.
func (a *app) result(v any, text func(io.Writer) error) error {
	var err error
	switch a.flags.format {
	case "", "table":
		err = text(a.env.Stdout)
	case "json":
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err = enc.Encode(v); err == nil {
			err = a.print(printableJSON(b.Bytes()))
		}
	default:
		var b bytes.Buffer
		var t *template.Template
		if t, err = template.New("format").Parse(a.flags.format + "\n"); err == nil {
			err = t.Execute(&b, v)
		}
		if err == nil {
			err = a.print(b.Bytes())
		}
	}
	if err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// print writes what may come from outside to standard output: as it is, since
// programs read it, but to a terminal without what steers one.
func (a *app) print(data []byte) error {
	if a.env.Shown {
		data = shownText(data)
	}
	_, err := a.env.Stdout.Write(data)
	return err
}

// checkFormat finds out before anything is done whether --format fits the
// result, of which v is an example.
func (a *app) checkFormat(v any) error {
	if a.flags.format == "table" || a.flags.format == "json" {
		return nil
	}
	t, err := template.New("format").Parse(a.flags.format)
	if err == nil {
		err = t.Execute(io.Discard, v)
	}
	if err != nil {
		return usagef("--format %q does not fit: the fields are those that --format json shows", a.flags.format)
	}
	return nil
}

// line is a result of one line for people. Every argument may come from outside.
func line(format string, args ...any) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := fmt.Fprintf(w, format+"\n", allEscaped(args)...)
		return err
	}
}

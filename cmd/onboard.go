package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/probe"
	"github.com/vicr-cli/vicr/internal/proof"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/trust"
)

type onboardResult struct {
	Host        string
	Public      bool   `json:",omitempty"` // trusted by the system already
	Insecure    bool   `json:",omitempty"`
	Fingerprint string `json:",omitempty"`
	Tools       []string
	Restarts    []string // what has to be typed before a change counts
	User        string   // "": the registry asks nobody to log in
	Proofs      []string
}

// onboarding is one run. The commands that it consists of are the real ones,
// with the flags that they have, and tell it what they did.
type onboarding struct {
	app          *app
	parts        *app // of these two
	trust, login *cobra.Command
	flags        *pflag.FlagSet
	host         ref.Host
	said         bytes.Buffer // the result of a part
	password     *string      // from standard input, read before anything is changed; nil: not read
	res          onboardResult
}

func newOnboard(a *app) *cobra.Command {
	o := &onboarding{app: a, parts: &app{}}
	o.trust, o.login = newTrust(o.parts), newLogin(o.parts)
	c := &cobra.Command{
		Use:   "onboard HOST",
		Short: "Trust, log in, and prove that both work, in one sitting",
		Long: `Do what a new registry needs on this machine: trust its CA, log in, prove that
the registry takes the password that is kept, and ask the Docker engine whether
it trusts the registry. What is so already is left as it is. It stops at the
first thing that fails; once that is mended, run it again.`,
		Example: `  vicr onboard registry.example.com
  pass show registry | vicr onboard registry.example.com --fingerprint sha256:0123... -u dev --password-stdin`,
		Args: exactly(1, "the address of one registry"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.host, err = ref.ParseHost(args[0]); err != nil {
				return err
			}
			return aboutHost(o.host, o.run(c.Context()))
		},
	}
	o.flags = c.Flags()
	for _, part := range []*cobra.Command{o.trust, o.login} {
		part.Flags().VisitAll(func(f *pflag.Flag) {
			// In a tree, or without a connection, there is nobody to log in to.
			if !oneOf(f.Name, "root", "offline", "keep-recorded", "half", "speaks", "how", "root-waits") && o.flags.Lookup(f.Name) == nil {
				o.flags.AddFlag(f)
			}
		})
	}
	return c
}

func (o *onboarding) run(ctx context.Context) error {
	a := o.app
	if err := a.checkFormat(onboardResult{Tools: []string{"vicr"}, Restarts: []string{"restart"}, Proofs: []string{"proven"}}); err != nil {
		return err
	}
	switch {
	case a.underSudo():
		return &usageError{
			text: "onboard is about your own login too: run it as yourself",
			hint: "vicr onboard " + o.host.String() + " asks for root where it needs it",
		}
	case o.flag("ca-file") == "-" && o.flag("password-stdin") == "true":
		return usagef("--ca-file - and --password-stdin both read standard input")
	}
	*o.parts = *a
	if o.flag("dry-run") == "true" {
		return o.call(ctx, o.trust)
	}
	if err := o.canLogIn(ctx); err != nil {
		return err
	}
	o.parts.env.Stdout, o.parts.flags.format = &o.said, "json"
	o.res = onboardResult{Host: o.host.String(), Tools: []string{}, Restarts: []string{}, Proofs: []string{}}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"1/4 trust", o.trusting}, {"2/4 log in", o.loggingIn}, {"3/4 prove the login", o.proving}, {"4/4 ask the Docker engine", o.asking},
	} {
		a.note("%s", step.name)
		if err := step.do(ctx); err != nil {
			return err
		}
	}
	return a.result(o.res, o.res.text)
}

func (r onboardResult) text(w io.Writer) error {
	who := "nobody has to log in"
	if r.User != "" {
		who = "logged in as " + escaped(r.User)
	}
	return line("%s: ready, %s", r.Host, who)(w)
}

// flag is what was given for one of the flags, as text.
func (o *onboarding) flag(name string) string {
	if f := o.flags.Lookup(name); f != nil {
		return f.Value.String()
	}
	return ""
}

// call runs one of the parts for the host.
func (o *onboarding) call(ctx context.Context, part *cobra.Command) error {
	part.SetContext(ctx)
	o.said.Reset()
	return part.RunE(part, []string{o.host.String()})
}

func (o *onboarding) trusting(ctx context.Context) error {
	if err := o.call(ctx, o.trust); err != nil {
		return err
	}
	var r trustResult
	if err := json.Unmarshal(o.said.Bytes(), &r); err != nil {
		return err
	}
	o.res.Public, o.res.Insecure, o.res.Fingerprint = r.Public, r.Insecure, r.Fingerprint
	o.res.Tools = append(o.res.Tools, r.Tools...)
	o.res.Restarts = append(o.res.Restarts, r.Restarts...)
	o.res.Proofs = append(o.res.Proofs, r.Proofs...)
	if r.Public {
		o.app.note("%s is publicly trusted: nothing to change", o.host)
	}
	return nil
}

// canLogIn finds out before anything is changed whether the login that comes
// later would have to ask for what nobody can give.
func (o *onboarding) canLogIn(ctx context.Context) error {
	if err := checkRealm(o.host, o.flag("realm")); err != nil {
		return err
	}
	if err := o.tls().check(); err != nil {
		return err
	}
	missing := o.missing()
	if missing == nil {
		return nil
	}
	kept, _, err := o.app.credentials().Get(ctx, o.host)
	if err != nil {
		return err
	}
	if user := o.flag("username"); !kept.IsZero() && (user == "" || user == kept.Username) {
		return nil // whether the registry takes them is seen once it is trusted
	}
	asks, err := o.asksForLogin(ctx)
	if err != nil || !asks {
		return err
	}
	return missing
}

// missing says what a login would lack, nil if nothing.
func (o *onboarding) missing() error {
	a, user := o.app, o.flag("username")
	switch {
	case o.flag("password-stdin") != "true" && !a.interactive():
		return &usageError{text: "there is no terminal to ask for the password; nothing was changed", hint: o.withPassword()}
	case o.flag("password-stdin") != "true":
		return nil
	case user == "":
		return &usageError{text: "--password-stdin needs a user name; nothing was changed", hint: o.withPassword()}
	case a.env.Terminal:
		return nil // what is asked before is read from there too
	}
	p, err := readPassword(a.env.Stdin)
	o.password = &p
	if err != nil {
		return err
	}
	return auth.Credentials{Username: user, Password: p}.Check()
}

// asksForLogin has the registry say whether it wants to know who one is. It is
// not trusted yet, and is told nothing.
func (o *onboarding) asksForLogin(ctx context.Context) (bool, error) {
	system, err := trust.System()
	if err != nil {
		return false, err
	}
	a := o.app
	r, err := probe.Host(ctx, o.host, probe.Options{System: system, Now: a.env.Now, Proxy: a.proxy(), Timeout: a.flags.timeout})
	return r.Status == http.StatusUnauthorized, err
}

// withPassword is the command that was typed, with the password on standard input.
func (o *onboarding) withPassword() string {
	words := []string{"vicr", "onboard", o.host.String()}
	o.flags.Visit(func(f *pflag.Flag) {
		ours := o.trust.Flags().Lookup(f.Name) != nil || o.login.Flags().Lookup(f.Name) != nil
		switch value := f.Value.String(); {
		case !ours || oneOf(f.Name, "username", "password-stdin", "help") || f.Value.Type() == "bool" && value != "true":
		case f.Value.Type() == "bool":
			words = append(words, "--"+f.Name)
		case f.Name == "ca-file" && value == "-":
			words = append(words, "--ca-file", "FILE")
		default:
			words = append(words, "--"+f.Name, value)
		}
	})
	user := o.flag("username")
	if user == "" {
		user = "USER"
	}
	return shellLine(append(words, "-u", user, "--password-stdin")) + " < PASSWORD-FILE"
}

// loggingIn leaves alone a login that the registry still takes.
func (o *onboarding) loggingIn(ctx context.Context) error {
	kept, id, err := o.ask(ctx)
	var foreign *auth.RealmError
	asked := o.flag("username")
	switch {
	case err != nil && !is[*auth.DeniedError](err) && !errors.As(err, &foreign):
		return err
	case err == nil && id.Scheme == "" && asked == "":
		o.app.note("%s asks nobody to log in", o.host)
		return nil
	case err == nil && !kept.IsZero() && (asked == "" || asked == kept.Username):
		o.app.note("already logged in to %s as %s", o.host, kept.Username)
		o.res.User = kept.Username
		return nil
	}
	if o.password != nil {
		o.parts.env.Stdin = strings.NewReader(*o.password)
	}
	if err := o.call(ctx, o.login); err != nil {
		return err
	}
	var r loginResult
	if err := json.Unmarshal(o.said.Bytes(), &r); err != nil {
		return err
	}
	o.app.note("logged in to %s as %s, kept in %s", r.Host, r.whoText(), r.Kept)
	o.res.User = r.Username
	return nil
}

func (o *onboarding) tls() tlsFlags {
	return tlsFlags{skipVerify: o.flag("insecure-skip-verify") == "true", plainHTTP: o.flag("plain-http") == "true"}
}

// ask has the registry judge the credentials that are kept, also if there are none.
func (o *onboarding) ask(ctx context.Context) (auth.Credentials, auth.Identity, error) {
	kept, _, err := o.app.credentials().Get(ctx, o.host)
	if err != nil {
		return kept, auth.Identity{}, err
	}
	r, err := o.app.roadWith(o.host, o.tls(), kept, nil)
	if err != nil {
		return kept, auth.Identity{}, err
	}
	id, err := r.auth.Verify(ctx)
	return kept, id, err
}

// proving shows that what was kept can be found and is taken, by the road that
// transfers use.
func (o *onboarding) proving(ctx context.Context) error {
	if o.res.User == "" {
		return nil
	}
	if _, _, err := o.ask(ctx); err != nil {
		return err
	}
	o.proven(o.host.String() + " takes the login of " + o.res.User)
	return nil
}

func (o *onboarding) proven(what string) {
	o.res.Proofs = append(o.res.Proofs, "proven: "+what)
	o.app.note("proven: %s", what)
}

// asking is about the engine that docker's commands go to. Nothing was done
// for it, and nothing is asked, where other tools were named.
func (o *onboarding) asking(ctx context.Context) error {
	if tools, err := trust.ParseTools(o.flag("for")); err != nil || tools != nil && !slices.Contains(tools, trust.ToolDocker) {
		o.app.note("not asked: --for does not name it")
		return err
	}
	e, err := o.app.openEngine(ctx)
	if errors.Is(err, engine.ErrNoEngine) {
		o.app.note("there is none: images go to vicr's own store")
		return nil
	}
	if err != nil {
		return err
	}
	defer e.Close() //nolint:errcheck // only a connection
	p, err := e.ProveTrust(ctx, o.host.String())
	switch {
	case err != nil:
		return err
	case p.Verdict == engine.NotTrusted, p.Verdict == engine.DirFault:
		return &proof.Error{Tool: "the Docker engine", Host: o.host.String(), Message: p.Message}
	case p.Verdict == engine.Trusted:
		o.proven("the Docker engine trusts " + o.host.String())
	default:
		o.app.note("not proven: %s", p.Message)
	}
	return nil
}

package cmd

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/ref"
)

type loginOptions struct {
	host       ref.Host
	user       string
	fromStdin  bool
	realm      string
	allowClear bool
	tls        tlsFlags
}

type loginResult struct {
	Host     string
	Username string // as it was typed
	Kept     string // where: config.json, or the name of a helper
	Who      string // as the registry calls the user; without its word, Username
	Kind     string `json:",omitempty"` // "user", "robot"; "": the registry does not say
	Admin    bool   `json:",omitempty"` // of the whole registry; false where it does not say
	Expires  string `json:",omitempty"` // RFC 3339; "": never, or the registry does not say
}

func newLogin(a *app) *cobra.Command {
	var o loginOptions
	c := &cobra.Command{
		Use:   "login HOST",
		Short: "Log in to a registry, for docker and vicr alike",
		Long: `Log in to a registry. The password is checked with the registry first and then
kept where docker keeps it: in a credential helper if one is configured, else in
docker's config.json.

The name of a Harbor robot has a $ in it, which a shell takes away unless the
name stands in single quotes. Where people log in to Harbor by OIDC, the password
here is the CLI secret that their user profile in Harbor's web page shows.`,
		Example: `  vicr login registry.example.com
  pass show registry | vicr login registry.example.com -u dev --password-stdin
  pass show robot | vicr login registry.example.com -u 'robot$ci' --password-stdin`,
		Args: exactly(1, "the address of one registry"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.host, err = ref.ParseHost(args[0]); err != nil {
				return err
			}
			return aboutHost(o.host, runLogin(c.Context(), a, o))
		},
	}
	c.Flags().StringVarP(&o.user, "username", "u", "", "the user's `name`")
	c.Flags().BoolVar(&o.fromStdin, "password-stdin", false, "read the password from standard input")
	c.Flags().StringVar(&o.realm, "realm", "", "also send the password to the token server at this `URL`")
	c.Flags().BoolVar(&o.allowClear, "allow-insecure-credentials", false, "send the password over plain HTTP or unverified TLS too")
	noPasswordFlag(c.Flags())
	o.tls.register(c.Flags())
	return c
}

// noPasswordFlag refuses docker's -p without repeating what came after it: an
// argument can be read by every user of the machine.
func noPasswordFlag(s *pflag.FlagSet) {
	s.VarP(refused{}, "password", "p", "")
	s.Lookup("password").Hidden = true
}

var errPasswordFlag = &usageError{
	text: "a password on the command line can be read by others",
	hint: "give it on standard input: vicr login HOST -u USER --password-stdin",
}

type refused struct{}

func (refused) Set(string) error { return errPasswordFlag }
func (refused) String() string   { return "" }
func (refused) Type() string     { return "" }

func runLogin(ctx context.Context, a *app, o loginOptions) error {
	if err := a.checkFormat(loginResult{Host: "h", Username: "u", Kept: "config.json", Who: "u"}); err != nil {
		return err
	}
	if o.allowClear && !o.tls.plainHTTP && !o.tls.skipVerify {
		a.note("--allow-insecure-credentials also holds for later commands with --plain-http or --insecure-skip-verify")
	}
	if err := checkRealm(o.host, o.realm); err != nil {
		return err
	}
	creds, err := a.askCredentials(ctx, o)
	if err != nil {
		return err
	}
	if err := creds.Check(); err != nil {
		return err
	}
	if a.underSudo() {
		return a.again(ctx, strings.NewReader(creds.Password+"\n"), []string{"--username=" + creds.Username, "--password-stdin=true"})
	}
	mark := func(m *auth.Mark) {
		if o.realm != "" {
			m.Realm = o.realm
		}
		m.Clear = m.Clear || o.allowClear
	}
	r, id, err := a.verify(ctx, o, creds, mark)
	var foreign *auth.RealmError
	if errors.As(err, &foreign) && foreign.Origin != "" && o.realm == "" && a.interactive() {
		a.noteOwnName(o.host, foreign)
		yes, askErr := a.confirm(ctx, o.host.String()+" checks passwords at "+foreign.Origin+". May it have yours?")
		if askErr != nil {
			return askErr
		}
		if yes {
			o.realm = foreign.Origin
			r, id, err = a.verify(ctx, o, creds, mark)
		}
	}
	if is[*auth.DeniedError](err) {
		err = refusedLogin(ctx, r, creds.Username, err)
	}
	if err != nil {
		return err
	}
	return a.keep(ctx, o, creds, id, a.whoIs(ctx, r, id, creds), mark)
}

func checkRealm(h ref.Host, realm string) error {
	if realm != "" && len(auth.Policy{Realm: realm}.Origins(h)) < 2 {
		return usagef("--realm is not the address of a token server, as in https://sso.example.com")
	}
	return nil
}

// verify asks the registry whether the credentials are right.
func (a *app) verify(ctx context.Context, o loginOptions, creds auth.Credentials, mark func(*auth.Mark)) (*road, auth.Identity, error) {
	r, err := a.roadWith(o.host, o.tls, creds, mark)
	if err != nil {
		return nil, auth.Identity{}, err
	}
	id, err := r.auth.Verify(ctx)
	return r, id, err
}

// keep stores credentials that the registry has accepted.
func (a *app) keep(ctx context.Context, o loginOptions, creds auth.Credentials, id auth.Identity, who loginResult, mark func(*auth.Mark)) error {
	where, err := a.credentials().Put(ctx, o.host, creds)
	if err != nil {
		return err
	}
	if o.realm != "" || o.allowClear {
		path := marksFile(a.dirs())
		marks, err := auth.LoadMarks(path)
		if err != nil {
			return err
		}
		m := marks.Of(o.host)
		mark(&m)
		if err := auth.SaveMark(ctx, path, o.host, m); err != nil {
			return err
		}
	}
	if id.Scheme == "" {
		a.note("%s asks nobody to log in; the password was not checked", o.host)
	}
	res := who
	res.Host, res.Username, res.Kept = o.host.String(), creds.Username, string(where)
	return a.result(res, line("logged in to %s as %s, kept in %s", res.Host, res.whoText(), escaped(res.Kept)))
}

// askCredentials reads user name and password from where the user said, or asks.
func (a *app) askCredentials(ctx context.Context, o loginOptions) (auth.Credentials, error) {
	c := auth.Credentials{Username: o.user}
	if o.fromStdin {
		if o.user == "" {
			return c, &usageError{text: "--password-stdin needs a user name", hint: "vicr login " + o.host.String() + " -u USER --password-stdin"}
		}
		p, err := readPassword(a.env.Stdin)
		c.Password = p
		return c, err
	}
	if !a.interactive() {
		return c, &usageError{text: "there is no terminal to ask for the password", hint: "vicr login " + o.host.String() + " -u USER --password-stdin < FILE"}
	}
	var err error
	if c.Username == "" {
		if c.Username, err = a.askText(ctx, "User name for "+o.host.String()+":"); err != nil {
			return c, err
		}
	}
	c.Password, err = a.askSecret(ctx, "Password:")
	if err == nil && c.Password == "" {
		err = usagef("the password is empty")
	}
	return c, err
}

// readPassword reads all of r and drops the line break at its end, as docker does.
func readPassword(r io.Reader) (string, error) {
	const limit = 64 << 10 // bytes
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return "", usagef("standard input: %s", plainPath(err))
	}
	p := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	switch {
	case p == "":
		return "", &usageError{text: "the password on standard input is empty", hint: "look at the file or the command that it comes from"}
	case len(b) > limit:
		return "", usagef("the password on standard input is longer than 64 KiB")
	}
	return p, nil
}

package cmd

import (
	"context"
	"crypto/x509"
	"io"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/install"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/trust"
)

type trustOptions struct {
	targets     []target
	caFile      string
	fingerprint pki.Fingerprint
	acceptNew   bool
	insecure    bool
	clientCert  string
	clientKey   string
	tools       string
	offline     bool
	root        string
	restart     bool
	dryRun      bool
	yes         bool

	// What a vicr with other rights is told by the one that starts it.
	chain     []*x509.Certificate // as it was served, where the fingerprint may name its leaf
	pair      *clientFiles        // what clientCert and clientKey hold
	how       string              // the user agreed to the CA
	keep      bool                // never replace a CA, whatever was agreed to
	half      string              // make this half alone: the machine's
	speaks    string              // what the registry was seen to speak, for --insecure
	rootWaits bool                // root makes the machine's half, see handBack
}

// A target is what is to be trusted: one registry, or with --insecure all in a
// network.
type target struct {
	host    ref.Host
	network netip.Prefix
}

func (t target) String() string {
	if t.network.IsValid() {
		return t.network.String()
	}
	return t.host.String()
}

// subject is what journals call it.
func (t target) subject() string {
	if t.network.IsValid() {
		return t.network.String()
	}
	return t.host.Canonical().String()
}

// parseTarget reads HOST[:PORT], or a network in the form ADDRESS/BITS.
func parseTarget(s string) (target, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		if p != p.Masked() {
			return target{}, usagef("network %q: its first address is %s", s, p.Masked())
		}
		return target{network: p}, nil
	}
	h, err := ref.ParseHost(s)
	return target{host: h}, err
}

// How a CA came to be trusted, as the journal keeps it.
const (
	howFingerprint = "fingerprint"
	howAcceptNew   = "accept-new"
	howAsked       = "asked"
	howInsecure    = "insecure" // none is: nobody verifies it any more
)

type trustResult struct {
	Host        string
	Public      bool   `json:",omitempty"` // trusted by the system already
	Insecure    bool   `json:",omitempty"`
	Fingerprint string `json:",omitempty"`
	Tools       []string
	Changes     []string
	Restarts    []string // what has to be typed before a change counts
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
terminal, by the CA's fingerprint, or by --accept-new. vicr untrust takes it back.

Harbor before 1.7 gives its CA to administrators only. Where it does not send it
with its certificate either, give the CA with --ca-file; or, at a terminal, give the
fingerprint of the served certificate with --fingerprint: once it matches, trust
asks for an administrator's password and fetches the CA.

With --insecure no CA is installed: the tools stop verifying the registry, or
speak plain HTTP to it. Whoever is on the way can then read and change all that
is moved, passwords too. vicr itself takes --plain-http on each command instead.`,
		Example: `  vicr trust registry.example.com
  vicr trust --dry-run registry.example.com:8443
  vicr trust --fingerprint sha256:0123... registry.example.com
  vicr trust --for podman,k3s registry.example.com
  vicr trust --insecure registry.example.com:5000`,
		Args: atLeast(1, "the address of a registry"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.targets, err = each(args, parseTarget); err != nil {
				return err
			}
			return runTrust(c.Context(), a, o)
		},
	}
	o.register(c)
	return c
}

func (o *trustOptions) register(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.caFile, "ca-file", "", "take the CA from this `file`, or from standard input for -")
	f.Var(&o.fingerprint, "fingerprint", "trust the CA, or the served certificate, with this SHA-256 and do not ask")
	f.BoolVar(&o.acceptNew, "accept-new", false, "trust whatever CA the registry shows now, unless another is recorded")
	f.BoolVar(&o.insecure, "insecure", false, "make the tools stop verifying the registry, or speak plain HTTP to it")
	f.StringVar(&o.clientCert, "client-cert", "", "the client certificate that the registry asks for, a PEM `file`")
	f.StringVar(&o.clientKey, "client-key", "", "its private key, a PEM `file`")
	f.StringVar(&o.tools, "for", "", "only for these tools, a `list` of: "+strings.Join(toolNames(trust.Tools()), ", "))
	f.BoolVar(&o.offline, "offline", false, "open no connection; needs --ca-file and --fingerprint, or --insecure")
	f.StringVar(&o.root, "root", "", "write to the machine that lies in this `folder`, an image or a chroot")
	f.BoolVar(&o.restart, "restart", false, "restart what has to be restarted before a change counts")
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "show what would change, and change nothing")
	f.BoolVarP(&o.yes, "yes", "y", false, "agree to the changes, but still ask about an unknown CA")
	f.BoolVar(&o.keep, "keep-recorded", false, "")
	f.StringVar(&o.half, "half", "", "")
	f.StringVar(&o.speaks, "speaks", "", "")
	f.StringVar(&o.how, "how", "", "")
	f.BoolVar(&o.rootWaits, "root-waits", false, "")
	for _, name := range []string{"keep-recorded", "half", "speaks", "how", "root-waits"} {
		f.Lookup(name).Hidden = true
	}
}

func (o trustOptions) check() error {
	for _, t := range o.targets {
		if t.network.IsValid() && !o.insecure {
			return usagef("%s is a network: only --insecure is for one", t)
		}
	}
	switch {
	case o.insecure && (o.caFile != "" || !o.fingerprint.IsZero() || o.acceptNew || o.clientCert != ""):
		return usagef("--insecure installs no certificate: use it without --ca-file, --fingerprint, --accept-new and --client-cert")
	case !o.insecure && o.offline && (o.caFile == "" || o.fingerprint.IsZero()):
		return usagef("--offline needs --ca-file and --fingerprint")
	case (o.clientCert == "") != (o.clientKey == ""):
		return usagef("--client-cert and --client-key go together: half a pair breaks every pull from the registry")
	case len(o.targets) > 1 && (o.caFile == "-" || !o.fingerprint.IsZero() || o.clientCert != ""):
		return usagef("a fingerprint, a client certificate and a CA on standard input are for one registry at a time")
	case !oneOf(o.half, "", string(install.Machine)) || !oneOf(o.speaks, "", "http", "https") || !oneOf(o.how, "", howAcceptNew, howAsked):
		return usagef("--half, --speaks and --how are vicr's own")
	}
	return nil
}

func runTrust(ctx context.Context, a *app, o trustOptions) error {
	if err := a.checkFormat(trustResult{Host: "h", Fingerprint: exampleDigest, Tools: []string{"vicr"}, Changes: []string{"write"}, Restarts: []string{"restart"}, Proofs: []string{"proven"}}); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	if o.rootWaits {
		root, err := toRoot()
		if err != nil {
			return err
		}
		a.root = root
	}
	if a.underSudo() && o.root == "" && o.half == "" {
		return a.trustThroughUser(ctx, o)
	}
	return forEach(ctx, a, o.targets, func(t target) error { return aboutHost(t.host, a.aboutHome(trustOne(ctx, a, t, o))) })
}

// A trusting is one run of trust for one target.
type trusting struct {
	target  target
	o       trustOptions
	request trust.Request
	site    *install.Site
	planned trust.Planned
	todo    install.Todo
	subject change.Subject
}

func trustOne(ctx context.Context, a *app, t target, o trustOptions) error {
	r := trusting{target: t, o: o}
	public, err := a.ask(ctx, &r)
	if err != nil {
		return err
	}
	res := trustResult{Host: t.String(), Insecure: o.insecure, Tools: []string{}, Changes: []string{}, Restarts: []string{}, Proofs: []string{}, DryRun: o.dryRun}
	if public {
		res.Public = true
		return a.result(res, line("%s is publicly trusted: nothing to change", t))
	}
	if r.site, err = a.tidySite(ctx, o); err != nil {
		return err
	}
	defer r.site.Close()
	if err := r.plan(ctx); err != nil {
		return err
	}
	res.Tools, res.Changes, res.Restarts = toolNames(r.planned.Tools), r.todo.Lines, restarts(r.todo)
	if !o.insecure {
		res.Fingerprint = pki.SHA256(r.request.Anchor.Cert).String()
	}
	conflict := a.show(r)
	if o.dryRun {
		return a.result(res, dryRun(r.todo.Lines))
	}
	if err := a.agree(ctx, &r, conflict); err != nil {
		return err
	}
	proofs, err := a.carryOut(ctx, r)
	if err != nil {
		return err
	}
	res.Proofs = append(res.Proofs, proofs...)
	return a.result(res, res.text)
}

// plan finds out what has to change, and what of it is not yet so.
func (r *trusting) plan(ctx context.Context) error {
	planned, err := r.site.Plan(ctx, r.request, r.target.subject())
	if err != nil {
		return err
	}
	if r.o.half != "" {
		planned = install.Only(planned, install.Half(r.o.half))
	}
	if len(planned.Tools) == 0 && r.o.half == "" {
		return nothingPlanned(planned)
	}
	r.planned = planned
	if r.todo, err = r.site.Todo(planned); err != nil {
		return err
	}
	return r.site.Ready(ctx, planned)
}

// agree gets the user's word, and makes sure that it is about what will be done.
func (a *app) agree(ctx context.Context, r *trusting, conflict bool) error {
	r.subject = change.Subject{Host: r.target.subject()}
	if !r.o.insecure {
		cert := r.request.Anchor.Cert
		r.subject.Fingerprint, r.subject.NotAfter = pki.SHA256(cert).String(), cert.NotAfter
	}
	if r.todo.Nothing() {
		r.subject.How = r.unasked()
		return nil
	}
	var err error
	if r.subject.How, err = a.consent(ctx, *r, conflict); err != nil {
		return err
	}
	shown := r.todo
	if err := r.plan(ctx); err != nil {
		return err
	}
	if !r.todo.Same(shown) {
		return &consentError{what: "the files changed while you were asked; nothing was done", hints: []string{"run it again to see what would change now"}}
	}
	return nil
}

func (r trustResult) text(w io.Writer) error {
	word, end := "trusted", " ("+r.Fingerprint+")"
	if r.Insecure {
		word, end = "not verified any more", ""
	}
	if len(r.Changes) == 0 {
		word = "already " + word
	}
	return line("%s: %s for %s%s", r.Host, word, strings.Join(r.Tools, ", "), end)(w)
}

// nothingPlanned says why no tool can be set up.
func nothingPlanned(p trust.Planned) error {
	why, hint := "no tool was found", ""
	for _, s := range p.Skipped {
		why, hint = string(s.Tool)+": "+s.Why, s.Command
	}
	return &usageError{text: "there is nothing to set up: " + why, hint: hint}
}

func toolNames(tools []trust.Tool) []string {
	names := make([]string, len(tools))
	for i, t := range tools {
		names[i] = string(t)
	}
	return names
}

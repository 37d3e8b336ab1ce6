package cmd

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/install"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/proof"
	"github.com/vicr-cli/vicr/internal/trust"
	"github.com/vicr-cli/vicr/internal/wire"
)

// site opens where changes are made and recorded.
func (a *app) site(root string) (*install.Site, error) {
	s, err := install.Open(a.wholeMachine(root))
	if err != nil {
		return nil, usagef("--root: %s", plainPath(err))
	}
	return s, nil
}

// tidySite is the site after what killed runs left was put in order: what is
// planned, shown and agreed to is then what will be done.
func (a *app) tidySite(ctx context.Context, o trustOptions) (*install.Site, error) {
	s, err := a.site(o.root)
	if err != nil {
		return nil, err
	}
	recovered, err := a.recover(ctx, a.ownJournals(s), o.dryRun)
	if err == nil && !recovered {
		return s, nil
	}
	s.Close()
	if err != nil {
		return nil, err
	}
	return a.site(o.root) // the machine looks different now
}

// carryOut makes the changes and proves them: first the user's own half, as
// that user, then the machine's, as root.
func (a *app) carryOut(ctx context.Context, r trusting) (proofs []string, err error) {
	p := install.Prover{Site: r.site, Request: r.request, Planned: r.planned, Fact: func(f install.Fact) {
		s := inWords(f)
		proofs = append(proofs, s)
		a.note("%s", s)
	}}
	if !r.o.offline && !r.o.insecure {
		p.Own = func(ctx context.Context) error { return a.proveOwn(ctx, r) }
	}
	for _, h := range install.Halves() {
		if len(install.Tools(r.planned, h)) == 0 {
			continue
		}
		prove := func(ctx context.Context) error { return p.Prove(ctx, h) }
		other := a.otherRights(h, r)
		switch {
		case other != nil && len(r.todo.Plans[h]) > 0:
			err = other(ctx)
		case other != nil:
			err = prove(ctx)
		default:
			err = r.site.Apply(ctx, h, r.subject, r.planned, prove)
		}
		if err != nil {
			return proofs, err
		}
	}
	return proofs, nil
}

func inWords(f install.Fact) string {
	who := map[trust.Tool]string{
		trust.ToolVicr: "vicr", trust.ToolDocker: "the Docker engine", trust.ToolPodman: "Podman", trust.ToolContainerd: "containerd",
	}[f.Tool]
	if who == "" {
		who = string(f.Tool)
	}
	switch {
	case f.Proven && f.Tool == trust.ToolVicr:
		return "proven: vicr reaches " + f.Host + " over verified TLS"
	case f.Proven:
		return "proven: " + who + " trusts " + f.Host
	case f.Tool == trust.ToolDocker:
		return "not proven for " + f.Host + ": " + f.Why
	}
	return "not proven for " + f.Host + " with " + who + ": " + f.Why
}

// otherRights makes a half where this process lacks the rights or is somebody
// else; nil: this process makes it.
func (a *app) otherRights(h install.Half, r trusting) func(context.Context) error {
	switch {
	case h == install.Machine && r.o.rootWaits:
		return func(context.Context) error { return a.handBack(r) }
	case h == install.Machine && a.env.Euid != 0 && r.o.root == "":
		return func(ctx context.Context) error { return a.asRoot(ctx, r) }
	}
	return nil
}

// proveOwn asks the registry by the road that vicr's own transfers take.
func (a *app) proveOwn(ctx context.Context, r trusting) error {
	c, err := a.trustedWire(r.site.Machine, r.target.host)
	if err != nil {
		return err
	}
	w := wire.New(c)
	defer w.CloseIdleConnections()
	return proof.Own(ctx, w)
}

// offlineArgs are those of a vicr that makes the machine's half of the changes:
// it is given what was found out, ca being where it reads the CA, and opens no
// connection to the registry.
func offlineArgs(r trusting, ca string) []string {
	args := []string{
		"trust", r.target.String(), "--offline", "--for", strings.Join(toolNames(install.Tools(r.planned, install.Machine)), ","),
		"--half", string(install.Machine), "--no-input",
	}
	if r.o.insecure {
		args = append(args, "--insecure", "--yes")
	} else {
		args = append(args, "--ca-file", ca, "--fingerprint", pki.SHA256(r.request.Anchor.Cert).String())
	}
	if r.o.speaks != "" {
		args = append(args, "--speaks", r.o.speaks)
	}
	args = append(args, alsoAsked(r)...)
	if r.keepsRecorded() {
		args = append(args, "--keep-recorded")
	}
	if oneOf(r.subject.How, howAcceptNew, howAsked) {
		args = append(args, "--how", r.subject.How)
	}
	return args
}

// alsoAsked is what else was asked for and is the machine's half too.
func alsoAsked(r trusting) (args []string) {
	if r.o.clientCert != "" {
		args = append(args, "--client-cert", absolute(r.o.clientCert), "--client-key", absolute(r.o.clientKey))
	}
	if r.o.restart {
		args = append(args, "--restart")
	}
	return args
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// handed is the CA on the standard input of such a vicr.
func handed(r trusting) io.Reader {
	if r.o.insecure {
		return nil
	}
	return bytes.NewReader(pki.EncodePEM(r.request.Anchor.Cert))
}

// atHome runs what works in the user's home. When root was reached through
// sudo the whole command is run again as that user: root neither reads nor
// writes there.
func (a *app) atHome(ctx context.Context, run func() error) error {
	if !a.underSudo() {
		return run()
	}
	return a.again(ctx, a.env.Stdin, nil)
}

// again runs this command as the user who called sudo, with more arguments in
// front, and files that it has from 3 on.
func (a *app) again(ctx context.Context, stdin io.Reader, more []string, files ...*os.File) error {
	u, err := change.SudoUser(a.env.Getenv("SUDO_UID"))
	if err != nil {
		return usagef("%s", err)
	}
	dir, err := os.Getwd()
	if err != nil {
		dir = "" // gone, or not to be named: relative paths would not work either
	}
	return a.delegate(ctx, change.Program{
		Path: a.env.Executable, Args: append(more, a.args...), User: u, Dir: dir, Env: a.harmless(),
		Stdin: stdin, Stdout: a.env.Stdout, Files: files,
	})
}

// harmless is what of the environment goes on to a command that runs as the
// user: how to reach the network, and how to write.
func (a *app) harmless() []string {
	var env []string
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "NO_COLOR", "LANG", "TERM"} {
		if v := a.env.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// asRoot offers the machine's half as one line and runs it after a yes.
func (a *app) asRoot(ctx context.Context, r trusting) error {
	command := rootLine(runtime.GOOS, a.env.Executable, r)
	sudo, err := change.Sudo()
	if err != nil || !a.interactive() {
		return a.declined(restHint(runtime.GOOS, command))
	}
	a.say("vicr: the rest needs root:")
	a.say("  %s", command)
	if !r.o.yes && r.o.fingerprint.IsZero() && !r.o.acceptNew {
		yes, err := a.confirm(ctx, "Run it now?")
		if err != nil {
			return err
		}
		if !yes {
			return a.declined("later: " + command)
		}
	}
	return a.delegate(ctx, change.Program{
		Path: sudo, Args: append([]string{a.env.Executable}, offlineArgs(r, "-")...), Stdin: handed(r),
	})
}

func (a *app) declined(hint string) error { return &partlyError{declined: true, hint: hint} }

// delegate runs a vicr with other rights. What it says reaches the user; its
// exit code becomes ours.
func (a *app) delegate(ctx context.Context, p change.Program) error {
	p.Stderr = a.env.Stderr
	if p.Stdout == nil {
		p.Stdout = a.env.Stderr // the result is printed by this process
	}
	p.Grace = 5 * time.Second
	code, err := change.Run(ctx, p)
	if err != nil {
		return err
	}
	if code != codeDone {
		return &delegatedError{code}
	}
	return nil
}

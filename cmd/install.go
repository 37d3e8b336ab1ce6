package cmd

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/proof"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/trust"
	"github.com/vicr-cli/vicr/internal/wire"
)

// journals are the records of changes: the user's own, and the machine's or
// that of the tree below --root.
type journals struct {
	userTree, machineTree *atomicfile.Tree
	user, machine         *change.Journal
}

func (a *app) journals(root string, m machine.Machine) (*journals, error) {
	own := atomicfile.Machine()
	j := &journals{userTree: own, machineTree: own}
	if root != "" {
		tree, err := atomicfile.Beneath(root)
		if err != nil {
			return nil, usagef("--root: %s", plainPath(err))
		}
		j.machineTree = tree
	}
	allow := func(host, path string) bool {
		h, err := ref.ParseHost(host)
		return err == nil && trust.MayWrite(m, h, path)
	}
	j.user = change.OpenJournal(j.userTree, filepath.Join(m.Dirs.State, "journal"), allow)
	j.machine = change.OpenJournal(j.machineTree, m.Dirs.MachineState, allow)
	return j, nil
}

func (j *journals) Close() {
	if j.machineTree != j.userTree {
		_ = j.machineTree.Close() // only a handle on a folder
	}
}

// pending is what of the plan is not yet so.
func (j *journals) pending(p trust.Planned) (todo, error) {
	user, err := p.User.Pending(j.userTree)
	if err != nil {
		return todo{}, err
	}
	mach, err := p.Machine.Pending(j.machineTree)
	if err != nil && j.machineTree != j.userTree {
		err = &treeError{err}
	}
	t := todo{user: user, machine: mach}
	for _, r := range p.Replaces {
		t.replaces = append(t.replaces, r.Path)
		for _, c := range r.Was {
			t.replaces = append(t.replaces, pki.SHA256(c).String())
		}
	}
	return t, err
}

// A treeError says that a file below --root cannot be used: a link leads out of
// the tree, or something else stands there.
type treeError struct{ err error }

func (e *treeError) Error() string {
	return "below --root: " + plainPath(e.err) + "; nothing outside of it is read or written"
}

func (e *treeError) Unwrap() error { return e.err }

// installation is one run of trust for one registry, agreed to.
type installation struct {
	host    ref.Host
	anchor  pki.Anchor
	subject change.Subject
	machine machine.Machine
	journal *journals
	planned trust.Planned
	todo    todo
	o       trustOptions
}

// A part is what of an installation is made with one set of rights.
type part struct {
	tools   []trust.Tool
	plan    change.Plan
	todo    change.Plan
	journal *change.Journal
	prove   func(context.Context) error
	// other makes the changes where this process lacks the rights or is
	// somebody else; nil: this process makes them.
	other func(context.Context) error
}

// install makes the changes and proves them: first the user's own part, as that
// user, then the machine's, as root.
func (a *app) install(ctx context.Context, in installation) (proofs []string, err error) {
	note := func(s string) { proofs = append(proofs, s); a.note("%s", s) }
	for _, p := range []part{a.userPart(in, note), a.machinePart(in, note)} {
		if len(p.tools) == 0 {
			continue
		}
		switch {
		case p.other != nil && len(p.todo) > 0:
			err = p.other(ctx)
		case p.other != nil:
			err = p.prove(ctx)
		default: // writes nothing when all is in place
			err = p.journal.Apply(ctx, in.subject, p.plan, p.prove)
		}
		if err != nil {
			return proofs, err
		}
	}
	return proofs, nil
}

func (a *app) userPart(in installation, note func(string)) part {
	p := part{
		tools: in.tools(true), plan: in.planned.User, todo: in.todo.user, journal: in.journal.user,
		prove: func(ctx context.Context) error { return a.proveOwn(ctx, in, note) },
	}
	if a.underSudo() {
		p.other = func(ctx context.Context) error { return a.asUser(ctx, in) }
	}
	return p
}

func (a *app) machinePart(in installation, note func(string)) part {
	p := part{
		tools: in.tools(false), plan: in.planned.Machine, todo: in.todo.machine, journal: in.journal.machine,
		prove: func(ctx context.Context) error { return a.proveMachine(ctx, in, note) },
	}
	if a.env.Euid != 0 && in.o.root == "" {
		p.other = func(ctx context.Context) error { return a.asRoot(ctx, in) }
	}
	return p
}

// tools are those of the user's own part, or those of the machine's.
func (in installation) tools(own bool) []trust.Tool {
	return slices.DeleteFunc(slices.Clone(in.planned.Tools), func(t trust.Tool) bool { return (t == trust.ToolVicr) != own })
}

// proveOwn asks the registry by the road that vicr's own transfers take.
func (a *app) proveOwn(ctx context.Context, in installation, note func(string)) error {
	if in.o.offline {
		return nil
	}
	roots, _, err := trust.Anchors(in.machine, in.host)
	if err != nil {
		return err
	}
	w := wire.New(a.wireConfig(in.host, roots))
	defer w.CloseIdleConnections()
	if err := proof.Own(ctx, w); err != nil {
		return err
	}
	note("proven: vicr reaches " + in.host.String() + " over verified TLS")
	return nil
}

// proveMachine asks the engine, or beneath --root, where none is asked, reads
// the files back.
func (a *app) proveMachine(ctx context.Context, in installation, note func(string)) error {
	if in.o.root != "" {
		return proof.Files(in.journal.machineTree, in.planned.Machine, in.anchor.Cert)
	}
	facts, err := proof.Engine(ctx, in.machine, in.host)
	for _, f := range facts {
		if f.Proven {
			note("proven: the Docker engine trusts " + f.Host)
		} else {
			note("not proven for " + f.Host + ": " + f.Why)
		}
	}
	return err
}

// offlineArgs are those of a vicr that makes one part of the changes: it is
// given the CA and opens no connection to the registry.
func offlineArgs(in installation, tools []trust.Tool) []string {
	args := []string{
		"trust", in.host.String(), "--offline", "--ca-file", "-",
		"--fingerprint", pki.SHA256(in.anchor.Cert).String(), "--for", strings.Join(toolNames(tools), ","), "--no-input",
	}
	if in.subject.How != howFingerprint && !in.changed() {
		// Nobody agreed to replace a CA, as none was seen here.
		args = append(args, "--keep-recorded")
	}
	return args
}

// changed says whether another CA was recorded before, which the user was shown.
func (in installation) changed() bool { return len(in.planned.Replaces) > 0 }

// atHome runs what works in the user's home. When root was reached through
// sudo the whole command is run again as that user: root neither reads nor
// writes there.
func (a *app) atHome(ctx context.Context, run func() error) error {
	if !a.underSudo() {
		return run()
	}
	return a.again(ctx, a.env.Stdin)
}

// again runs this command as the user who called sudo, with more arguments.
func (a *app) again(ctx context.Context, stdin io.Reader, more ...string) error {
	u, err := change.SudoUser(a.env.Getenv("SUDO_UID"))
	if err != nil {
		return usagef("%s", err)
	}
	dir, err := os.Getwd()
	if err != nil {
		dir = "" // gone, or not to be named: relative paths would not work either
	}
	return a.delegate(ctx, change.Program{
		Path: a.env.Executable, Args: append(slices.Clone(a.args), more...), User: u, Dir: dir, Env: a.harmless(),
		Stdin: stdin, Stdout: a.env.Stdout,
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

// asUser makes the user's own part when root was reached through sudo.
func (a *app) asUser(ctx context.Context, in installation) error {
	u, err := change.SudoUser(a.env.Getenv("SUDO_UID"))
	if err != nil {
		return err
	}
	return a.delegate(ctx, change.Program{
		Path: a.env.Executable, Args: offlineArgs(in, []trust.Tool{trust.ToolVicr}), User: u,
		Stdin: bytes.NewReader(pki.EncodePEM(in.anchor.Cert)),
	})
}

// asRoot offers the machine's part as one line and runs it after a yes.
func (a *app) asRoot(ctx context.Context, in installation) error {
	args := append([]string{a.env.Executable}, offlineArgs(in, in.tools(false))...)
	command := a.lineForRoot(in, args)
	sudo, err := change.Sudo()
	if err != nil || !a.interactive() {
		return a.declined("the rest needs root: " + command)
	}
	a.say("vicr: the rest needs root:")
	a.say("  %s", command)
	if !in.o.yes && in.o.fingerprint.IsZero() && !in.o.acceptNew {
		yes, err := a.confirm(ctx, "Run it now?")
		if err != nil {
			return err
		}
		if !yes {
			return a.declined("later: " + command)
		}
	}
	return a.delegate(ctx, change.Program{Path: sudo, Args: args, Stdin: bytes.NewReader(pki.EncodePEM(in.anchor.Cert))})
}

func (a *app) declined(hint string) error { return &partlyError{declined: true, hint: hint} }

// lineForRoot is the command to be pasted. It reads the CA from a file that is
// here; without one it asks the registry again.
func (a *app) lineForRoot(in installation, args []string) string {
	switch {
	case len(in.planned.User) > 0:
		return "sudo " + shellLine(args) + " < " + shellQuote(in.planned.User[0].Path)
	case in.o.caFile != "" && in.o.caFile != "-":
		return "sudo " + shellLine(args) + " < " + shellQuote(in.o.caFile)
	}
	return "sudo " + shellLine([]string{
		a.env.Executable, "trust", in.host.String(), "--for", strings.Join(toolNames(in.tools(false)), ","),
		"--fingerprint", pki.SHA256(in.anchor.Cert).String(),
	})
}

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

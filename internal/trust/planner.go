package trust

import (
	"bytes"
	"crypto/x509"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
)

// The files that every tool with a certs.d folder reads: *.crt are CAs, *.cert
// and the *.key of the same name a client certificate, and nothing else counts.
const (
	caFile   = "ca.crt"
	certFile = "client.cert"
	keyFile  = "client.key"
)

// maxCAFile is the largest file that is read for a CA, in bytes.
const maxCAFile = 1 << 20

const (
	filesMode = 0o644 // of what every user's tools read
	keyMode   = 0o600
	dirMode   = 0o755
	ownMode   = 0o700 // of folders in a home (XDG Base Directory Specification 0.8, "Referencing this specification")
)

// mark begins the files that are vicr's as a whole.
const mark = "# made by vicr\n"

type planner struct {
	m     machine.Machine
	r     Request
	named bool     // the user named the tools
	data  []byte   // the anchor in PEM; nil without one
	seen  []string // CA files that were judged: two tools may read one
	out   Planned
}

// A level is one of the two plans, and what new folders in it are like.
type level struct {
	plan *change.Plan
	mode fs.FileMode
}

func (p *planner) user() level    { return level{&p.out.User, ownMode} }
func (p *planner) machine() level { return level{&p.out.Machine, dirMode} }

// of is the level of files that are the user's own, or root's.
func (p *planner) of(user bool) level {
	if user {
		return p.user()
	}
	return p.machine()
}

// add plans a step once: two tools may read one file.
func (p *planner) add(l level, s change.Step) {
	if !slices.ContainsFunc(*l.plan, func(have change.Step) bool { return same(have, s) }) {
		*l.plan = append(*l.plan, s)
	}
}

// same says whether two steps make the same so.
func same(a, b change.Step) bool {
	if a.Op != b.Op || a.Path != b.Path {
		return false
	}
	switch a.Op {
	case change.OpEdit:
		return *a.Edit == *b.Edit
	case change.OpReload:
		return a.Reload.PIDFile == b.Reload.PIDFile
	case change.OpRun:
		return slices.Equal(a.Run.Argv, b.Run.Argv)
	}
	return true
}

// done says that a tool will be as it was asked for.
func (p *planner) done(t Tool) {
	if !slices.Contains(p.out.Tools, t) {
		p.out.Tools = append(p.out.Tools, t)
	}
}

func (p *planner) skip(t Tool, why, command string) {
	p.out.Skipped = append(p.out.Skipped, Skip{Tool: t, Why: why, Command: command})
}

func (p *planner) note(t Tool, path, text string) {
	n := Note{Tool: t, Path: path, Text: text}
	if !slices.Contains(p.out.Notes, n) {
		p.out.Notes = append(p.out.Notes, n)
	}
}

// absent is for a tool that nobody named and that is not here.
func (p *planner) absent(t Tool) { p.out.NotFound = append(p.out.NotFound, t) }

// later is for a tool that is here and has to be named.
func (p *planner) later(t Tool, why string) { p.skip(t, why, p.trustCommand(t)) }

// folderOf plans all that a certs.d folder of one registry is to hold.
func (p *planner) folderOf(t Tool, l level, dir string) {
	p.ca(t, l, p.m.Join(dir, caFile))
	p.pair(t, l, p.m.Join(dir, certFile), p.m.Join(dir, keyFile))
}

// ca plans the anchor as a file, unless what is there holds it already.
func (p *planner) ca(t Tool, l level, path string) {
	if p.data == nil || slices.Contains(p.seen, path) {
		return
	}
	p.seen = append(p.seen, path)
	now, err := p.m.ReadFile(path, maxCAFile)
	var was []*x509.Certificate
	if err == nil {
		was, err = pki.ParseBundle(now)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, fs.ErrPermission):
		p.note(t, path, "this user cannot read it; if it holds another CA, that will be replaced")
	case err == nil && bytes.Equal(now, p.data):
	case err == nil && holds(was, p.r.Anchor.Cert):
		p.note(t, path, "somebody put this CA there already: left as it is")
		return
	default:
		p.out.Replaces = append(p.out.Replaces, Replaced{Tool: t, Path: path, Was: was, Why: err})
	}
	p.add(l, change.Step{Tool: string(t), Path: path, Data: p.data, Mode: filesMode, DirMode: l.mode, Op: change.OpWrite})
}

// pair plans the key, and after it the client certificate: Podman takes no notice
// of a key alone, and fails on a certificate without its key (Docker on either).
func (p *planner) pair(t Tool, l level, cert, key string) {
	if p.r.Client == nil || slices.Contains(p.seen, cert) {
		return
	}
	p.seen = append(p.seen, cert)
	if now, err := p.m.ReadFile(cert, maxCAFile); err == nil && !bytes.Equal(now, p.r.Client.Cert) {
		p.note(t, cert, "another client certificate, which will be replaced")
	}
	p.add(l, change.Step{Tool: string(t), Path: key, Data: p.r.Client.Key, Mode: keyMode, DirMode: l.mode, Op: change.OpWrite, Secret: true})
	p.add(l, change.Step{Tool: string(t), Path: cert, Data: p.r.Client.Cert, Mode: filesMode, DirMode: l.mode, Op: change.OpWrite})
}

// forget plans away the CA file of a registry that is not verified any more, if
// it is as vicr writes one: a registry is never both.
func (p *planner) forget(t Tool, l level, path string) {
	data, err := p.m.ReadFile(path, maxCAFile)
	if err == nil && ours(data) {
		p.add(l, change.Step{Tool: string(t), Path: path, Op: change.OpRemove})
	}
}

// forgetFolder is forget for a certs.d folder. What it holds of other people's
// has no effect any more.
func (p *planner) forgetFolder(t Tool, l level, dir, effect string) {
	p.forget(t, l, p.m.Join(dir, caFile))
	for _, f := range caFiles(p.m, dir) {
		if !p.removes(l, f.path) {
			p.note(t, f.path, effect)
		}
	}
}

func (p *planner) removes(l level, path string) bool {
	return slices.ContainsFunc(*l.plan, func(s change.Step) bool { return s.Path == path && s.Op == change.OpRemove })
}

// ours says whether data is one certificate in the form that vicr writes.
func ours(data []byte) bool {
	certs, err := pki.ParseBundle(data)
	return err == nil && len(certs) == 1 && bytes.Equal(pki.EncodePEM(certs[0]), data)
}

// marked says whether the file is vicr's as a whole.
func (p *planner) marked(path string) bool {
	data, err := p.m.ReadFile(path, maxConfig)
	return err == nil && bytes.HasPrefix(data, []byte(mark))
}

func (p *planner) exists(path string) bool {
	_, err := p.m.Stat(path)
	return err == nil
}

func holds(certs []*x509.Certificate, c *x509.Certificate) bool {
	return slices.ContainsFunc(certs, c.Equal)
}

// folder joins a folder and the name of one in it. A name that could lead
// elsewhere gives "": [ref.ParseHost] lets none through, and this does not rely on it.
func folder(m machine.Machine, dir, name string) string {
	if dir == "" || strings.Trim(name, ".") == "" || strings.ContainsAny(name, "/\\\x00") {
		return ""
	}
	return m.Join(dir, name)
}

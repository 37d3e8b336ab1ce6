package trust

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
)

// caFile is a name that every tool with a certs.d folder reads as a CA: docker
// and containers/image take *.crt and nothing else.
const caFile = "ca.crt"

// maxCAFile is the largest file that is read for a CA, in bytes.
const maxCAFile = 1 << 20

// A Request says what is to be trusted by whom.
type Request struct {
	Host     ref.Host
	Network  netip.Prefix // instead of Host, with Insecure: every registry in it
	Anchor   pki.Anchor
	Insecure bool      // no anchor: the tools stop verifying
	HTTP     bool      // with Insecure: the registry speaks plain HTTP, else HTTPS that is not verified
	Client   *pki.Pair // client certificate; nil: none
	Tools    []Tool    // nil: vicr and the tools that were found
	Restart  bool      // what needs a restart is restarted
}

// Planned is what would make the tools trust a registry. Both plans hold all
// files that must be as they say; [change.Plan.Pending] knows which are not yet.
type Planned struct {
	User    change.Plan // what the user can change
	Machine change.Plan // what needs root; beneath Root in a --root run
	Tools   []Tool      // those that trust the registry once both plans are applied
	Skipped []Skip
	Notes   []Note

	// Replaces are the files of the plans that hold something else now. To
	// replace a CA that differs needs the user's word.
	Replaces []Replaced

	NotFound []Tool  // looked for because nobody named tools, and not here
	Pastes   []Paste // what the user types for tools that vicr does not change
}

// A Paste is what the user has to type for one tool, and why.
type Paste struct {
	Tool  string // in words, such as "kind"
	Why   string
	Lines []string
}

// A Skip is a tool, or one way to run it, that is not planned.
type Skip struct {
	Tool    Tool
	Why     string
	Command string // what to type instead; "" if there is nothing. FILE stands for the CA file
}

// A Note is something that the user should know about a file of a planned tool.
type Note struct {
	Tool Tool
	Path string // may hold any byte
	Text string
}

func (n Note) String() string { return fmt.Sprintf("%s: %q: %s", n.Tool, n.Path, n.Text) }

// Replaced is a file whose CA would be replaced by another one.
type Replaced struct {
	Tool Tool
	Path string
	Was  []*x509.Certificate // what it holds now; nil if that cannot be read
	Why  error               // why not
}

var errNothing = errors.New("no registry or no certificate to trust")

// Plan says what would make the tools of r trust its host. It reads the
// machine and changes nothing. It returns an [*UnknownToolError].
func Plan(m machine.Machine, r Request) (Planned, error) {
	if r.Host.IsZero() || r.Anchor.Cert == nil {
		return Planned{}, errNothing
	}
	tools, err := distinct(r.Tools)
	if err != nil {
		return Planned{}, err
	}
	p := planner{m: m, r: r, named: tools != nil, data: pki.EncodePEM(r.Anchor.Cert)}
	if !p.named {
		tools = Tools()
	}
	for _, t := range tools {
		switch t {
		case ToolVicr:
			p.vicr()
		case ToolDocker:
			p.docker()
		}
	}
	return p.out, nil
}

type planner struct {
	m     machine.Machine
	r     Request
	named bool   // the user named the tools
	data  []byte // the anchor in PEM
	out   Planned
}

func (p *planner) vicr() {
	dir := ownFolder(p.m, p.r.Host)
	switch {
	case p.m.Root != "":
		p.skip(ToolVicr, "a --root run changes the machine-level files of that tree alone", "")
	case dir == "":
		p.skip(ToolVicr, "no home folder is known for this user", "")
	default:
		p.write(ToolVicr, &p.out.User, dir, 0o700) // XDG Base Directory Specification 0.8, "Referencing this specification"
		p.out.Tools = append(p.out.Tools, ToolVicr)
	}
}

// ownFolder is where the CAs lie that vicr itself trusts for h, "" if nowhere.
func ownFolder(m machine.Machine, h ref.Host) string {
	if m.Root != "" || m.Dirs.Config == "" {
		return ""
	}
	return folder(m, m.Join(m.Dirs.Config, "certs.d"), h.Folder())
}

// dockerFolders are where the engine looks for the CAs of h: it compares the
// host of an image with the names of folders literally, so that h and h:443 are
// two; on Windows it leaves out the colons (moby daemon/pkg/registry/registry.go,
// hostCertsDir).
func dockerFolders(m machine.Machine, h ref.Host) []string {
	if m.Docker.CertsDir == "" {
		return nil
	}
	var dirs []string
	for _, name := range h.Spellings() {
		if m.GOOS == "windows" {
			name = strings.ReplaceAll(name, ":", "")
		}
		if dir := folder(m, m.Docker.CertsDir, name); dir != "" {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// folder joins a folder and the name of one in it. A name that could lead
// elsewhere gives "": [ref.ParseHost] lets none through, and this does not rely on it.
func folder(m machine.Machine, dir, name string) string {
	if strings.Trim(name, ".") == "" || strings.ContainsAny(name, "/\\\x00") {
		return ""
	}
	return m.Join(dir, name)
}

// write plans the anchor as the CA file in dir, unless what is there holds it already.
func (p *planner) write(t Tool, plan *change.Plan, dir string, dirMode fs.FileMode) {
	path := p.m.Join(dir, caFile)
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
	*plan = append(*plan, change.Step{
		Tool: string(t), Path: path, Data: p.data, Mode: 0o644, DirMode: dirMode, Op: change.OpWrite,
	})
}

func holds(certs []*x509.Certificate, c *x509.Certificate) bool {
	for _, have := range certs {
		if have.Equal(c) {
			return true
		}
	}
	return false
}

func (p *planner) skip(t Tool, why, command string) {
	p.out.Skipped = append(p.out.Skipped, Skip{Tool: t, Why: why, Command: command})
}

func (p *planner) note(t Tool, path, text string) {
	p.out.Notes = append(p.out.Notes, Note{Tool: t, Path: path, Text: text})
}

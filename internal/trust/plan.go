package trust

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
)

// A Request says what is to be trusted by whom.
type Request struct {
	Host     ref.Host
	Network  netip.Prefix // instead of Host, with Insecure: every registry in it
	Anchor   pki.Anchor
	Insecure bool      // no anchor: the tools stop verifying
	HTTP     bool      // with Insecure: the registry speaks plain HTTP, else HTTPS that is not verified
	Client   *pki.Pair // client certificate, with an anchor or where none is needed; nil: none
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
	Command string // what to type instead; "" if there is nothing. FILE stands for the CA file, CERT and KEY for those of a client
}

// A Note is something that the user should know about a file of a planned tool.
type Note struct {
	Tool Tool
	Path string // may hold any byte
	Text string

	Breaks bool // the tool refuses every pull from the registry because of it
}

func (n Note) String() string { return fmt.Sprintf("%s: %q: %s", n.Tool, n.Path, n.Text) }

// Replaced is a file whose CA would be replaced by another one.
type Replaced struct {
	Tool Tool
	Path string
	Was  []*x509.Certificate // what it holds now; nil if that cannot be read
	Why  error               // why not
}

var (
	errNothing = errors.New("no registry or no certificate to trust")
	errNetwork = errors.New("a network can only be made insecure, and holds no single registry")
	errSecret  = errors.New("a client certificate is not shown to a registry that is not verified")
)

// Plan says what would make the tools of r trust its host, or stop verifying
// it. It reads the machine and changes nothing. It returns an
// [*UnknownToolError], a [*WideNetworkError] or a [*ConflictError].
func Plan(m machine.Machine, r Request) (Planned, error) {
	if err := r.check(); err != nil {
		return Planned{}, err
	}
	tools, err := distinct(r.Tools)
	if err != nil {
		return Planned{}, err
	}
	p := &planner{m: m, r: r, named: tools != nil}
	if r.Anchor.Cert != nil && !r.Insecure {
		p.data = pki.EncodePEM(r.Anchor.Cert)
	}
	if !p.named {
		tools = Tools()
	}
	for _, t := range tools {
		if err := p.plan(t); err != nil {
			return Planned{}, err
		}
	}
	p.others()
	p.elsewhere(tools)
	return p.out, nil
}

func (r Request) check() error {
	switch {
	case r.Network.IsValid() && (!r.Host.IsZero() || !r.Insecure):
		return errNetwork
	case r.Network.IsValid():
		return checkNetwork(r.Network)
	case r.Host.IsZero(), !r.Insecure && r.Anchor.Cert == nil && r.Client == nil:
		return errNothing
	case r.Insecure && r.Client != nil:
		return errSecret
	}
	return nil
}

func (p *planner) plan(t Tool) error {
	if p.r.Network.IsValid() && t != ToolDocker {
		if p.named {
			p.skip(t, "only Docker can be told of a whole network", "")
		}
		return nil
	}
	switch t {
	case ToolVicr:
		p.vicr()
	case ToolDocker:
		return p.docker()
	case ToolPodman:
		p.podman()
	case ToolContainerd:
		p.containerd()
	case ToolBuildKit:
		p.buildkit()
	case ToolK3s:
		p.k3s()
	case ToolNotary:
		p.notary()
	case ToolSystem:
		p.system()
	}
	return nil
}

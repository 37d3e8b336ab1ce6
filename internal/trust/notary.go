package trust

import (
	"net"

	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/ref"
)

// notaryPort is where a registry of VIC has its Notary.
const notaryPort = "4443"

// notary plans for docker's content trust, which knows the CAs of a folder of
// its own and the system's.
func (p *planner) notary() {
	dir := notaryFolder(p.m, p.r.Host)
	switch {
	case !p.named:
		if p.m.Notary != "" && p.exists(p.m.Notary) && !p.r.Insecure && p.data != nil {
			p.later(ToolNotary, "content trust is used here (folder "+plain(p.m.Notary)+")")
		}
		return
	case p.r.Insecure:
		p.skip(ToolNotary, "content trust is never insecure: it takes nothing but verified HTTPS", "")
		return
	case p.m.GOOS == "windows":
		p.skip(ToolNotary, "docker looks for the CA in a folder with a colon in its name, which Windows does not allow: use --for system", "")
		return
	case p.m.Root != "":
		p.skip(ToolNotary, "its folder is the user's own, and a --root run changes the machine-level files of that tree alone", "")
		return
	case dir == "":
		p.skip(ToolNotary, "no home folder is known for this user", "")
		return
	}
	p.folderOf(ToolNotary, p.user(), dir)
	p.note(ToolNotary, dir, "it is meant for the Notary at port "+notaryPort+" of the registry, and holds the same CA")
	p.out.Pastes = append(p.out.Pastes, Paste{
		Tool: string(ToolNotary), Why: "docker asks for signatures only where these are set",
		Lines: []string{"export DOCKER_CONTENT_TRUST=1", "export DOCKER_CONTENT_TRUST_SERVER=https://" + notaryHost(p.r.Host)},
	})
	p.done(ToolNotary)
}

func notaryHost(h ref.Host) string { return net.JoinHostPort(h.Name(), notaryPort) }

func notaryFolder(m machine.Machine, h ref.Host) string {
	if m.Notary == "" || m.GOOS == "windows" || h.IsZero() {
		return ""
	}
	return folder(m, m.Notary, notaryHost(h))
}

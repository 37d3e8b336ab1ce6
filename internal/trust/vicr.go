package trust

import (
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/ref"
)

func (p *planner) vicr() {
	dir := ownFolder(p.m, p.r.Host)
	switch {
	case p.r.Insecure:
		if p.named {
			p.skip(ToolVicr, "vicr keeps no list of insecure registries: each of its commands takes --plain-http or --insecure-skip-verify", "")
		}
	case p.m.Root != "":
		p.skip(ToolVicr, "a --root run changes the machine-level files of that tree alone", "")
	case dir == "":
		p.skip(ToolVicr, "no home folder is known for this user", "")
	default:
		p.folderOf(ToolVicr, p.user(), dir)
		p.done(ToolVicr)
	}
}

// ownFolder is where the CAs lie that vicr itself trusts for h, "" if nowhere.
func ownFolder(m machine.Machine, h ref.Host) string {
	if m.Root != "" || m.Dirs.Config == "" || h.IsZero() {
		return ""
	}
	return folder(m, m.Join(m.Dirs.Config, "certs.d"), h.Folder())
}

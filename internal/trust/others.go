package trust

import "slices"

// others tells of tools that this request leaves alone, and that have another
// CA for the registry, or go on verifying what others do not verify any more.
func (p *planner) others() {
	if p.r.Network.IsValid() || p.data == nil && !p.r.Insecure {
		return
	}
	for _, r := range records(p.m, p.r.Host) {
		skipped := slices.ContainsFunc(p.out.Skipped, func(s Skip) bool { return s.Tool == r.Tool })
		if slices.Contains(p.out.Tools, r.Tool) || skipped { // that says what to type
			continue
		}
		f := readCA(p.m, r.Path)
		switch {
		case f.err != nil || len(f.certs) == 0: // none, or not for this user to read
		case p.r.Insecure:
			p.note(r.Tool, r.Path, "it goes on verifying this registry, with the CA that lies there")
		case !holds(f.certs, p.r.Anchor.Cert):
			p.note(r.Tool, r.Path, "it keeps another CA; this replaces it for every tool that was set up: "+p.trustCommand(""))
		}
	}
}

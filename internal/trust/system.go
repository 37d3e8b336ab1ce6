package trust

import (
	"crypto/sha1" //nolint:gosec // certutil and security name certificates by it
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io/fs"
	"net"
	"strings"
	"time"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
)

// system plans for the store that every program trusts for every host, and so
// only when it was named.
func (p *planner) system() {
	s := p.m.System
	path := systemFile(p.m, p.r.Host)
	switch {
	case !p.named:
		return
	case p.r.Insecure:
		p.skip(ToolSystem, "the system's store knows CAs alone, and nothing insecure", "")
	case p.data == nil:
		p.skip(ToolSystem, "the system's store knows CAs alone, and no client certificates for containers", "")
	case p.r.Anchor.Leaf || !p.r.Anchor.Cert.BasicConstraintsValid || !p.r.Anchor.Cert.IsCA:
		p.skip(ToolSystem, "this certificate is no CA: the system's store, which trusts what it holds for every host, gets CAs alone", "")
	case s.Family == "" && p.m.Root != "":
		p.skip(ToolSystem, "what kind of system the tree holds is not known", "")
	case s.Family == "":
		p.skip(ToolSystem, "where this system keeps its CAs is not known", "")
	case keeps(s) && p.another(path):
		p.skip(ToolSystem, "another CA of this registry is in the system's store, and would stay there: take it back first", "vicr untrust "+p.quote(p.subject()))
	case path == "", s.Dir == "" && len(s.Update) == 0:
		p.skip(ToolSystem, "the program that changes this system's store is not here", "")
	default:
		p.store(s, path)
	}
}

// another says whether the file holds something else than the anchor. Who may
// not read it leaves that to root, who plans anew.
func (p *planner) another(path string) bool {
	if path == "" || !p.exists(path) {
		return false
	}
	f := readCA(p.m, path)
	return !errors.Is(f.err, fs.ErrPermission) && !holds(f.certs, p.r.Anchor.Cert)
}

func (p *planner) store(s machine.System, path string) {
	from := len(p.out.Machine)
	p.ca(ToolSystem, p.machine(), path)
	argv, undo := systemRuns(p.m, s, path, p.r.Anchor.Cert)
	switch {
	case p.m.Root != "":
		p.byHand(from, "chroot "+p.quote(p.m.Root)+" "+updater(s))
	case argv == nil:
		p.byHand(from, updater(s))
	default:
		p.add(p.machine(), change.Step{Tool: string(ToolSystem), Op: change.OpRun, Run: &change.Command{
			What: "update the system's store of CAs", Argv: argv, Undo: undo, Gone: s.Gone,
		}})
	}
	p.note(ToolSystem, path, "every program on this machine will trust what this CA signs, for "+scope(p.r.Anchor.Cert))
	if p.m.Docker.Found && p.m.Root == "" {
		p.note(ToolSystem, path, "a dockerd that runs sees it only after a restart")
	}
	p.done(ToolSystem)
}

// byHand says what has to be typed after the files from there on.
func (p *planner) byHand(from int, command string) {
	for i := range p.out.Machine[from:] {
		p.out.Machine[from+i].Restart = command
	}
}

// updater is the program by its name, also where it was not seen.
func updater(s machine.System) string {
	if len(s.Update) > 0 {
		return strings.Join(s.Update, " ")
	}
	switch s.Family {
	case "rhel", "arch":
		return "update-ca-trust"
	}
	return "update-ca-certificates"
}

// systemRuns are what makes the store of it and what takes it out again, nil
// where the program is not here.
func systemRuns(m machine.Machine, s machine.System, path string, c *x509.Certificate) (argv, undo []string) {
	if len(s.Update) == 0 || m.Root != "" {
		return nil, nil
	}
	argv, undo = append(argv, s.Update...), append(undo, s.Undo...)
	if keeps(s) {
		return append(argv, path), append(undo, thumbprint(s, c)...)
	}
	return argv, undo
}

// keeps says whether the store is one that keeps the certificates themselves,
// and not the files that they came from.
func keeps(s machine.System) bool { return s.Family == "macos" || s.Family == "windows" }

// thumbprint is how such a store is told which certificate is to go. It needs
// no file, for by then there is none.
func thumbprint(s machine.System, c *x509.Certificate) []string {
	sum := sha1.Sum(c.Raw) //nolint:gosec // see the import
	hash := hex.EncodeToString(sum[:])
	if s.Family == "macos" {
		hash = strings.ToUpper(hash) // as security itself writes it
	}
	return append([]string{hash}, keychain(s)...)
}

func keychain(s machine.System) []string {
	if s.Keychain == "" {
		return nil
	}
	return []string{s.Keychain}
}

// ownPrefix begins the names of vicr's files in the system's store.
const ownPrefix = "vicr-"

// systemFile is where the CA of h is put, "" if nowhere.
func systemFile(m machine.Machine, h ref.Host) string {
	dir := systemDir(m)
	if dir == "" || h.IsZero() {
		return ""
	}
	return m.Join(dir, ownPrefix+h.Folder()+m.System.Ext)
}

// systemDir is the folder of it. macOS and Windows keep a store of their own:
// every user's vicr has to see which CAs in there are ours. On macOS root alone
// looks into the folder of the journal, so it lies beside that; on Windows,
// where all may read it, it lies within, in a folder that is nobody else's.
func systemDir(m machine.Machine) string {
	s, state := m.System, m.Dirs.MachineState
	switch {
	case s.Dir != "" || !keeps(s) || state == "":
		return s.Dir
	case m.GOOS == "windows":
		return m.Join(state, "ca")
	}
	return state + "-ca"
}

// OwnRoots are the CAs that vicr has put into the system's store and that
// vouch for what h shows. The system's roots hold them too: who is trusted by
// them is not publicly trusted, and other tools may know nothing of it.
func OwnRoots(m machine.Machine, h ref.Host, chain []*x509.Certificate, now time.Time) []*x509.Certificate {
	dir := systemDir(m)
	if dir == "" {
		return nil
	}
	entries, err := m.ReadDir(dir)
	if err != nil {
		return nil
	}
	var own []*x509.Certificate
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ownPrefix) || !strings.HasSuffix(e.Name(), m.System.Ext) {
			continue
		}
		for _, c := range readCA(m, m.Join(dir, e.Name())).certs {
			pool := x509.NewCertPool()
			pool.AddCert(c)
			if pki.Judge(chain, pool, h.Endpoint().Name(), now) == nil {
				own = append(own, c)
			}
		}
	}
	return own
}

// scope says for which hosts a CA may speak, by its own name constraints (RFC
// 5280 section 4.2.1.10).
func scope(c *x509.Certificate) string {
	var names []string
	for _, d := range c.PermittedDNSDomains {
		names = append(names, plain(d))
	}
	for _, n := range c.PermittedIPRanges {
		names = append(names, (&net.IPNet{IP: n.IP, Mask: n.Mask}).String())
	}
	if len(names) == 0 {
		return "every host"
	}
	kinds := ""
	switch {
	case len(c.PermittedDNSDomains) == 0:
		kinds = " and every host name"
	case len(c.PermittedIPRanges) == 0:
		kinds = " and every address"
	}
	return "the hosts that its name constraints permit (" + strings.Join(names, ", ") + ")" + kinds
}

package trust

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/edit"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/ref"
)

// The widest networks that Docker may be told not to verify: every name that
// resolves into one counts, whatever its port.
const (
	widest4 = 24 // bits
	widest6 = 64
)

// A WideNetworkError is a network with too many registries in it.
type WideNetworkError struct {
	Network netip.Prefix
	Bits    int // of the widest that is taken
}

func (e *WideNetworkError) Error() string {
	return fmt.Sprintf("the network %s is too wide: at least /%d, or name the registry itself", e.Network, e.Bits)
}

func checkNetwork(n netip.Prefix) error {
	bits, widest := n.Bits(), widest6
	if a := n.Addr(); a.Is4() || a.Is4In6() {
		widest = widest4
		if a.Is4In6() {
			bits -= 96 // of ::ffff:0:0/96
		}
	}
	if bits < widest && !loopback(n) {
		return &WideNetworkError{Network: n, Bits: widest}
	}
	return nil
}

// loopback says whether Docker never verifies a network (moby
// daemon/pkg/registry/config.go; ::1 only since 28.0).
func loopback(n netip.Prefix) bool {
	local := netip.MustParsePrefix("127.0.0.0/8")
	return local.Contains(n.Addr()) && n.Bits() >= local.Bits()
}

// A ConflictError says that dockerd has insecure registries from its command
// line. It refuses to start when daemon.json lists some too, also the same.
type ConflictError struct {
	Flag  []string // the values of --insecure-registry; may hold any byte
	Where string   // where the flag is written: PATH or PATH:LINE, may hold any byte; or words
	File  string   // daemon.json, when it has the list as well; "" if not
}

func (e *ConflictError) Error() string {
	s := fmt.Sprintf("dockerd is started with --insecure-registry %q by %q", strings.Join(e.Flag, " "), e.Where)
	if e.File != "" {
		return s + fmt.Sprintf(", and %q lists insecure registries too: dockerd will not start with both; take one of them away first", e.File)
	}
	return s + ", which cannot be edited here, and it would not start with a list in daemon.json beside it: add the registry to that flag, or move the flag's registries to daemon.json"
}

// names are what the list of insecure registries has to hold.
func (p *planner) names() []string {
	if p.r.Network.IsValid() {
		return []string{p.r.Network.Masked().String()}
	}
	return p.r.Host.Spellings()
}

// insecureEngine plans the list of one engine.
func (p *planner) insecureEngine(e engine) error {
	if p.verifiesNever() {
		p.note(ToolDocker, e.config, "nothing to add: Docker verifies no registry in 127.0.0.0/8")
		p.forgetEngine(e)
		p.done(ToolDocker)
		return nil
	}
	if e.config == "" {
		p.skip(ToolDocker, "where "+e.seen()+" reads its daemon.json is not known", "")
		return nil
	}
	flags := p.flags(e)
	listed, err := p.list(e.config)
	if len(flags) > 0 {
		place, err := onePlace(e, flags, listed)
		if err != nil {
			return err
		}
		p.editFlags(e, place)
	} else {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.note(ToolDocker, e.config, "it cannot be read: "+plain(reason(err).Error()))
		}
		p.editList(e)
	}
	p.forgetEngine(e)
	p.remarks(e.config)
	p.ignoredFlags(e)
	p.done(ToolDocker)
	return nil
}

func (p *planner) forgetEngine(e engine) {
	for _, dir := range e.folders(p.m, p.r.Host) {
		p.forgetFolder(ToolDocker, p.of(e.user), dir, "Docker does not read it while the registry is insecure")
	}
}

// ignoredFlags tells of files that look as if they made registries insecure.
func (p *planner) ignoredFlags(e engine) {
	for _, f := range e.daemon.Ignored {
		data, err := p.m.ReadFile(f.Path, maxConfig)
		if err != nil {
			continue
		}
		values, line, err := edit.ShellFlags(data, f.Variable)
		if err == nil && len(values) > 0 {
			p.note(ToolDocker, f.Path, fmt.Sprintf("line %d: --insecure-registry has no effect there: %s", line, plain(f.Why)))
		}
	}
}

func (p *planner) verifiesNever() bool {
	if p.r.Network.IsValid() {
		return loopback(p.r.Network)
	}
	a, err := netip.ParseAddr(p.r.Host.Name())
	return err == nil && loopback(netip.PrefixFrom(a, a.BitLen()))
}

// editList adds to daemon.json, which a running dockerd reads on SIGHUP.
func (p *planner) editList(e engine) {
	l := p.of(e.user)
	r := p.configRestart(e)
	for _, name := range p.names() {
		p.add(l, change.Step{
			Tool: string(ToolDocker), Path: e.config, Op: change.OpEdit, Mode: p.modeOf(e.config), DirMode: l.mode,
			Edit:  &edit.Edit{Format: edit.JSON, Key: insecureKey, Value: name},
			Check: p.validate(e), Restart: p.typed(r),
		})
	}
	p.reload(e, l)
	p.restart(ToolDocker, l, r)
}

// modeOf is for a file that may be new: readable as such files are, since they
// hold no secret. One that is there keeps its own.
func (p *planner) modeOf(path string) fs.FileMode {
	if p.exists(path) {
		return 0
	}
	return filesMode
}

// configRestart is what an engine needs to read daemon.json where SIGHUP is not the way.
func (p *planner) configRestart(e engine) restart {
	if p.m.Root != "" || e.configRestart == "" {
		return restart{}
	}
	r := restart{words: e.configRestart}
	if e.kind == machine.Snap {
		if program := "/usr/bin/snap"; p.exists(program) {
			argv := append([]string{program}, strings.Fields(e.configRestart)[1:]...)
			r.runs = []change.Command{{What: "restart Docker (snap)", Argv: argv, Undo: argv}}
		}
	}
	return r
}

// reload sends SIGHUP to the engine, if it runs when it comes to that.
func (p *planner) reload(e engine, l level) {
	if p.m.Root != "" || e.configRestart != "" || e.daemon.PIDFile == "" {
		return
	}
	p.add(l, change.Step{Tool: string(ToolDocker), Op: change.OpReload, Reload: &change.Reload{
		Name: "dockerd", PIDFile: e.daemon.PIDFile, Exe: dockerds(),
	}})
}

// dockerds are the names that dockerd has; the second is that of RHEL 7's own package.
func dockerds() []string { return []string{"dockerd", "dockerd-current"} }

// validate is what judges a daemon.json, "" where no dockerd is known. It finds
// a flag that stands in the file too if it is given the live flags.
func (p *planner) validate(e engine) []string {
	if p.m.Root != "" || e.kind == machine.Snap || e.kind == machine.Desktop || p.m.GOOS != "linux" {
		return nil
	}
	// Only root can have put them there: another path is not run.
	programs := []string{"/usr/bin/dockerd", "/usr/sbin/dockerd", "/usr/local/bin/dockerd", "/usr/bin/dockerd-current"}
	var flags []string
	if d := e.daemon.Process; d != nil {
		flags = withoutConfig(d.Args)
		if slices.Contains(programs, d.Exe) {
			return slices.Concat([]string{d.Exe, "--validate"}, flags, []string{"--config-file", "{}"})
		}
	}
	for _, program := range programs {
		if p.exists(program) {
			return slices.Concat([]string{program, "--validate"}, flags, []string{"--config-file", "{}"})
		}
	}
	return nil
}

// withoutConfig are the flags of an argv but the file that they name.
func withoutConfig(args []string) []string {
	var out []string
	for i := 1; i < len(args); i++ {
		switch {
		case args[i] == "--":
			return out
		case args[i] == "--config-file":
			i++
		case strings.HasPrefix(args[i], "--config-file="):
		default:
			out = append(out, args[i])
		}
	}
	return out
}

// secureEngine takes the host off the list: an engine reads neither CAs nor
// client certificates for an insecure registry.
func (p *planner) secureEngine(e engine) {
	l, r := p.of(e.user), p.configRestart(e)
	listed, err := p.list(e.config)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.note(ToolDocker, e.config, "it cannot be read, and may make this registry insecure: "+plain(reason(err).Error()))
	}
	changed := false
	for _, entry := range listed {
		switch {
		case names(p.r.Host, entry):
			changed = true
			p.add(l, change.Step{
				Tool: string(ToolDocker), Path: e.config, Op: change.OpEdit, DirMode: l.mode,
				Edit:  &edit.Edit{Format: edit.JSON, Key: insecureKey, Value: entry, Remove: true},
				Check: p.validate(e), Restart: p.typed(r),
			})
		case covers(entry, p.r.Host):
			p.note(ToolDocker, e.config, fmt.Sprintf("the insecure network %q covers this registry: Docker does not verify it, and the CA has no effect", entry))
		}
	}
	if changed {
		p.reload(e, l)
		p.restart(ToolDocker, l, r)
	}
	for _, f := range p.flags(e) {
		for _, v := range f.values {
			if names(p.r.Host, v) || covers(v, p.r.Host) {
				p.note(ToolDocker, f.where(), fmt.Sprintf("dockerd is started with --insecure-registry %q: it does not verify this registry, and the CA has no effect until that is gone", v))
			}
		}
	}
	p.remarks(e.config)
}

// Unverified are the tools whose settings, as far as they can be read, tell
// them not to verify h: Docker and Podman are looked at.
func Unverified(m machine.Machine, h ref.Host) (tools []Tool) {
	p := &planner{m: m, r: Request{Host: h}}
	for _, e := range append([]engine{rootful(m)}, engines(m)...) {
		listed, err := p.list(e.config)
		if err == nil && slices.ContainsFunc(listed, func(entry string) bool { return names(h, entry) }) {
			tools = append(tools, ToolDocker)
			break
		}
	}
	for _, conf := range []string{m.Podman.UserConf, m.Podman.ConfDir} {
		if drop := dropIn(m, conf, h); drop != "" && p.marked(drop) {
			return append(tools, ToolPodman)
		}
	}
	return tools
}

// names says whether an entry of the list is one of the names of h. dockerd
// drops a scheme in front of it.
func names(h ref.Host, entry string) bool {
	_, bare, ok := strings.Cut(entry, "://")
	if !ok {
		bare = entry
	}
	return slices.Contains(h.Spellings(), bare)
}

// covers says whether an entry is a network that the address h is in.
func covers(entry string, h ref.Host) bool {
	n, err := netip.ParsePrefix(entry)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(h.Name())
	return err == nil && n.Contains(a)
}

// lineOf is the number of the first line that has text in it, 0 if none.
func lineOf(data []byte, text string) int {
	before, _, ok := bytes.Cut(data, []byte(text))
	if !ok {
		return 0
	}
	return bytes.Count(before, []byte("\n")) + 1
}

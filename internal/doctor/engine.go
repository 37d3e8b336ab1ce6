package doctor

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/ref"
)

// An engineFacts is an engine on this machine and what it says.
type engineFacts struct {
	name   string       // in words
	kind   machine.Kind // "": the one that runs as root
	socket string
	config string // its daemon.json; "" if not known
	certs  string // its folder of CAs; "" if not known
	info   engine.Info
	err    error // why it does not answer
	proofs []proofFacts
}

type proofFacts struct {
	host string
	engine.Proof
}

func (e engineFacts) tokenFault() bool {
	return slices.ContainsFunc(e.proofs, func(p proofFacts) bool { return p.TokenFault })
}

// engines asks the engines of this machine what they are.
func (d *doctor) engines(ctx context.Context, _ facts) outcome {
	found := d.listed()
	done := make(chan struct{})
	for i := range found {
		go func() {
			defer func() { done <- struct{}{} }()
			found[i].info, found[i].err = ask(ctx, found[i].socket)
		}()
	}
	for range found {
		<-done
	}
	return ok("").with(func(f *facts) { f.engines = found })
}

// listed are the engines with a socket: the one that runs as root first.
func (d *doctor) listed() []engineFacts {
	m := d.o.Machine.Docker
	var all []engineFacts
	if m.Socket != "" {
		all = append(all, engineFacts{name: "docker", socket: m.Socket, config: m.ConfigFile, certs: m.CertsDir})
	}
	names := map[machine.Kind]string{
		machine.Rootless: "rootless docker", machine.Snap: "docker from a snap", machine.Desktop: "Docker Desktop",
		machine.Podman: "podman", machine.Unknown: "the engine",
	}
	for _, v := range m.Variants {
		twice := slices.ContainsFunc(all, func(e engineFacts) bool { return e.socket == v.Socket })
		if v.Socket != "" && !twice {
			all = append(all, engineFacts{name: names[v.Kind] + " at " + word(v.Socket), kind: v.Kind, socket: v.Socket, config: v.ConfigFile, certs: v.CertsDir})
		}
	}
	return all
}

func ask(ctx context.Context, socket string) (engine.Info, error) {
	e, err := engine.Open("unix://"+socket, engine.Options{Configured: true})
	if err != nil {
		return engine.Info{}, err
	}
	defer e.Close() //nolint:errcheck // only a connection
	return e.Info(ctx)
}

// engine has every engine ask the registry itself, by each of its names.
func (d *doctor) engine(ctx context.Context, f facts) outcome {
	if o, none := d.noEngine(f); none {
		return o
	}
	asked := make([]engineFacts, len(f.engines))
	sum := outcome{Check: Check{Verdict: OK}}
	var seen []string
	for i, e := range f.engines {
		asked[i] = e
		words, o := d.prove(ctx, f, &asked[i])
		seen = append(seen, words)
		sum.Verdict = worse(sum.Verdict, o.Verdict)
		for _, line := range o.Remedy {
			if !slices.Contains(sum.Remedy, line) {
				sum.Remedy = append(sum.Remedy, line)
			}
		}
	}
	sum.Seen = strings.Join(seen, "; ")
	return sum.with(func(f *facts) { f.engines = asked })
}

func (d *doctor) noEngine(f facts) (outcome, bool) {
	m := d.o.Machine.Docker
	switch {
	case len(f.engines) > 0:
		return outcome{}, false
	case m.Problem != "":
		return warn("%s", m.Problem).try("docker context ls"), true
	case m.Remote && m.RemoteName() != "":
		return skip("the engine in use is on %s: run this there", strconv.Quote(m.RemoteName())), true
	case m.Remote:
		return skip("the engine in use is on another machine: run this there"), true
	case m.Found:
		return skip("none runs here now (%s)", m.Evidence), true
	}
	return skip("there is none here; vicr needs none"), true
}

func worse(a, b Verdict) Verdict {
	order := []Verdict{Skip, OK, Warn, Fail}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

func (d *doctor) prove(ctx context.Context, f facts, e *engineFacts) (words string, o outcome) {
	if e.err != nil {
		return e.name + ": " + why(e.err, f.limit), d.silentEngine(*e, e.err)
	}
	api, err := engine.Open("unix://"+e.socket, engine.Options{Configured: true})
	if err != nil {
		return e.name + ": " + err.Error(), d.silentEngine(*e, err)
	}
	defer api.Close() //nolint:errcheck // only a connection
	for _, name := range d.target.Host.Spellings() {
		if !docker(name) {
			continue // the engine would ask Docker Hub
		}
		p, err := api.ProveTrust(ctx, name)
		if err != nil {
			return e.name + ": " + why(err, f.limit), d.silentEngine(*e, err)
		}
		e.proofs = append(e.proofs, proofFacts{name, p})
	}
	for _, p := range e.proofs {
		if words, o := d.judge(f, *e, p); o.Verdict != OK {
			return words, o
		}
	}
	words = e.name + " " + e.info.ServerVersion + " trusts " + d.target.Host.String()
	if e.tokenFault() {
		words += ", but not its token server: see engine store"
	}
	return words, ok("")
}

func (d *doctor) silentEngine(e engineFacts, err error) outcome {
	switch {
	case errors.Is(err, fs.ErrPermission) && e.kind == "":
		return warn("").try("sudo usermod -aG docker $USER   # and log in again")
	case errors.Is(err, fs.ErrPermission):
		return warn("").try("ls -l " + word(e.socket))
	}
	return warn("").try(d.silent(e)...)
}

// judge is what one answer of an engine means.
func (d *doctor) judge(f facts, e engineFacts, p proofFacts) (words string, o outcome) {
	tool := "docker"
	if e.info.Podman {
		tool = "podman"
	}
	message := strconv.Quote(p.Message)
	fix := "vicr trust " + word(d.target.Host.String()) + " --for " + tool
	switch {
	case p.TokenFault, p.Verdict == engine.Trusted:
		return "", ok("")
	case p.Verdict == engine.NotTrusted && f.plain():
		return e.name + " does not speak plain HTTP to " + p.host + ": " + message,
			fail("").try("vicr trust " + word(d.target.Host.String()) + " --insecure --for " + tool)
	case p.Verdict == engine.NotTrusted:
		return e.name + " does not trust " + p.host + ": " + message, fail("").try(fix)
	case p.Verdict == engine.DirFault:
		dir := d.o.Machine.Join(e.certs, p.host)
		return e.name + " cannot use a file in the folder for " + p.host + ": " + message,
			fail("").try("ls -la "+word(dir)+"   # a .cert or .key without its other half breaks every pull", fix)
	case p.Verdict == engine.Unreachable:
		return e.name + " does not reach " + p.host + ", as this machine's own programs do: " + message,
			fail("").try(d.proxyOfEngine(e)...)
	}
	return e.name + " says of " + p.host + ": " + message, warn("").try(tool + " pull " + word(p.host) + "/PROJECT/REPO:TAG")
}

// engineStore knows the fault of Docker 29.0 to 29.4: with the containerd store
// they ask for tokens with the system's roots alone (moby c2075797fa).
func (d *doctor) engineStore(_ context.Context, f facts) outcome {
	if o, none := d.noEngine(f); none {
		return o
	}
	var seen []string
	for _, e := range f.engines {
		if e.err != nil {
			continue
		}
		store := e.info.Driver
		if e.info.ContainerdStore {
			store += " of containerd"
		}
		old, known := engine.OlderThan(e.info.ServerVersion, 29, 5)
		ancient, _ := engine.OlderThan(e.info.ServerVersion, 28, 0)
		words := e.name + " " + e.info.ServerVersion + ", store " + store
		switch {
		case e.tokenFault() && known && !old:
			return fail("%s: the certificate of the token server was refused", words).try(d.coverRealm(f)...)
		case e.tokenFault():
			return fail("%s: with the containerd store, Docker before 29.5 asks for tokens with the system's CAs alone", words).try(d.tokenRemedies()...)
		case e.info.ContainerdStore && old && !ancient && f.scheme == bearer && f.agreed && !f.mended && !f.plain():
			return warn("%s: after docker login, Docker before 29.5 asks for tokens with the system's CAs alone", words).try(d.tokenRemedies()...)
		}
		seen = append(seen, words)
	}
	if len(seen) == 0 {
		return skip("no engine answers")
	}
	return ok("%s", strings.Join(seen, "; "))
}

func (d *doctor) tokenRemedies() []string {
	h := word(d.target.Host.String())
	return []string{
		"bring Docker to 29.5 or later",
		"or: vicr trust " + h + " --for system, then: sudo systemctl restart docker",
		`or, in ` + word(d.o.Machine.Docker.ConfigFile) + `: "features": {"containerd-snapshotter": false}, then restart docker; images that are there are hidden by that`,
	}
}

// insecure looks whether an engine was told not to verify the host.
func (d *doctor) insecure(_ context.Context, f facts) outcome {
	if o, none := d.noEngine(f); none {
		return o
	}
	answers, local := false, ""
	for _, e := range f.engines {
		if e.err != nil {
			continue
		}
		answers = true
		entry := d.listedInsecure(f, e.info.Insecure)
		if other := d.otherPort(e.info.Insecure); f.plain() && entry == "" && other != "" {
			return warn("%s stands in the insecure registries of %s, and that is not %s", other, e.name, d.target.Host).
				try("vicr trust " + word(d.target.Host.String()) + " --insecure --for docker")
		}
		switch {
		case entry == "", f.plain():
			continue
		case loopback(entry):
			local = entry
			continue
		case len(f.sources.Files) == 0:
			return warn("%s does not verify who %s is: %s stands in its insecure registries", e.name, d.target.Host, entry).
				try(append([]string{"vicr trust " + word(d.target.Host.String())}, takeOut(e, entry)...)...)
		}
		return warn("%s does not verify who %s is, though its CA is installed: %s stands in its insecure registries, which makes it pass over certs.d", e.name, d.target.Host, entry).
			try(takeOut(e, entry)...)
	}
	switch {
	case !answers:
		return skip("no engine answers")
	case local != "":
		return ok("docker verifies no registry on this machine itself (%s): what it says of this one proves little", local)
	}
	return ok("no engine was told to pass over verification")
}

func takeOut(e engineFacts, entry string) []string {
	file := e.config
	if file == "" {
		file = "the engine's settings"
	}
	return []string{"take " + strconv.Quote(entry) + " out of insecure-registries in " + word(file), e.reload()}
}

// otherPort is an entry for the host's name that stands for another port of it.
func (d *doctor) otherPort(list []string) string {
	for _, entry := range list {
		if h, err := ref.ParseHost(entry); err == nil && h.Name() == d.target.Host.Name() && h.Port() != d.target.Host.Port() {
			return entry
		}
	}
	return ""
}

// listedInsecure is the entry of an engine's list that means the host.
func (d *doctor) listedInsecure(f facts, list []string) string {
	h := d.target.Host
	for _, entry := range list {
		if slices.Contains(h.Spellings(), strings.ToLower(entry)) {
			return entry
		}
	}
	for _, entry := range list {
		network, err := netip.ParsePrefix(entry)
		if err != nil {
			continue
		}
		if slices.ContainsFunc(f.addresses, network.Contains) {
			return entry
		}
	}
	return ""
}

package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	toml "github.com/pelletier/go-toml/v2"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/edit"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/ref"
)

// buildkit plans for builders of their own: they read neither certs.d nor
// daemon.json, but the tables of a buildkitd.toml, when they are made.
func (p *planner) buildkit() {
	b := p.m.BuildKit
	switch {
	case !p.named && !b.Found:
		p.absent(ToolBuildKit)
		return
	case !p.named:
		p.later(ToolBuildKit, "BuildKit ("+plain(b.Evidence)+") reads a change only when it is started or a builder is made anew")
		return
	case b.UserConfig == "" && (!b.Standalone && p.m.Root == "" || b.ConfigFile == ""):
		p.skip(ToolBuildKit, "no home folder is known for this user", "")
		return
	}
	if own := ownFolder(p.m, p.r.Host); b.UserConfig != "" && own != "" {
		f := buildkitFiles{p.m.Join(own, caFile), p.m.Join(own, certFile), p.m.Join(own, keyFile)}
		p.registryTables(p.user(), b.UserConfig, f, restart{})
		p.builders(b)
		p.note(ToolBuildKit, b.UserConfig, "docker build fetches tokens itself, and knows the system's CAs alone: where that fails, set BUILDKIT_NO_CLIENT_TOKEN=1 or use --for system")
	}
	if b.ConfigFile != "" && (b.Standalone || p.m.Root != "") {
		p.registryTables(p.machine(), b.ConfigFile, standaloneFiles(p.m, p.r.Host), p.buildkitRestart())
	}
}

type buildkitFiles struct{ ca, cert, key string }

// standaloneFiles are what the buildkitd of the machine is told of.
func standaloneFiles(m machine.Machine, h ref.Host) buildkitFiles {
	sep := "/"
	if m.GOOS == "windows" {
		sep = `\`
	}
	i := strings.LastIndex(m.BuildKit.ConfigFile, sep)
	if i < 0 {
		return buildkitFiles{}
	}
	base := m.Join(m.BuildKit.ConfigFile[:i], "certs", h.Folder())
	return buildkitFiles{base + ".crt", base + ".cert", base + ".key"}
}

func (p *planner) buildkitRestart() restart {
	for _, dir := range []string{"/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"} {
		if p.exists(dir + "/buildkit.service") {
			return p.restartOf("BuildKit", "restart buildkitd", p.m.Docker.Daemon.Systemd, "buildkit.service")
		}
	}
	return p.restartOf("BuildKit", "restart buildkitd", false)
}

// registryTables plans the tables of a buildkitd.toml where all that it holds
// are such tables; else it says what to add.
func (p *planner) registryTables(l level, path string, f buildkitFiles, r restart) {
	why := p.foreign(path)
	var edits []edit.Edit
	var byHand []string
	for _, name := range p.r.Host.Spellings() {
		if slices.Contains(p.namesByScheme(), name) {
			byHand = append(append(byHand, fmt.Sprintf("[registry.%q]", name)), lines(registryTable(f, p.wish()))...)
		}
		own, err := p.turn(path, name, func(name string, w wish) edit.Edit {
			return edit.Edit{Format: edit.TOML, Key: "registry", Value: name, Body: registryTable(f, w)}
		})
		if err != nil && why == "" {
			why = "cannot be edited: " + plain(err.Error())
		}
		edits = append(edits, own...)
	}
	if why != "" {
		// The files are left out too: nothing would read them.
		p.skip(ToolBuildKit, fmt.Sprintf("%q %s", path, why), "")
		p.out.Pastes = append(p.out.Pastes, Paste{
			Tool: string(ToolBuildKit), Why: "to add to " + plain(path) + " by hand, with files that hold the certificates", Lines: byHand,
		})
		return
	}
	if p.r.Insecure && l.plan == &p.out.Machine {
		p.forget(ToolBuildKit, l, f.ca)
	} else if !p.r.Insecure {
		p.ca(ToolBuildKit, l, f.ca)
		p.pair(ToolBuildKit, l, f.cert, f.key)
	}
	for _, e := range edits {
		p.add(l, change.Step{
			Tool: string(ToolBuildKit), Path: path, Op: change.OpEdit, Mode: p.modeOf(path), DirMode: l.mode, Restart: p.typed(r), Edit: &e,
		})
	}
	p.restart(ToolBuildKit, l, r)
	p.done(ToolBuildKit)
}

// registryTable is what the table of one registry says. For plain HTTP insecure
// would first try HTTPS.
func registryTable(f buildkitFiles, w wish) string {
	switch {
	case w.http:
		return "http = true\n"
	case w.insecure:
		return "insecure = true\n"
	}
	s := ""
	if w.ca {
		s += fmt.Sprintf("ca = [%s]\n", quoteTOML(f.ca))
	}
	if w.client {
		s += fmt.Sprintf("keypair = [{key = %s, cert = %s}]\n", quoteTOML(f.key), quoteTOML(f.cert))
	}
	return s
}

// quoteTOML writes a path as a string of TOML, whose escapes are not all of Go's.
func quoteTOML(s string) string {
	data, err := toml.Marshal(map[string]string{"s": s})
	if err != nil {
		return fmt.Sprintf("%q", s)
	}
	return strings.TrimSpace(strings.TrimPrefix(string(data), "s = "))
}

// foreign is why a buildkitd.toml is not edited, "" if it is: it holds nothing
// but tables of registries as vicr makes them.
func (p *planner) foreign(path string) string {
	data, err := p.m.ReadFile(path, maxConfig)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ""
	case err != nil:
		return "cannot be read: " + plain(reason(err).Error())
	}
	var file map[string]any
	if err := toml.Unmarshal(data, &file); err != nil {
		return "is no valid TOML"
	}
	const elses = "holds settings of somebody else's"
	tables, _ := file["registry"].(map[string]any)
	if len(file) > 1 || len(file) == 1 && file["registry"] == nil {
		return elses
	}
	for _, v := range tables {
		table, _ := v.(map[string]any)
		for key := range table {
			if !slices.Contains([]string{"ca", "keypair", "http", "insecure"}, key) {
				return elses
			}
		}
	}
	return ""
}

// builders says how those that are there are made anew, with the default file.
func (p *planner) builders(b machine.BuildKit) {
	for _, builder := range b.Builders {
		name := p.quote(plain(builder.Name))
		if builder.Driver == "remote" {
			p.out.Pastes = append(p.out.Pastes, Paste{Tool: "builder " + plain(builder.Name), Why: "it runs elsewhere: its buildkitd.toml is there"})
			continue
		}
		p.out.Pastes = append(p.out.Pastes, Paste{
			Tool: "builder " + plain(builder.Name), Why: "a builder keeps the settings that it was made with; its cache goes with it",
			Lines: []string{
				"docker buildx rm " + name,
				fmt.Sprintf("docker buildx create --name %s --driver %s --buildkitd-config %s --use", name, p.quote(plain(builder.Driver)), p.quote(b.UserConfig)),
			},
		})
	}
}

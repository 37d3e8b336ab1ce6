package trust

import (
	"strings"

	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/ref"
)

// An engine is one of the ways in which Docker runs on a machine.
type engine struct {
	kind     machine.Kind // "" for the one that runs as root
	words    string
	evidence string
	certs    []string // its certs.d; snaps may have a second one
	user     bool     // its files are the user's own
	config   string   // daemon.json; "" if not known
	daemon   machine.Daemon

	certsRestart, configRestart string // what it needs to read them; "" if it does so by itself, or on SIGHUP
}

// rootful is the engine that runs as root, found or not.
func rootful(m machine.Machine) engine {
	e := engine{words: "Docker", evidence: m.Docker.Evidence, config: m.Docker.ConfigFile, daemon: m.Docker.Daemon}
	if m.Docker.CertsDir != "" {
		e.certs = []string{m.Docker.CertsDir}
	}
	switch m.GOOS {
	case "windows":
		// It is told of a change by a named event and not by a signal.
		e.words, e.configRestart = "the Windows engine", "net stop docker && net start docker"
	case "darwin":
		d := desktop(m)
		d.evidence = ""
		return d
	}
	return e
}

// desktop is Docker Desktop where it was not seen.
func desktop(m machine.Machine) engine {
	e := engine{kind: machine.Desktop, words: "Docker Desktop", user: true, config: m.Docker.ConfigFile}
	if m.Docker.CertsDir != "" {
		e.certs = []string{m.Docker.CertsDir}
	}
	e.certsRestart = `osascript -e 'quit app "Docker"' && open -a Docker`
	e.configRestart = e.certsRestart
	return e
}

// engines are those that were found, and whose files are known.
func engines(m machine.Machine) []engine {
	var all []engine
	if m.Docker.Found {
		all = append(all, rootful(m))
	}
	for _, v := range m.Docker.Variants {
		if e, ok := variant(v); ok {
			all = append(all, e)
		}
	}
	return all
}

func variant(v machine.Variant) (engine, bool) {
	e := engine{
		kind: v.Kind, evidence: v.Evidence, user: v.User, config: v.ConfigFile, daemon: v.Daemon,
		certsRestart: v.Restart, configRestart: v.ConfigRestart,
	}
	for _, dir := range []string{v.CertsDir, v.AlsoCertsDir} {
		if dir != "" {
			e.certs = append(e.certs, dir)
		}
	}
	switch v.Kind {
	case machine.Rootless:
		e.words = "rootless Docker"
	case machine.Snap:
		e.words = "Docker from a snap"
	case machine.Desktop:
		e.words = "Docker Desktop"
	default:
		return engine{}, false
	}
	return e, true
}

func (e engine) seen() string {
	if e.evidence == "" {
		return e.words
	}
	return e.words + " (" + plain(e.evidence) + ")"
}

// folders are where the engine looks for the CAs of h: it compares the host of
// an image with the names of folders literally, so that h and h:443 are two; on
// Windows it leaves out the colons (moby daemon/pkg/registry/registry.go,
// hostCertsDir).
func (e engine) folders(m machine.Machine, h ref.Host) []string {
	var dirs []string
	for _, certs := range e.certs {
		dirs = append(dirs, literal(m, certs, h)...)
	}
	return dirs
}

// literal are the folders of a certs.d that bear the names of h.
func literal(m machine.Machine, certs string, h ref.Host) []string {
	if certs == "" || h.IsZero() {
		return nil
	}
	var dirs []string
	for _, name := range h.Spellings() {
		if m.GOOS == "windows" {
			name = strings.ReplaceAll(name, ":", "")
		}
		if dir := folder(m, certs, name); dir != "" {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// dockerFolders are those of every engine, found or not: the usual one first.
func dockerFolders(m machine.Machine, h ref.Host) []string {
	dirs := rootful(m).folders(m, h)
	for _, e := range engines(m) {
		for _, dir := range e.folders(m, h) {
			dirs = appendNew(dirs, dir)
		}
	}
	return dirs
}

func appendNew(list []string, s string) []string {
	for _, have := range list {
		if have == s {
			return list
		}
	}
	return append(list, s)
}

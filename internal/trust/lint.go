package trust

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
)

// Lint notes what lies where the tools look for the CAs of h and keeps them
// from being used, and what is strange in Docker's configuration.
func Lint(m machine.Machine, h ref.Host) []Note {
	if h.IsZero() {
		return nil
	}
	var all []Note
	add := func(t Tool, dirs []string) {
		for _, dir := range dirs {
			all = append(all, lint(m, t, dir)...)
		}
	}
	add(ToolDocker, dockerFolders(m, h))
	add(ToolPodman, append(literal(m, m.Podman.UserCerts, h), literal(m, m.Podman.CertsDir, h)...))
	add(ToolContainerd, containerdFolders(m, h))
	for _, e := range append([]engine{rootful(m)}, engines(m)...) {
		for _, n := range remarksOf(m, e.config) {
			if len(all) == 0 || all[len(all)-1] != n {
				all = append(all, n)
			}
		}
	}
	return all
}

func (p *planner) lint(t Tool, dir string) {
	for _, n := range lint(p.m, t, dir) {
		if !slices.Contains(p.out.Notes, n) {
			p.out.Notes = append(p.out.Notes, n)
		}
	}
}

// A linter looks at a folder of one tool's.
type linter struct {
	m    machine.Machine
	tool Tool
}

func (l linter) name() string {
	return map[Tool]string{ToolDocker: "Docker", ToolPodman: "Podman", ToolContainerd: "containerd"}[l.tool]
}

// lint notes what lies beside the CA in a folder and keeps it from being used,
// or breaks the registry altogether (moby daemon/pkg/registry/registry.go,
// loadTLSConfig; containerd core/remotes/docker/config/hosts.go, loadHostDir;
// container-libs image/pkg/tlsclientconfig).
func lint(m machine.Machine, t Tool, dir string) []Note {
	l := linter{m, t}
	var notes []Note
	if shadow := l.shadow(dir); shadow != "" {
		text := "containerd reads this folder instead"
		if t == ToolDocker {
			text = "engines with the containerd image store read this folder instead"
		}
		notes = append(notes, Note{t, shadow, text, false})
	}
	entries, err := m.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return notes
	case errors.Is(err, fs.ErrPermission):
		return append(notes, Note{t, dir, "this user cannot look into it", false})
	case err != nil:
		return append(notes, Note{t, dir, "this is in the way: it is not a folder", true})
	}
	names := make(map[string]fs.DirEntry, len(entries))
	for _, e := range entries {
		names[e.Name()] = e
	}
	for _, e := range entries {
		if why, breaks := l.fault(dir, e, names); why != "" {
			notes = append(notes, Note{t, m.Join(dir, e.Name()), why, breaks})
		}
	}
	return notes
}

func (l linter) fault(dir string, e fs.DirEntry, names map[string]fs.DirEntry) (why string, breaks bool) {
	ext := path.Ext(e.Name())
	base := strings.TrimSuffix(e.Name(), ext)
	switch {
	case ext == ".cert" && names[base+".key"] == nil:
		return "a client certificate without its .key: " + l.name() + " refuses every pull from this registry; remove it, or rename it to .crt if it is a CA", true
	case ext == ".key" && names[base+".cert"] == nil:
		if l.tool == ToolContainerd {
			return "", false
		}
		return "a key without its .cert: " + l.name() + " refuses every pull from this registry; remove it", true
	case ext == ".crt":
		return l.faultOfCA(dir, e)
	case ext == ".cer" || ext == ".pem" || ext == ".der":
		return "nobody reads this: a CA has to be in PEM, in a file whose name ends in .crt", false
	case e.Name() == hostsFile && l.tool == ToolDocker:
		if info, err := l.m.Stat(l.m.Join(dir, e.Name())); err == nil && info.Size() > 0 {
			return "engines with the containerd image store read this file, and no .crt that it does not name", false
		}
	}
	return "", false
}

func (l linter) faultOfCA(dir string, e fs.DirEntry) (why string, breaks bool) {
	ours := e.Name() == caFile // it is about to be replaced, or is told of already
	data, err := l.m.ReadFile(l.m.Join(dir, e.Name()), maxCAFile)
	switch {
	case errors.Is(err, fs.ErrPermission), ours && err == nil:
		return "", false
	case err != nil:
		return "this cannot be read as a file: " + l.name() + " refuses every pull from this registry", true
	case !strings.Contains(string(data), "-----BEGIN CERTIFICATE-----"):
		switch l.tool {
		case ToolDocker:
			return "no certificate in PEM: some engines ignore it, those with the containerd image store refuse every pull from this registry", false
		case ToolContainerd:
			return "no certificate in PEM: containerd refuses every pull from this registry", true
		}
		return "no certificate in PEM: " + l.name() + " ignores it", false
	}
	if _, err := pki.ParseBundle(data); err != nil {
		return "no certificates that can be read: " + err.Error(), false
	}
	return "", false
}

// shadow is the folder beside dir that containerd looks for first, if it is
// there: the last colon an underscore, and one at the end (containerd
// core/remotes/docker/config/config_unix.go, hostDirectory).
func (l linter) shadow(dir string) string {
	i := strings.LastIndexByte(dir, ':')
	if i <= strings.LastIndexByte(dir, '/') || l.tool == ToolPodman || l.m.GOOS == "windows" {
		return ""
	}
	other := dir[:i] + "_" + dir[i+1:] + "_"
	if info, err := l.m.Stat(other); err != nil || !info.IsDir() {
		return ""
	}
	return other
}

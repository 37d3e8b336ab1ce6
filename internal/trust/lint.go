package trust

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/vicr-cli/vicr/internal/pki"
)

// lint notes what lies beside the CA in a folder of Docker's and keeps it from
// being used, or breaks the registry altogether (moby
// daemon/pkg/registry/registry.go, loadTLSConfig; containerd
// core/remotes/docker/config/hosts.go, loadHostDir).
func (p *planner) lint(dir string) {
	if shadow := p.shadow(dir); shadow != "" {
		p.note(ToolDocker, shadow, "engines with the containerd image store read this folder instead")
	}
	entries, err := p.m.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case errors.Is(err, fs.ErrPermission):
		p.note(ToolDocker, dir, "this user cannot look into it")
		return
	case err != nil:
		p.note(ToolDocker, dir, "this is in the way: it is not a folder")
		return
	}
	names := make(map[string]fs.DirEntry, len(entries))
	for _, e := range entries {
		names[e.Name()] = e
	}
	for _, e := range entries {
		if why := p.fault(dir, e, names); why != "" {
			p.note(ToolDocker, p.m.Join(dir, e.Name()), why)
		}
	}
}

func (p *planner) fault(dir string, e fs.DirEntry, names map[string]fs.DirEntry) (why string) {
	ext := path.Ext(e.Name())
	base := strings.TrimSuffix(e.Name(), ext)
	switch {
	case ext == ".cert" && names[base+".key"] == nil:
		return "a client certificate without its .key: Docker refuses every pull from this registry; remove it, or rename it to .crt if it is a CA"
	case ext == ".key" && names[base+".cert"] == nil:
		return "a key without its .cert: Docker refuses every pull from this registry; remove it"
	case ext == ".crt":
		return p.faultOfCA(dir, e)
	case e.Name() == "hosts.toml":
		if info, err := p.m.Stat(p.m.Join(dir, e.Name())); err == nil && info.Size() > 0 {
			return "engines with the containerd image store read this file, and no .crt that it does not name"
		}
	}
	return ""
}

func (p *planner) faultOfCA(dir string, e fs.DirEntry) (why string) {
	ours := e.Name() == caFile // it is about to be replaced, or is told of already
	data, err := p.m.ReadFile(p.m.Join(dir, e.Name()), maxCAFile)
	switch {
	case ours && e.Type()&fs.ModeSymlink != 0:
		return "a symbolic link, which is not written through: remove it first if it does not lead to this CA"
	case errors.Is(err, fs.ErrPermission), ours && err == nil:
		return ""
	case err != nil:
		return "this cannot be read as a file: Docker refuses every pull from this registry"
	case !strings.Contains(string(data), "-----BEGIN CERTIFICATE-----"):
		return "no certificate in PEM: some engines ignore it, those with the containerd image store refuse every pull from this registry"
	}
	if _, err := pki.ParseBundle(data); err != nil {
		return "no certificates that can be read: " + err.Error()
	}
	return ""
}

// shadow is the folder beside dir that containerd looks for first, if it is
// there: the last colon an underscore, and one at the end (containerd
// core/remotes/docker/config/config_unix.go, hostDirectory).
func (p *planner) shadow(dir string) string {
	i := strings.LastIndexByte(dir, ':')
	if i < len(p.m.Docker.CertsDir) {
		return ""
	}
	other := dir[:i] + "_" + dir[i+1:] + "_"
	if info, err := p.m.Stat(other); err != nil || !info.IsDir() {
		return ""
	}
	return other
}

package trust

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/ref"
)

// MayWrite says whether path is a file that [Plan] can ever have changed on this
// machine for what a journal names, a registry or a network, whatever tools are
// found now.
func MayWrite(m machine.Machine, subject, path string) bool {
	h, network := parseSubject(subject)
	switch {
	case path == "" || h.IsZero() && !network:
		return false
	case network:
		return slices.Contains(dockerConfigs(m), path)
	}
	return slices.Contains(hostFiles(m, h), path) || slices.Contains(sharedFiles(m), path)
}

func parseSubject(s string) (h ref.Host, network bool) {
	if h, err := ref.ParseHost(s); err == nil {
		return h, false
	}
	_, err := netip.ParsePrefix(s)
	return ref.Host{}, err == nil
}

// MachinePaths are the files at machine level that are of h alone and that
// [Plan] can write. Others, such as daemon.json, are shared.
func MachinePaths(m machine.Machine, h ref.Host) []string {
	own := m.Home
	return slices.DeleteFunc(hostFiles(m, h), func(path string) bool {
		return own != "" && strings.HasPrefix(path, own) && m.Root == "" || path == "" || strings.HasPrefix(path, userBase(m)) && userBase(m) != ""
	})
}

// userBase is the folder of the user's settings, as vicr's own lie in it.
func userBase(m machine.Machine) string {
	if m.Root != "" {
		return ""
	}
	return strings.TrimSuffix(m.Dirs.Config, "vicr")
}

// hostFiles are the files of h alone, of every tool, at both levels.
func hostFiles(m machine.Machine, h ref.Host) []string {
	if h.IsZero() {
		return nil
	}
	var all []string
	add := func(dir string, names ...string) {
		for _, name := range names {
			all = appendNew(all, m.Join(dir, name))
		}
	}
	if own := ownFolder(m, h); own != "" {
		add(own, caFile, certFile, keyFile)
	}
	for _, certs := range dockerCerts(m) {
		for _, dir := range literal(m, certs, h) {
			add(dir, caFile, certFile, keyFile)
		}
	}
	for _, dir := range append(literal(m, m.Podman.UserCerts, h), literal(m, m.Podman.CertsDir, h)...) {
		add(dir, caFile, certFile, keyFile)
	}
	for _, conf := range []string{m.Podman.UserConf, m.Podman.ConfDir} {
		if drop := dropIn(m, conf, h); drop != "" {
			all = append(all, drop)
		}
	}
	for _, dir := range containerdFolders(m, h) {
		add(dir, caFile, certFile, keyFile, hostsFile)
	}
	for _, k := range m.Kubernetes {
		f := filesOf(m, k, h)
		all = append(all, f.ca, f.cert, f.key)
	}
	if f := standaloneFiles(m, h); f.ca != "" {
		all = append(all, f.ca, f.cert, f.key)
	}
	if dir := notaryFolder(m, h); dir != "" && m.Root == "" {
		add(dir, caFile, certFile, keyFile)
	}
	if file := systemFile(m, h); file != "" {
		all = append(all, file)
	}
	return all
}

// dockerCerts are the certs.d of every engine that there can be.
func dockerCerts(m machine.Machine) []string {
	var all []string
	for _, e := range append([]engine{rootful(m)}, engines(m)...) {
		for _, dir := range e.certs {
			all = appendNew(all, dir)
		}
	}
	if m.GOOS == "linux" {
		all = appendNew(all, "/var/snap/docker/current/etc/docker/certs.d")
		all = appendNew(all, "/var/snap/docker/common/etc/certs.d")
	}
	if m.Root == "" && m.Home != "" {
		all = appendNew(all, m.Join(m.Home, ".docker", "certs.d"))
		if m.GOOS == "linux" && m.Dirs.Config != "" {
			all = appendNew(all, userBase(m)+"docker/certs.d")
		}
	}
	return all
}

// sharedFiles are those that hold the settings of many registries.
func sharedFiles(m machine.Machine) []string {
	all := dockerConfigs(m)
	for _, k := range m.Kubernetes {
		all = append(all, k.ConfigFile)
	}
	return append(all, m.Containerd.ConfigFile, m.BuildKit.UserConfig, m.BuildKit.ConfigFile)
}

// dockerConfigs are the daemon.json of every engine that there can be, and the
// files of variables that its flags are written in.
func dockerConfigs(m machine.Machine) []string {
	var all []string
	for _, e := range append([]engine{rootful(m)}, engines(m)...) {
		all = append(all, e.config)
		for _, f := range e.daemon.FlagFiles {
			if f.Variable != "" {
				all = append(all, f.Path)
			}
		}
	}
	if m.GOOS == "linux" {
		all = append(
			all, "/etc/docker/daemon.json", "/var/snap/docker/current/config/daemon.json",
			"/etc/default/docker", "/etc/sysconfig/docker", "/etc/conf.d/docker",
		)
	}
	if m.Root == "" && m.Home != "" {
		all = append(all, m.Join(m.Home, ".docker", "daemon.json"))
		if m.GOOS == "linux" && m.Dirs.Config != "" {
			all = append(all, userBase(m)+"docker/daemon.json")
		}
	}
	return all
}

// MayRun says whether argv is a program that [Plan] can ever have planned on
// this machine for what a journal names.
func MayRun(m machine.Machine, subject string, argv []string) bool {
	if len(argv) == 0 || m.Root != "" {
		return false
	}
	h, network := parseSubject(subject)
	if h.IsZero() && !network {
		return false
	}
	switch argv[0] {
	case "/usr/bin/systemctl", "/bin/systemctl":
		return m.GOOS == "linux" && len(argv) == 3 && (argv[1] == "restart" && mayRestart(m, argv[2]) || argv[1] == "reset-failed" && isDockerUnit(m, argv[2]))
	case "/usr/bin/snap":
		return m.GOOS == "linux" && slices.Equal(argv[1:], []string{"restart", "docker.dockerd"})
	}
	if network {
		return false
	}
	s := m.System
	if keeps(s) {
		return mayChangeStore(m, h, argv)
	}
	return slices.Equal(argv, s.Update) || slices.Equal(argv, s.Undo) || m.GOOS == "linux" && updatesStore(argv)
}

// updatesStore says whether argv makes a Linux system's bundle of CAs, also
// where the program was there once.
func updatesStore(argv []string) bool {
	name := path.Base(argv[0])
	if !slices.Contains([]string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"}, path.Dir(argv[0])) {
		return false
	}
	return len(argv) == 1 && (name == "update-ca-certificates" || name == "update-ca-trust") ||
		name == "update-ca-certificates" && slices.Equal(argv[1:], []string{"--fresh"})
}

// mayChangeStore: what is named to such a store is the CA of h and no other: its
// file, or what that file holds. Where the file is gone, an undo took it away.
func mayChangeStore(m machine.Machine, h ref.Host, argv []string) bool {
	s, file := m.System, systemFile(m, h)
	n := len(s.Undo)
	switch {
	case file == "" || n == 0:
		return false
	case slices.Equal(argv, append(slices.Clone(s.Update), file)):
		return true
	case len(argv) <= n || !slices.Equal(argv[:n], s.Undo) || !isThumbprint(argv[n]) || !slices.Equal(argv[n+1:], keychain(s)):
		return false
	}
	f := readCA(m, file)
	return errors.Is(f.err, fs.ErrNotExist) || slices.ContainsFunc(f.certs, func(c *x509.Certificate) bool {
		return slices.Equal(argv[n:], thumbprint(s, c))
	})
}

func isThumbprint(s string) bool {
	return len(s) == 40 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

func isDockerUnit(m machine.Machine, unit string) bool {
	return unit == "docker.service" || m.Docker.Daemon.Unit != "" && unit == unitName(m.Docker.Daemon.Unit)
}

func mayRestart(m machine.Machine, unit string) bool {
	units := []string{
		"containerd.service", "buildkit.service",
		"k3s.service", "k3s-agent.service", "rke2-server.service", "rke2-agent.service",
	}
	return isDockerUnit(m, unit) || slices.Contains(units, unit)
}

// MayReload says whether r is a reload that [Plan] can have planned on this machine.
func MayReload(m machine.Machine, r change.Reload) bool {
	if m.Root != "" || m.GOOS != "linux" || len(r.Exe) == 0 || r.PIDFile == "" {
		return false
	}
	for _, name := range r.Exe {
		if !slices.Contains(dockerds(), name) {
			return false
		}
	}
	files := []string{"/var/run/docker.pid", "/run/docker.pid"}
	for _, e := range append([]engine{rootful(m)}, engines(m)...) {
		if !e.user || m.Euid != 0 { // root does nothing for the user's own
			files = append(files, e.daemon.PIDFile)
		}
	}
	if m.Euid >= 0 {
		// Rootless Docker's, of which nothing is seen while it does not run.
		files = append(files, fmt.Sprintf("/run/user/%d/docker.pid", m.Euid))
	}
	return slices.Contains(files, r.PIDFile)
}

// InMachine says whether there may be something of vicr's to take back for h at
// machine level, as far as any user can see: vicr has a journal there, which
// only root reads, and one of the files is there, or one that is shared names h.
func InMachine(m machine.Machine, h ref.Host) bool {
	if _, err := m.Stat(m.Dirs.MachineState); err != nil || h.IsZero() {
		return false
	}
	for _, path := range MachinePaths(m, h) {
		if _, err := m.Stat(path); err == nil || errors.Is(err, fs.ErrPermission) {
			return true
		}
	}
	shared := slices.DeleteFunc(sharedFiles(m), func(path string) bool {
		return path == "" || m.Home != "" && m.Root == "" && strings.HasPrefix(path, m.Home) || path == m.BuildKit.UserConfig
	})
	for _, path := range shared {
		data, err := m.ReadFile(path, maxConfig)
		if errors.Is(err, fs.ErrPermission) {
			return true
		}
		if err == nil && slices.ContainsFunc(h.Spellings(), func(name string) bool { return mentions(string(data), name) }) {
			return true
		}
	}
	return false
}

// mentions says whether a text has a name that does not go on to either side.
func mentions(text, name string) bool {
	const more = "abcdefghijklmnopqrstuvwxyz0123456789.-:"
	for rest := text; ; {
		i := strings.Index(rest, name)
		if i < 0 {
			return false
		}
		after := rest[i+len(name):]
		if (i == 0 || !strings.Contains(more, rest[i-1:i])) && (after == "" || !strings.Contains(more, after[:1])) {
			return true
		}
		rest = rest[i+1:]
	}
}

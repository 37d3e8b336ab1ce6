package machine

import (
	"slices"
	"strings"
)

// A store is how a family of systems keeps the CAs that all programs trust
// (update-ca-certificates(8), update-ca-trust(8), trust(1)).
type store struct {
	family, dir, ext string
	program          string // that makes the bundle
	fresh            string // the argument that makes it forget a CA; "" if none is needed
	bundle           string
	ids              []string // ID and ID_LIKE of os-release(5)
}

const keychain = "/Library/Keychains/System.keychain"

const debianBundle = "/etc/ssl/certs/ca-certificates.crt"

// stores are in the order in which folders decide where os-release does not.
func stores() []store {
	return []store{
		{
			"rhel", "/etc/pki/ca-trust/source/anchors", ".pem", "update-ca-trust", "",
			"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
			[]string{"rhel", "fedora", "centos", "rocky", "almalinux", "ol", "amzn", "photon", "mariner", "azurelinux"},
		},
		{
			"alpine", "/usr/local/share/ca-certificates", ".crt", "update-ca-certificates", "--fresh",
			debianBundle,
			[]string{"alpine", "wolfi", "chainguard"},
		},
		{
			"debian", "/usr/local/share/ca-certificates", ".crt", "update-ca-certificates", "--fresh",
			debianBundle,
			[]string{"debian", "ubuntu", "gentoo"},
		},
		{
			"suse", "/etc/pki/trust/anchors", ".pem", "update-ca-certificates", "",
			"/etc/ssl/ca-bundle.pem",
			[]string{"suse", "opensuse", "sles", "sled", "opensuse-leap", "opensuse-tumbleweed", "sle-micro"},
		},
		{
			"arch", "/etc/ca-certificates/trust-source/anchors", ".crt", "update-ca-trust", "",
			debianBundle,
			[]string{"arch", "archarm", "manjaro"},
		},
	}
}

func lookSystem(m Machine, o Options) System {
	switch {
	case m.Root != "" && (o.GOOS == darwin || o.GOOS == windows):
		return System{}
	case o.GOOS == darwin:
		return lookKeychain(m)
	case o.GOOS == windows:
		return lookCertutil(m, o)
	}
	s, ok := m.store()
	if !ok {
		return System{}
	}
	system := System{Family: s.family, Dir: s.dir, Ext: s.ext, Bundle: s.bundle}
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		program := dir + "/" + s.program
		if info, err := m.Stat(program); err == nil && info.Mode().IsRegular() {
			system.Update, system.Undo = []string{program}, []string{program}
			if s.fresh != "" {
				system.Undo = append(system.Undo, s.fresh)
			}
			break
		}
	}
	return system
}

// store goes by what the system says that it is, else by its folders.
func (m Machine) store() (store, bool) {
	id := m.osIDs()
	for _, name := range id {
		for _, s := range stores() {
			if slices.Contains(s.ids, name) {
				return s, true
			}
		}
	}
	for _, s := range stores() {
		if s.family != "alpine" && m.isDir(s.dir) {
			return s, true
		}
	}
	return store{}, false
}

// osIDs are ID and then ID_LIKE, the nearest first (os-release(5)).
func (m Machine) osIDs() []string {
	for _, p := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		data, err := m.ReadFile(p, 64<<10)
		if err != nil {
			continue
		}
		id, _ := assigned(data, "ID")
		like, _ := assigned(data, "ID_LIKE")
		return append([]string{strings.ToLower(id)}, strings.Fields(strings.ToLower(like))...)
	}
	return nil
}

func lookKeychain(m Machine) System {
	s := System{Family: "macos", Ext: ".crt", Keychain: keychain}
	if program := firstOf(m, "/usr/bin/security"); program != "" {
		s.Update = []string{program, "add-trusted-cert", "-d", "-r", "trustRoot", "-k", keychain}
		// For root, -t is about the settings of the whole machine too (Apple
		// Security, SecurityTool/keychain_delete.c).
		s.Undo = []string{program, "delete-certificate", "-t", "-Z"}
		s.Gone = "Unable to delete certificate matching"
	}
	return s
}

// lookCertutil: the store of the machine, not of the user, is the one that
// services see.
func lookCertutil(m Machine, o Options) System {
	s := System{Family: windows, Ext: ".crt"}
	if program := firstOf(m, join(windows, first(o.dir("SystemRoot"), `C:\Windows`), "System32", "certutil.exe")); program != "" {
		s.Update = []string{program, "-addstore", "-f", "Root"}
		s.Undo = []string{program, "-delstore", "Root"}
		s.Gone = "0x80092004" // CRYPT_E_NOT_FOUND (winerror.h)
	}
	return s
}

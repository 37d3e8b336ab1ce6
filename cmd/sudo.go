package cmd

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
)

// underSudo says whether root was reached through sudo by somebody else.
func (a *app) underSudo() bool { return underSudo(runtime.GOOS, a.env.Euid, a.env.Getenv) }

// underSudo is false on Windows: what is called sudo there hands no user down.
func underSudo(goos string, euid int, getenv func(string) string) bool {
	uid := getenv("SUDO_UID")
	return goos != "windows" && euid == 0 && uid != "" && uid != "0"
}

// dropUnderSudo takes out of the environment what would make root's own work
// depend on the one who called sudo: what the runtime and the libraries read by
// themselves. It returns the names of all that does not count.
func dropUnderSudo() (dropped []string) {
	if !underSudo(runtime.GOOS, os.Geteuid(), os.Getenv) {
		return nil
	}
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if !foreign(name) {
			continue
		}
		dropped = append(dropped, name)
		_ = os.Unsetenv(name) // fails for no name that Environ returned
	}
	slices.Sort(dropped)
	return dropped
}

// foreign are the variables that say where to read, write or look for programs,
// or whom to believe.
func foreign(name string) bool {
	switch name {
	case "DOCKER_CONFIG", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_AUTH_CONFIG", "DOCKER_CERT_PATH", "REGISTRY_AUTH_FILE",
		"SSL_CERT_FILE", "SSL_CERT_DIR", "GODEBUG", "GOTRACEBACK", "TMPDIR", "BUILDX_CONFIG", "CONTAINERS_REGISTRIES_CONF":
		return true
	}
	return strings.HasPrefix(name, "VICR_") || strings.HasPrefix(name, "XDG_") || strings.HasPrefix(name, "LD_")
}

// checkSudo believes sudo's variables only as far as the system's list of users
// bears them out.
func (a *app) checkSudo() error {
	if !a.underSudo() {
		return nil
	}
	u, err := change.SudoUser(a.env.Getenv("SUDO_UID"))
	if err != nil {
		return usagef("SUDO_UID: %s", err)
	}
	if name := a.env.Getenv("SUDO_USER"); name != "" && name != u.Name {
		return usagef("SUDO_USER and SUDO_UID name different users")
	}
	if len(a.env.Dropped) > 0 {
		a.note("not read under sudo: %s", strings.Join(a.env.Dropped, ", "))
	}
	return nil
}

// A homeError says that root was given a home that somebody else can change.
type homeError struct{ err error }

func (e *homeError) Error() string { return e.err.Error() }
func (e *homeError) Unwrap() error { return e.err }

// aboutHome marks an error that root has only because of whose home it was given.
func (a *app) aboutHome(err error) error {
	var p *atomicfile.ParentError
	if errors.As(err, &p) && a.env.Euid == 0 && !a.underSudo() && strings.HasPrefix(p.Path, a.home()+"/") {
		return &homeError{err}
	}
	return err
}

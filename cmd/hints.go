package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/vicr-cli/vicr/internal/archive"
	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/harbor"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/shell"
	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/wire"
)

// anyHost stands for the registry where an error does not say which it is about.
const anyHost = "HOST"

// hintsFor says what to type next, with the registry's name filled in.
func (r rule) hintsFor(err error) []string {
	host := anyHost
	var h *hostError
	if errors.As(err, &h) {
		host = h.host.String()
	}
	var hints []string
	if r.hints != nil {
		hints = slices.DeleteFunc(slices.Clone(r.hints(err, host)), func(h string) bool { return strings.TrimSpace(h) == "" })
	}
	if len(hints) == 0 {
		hints = []string{strings.ReplaceAll(r.try, "HOST", host)}
	}
	return hints
}

func usageHints(err error, _ string) []string {
	var u *usageError
	if !errors.As(err, &u) {
		return nil
	}
	return []string{u.hint}
}

func consentHints(err error, _ string) []string {
	var c *consentError
	errors.As(err, &c)
	return c.hints
}

func rollbackHints(err error, _ string) []string {
	var r *change.RollbackError
	errors.As(err, &r)
	var hints []string
	for _, f := range r.Left {
		hints = append(hints, "still changed: "+f)
	}
	return append(hints, r.Commands...)
}

const (
	startEngine   = "start the engine, or check DOCKER_HOST"
	asBefore      = "the machine is as it was before; nothing needs to be cleaned up"
	upgradeDocker = "Docker before 29.5 with the containerd image store does this: upgrade it, or: vicr trust HOST --for system, and restart Docker"
)

// rolledBackHints: why it failed may be something that can be mended.
func rolledBackHints(err error, host string) []string {
	hints := []string{asBefore}
	if tokenFault(err) {
		hints = append(hints, strings.ReplaceAll(upgradeDocker, "HOST", host))
	}
	return hints
}

func immutableHints(err error, _ string) []string {
	var i *atomicfile.ImmutableError
	errors.As(err, &i)
	return []string{i.Command}
}

// clearHints name the flag that lets the password go the way it would have gone.
func clearHints(err error, host string) []string {
	var c *auth.ClearTextError
	errors.As(err, &c)
	flag := "--insecure-skip-verify"
	if c.Plain {
		flag = "--plain-http"
	}
	return []string{"if everyone on the way may read the password: vicr login " + host + " " + flag + " --allow-insecure-credentials"}
}

// unreachableHints try the very host that was spoken to.
func unreachableHints(err error, host string) []string {
	w, ok := errors.AsType[*wire.Error](err)
	if ok && w.Host != "" && spokenTo(err, w) != w.Host {
		host = w.Host
	}
	return []string{"check the address and the network: curl -v " + schemeOf(w) + host + "/v2/"}
}

// schemeOf is how w's host was spoken to, before its name; w may be nil.
func schemeOf(w *wire.Error) string {
	if w != nil && w.Plain {
		return "http://"
	}
	return "https://"
}

// spokenTo is where w came about, with the name that was typed where that is
// another one: Docker Hub is.
func spokenTo(err error, w *wire.Error) string {
	h, ok := errors.AsType[*hostError](err)
	if ok && h.host.Endpoint() != h.host && h.host.Endpoint().String() == w.Host {
		return h.host.String() + ", served by " + w.Host
	}
	return w.Host
}

// outsideHints mend an absolute link: what else one leads to is not ours to say.
func outsideHints(err error, _ string) []string {
	var o *atomicfile.OutsideError
	errors.As(err, &o)
	if o.Relative == "" {
		return nil
	}
	return []string{"make it relative: " + shellLine([]string{"ln", "-sfn", o.Relative, o.Link})}
}

// folderOf is where something would have been made or replaced; "" if the error
// names no path.
func folderOf(err error) string {
	var p *fs.PathError
	if !errors.As(err, &p) || filepath.Base(p.Path) == p.Path {
		return ""
	}
	return filepath.Dir(p.Path)
}

func permissionHints(err error, _ string) []string {
	dir := folderOf(err)
	if dir == "" {
		return nil
	}
	return []string{permissionHint(runtime.GOOS, dir)}
}

func readOnlyHints(err error, _ string) []string {
	dir := folderOf(err)
	if dir == "" {
		return nil
	}
	return []string{"findmnt -T " + shell.Word(runtime.GOOS, dir) + " shows what is mounted there; remount it with mount -o remount,rw, or change the image that it comes from"}
}

func realmHints(err error, host string) []string {
	var r *auth.RealmError
	errors.As(err, &r)
	if r.Origin == "" {
		return nil
	}
	hints := []string{fmt.Sprintf("if that host may have your password: vicr login %s --realm %s", host, r.Origin)}
	if own := ownName(r); own != "" {
		return append([]string{"log in by the name that the registry has for itself: vicr login " + own}, hints...)
	}
	return hints
}

func notFoundHints(err error, host string) []string {
	var r *registry.Error
	var p *transfer.PlatformError
	var local *store.NameError
	var sparse *archive.SparseError
	var absent *archive.NameError
	switch {
	case errors.As(err, &sparse) && len(sparse.Have) > 0:
		return []string{"what is there can be moved alone: --platform takes one of: " + platformList(sparse.Have)}
	case errors.As(err, &absent) && absent.Name == "" && absent.File != "":
		return []string{"check the path: " + absent.File}
	case errors.As(err, &absent):
		return []string{"one of the names that it has goes behind the file: " + archiveKind(absent.Format) + ":FILE:NAME"}
	case errors.As(err, &p) && len(p.Have) > 0:
		have := make([]string, len(p.Have))
		for i, platform := range p.Have {
			have[i] = platform.String()
		}
		return []string{"--platform takes one of: " + strings.Join(have, ", ")}
	case errors.As(err, &r) && noRepository(r):
		parent := host
		if p := r.Project(); p != "" {
			parent += "/" + p
		}
		return []string{"check the name; what there is: vicr ls " + parent}
	case errors.As(err, &r) && strings.Contains(r.Image[strings.LastIndexByte(r.Image, '/')+1:], ":"):
		if img, err := ref.ParseImage(r.Image); err == nil {
			return []string{"the tags that exist: vicr ls " + img.Name()}
		}
	case errors.As(err, &r) && strings.Count(r.Image, "/") > 1: // a repository
		if img, err := ref.ParseImage(r.Image); err == nil {
			return []string{"the repositories that exist: vicr ls " + img.Host.String() + "/" + r.Project()}
		}
	case is[*notStoredError](err):
		return []string{"what is there: vicr store ls"}
	case errors.As(err, &local):
		return []string{"get it first, with vicr pull, or give it this name, with vicr tag"}
	}
	return nil
}

// noRepository says whether it is not the tag that is missing: none was named,
// or the registry says so.
func noRepository(r *registry.Error) bool {
	return !strings.Contains(r.Image[strings.LastIndexByte(r.Image, '/')+1:], ":") ||
		r.Code == "NAME_UNKNOWN" || strings.HasPrefix(r.Message, "repository ") && strings.HasSuffix(r.Message, " not found")
}

func listHints(err error, host string) []string {
	var r *harbor.RefusedListError
	errors.As(err, &r)
	switch {
	case r.Admiral:
		return []string{"the tags of a repository that you know: vicr ls " + host + "/PROJECT/REPO"}
	case r.Unsure, r.Status == http.StatusUnauthorized:
		return []string{"vicr login " + host}
	}
	return nil
}

func certHints(err error, host string) []string {
	var c *pki.CertError
	errors.As(err, &c)
	switch c.Problem {
	case pki.UnknownIssuer, pki.DoesNotVerify:
		if w, ok := errors.AsType[*wire.Error](err); ok { // a transfer, not trust itself
			return untrustedHints(w, host)
		}
		hints := []string{"get the CA file from the administrator, then: vicr trust " + host + " --ca-file FILE"}
		if c.Problem == pki.UnknownIssuer && c.Cert != nil {
			hints = append(hints, "the certificate that is served has the fingerprint "+pki.SHA256(c.Cert).String())
		}
		return hints
	case pki.WrongName:
		// Only what can be typed: the names were chosen by whoever answers there.
		names := slices.DeleteFunc(slices.Clone(c.Names), func(n string) bool { _, err := ref.ParseHost(n); return err != nil })
		if len(names) > 0 {
			return []string{"use a name that the certificate has: " + strings.Join(names, ", ")}
		}
		return []string{"the registry needs a certificate with its name in it"}
	case pki.CommonNameOnly:
		return []string{"no client accepts this any more: the administrator must reissue the certificate with a subjectAltName"}
	case pki.Expired, pki.NotYetValid:
		return expiredHints(c, host)
	case pki.NotACA:
		return []string{"ask the administrator for the CA's certificate, not the server's"}
	}
	return nil
}

func partlyHints(err error, _ string) []string {
	var p *partlyError
	errors.As(err, &p)
	return []string{p.hint}
}

func engineHints(err error, _ string) []string {
	aside := "leave the engine aside with --to store, --from store or --in store"
	if errors.Is(err, fs.ErrPermission) {
		return []string{"sudo usermod -aG docker $USER, and log in again, lets you use it", aside}
	}
	return []string{startEngine, aside}
}

// doubtHints: the machine may be set up otherwise than it was; a plan of today
// would leave that file alone.
func doubtHints(err error, _ string) []string {
	var d *change.DoubtError
	errors.As(err, &d)
	return []string{
		"if a tool read that when vicr changed it, by another DOCKER_CONFIG or a dockerd with other flags, make it so again and run this again",
		shellLine([]string{"vicr", "untrust", d.Host, "--force"}) + " forgets it and leaves that file as it is",
	}
}

// shellLine is argv as it can be pasted.
func shellLine(argv []string) string { return shell.Line(runtime.GOOS, argv) }

// damagedHints: a pull alone would not look at the bytes of what is there.
func damagedHints(err error, _ string) []string {
	const most = 20 // names that still are a line to paste
	var d *store.DamagedError
	errors.As(err, &d)
	names := d.Images()
	var first []string
	if paths := d.NoFiles(); len(paths) > 0 {
		first = append(first, byHand(paths))
	}
	switch {
	case len(names) == 0 && len(first) > 0:
		return append(first, "then run this again")
	case len(names) == 0:
		return []string{"no image needs it: vicr store gc"}
	case len(names) > most:
		return first
	}
	return append(
		first,
		"take away what cannot be used: "+shellLine(append([]string{"vicr", "store", "rm"}, names...)),
		"remove its bytes: vicr store gc",
		"and get it again: "+shellLine(append([]string{"vicr", "pull", "--to", "store"}, names...)),
	)
}

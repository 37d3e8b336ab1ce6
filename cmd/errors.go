package cmd

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"syscall"

	"github.com/fatih/color"

	"github.com/vicr-cli/vicr/internal/archive"
	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/edit"
	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/harbor"
	"github.com/vicr-cli/vicr/internal/install"
	"github.com/vicr-cli/vicr/internal/listing"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/proof"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/settings"
	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/trust"
	"github.com/vicr-cli/vicr/internal/wire"
)

// The exit codes. docs/errors.md is made from this table.
const (
	codeDone        = 0
	codeFailed      = 1
	codeUsage       = 2
	codeUntrusted   = 3
	codeDenied      = 4
	codeNotFound    = 5
	codeNetwork     = 6
	codeWrongBytes  = 7
	codeRefused     = 8
	codeRolledBack  = 9
	codeIncomplete  = 10
	codePartly      = 11
	codeInterrupted = 130
	codeTerminated  = 143
)

var codeMeaning = []struct {
	code    int
	meaning string
}{
	{codeDone, "done"},
	{codeFailed, "failed; also permission, disk, lock"},
	{codeUsage, "wrong usage or bad input, nothing touched"},
	{codeUntrusted, "the registry is not trusted, or trust was refused"},
	{codeDenied, "not logged in, or denied"},
	{codeNotFound, "no such image or project"},
	{codeNetwork, "network or registry failed after retries"},
	{codeWrongBytes, "wrong bytes"},
	{codeRefused, "refused by policy"},
	{codeRolledBack, "failed and rolled back"},
	{codeIncomplete, "roll-back incomplete; files and commands are named"},
	{codePartly, "some of several failed, or the part that needs root was declined"},
	{codeInterrupted, "interrupted after cleaning up"},
	{codeTerminated, "terminated after cleaning up"},
}

// A usageError is bad input. Nothing was touched.
type usageError struct{ text, hint string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...)}
}

// A consentError says that nobody agreed to a change.
type consentError struct {
	what  string
	hints []string
}

func (e *consentError) Error() string { return e.what }

// A partlyError says that some of several arguments failed.
type partlyError struct {
	failed, of int
	declined   bool
	left       bool // files that somebody changed since
	hint       string
}

func (e *partlyError) Error() string {
	switch {
	case e.declined:
		return "the part that needs " + whoMay(runtime.GOOS) + " was not done"
	case e.left:
		return "files that somebody else changed since were left as they are"
	}
	return fmt.Sprintf("%d of %d failed", e.failed, e.of)
}

// A delegatedError is the exit code of a vicr that ran with other rights and
// has said itself what went wrong.
type delegatedError struct{ code int }

func (e *delegatedError) Error() string { return "the part with other rights was not done" }

// A hostError says which host an error is about, for hints that can be typed.
type hostError struct {
	host ref.Host
	err  error
}

func (e *hostError) Error() string { return e.err.Error() }
func (e *hostError) Unwrap() error { return e.err }

func aboutHost(h ref.Host, err error) error {
	if err == nil {
		return nil
	}
	return &hostError{h, err}
}

// A rule turns one kind of error into an exit code and hints.
type rule struct {
	code  int
	when  string // for docs/errors.md
	try   string // for docs/errors.md: what the hint says, HOST standing for the registry
	match func(error) bool
	hints func(err error, host string) []string // nil, or none that it has to say: try is the hint
	// docker is what docker prints in the same case, as recorded; "" where it was not.
	docker string
}

// rules are asked in order; the first that matches decides.
var rules = slices.Concat(rulesBefore, refusalRules, rulesAfter)

var rulesBefore = []rule{
	{code: codeInterrupted, when: "Ctrl-C", match: isSignal(syscall.SIGINT), try: "run it again: what was under way was put back, or goes on where it stopped"},
	{code: codeTerminated, when: "the process was told to end", match: isSignal(syscall.SIGTERM), try: "run it again: what was under way was put back, or goes on where it stopped"},
	{code: codePartly, when: "several arguments, and only some failed; each has its own error line", match: is[*partlyError], try: "mend what the error lines above name, then run it again", hints: partlyHints},
	{code: codeIncomplete, when: "a change failed and so did taking it back", match: is[*change.RollbackError], try: "vicr status shows what is not as it was; the next vicr trust or untrust tries again to put it back", hints: rollbackHints},
	{
		code: codeRolledBack, when: "a change failed, or its proof did, and everything was put back", match: is[*change.RolledBackError],
		try: asBefore, hints: rolledBackHints,
	},
	{
		code: codeRefused, when: "a CA file holds a private key", match: wraps(pki.ErrPrivateKey),
		try: "ask for the certificate alone; whoever has this file can pose as the registry", hints: keyHints,
	},
	{code: codeUntrusted, when: "what the registry gives out as its CA is of no use", match: is[*downloadError], try: "get the CA file from the administrator, then: vicr trust HOST --ca-file FILE", hints: downloadHints},
	{code: codeUntrusted, when: "Harbor before 1.7 gives its CA to administrators only", match: is[*adminCAError], try: "get the CA file from the administrator, then: vicr trust HOST --ca-file FILE", hints: adminCAHints},
	{code: codeUsage, when: "an archive has several images, and which one is meant is not clear", match: is[*archive.AmbiguousError], try: "put the name of one behind the file: docker-archive:FILE:NAME or oci-archive:FILE:NAME", hints: archiveHints},
	{code: codeUsage, when: "an index of several platforms for an archive of Docker", match: is[*archive.IndexError], try: "choose one by --platform, or: --to oci-archive:FILE"},
	{code: codeRefused, when: "an archive was made to do harm: names that lead out of it, files twice, or more of anything than an image has", match: isUnsafeArchive, try: "do not use it; ask whoever made it for another one"},
	{code: codeWrongBytes, when: "a file is no archive of images, or is damaged", match: is[*archive.Error], try: makeArchive},
	{code: codeUsage, when: "a flag, an argument or a file given on the command line cannot be read", match: isUsage, try: "vicr help shows the commands, vicr help COMMAND its flags", hints: usageHints},
	{
		code: codeRefused, when: "dockerd would have insecure registries from its command line and from daemon.json, and not start",
		match: is[*trust.ConflictError], try: "grep -rn insecure-regist /etc/docker /etc/default /etc/sysconfig /etc/systemd/system shows where they are; keep them in one place",
	},
	{code: codeRefused, when: "--insecure is for a network in which strangers may be", match: is[*trust.WideNetworkError], try: "vicr trust --insecure REGISTRY:PORT, one at a time"},
	{
		code: codeRefused, when: "the Docker engine would not start with what --insecure adds to daemon.json", match: is[*install.OldEngineError],
		try: "upgrade Docker, or start dockerd with --insecure-registry HOST where its unit or init script has its flags; vicr trust HOST needs neither",
	},
	{
		code: codeRefused, when: "--restart would end running containers", match: is[*install.BusyError],
		try: "docker ps shows them; stop them, or let them live on with \"live-restore\": true in daemon.json and: systemctl reload docker",
	},
	{
		code: codeRefused, when: "root's HOME is somebody else's, who could lead root elsewhere by a link", match: is[*homeError],
		try: "vicr trust HOST --for docker,podman writes to the machine's own folders, which vicr reads too; or set HOME to root's own, such as HOME=/root, for each vicr command",
	},
	{code: codeRefused, when: "a file is reached by a link, or lies below a folder, that others may change", match: either[*atomicfile.LinkError, *atomicfile.ParentError], try: "look at what is named with ls -la; only root may own and write what leads to it"},
	{code: codeRefused, when: "a link below --root leads out of it", match: is[*atomicfile.OutsideError], try: "make the link end beneath the tree, or name with --root the tree that it leads to", hints: outsideHints},
	{code: codeRefused, when: "links lead in a circle", match: wraps(syscall.ELOOP), try: "look at what is named with ls -la, and remove the link"},
	{code: codeFailed, when: "a file is marked so that it cannot change", match: is[*atomicfile.ImmutableError], try: "take the mark away: chattr -i FILE", hints: immutableHints},
	{code: codeFailed, when: "a file is mounted by itself and cannot be replaced", match: is[*atomicfile.BusyError], try: "change it where it is mounted from, or unmount it first"},
	{code: codeUntrusted, when: "nobody agreed to trust the CA", match: is[*consentError], try: "run it again once the fingerprint is what the registry's administrator says", hints: consentHints},
	{code: codeUntrusted, when: "the engine trusts the registry and not where it gives out tokens", match: tokenFault, try: upgradeDocker},
	{code: codeUntrusted, when: "the files are in place and a tool still does not trust the registry", match: is[*proof.Error], try: "vicr doctor HOST shows what is in the way"},
	{
		code: codeUntrusted, when: "the fingerprint given is not that of the registry", match: is[*pki.MismatchError],
		try: askAgain,
	},
	{code: codeUntrusted, when: "the registry's certificate does not verify", match: is[*pki.CertError], try: "ask the administrator for a certificate that follows the rules; vicr doctor HOST shows what is wrong with it", hints: certHints},
	{code: codeUntrusted, when: "the registry lets nobody in without a client certificate", match: wire.ClientCertRequired, try: "vicr trust HOST --client-cert FILE --client-key FILE"},
	{code: codeUntrusted, when: "TLS with the registry failed", match: isKind(wire.TLS), try: "vicr trust HOST"},
	{
		code: codeUntrusted, when: "the registry speaks plain HTTP", match: isKind(wire.NotHTTPS),
		try: "--plain-http lets this command speak it; everyone on the way can read and change what is moved",
	},
	{
		code: codeUntrusted, when: "the registry has no CA to download", match: is[*harbor.NoCAError],
		try: "get the CA file from the administrator, then: vicr trust HOST --ca-file FILE",
	},
	{code: codeRefused, when: "the registry sends logins to another host", match: is[*auth.RealmError], try: "the administrator of HOST has to mend the address of its token server; vicr doctor HOST shows it", hints: realmHints},
	{
		code: codeRefused, when: "a password would travel in clear", match: is[*auth.ClearTextError],
		try: "if everyone on the way may read the password: vicr login HOST --plain-http --allow-insecure-credentials", hints: clearHints,
	},
	{code: codeRefused, when: "a redirect, a location or an address that vicr does not follow", match: isKind(wire.Policy), try: "the administrator of HOST has to mend the address that it sends clients to; -D shows each request", hints: astrayHints},
	{code: codeUsage, when: "no project can have this name", match: is[*harbor.ProjectNameError], try: "vicr project create HOST/NAME, with a name as my-team.1"},
	{code: codeUsage, when: "a push to a Harbor that names no project", match: is[*harbor.NoProjectPartError], try: "name one: HOST/PROJECT/REPO:TAG; what there is: vicr project ls HOST", docker: sayUnnamed},
	{code: codeNotFound, when: "a push to a project that is not there; nothing was sent", match: is[*harbor.ProjectMissingError], try: "vicr project create HOST/NAME, or vicr push --create-project", hints: createHints, docker: sayNoProject},
	{code: codeNotFound, when: "projects of a registry that has none", match: is[*harbor.NoProjectsError], try: "push without one: vicr push HOST/REPO:TAG"},
	{code: codeDenied, when: "this user may not push to the project; nothing was sent", match: is[*harbor.PushDeniedError], try: "ask an administrator of the project for the role of a developer", hints: pushDeniedHints, docker: sayNoPush},
	{code: codeRefused, when: "a project cannot be created while Harbor is read-only", match: isReadOnly, try: "run it again when HOST takes changes again", hints: creatorHints},
	{code: codeDenied, when: "this user may not create projects", match: is[*harbor.ProjectDeniedError], try: "ask an administrator of HOST to create it", hints: creatorHints},
	{code: codeDenied, when: "a login is refused", match: is[*refusedLoginError], try: "check name and password with whoever runs HOST, then: vicr login HOST", hints: refusedLoginHints},
	{code: codeDenied, when: "Harbor refuses its CA to this user", match: is[*harbor.DeniedError], try: "run it again as an administrator of the registry, such as admin"},
	{code: codeDenied, when: "user name or password refused, or no permission", match: is[*auth.DeniedError], try: "vicr login HOST", docker: "Error response from daemon: Get \"https://HOST/v2/\": unauthorized: authentication required"},
	{
		code: codeDenied, when: "the registry shows its repositories to administrators alone, or to nobody", match: is[*registry.CatalogError],
		try: "log in as a user who may see them: vicr login HOST; the tags of a repository that you know: vicr ls HOST/REPO",
	},
	{code: codeDenied, when: "Harbor does not show a list to this user", match: is[*harbor.RefusedListError], try: "vicr login HOST, as a user who may see this", hints: listHints},
	{code: codeNotFound, when: "a project that is to be listed is not there", match: is[*listing.NoProjectError], try: "the projects that there are: vicr ls HOST"},
	{
		code: codeNotFound, when: "there is no such project", match: isRefusal(registry.ProjectMissing), try: "check the name; what there is: vicr ls HOST; for a push, vicr project create HOST/PROJECT makes it", hints: refusalHints,
		docker: sayNoProject,
	},
	{code: codeNotFound, when: "the engine has no such image", match: is[*notInEngineError], try: "check the name: docker image ls shows what is there; vicr pull gets it from a registry"},
	{code: codeNotFound, when: "no such image, tag, platform or project", match: wraps(transfer.ErrNotFound), try: "check the name; what there is: vicr ls HOST", hints: notFoundHints, docker: "unknown: repository demo/none not found (Harbor 2); manifest for HOST/demo/nope:1 not found: manifest unknown: manifest unknown (Harbor 1)"},
	{
		code: codeWrongBytes, when: "vicr's store holds wrong bytes, or lacks some", match: is[*store.DamagedError],
		try: "vicr store rm NAME..., vicr store gc, and then vicr pull the same names again", hints: damagedHints,
	},
	{
		code: codeWrongBytes, when: "bytes in an archive, a folder, vicr's store or the engine are not what their digest says", match: is[*wrongHereError],
		try: "make the archive or the folder again; vicr store verify shows what is damaged in vicr's store", hints: wrongHereHints,
	},
	{
		code: codeWrongBytes, when: "bytes are not what their digest says", match: is[*transfer.DigestError],
		try: "run it again; if it stays, the registry or something on the way changes what it sends",
	},
	{code: codeWrongBytes, when: "the registry gives another part of a blob than the one that was asked for, or the rest of another blob", match: wraps(transfer.ErrOffset), try: "run it again; if it stays, the registry or something on the way mixes up what it sends"},
	{code: codeWrongBytes, when: "a manifest is not what the specs allow", match: is[*transfer.ManifestError], try: "push the image again with a current tool"},
}

// rulesAfter come after those of what registries refuse.
var rulesAfter = []rule{
	{code: codeDenied, when: "the registry refuses what this user asks", match: isDenied, try: "vicr login HOST, as a user who may do this"},
	{code: codeNetwork, when: "the registry answers with an error", match: is[*registry.Error], try: "run it again later; -D shows each request"},
	{code: codeNetwork, when: "a Harbor whose API does not answer", match: is[*harbor.NoAPIError], try: "run it again later; what stands in front of HOST has to let /api through as well as /v2; the tags of a repository that you know: vicr ls HOST/PROJECT/REPO"},
	{code: codeNetwork, when: "the registry's answer makes no sense", match: func(err error) bool {
		return any3[*auth.AnswerError, *registry.PagingError, *harbor.AnswerError](err) || is[*harbor.ListError](err)
	}, try: "check that HOST is the address of a registry; -D shows each request", hints: answerHints},
	{
		code: codeNetwork, when: "what answers is no registry, or says more than any registry does", match: eitherOf(isKind(wire.TooLarge), isKind(wire.BadAnswer)),
		try: "check that HOST is the address of a registry and that nothing on the way changes its answers; -D shows each request",
	},
	{
		code: codeNetwork, when: "the registry cannot be reached, or is silent", match: is[*wire.Error],
		try: "check the address and the network: curl -v https://HOST/v2/", hints: networkHints,
	},
	{
		code: codeFailed, when: "the Docker engine is there or configured and does not answer",
		match: func(err error) bool { return is[*engine.UnavailableError](err) || errors.Is(err, engine.ErrNoEngine) }, try: startEngine, hints: engineHints,
	},
	{code: codeFailed, when: "the Docker engine keeps one platform of an image, and was to take several", match: is[*engine.IndexError], try: "choose one, with --platform OS/ARCHITECTURE; --to store and --to oci:FOLDER take all"},
	{code: codeFailed, when: "the Docker engine refused an image, or gave one that cannot be read", match: any3[*engine.LoadError, *engine.SaveError, *engine.ResponseError], try: "docker info shows whether the engine is well; --to store and --from store leave it aside"},
	{code: codeFailed, when: "the docker context in use cannot be read", match: is[*engine.ContextError], try: "docker context ls"},
	{code: codeFailed, when: "doctor found something broken", match: is[*doctorError], try: "type what stands under each fail above, from the top; then run it again"},
	{code: codeFailed, when: "status was asked about a host for which nothing is recorded", match: is[*unrecordedError], try: "vicr trust HOST", hints: unrecordedHints},
	{code: codeFailed, when: "status found files, processes or a CA that are not as they should be", match: is[*driftError], try: "type what is said beside each", hints: driftHints},
	{code: codeFailed, when: "another vicr or docker holds a lock", match: is[*atomicfile.LockedError], try: "wait for it to end, then run this again"},
	{code: codeRefused, when: "a journal or a store could have been written by somebody else", match: either[*change.UnsafeError, *store.UnsafeError], try: "look at what is named with ls -la; remove it if it is not yours"},
	{
		code: codeRefused, when: "a journal names something that vicr does not change on this machine as it is now", match: is[*change.DoubtError],
		try: "vicr untrust HOST --force forgets it and leaves that file as it is", hints: doubtHints,
	},
	{code: codeFailed, when: "a folder is no OCI layout", match: is[*store.LayoutError], try: "name a folder that holds one, or one that is not there yet"},
	{code: codeFailed, when: "a credential helper failed", match: is[*auth.HelperError], try: "credsStore and credHelpers in docker's config.json name the helper; run docker-credential-NAME list to see what it says"},
	{
		code: codeFailed, when: "docker's config.json cannot be read", match: is[*auth.ConfigError],
		try: "mend the file or move it away; vicr leaves it as it is",
	},
	{code: codeFailed, when: "vicr's settings cannot be read", match: is[*settings.FileError], try: "mend the file or move it away: vicr config set then writes a new one"},
	{code: codeFailed, when: "another program listens on the port of the sandbox", match: wraps(syscall.EADDRINUSE), try: "vicr sandbox --port 0 takes one that is free"},
	{code: codeFailed, when: "a configuration file cannot be edited without changing what somebody else wrote", match: is[*edit.SyntaxError], try: "mend the line that is named, or make the change by hand"},
	{code: codeFailed, when: "a program that makes a change count failed", match: either[*change.ProgramError, *change.ReloadError], try: "run the program that is named by hand to see what it says"},
	{code: codeFailed, when: "something else than a file is in the way, or one too large to be a configuration", match: notAFile, try: "look at what is named with ls -la; move it away, then run this again"},
	{code: codeFailed, when: "a journal cannot be read or planned from", match: either[*change.JournalError, *change.PlanError], try: "move the file that is named away, if nothing more is to be taken back by vicr untrust"},
	{code: codeFailed, when: "somebody else changed or wrote a file at the same time", match: func(err error) bool { return is[*change.ChangedError](err) || errors.Is(err, atomicfile.ErrBusy) }, try: "run it again"},
	{code: codeFailed, when: "no permission", match: either2(syscall.EACCES, syscall.EPERM), try: "ls -ld FOLDER shows who may write there; sudo vicr does it where the folder is the machine's", hints: permissionHints},
	{code: codeFailed, when: "the file system is mounted read-only", match: wraps(syscall.EROFS), try: "sudo mount -o remount,rw MOUNTPOINT, or change the image that it comes from", hints: readOnlyHints},
	{code: codeFailed, when: "a file stands where a folder has to be", match: wraps(syscall.ENOTDIR), try: "move the file that is named away; where HOME, XDG_CONFIG_HOME or DOCKER_CONFIG lead to it, set them to a folder"},
	{code: codeFailed, when: "the disk, or what you may use of it, is full", match: diskFull, try: "make room, then run this again; " + fromStore, hints: fullHints},
	{code: codeFailed, when: "the disk does not work", match: wraps(syscall.EIO), try: "dmesg shows what the disk says; when it works again, run this again"},
	{code: codeFailed, when: "anything else", match: func(error) bool { return true }, try: "-D shows each request; vicr help COMMAND shows the flags"},
}

func is[T error](err error) bool {
	var t T
	return errors.As(err, &t)
}

func either[A, B error](err error) bool { return is[A](err) || is[B](err) }

func any3[A, B, C error](err error) bool { return either[A, B](err) || is[C](err) }

func either2(a, b error) func(error) bool {
	return func(err error) bool { return errors.Is(err, a) || errors.Is(err, b) }
}

// notAFile is what cannot be read as a configuration, wherever it was seen.
func notAFile(err error) bool {
	return either[*atomicfile.NotRegularError, *machine.NotRegularError](err) ||
		either2(atomicfile.ErrTooLarge, machine.ErrTooLarge)(err)
}

func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func tokenFault(err error) bool {
	var p *proof.Error
	return errors.As(err, &p) && p.TokenFault
}

func wraps(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func isKind(k wire.Kind) func(error) bool {
	return func(err error) bool {
		var w *wire.Error
		return errors.As(err, &w) && w.Kind == k
	}
}

func isSignal(sig syscall.Signal) func(error) bool {
	return func(err error) bool {
		var s errSignal
		return errors.As(err, &s) && s.sig == sig
	}
}

func isUsage(err error) bool {
	return is[*usageError](err) || is[*ref.Error](err) || is[*pki.FingerprintError](err) ||
		is[*pki.BundleError](err) || is[*trust.UnknownToolError](err) ||
		is[*auth.InputError](err) || is[*store.AmbiguousError](err) ||
		errors.Is(err, pki.ErrUnnamed)
}

func isReadOnly(err error) bool {
	var p *harbor.ProjectDeniedError
	return errors.As(err, &p) && p.Why == harbor.ReadOnly
}

func isDenied(err error) bool {
	var r *registry.Error
	return errors.As(err, &r) && (r.Status == 401 || r.Status == 403)
}

func ruleFor(err error) rule {
	for _, r := range rules {
		if r.match(err) {
			return r
		}
	}
	return rules[len(rules)-1]
}

func exitCode(err error) int {
	if err == nil {
		return codeDone
	}
	var d *delegatedError
	if errors.As(err, &d) {
		return d.code
	}
	return ruleFor(err).code
}

// fail prints an error and what to type next.
func (a *app) fail(err error) {
	if is[*delegatedError](err) {
		return // said already, by the one that ran with other rights
	}
	r := ruleFor(err)
	a.say("vicr: "+a.paint(color.FgRed, "error:")+" %s", words(err))
	for _, h := range r.hintsFor(err) {
		a.say("vicr: hint: %s", a.typed(h))
	}
}

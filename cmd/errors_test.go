package cmd

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

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

func TestExitCodes(t *testing.T) {
	t.Parallel()
	bad := errors.New("x")
	for _, tt := range []struct {
		err  error
		code int
	}{
		{nil, 0},
		{bad, 1},
		{&os.PathError{Op: "open", Path: "/x", Err: syscall.EACCES}, 1},
		{&engine.UnavailableError{}, 1},
		{&engine.LoadError{}, 1},
		{&engine.IndexError{}, 1},
		{&auth.ConfigError{}, 1},
		{usagef("x"), 2},
		{&ref.Error{}, 2},
		{&pki.FingerprintError{}, 2},
		{&auth.InputError{}, 2},
		{&store.AmbiguousError{}, 2},
		{&consentError{}, 3},
		{&pki.MismatchError{}, 3},
		{&pki.CertError{Problem: pki.Expired}, 3},
		{&wire.Error{Kind: wire.TLS, Err: &pki.CertError{Problem: pki.UnknownIssuer}}, 3},
		{&wire.Error{Kind: wire.NotHTTPS, Err: bad}, 3},
		{&proof.Error{}, 3},
		{&harbor.ProjectNameError{}, 2},
		{&harbor.NoProjectPartError{}, 2},
		{&harbor.ProjectMissingError{}, 5},
		{&harbor.NoProjectsError{}, 5},
		{&harbor.PushDeniedError{}, 4},
		{&harbor.ProjectDeniedError{Why: harbor.Administrators}, 4},
		{&harbor.ProjectDeniedError{Why: harbor.ReadOnly}, 8},
		{&harbor.ListError{}, 6},
		{&auth.DeniedError{Status: 401}, 4},
		{&refusedLoginError{err: &auth.DeniedError{}}, 4},
		{&harbor.DeniedError{}, 4},
		{&adminCAError{err: &pki.CertError{Problem: pki.UnknownIssuer}}, 3},
		{&downloadError{err: &pki.BundleError{}}, 3},
		{&downloadError{err: pki.ErrPrivateKey}, 8},
		{&registry.Error{Status: 403, Code: registry.CodeDenied}, 4},
		{&registry.Error{Status: 404, Code: registry.CodeManifestUnknown}, 5},
		{&registry.Error{Status: 401, Code: registry.CodeProjectNotFound}, 5},
		{&transfer.PlatformError{}, 5},
		{&store.NameError{}, 5},
		{&archive.NameError{}, 5},
		{&archive.SparseError{}, 5},
		{&archive.AmbiguousError{}, 2},
		{&archive.IndexError{}, 2},
		{&archive.Error{}, 7},
		{&archive.Error{Err: fs.ErrNotExist, Unsafe: true}, 8},
		{&store.DamagedError{Faults: []store.Fault{{Why: "missing"}}}, 7},
		{&wire.Error{Kind: wire.Unreachable, Err: bad}, 6},
		{&wire.Error{Kind: wire.Silent, Err: bad}, 6},
		{&registry.Error{Status: 500}, 6},
		{&auth.AnswerError{}, 6},
		{&transfer.DigestError{Want: v1.Hash{Algorithm: "sha256", Hex: "ab"}}, 7},
		{&transfer.ManifestError{}, 7},
		{&auth.RealmError{}, 8},
		{&auth.ClearTextError{}, 8},
		{&wire.Error{Kind: wire.Policy, Err: &wire.PolicyError{}}, 8},
		{&pki.BundleError{Err: pki.ErrPrivateKey}, 8},
		{&change.UnsafeError{}, 8},
		{&change.DoubtError{}, 8},
		{&change.RolledBackError{Err: &proof.Error{}}, 9},
		{&change.RollbackError{Err: bad}, 10},
		{&partlyError{failed: 1, of: 2}, 11},
		{&partlyError{declined: true}, 11},
		{&delegatedError{code: 9}, 9},
		{errSignal{os.Interrupt}, 130},
		{errSignal{syscall.SIGTERM}, 143},
	} {
		for _, err := range []error{tt.err, wrapped(tt.err)} {
			if got := exitCode(err); got != tt.code {
				t.Errorf("%T %v: exit %d, want %d", err, err, got, tt.code)
			}
		}
	}
}

// samples are errors of every rule, each without what makes its hints better.
func samples() []error {
	bad := errors.New("x")
	return []error{
		errSignal{os.Interrupt},
		errSignal{syscall.SIGTERM},
		&partlyError{}, &partlyError{declined: true}, &partlyError{left: true},
		&change.RollbackError{Err: bad}, &change.RollbackError{Err: bad, Commands: []string{""}}, &change.RolledBackError{Err: &proof.Error{TokenFault: true}},
		&pki.BundleError{Err: pki.ErrPrivateKey}, usagef("x"), &ref.Error{}, &pki.FingerprintError{}, &auth.InputError{}, &store.AmbiguousError{},
		&trust.ConflictError{}, &trust.WideNetworkError{}, &install.BusyError{}, &install.OldEngineError{},
		&atomicfile.LinkError{}, &atomicfile.ParentError{}, &atomicfile.OutsideError{}, &atomicfile.OutsideError{Relative: "x"},
		&atomicfile.ImmutableError{}, &atomicfile.BusyError{}, &consentError{}, &consentError{hints: []string{""}},
		&proof.Error{}, &proof.Error{TokenFault: true}, &pki.MismatchError{}, &pki.CertError{},
		&pki.CertError{Problem: pki.WrongName}, &pki.CertError{Problem: pki.UnknownIssuer}, &pki.CertError{Problem: pki.Weak},
		&wire.Error{Kind: wire.TLS, Err: bad}, &wire.Error{Kind: wire.TLS, Err: &wire.ClientCertError{}}, &wire.Error{Kind: wire.NotHTTPS, Err: bad},
		&registry.CatalogError{Err: &registry.Error{Status: 401}}, &registry.CatalogError{Err: &registry.Error{Status: 404}},
		&harbor.RefusedListError{}, &harbor.RefusedListError{Status: 401}, &harbor.RefusedListError{Admiral: true}, &harbor.RefusedListError{Unsure: true}, &listing.NoProjectError{},
		&harbor.NoCAError{}, &auth.RealmError{}, &auth.RealmError{Origin: "https://x"}, &auth.ClearTextError{}, &auth.ClearTextError{Plain: true},
		&wire.Error{Kind: wire.Policy, Err: bad}, &auth.DeniedError{}, &harbor.DeniedError{},
		&harbor.ProjectNameError{}, &harbor.NoProjectPartError{}, &harbor.ProjectMissingError{}, &harbor.NoProjectsError{}, &harbor.PushDeniedError{},
		&harbor.PushDeniedError{Unsure: true}, &harbor.ProjectDeniedError{}, &harbor.ProjectDeniedError{Why: harbor.LoginNeeded},
		&harbor.ProjectDeniedError{Why: harbor.Administrators}, &harbor.ProjectDeniedError{Why: harbor.VICAdministrators},
		&harbor.ProjectDeniedError{Why: harbor.People}, &harbor.ProjectDeniedError{Why: harbor.SystemRobots}, &harbor.ProjectDeniedError{Why: harbor.ReadOnly}, &harbor.ListError{},
		&registry.Error{Status: 403},
		&refusedLoginError{err: &auth.DeniedError{}}, &downloadError{err: pki.ErrPrivateKey}, &downloadError{err: &pki.BundleError{}},
		&adminCAError{leaf: &x509.Certificate{}, err: &pki.CertError{}}, &auth.RealmError{Origin: "https://x:443", Realm: "https://x/service/token"},
		&registry.Error{Status: 404, Code: registry.CodeManifestUnknown}, &registry.Error{Status: 401, Code: registry.CodeProjectNotFound},
		&wire.Error{Kind: wire.RateLimited, Err: &wire.RateError{}}, &registry.LimitError{Nobody: true, Err: &wire.Error{Kind: wire.RateLimited, Err: &wire.RateError{}}}, &registry.Error{Status: 404, Code: registry.CodeManifestUnknown, Image: "h/\x00:"}, transfer.ErrNotFound, transfer.ErrOffset, &transfer.PlatformError{}, &store.NameError{},
		&archive.NameError{}, &archive.NameError{Name: "x"}, &archive.SparseError{}, &archive.SparseError{Have: []v1.Platform{{OS: "linux"}}}, &archive.AmbiguousError{}, &archive.IndexError{},
		&archive.Error{}, &archive.Error{Unsafe: true}, &store.DamagedError{Faults: []store.Fault{{}}}, &store.DamagedError{Faults: []store.Fault{{Images: []string{"x"}}}},
		&wrongHereError{err: &transfer.DigestError{}}, &notInEngineError{transfer.ErrNotFound}, &store.DamagedError{Faults: []store.Fault{{Why: "not a file"}}},
		&transfer.DigestError{}, &transfer.ManifestError{}, &registry.Error{Status: 500}, &auth.AnswerError{}, &registry.PagingError{}, &harbor.AnswerError{}, &harbor.NoAPIError{},
		&wire.Error{Kind: wire.Silent, Err: bad}, &wire.Error{Kind: wire.BadAnswer, Err: &wire.AnswerError{}}, &wire.Error{Kind: wire.TooLarge, Err: &wire.TooLargeError{}},
		&engine.UnavailableError{}, &engine.UnavailableError{Err: fs.ErrPermission}, engine.ErrNoEngine,
		&engine.LoadError{}, &engine.IndexError{}, &engine.SaveError{}, &engine.ResponseError{}, &engine.ContextError{}, &doctorError{}, &driftError{}, &driftError{remedies: []string{""}}, &unrecordedError{},
		&atomicfile.LockedError{}, &change.UnsafeError{}, &change.DoubtError{Host: "h"}, &homeError{&atomicfile.ParentError{}}, &store.UnsafeError{}, &store.LayoutError{}, &auth.HelperError{}, &auth.ConfigError{}, &settings.FileError{},
		syscall.EADDRINUSE, syscall.ELOOP, &edit.SyntaxError{}, &change.ProgramError{}, &change.ReloadError{},
		&atomicfile.NotRegularError{}, &machine.NotRegularError{}, atomicfile.ErrTooLarge, machine.ErrTooLarge,
		&change.JournalError{}, &change.PlanError{}, &change.ChangedError{}, atomicfile.ErrBusy,
		syscall.EACCES, syscall.EPERM, syscall.EROFS, &fs.PathError{Op: "mkdir", Path: "/home/me/x", Err: syscall.EROFS},
		&fs.PathError{Op: "mkdir", Path: "x", Err: syscall.EACCES}, syscall.ENOTDIR, syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, bad,
	}
}

// refusals are all that a registry can refuse, without and with a name.
func refusals() (all []error) {
	for _, r := range []registry.Refusal{
		registry.ProjectMissing, registry.LoginNeeded, registry.NotPermitted, registry.Hidden, registry.OverQuota, registry.ImmutableTag,
		registry.ReadOnly, registry.ProxyProject, registry.Vulnerable, registry.Unsigned, registry.ProjectPolicy, registry.ProjectUnnamed,
		registry.IndexRefused, registry.OCIRefused, registry.TypeRefused, registry.TooLarge, registry.ManifestLarge, registry.RateLimited, registry.StorageRefused, registry.UploadAstray, registry.AskedInClear,
	} {
		code := ""
		if r == registry.ProjectMissing {
			code = registry.CodeProjectNotFound
		}
		all = append(all, &registry.Error{Refusal: r, Code: code, Status: 412}, &registry.Error{Refusal: r, Code: code, Image: "registry.example:5000/demo/app:1", Message: "by cosign"})
	}
	return all
}

// Each refusal has its exit code, and a hint with names in it that can be typed.
func TestRefusalsHaveCodesAndHints(t *testing.T) {
	t.Parallel()
	const h = "registry.example:5000"
	for _, tt := range []struct {
		refusal registry.Refusal
		code    int
		hint    string
	}{
		{registry.ProjectMissing, 5, "make it: vicr project create " + h + "/demo"},
		{registry.LoginNeeded, 4, "vicr login " + h},
		{registry.NotPermitted, 4, "vicr login " + h},
		{registry.Hidden, 4, "vicr doctor " + h + "/demo"},
		{registry.OverQuota, 8, "vicr ls " + h + "/demo"},
		{registry.ImmutableTag, 8, "vicr tag " + h + "/demo/app:1 " + h + "/demo/app:NEW and then: vicr push " + h + "/demo/app:NEW"},
		{registry.ReadOnly, 8, "read-only mode"},
		{registry.ProxyProject, 8, "vicr ls " + h},
		{registry.Vulnerable, 8, "CVE allowlist"},
		{registry.Unsigned, 8, "cosign sign " + h + "/demo/app:1"},
		{registry.ProjectPolicy, 8, "policy"},
		{registry.ProjectUnnamed, 2, "vicr tag " + h + "/demo/app:1 " + h + "/PROJECT/demo/app:1"},
		{registry.IndexRefused, 8, "vicr push --platform linux/amd64 " + h + "/demo/app:1"},
		{registry.OCIRefused, 8, "oci-mediatypes=false -t " + h + "/demo/app:1 ."},
		{registry.TypeRefused, 8, "oci-mediatypes=false"},
		{registry.TooLarge, 6, "vicr push --chunk-size 512KiB " + h + "/demo/app:1"},
		{registry.ManifestLarge, 6, "the administrator of " + h},
		{registry.RateLimited, 6, "--jobs 1"},
		{registry.StorageRefused, 6, "run it again"},
		{registry.AskedInClear, 6, "leave --plain-http away; if its certificate is not trusted yet: vicr trust " + h},
		{registry.UploadAstray, 6, "the administrator of " + h + " has to mend the address that it has for itself"},
	} {
		host, _ := ref.ParseHost(h)
		r := &registry.Error{Refusal: tt.refusal, Image: h + "/demo/app:1", Message: "not signed by cosign"}
		if tt.refusal == registry.ProjectMissing {
			r.Code = registry.CodeProjectNotFound
		}
		err := aboutHost(host, fmt.Errorf("deeper: %w", r))
		if got := exitCode(err); got != tt.code {
			t.Errorf("%s: exit %d, want %d", tt.refusal, got, tt.code)
		}
		if got := strings.Join(ruleFor(err).hintsFor(err), "\n"); !strings.Contains(got, tt.hint) {
			t.Errorf("%s: %q, want %q", tt.refusal, got, tt.hint)
		}
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	err := &wire.Error{Kind: wire.RateLimited, Err: &wire.RateError{Status: 429, After: time.Hour, At: at}}
	if got := ruleFor(err).hintsFor(err); exitCode(err) != 6 || len(got) != 1 || !strings.Contains(got[0], "2026-01-02T03:04:05Z") {
		t.Errorf("exit %d, %q", exitCode(err), got)
	}
	api := &wire.Error{Op: "GET https://" + h + "/api/projects", Host: h, Kind: wire.RateLimited, Err: &wire.RateError{Status: 429, Message: `{"errors":[]}`}}
	if got := words(api); got != h+": it asks for fewer requests: status 429" {
		t.Errorf("%q", got)
	}
	host, _ := ref.ParseHost(h)
	for nobody, want := range map[bool]int{false: 1, true: 2} {
		limit := aboutHost(host, &registry.LimitError{Nobody: nobody, Err: err})
		got := ruleFor(limit).hintsFor(limit)
		if exitCode(limit) != 6 || len(got) != want || strings.Contains(got[len(got)-1], "vicr login "+h) != nobody {
			t.Errorf("nobody is logged in: %t: %q", nobody, got)
		}
	}
	hub, _ := ref.ParseHost("docker.io")
	away := aboutHost(hub, &wire.Error{Kind: wire.Unreachable, Host: "registry-1.docker.io", Err: syscall.ECONNREFUSED})
	if got := words(away); !strings.HasPrefix(got, "docker.io, served by registry-1.docker.io: ") {
		t.Errorf("%q", got)
	}
	if got := ruleFor(away).hintsFor(away); len(got) != 1 || !strings.HasSuffix(got[0], "https://registry-1.docker.io/v2/") {
		t.Errorf("%q", got)
	}
	// What was to be read has another name; nothing here is to be tagged.
	unnamed := aboutHost(host, &registry.Error{Op: "get manifest", Refusal: registry.ProjectUnnamed, Image: h + "/app:1"})
	if got := strings.Join(ruleFor(unnamed).hintsFor(unnamed), "\n"); !strings.Contains(got, "vicr pull "+h+"/library/app:1") || strings.Contains(got, "vicr tag") {
		t.Errorf("%q", got)
	}
}

func TestEveryErrorSaysWhatToDo(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, sample := range append(samples(), refusals()...) {
		h, _ := ref.ParseHost("registry.example:5000")
		err := aboutHost(h, fmt.Errorf("deeper: %w", sample))
		r := ruleFor(err)
		seen[r.when] = true
		hints := r.hintsFor(err)
		if len(hints) == 0 {
			t.Errorf("%T %v: nothing to do", sample, sample)
		}
		for _, hint := range hints {
			if strings.TrimSpace(hint) == "" || strings.HasSuffix(hint, ": ") || strings.Contains(hint, "HOST ") {
				t.Errorf("%T %v: hint %q", sample, sample, hint)
			}
		}
	}
	for _, r := range rules {
		if !seen[r.when] {
			t.Errorf("no sample of an error is one where %s", r.when)
		}
	}
}

// Where a path is known, the hint has it.
func TestHintsNameTheFolder(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&fs.PathError{Op: "mkdir", Path: "/home/me/.docker", Err: syscall.EACCES}, "ls -ld /home/me shows"},
		{&fs.PathError{Op: "open", Path: "/home/a b/.vicr-journal", Err: syscall.EROFS}, "findmnt -T '/home/a b' shows"},
		{&auth.ClearTextError{}, "vicr login HOST --insecure-skip-verify --allow-insecure-credentials"},
		{&auth.ClearTextError{Plain: true}, "vicr login HOST --plain-http --allow-insecure-credentials"},
		{&atomicfile.OutsideError{Link: "/srv/tree/etc/docker", To: "/opt/docker", Relative: "../opt/docker"}, "ln -sfn ../opt/docker /srv/tree/etc/docker"},
	} {
		if got := strings.Join(ruleFor(tt.err).hintsFor(tt.err), "\n"); !strings.Contains(got, tt.want) {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
	}
}

func wrapped(err error) error {
	if err == nil {
		return nil
	}
	return aboutHost(ref.Host{}, fmt.Errorf("deeper: %w", err))
}

// What a server says may not forge lines or move the cursor.
func TestForeignTextIsEscaped(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	a := &app{env: Env{Stderr: &out, Getenv: func(string) string { return "" }}}
	a.fail(errors.New("nice\nvicr: hint: run rm\x1b[2J\u202egnp.exe\xff"))
	got := out.String()
	if lines := strings.SplitAfter(got, "\n"); len(lines) != 3 || !strings.HasPrefix(lines[1], "vicr: hint: -D ") || strings.ContainsAny(got, "\x1b\u202e") || strings.Contains(got, "\xff") {
		t.Errorf("printed %q", got)
	}
}

func TestUnreachableHostsAreSaidInWords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&net.DNSError{IsNotFound: true}, "h:5000: there is no host of this name"},
		{&net.DNSError{}, "h:5000: the name cannot be looked up: no name server answers"},
		{os.NewSyscallError("connect", syscall.ECONNREFUSED), "h:5000: nothing listens at this address and port"},
		{&net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}, "h:5000: there is no way to this address"},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, "h:5000: the connection was cut"},
		{os.ErrDeadlineExceeded, "h:5000: nothing answers at this address"},
	} {
		err := fmt.Errorf("deeper: %w", &wire.Error{Op: "GET x", Host: "h:5000", Kind: wire.Unreachable, Err: tt.err})
		if got := words(err); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
	}
}

func TestSeveralArguments(t *testing.T) {
	t.Parallel()
	quiet := &app{env: Env{Stderr: &strings.Builder{}, Getenv: func(string) string { return "" }}}
	run := func(fail map[int]error) error {
		return forEach(t.Context(), quiet, []int{1, 2, 3}, func(n int) error { return fail[n] })
	}
	missing, denied := &store.NameError{}, &auth.DeniedError{}
	for _, tt := range []struct {
		fail map[int]error
		code int
	}{
		{nil, 0},
		{map[int]error{2: missing}, 11},
		{map[int]error{1: missing, 2: missing, 3: missing}, 5},
		{map[int]error{1: missing, 2: denied, 3: missing}, 11},
	} {
		if got := exitCode(run(tt.fail)); got != tt.code {
			t.Errorf("%v: exit %d, want %d", tt.fail, got, tt.code)
		}
	}
}

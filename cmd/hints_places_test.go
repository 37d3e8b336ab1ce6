package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/archive"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/transfer"
)

func hinted(err error) string {
	host, _ := ref.ParseHost("registry.example.com")
	err = aboutHost(host, fmt.Errorf("app: %w", err))
	return strings.Join(ruleFor(err).hintsFor(err), "\n")
}

// Only what lies in a store or a layout is gone on with.
func TestAFullDiskIsNotSaidToKeepWhatIsLost(t *testing.T) {
	t.Parallel()
	part := filepath.Join("x", "ingest", "sha256-"+strings.Repeat("0", 64))
	for path, kept := range map[string]bool{
		part:                                   true,
		filepath.Join("x", ".a.tar.vicr-part"): false,
		filepath.Join("x", "scratch", ".vicr-0.tmp"): false,
		filepath.Join("x", "store", "index.json"):    false,
		filepath.Join("ingest", "index.json"):        false,
		filepath.Join("y", filepath.Base(part)):      false,
	} {
		got := hinted(&fs.PathError{Op: "write", Path: path, Err: syscall.ENOSPC})
		if strings.Contains(got, "is kept") != kept || !strings.Contains(got, "vicr store gc") {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// What is wrong here is no registry's doing, and what a registry says is not ours.
func TestWrongBytesAreTheirsFromWhomTheyCame(t *testing.T) {
	t.Parallel()
	wrong := &transfer.DigestError{What: "blob", Want: v1.Hash{Algorithm: "sha256", Hex: "ab"}}
	told := &transfer.DigestError{What: "blob", Told: true}
	const theirs = "something on the way"
	for want, at := range map[string]place{
		"docker save -o FILE":             &archivePlace{place: ref.Place{Kind: ref.DockerArchive, File: "x"}},
		"vicr pull --to oci-archive:FILE": &archivePlace{place: ref.Place{Kind: ref.OCIArchive, File: "x"}},
		"vicr pull --to oci:DIR":          diskPlace{layout: true},
		"vicr store verify":               diskPlace{},
		"what the engine has":             enginePlace{},
	} {
		if got := hinted(wrongHere(at, wrong)); !strings.Contains(got, want) || strings.Contains(got, theirs) {
			t.Errorf("%s: %s", want, got)
		}
		if got := hinted(wrongHere(at, told)); !strings.Contains(got, theirs) {
			t.Errorf("%s: what a registry said: %s", want, got)
		}
		if err := wrongHere(at, wrong); exitCode(err) != codeWrongBytes {
			t.Errorf("%s: exit %d", want, exitCode(err))
		}
	}
	if got := hinted(wrongHere(nil, wrong)); !strings.Contains(got, theirs) {
		t.Errorf("from a registry: %s", got)
	}
}

func TestAnImageThatTheEngineLacksIsNotLookedForInARegistry(t *testing.T) {
	t.Parallel()
	err := inEngine(fmt.Errorf("app in the engine: %w", transfer.ErrNotFound))
	if got := hinted(err); strings.Contains(got, "vicr ls") || !strings.Contains(got, "docker image ls") || exitCode(err) != codeNotFound {
		t.Errorf("exit %d, %s", exitCode(err), got)
	}
	if other := errors.New("x"); inEngine(other) != other || inEngine(nil) != nil { //nolint:errorlint // the very same
		t.Error("another error was changed")
	}
}

func TestHintsNameTheKindOfArchive(t *testing.T) {
	t.Parallel()
	for format, want := range map[archive.Format]string{archive.OCI: " oci-archive:FILE:NAME", archive.Docker: " docker-archive:FILE:NAME"} {
		for _, err := range []error{&archive.AmbiguousError{Format: format}, &archive.NameError{Format: format, Name: "x"}} {
			if got := hinted(err); !strings.HasSuffix(got, want) {
				t.Errorf("%T: %s", err, got)
			}
		}
	}
}

// A folder or a link in the store is not taken away by any command.
func TestWhatIsNoFileIsRemovedByHand(t *testing.T) {
	t.Parallel()
	fault := store.Fault{Digest: v1.Hash{Algorithm: "sha256", Hex: "ab"}, Why: "not a file"}
	err := &store.DamagedError{Dir: "/s", Faults: []store.Fault{fault}}
	got := ruleFor(err).hintsFor(err)
	if want := filepath.Join("/s", "blobs", "sha256", "ab"); !strings.Contains(got[0], want) || slices.ContainsFunc(got, func(h string) bool { return strings.Contains(h, "store gc") }) {
		t.Errorf("got %q", got)
	}
	err.Faults[0].Images = []string{"app:1"}
	if got := ruleFor(err).hintsFor(err); len(got) != 4 || !strings.Contains(got[0], "rm") || !strings.Contains(got[1], "app:1") {
		t.Errorf("got %q", got)
	}
}

package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/archive"
	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/proof"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/transfer"
)

// What is not there is looked for where it was looked for.
func TestWhatIsNotFoundHasAHintOfItsOwn(t *testing.T) {
	t.Parallel()
	amd, arm := v1.Platform{OS: "linux", Architecture: "amd64"}, v1.Platform{OS: "linux", Architecture: "arm64"}
	const repository, tagged = "registry.example.com/demo/app", "registry.example.com/demo/app:1"
	missing := func(image, code, message string) error {
		return &registry.Error{Image: image, Status: 404, Code: code, Message: message}
	}
	for what, test := range map[string]struct {
		err  error
		want string
	}{
		"images of other platforms in an archive": {&archive.SparseError{File: "x.tar", Have: []v1.Platform{amd, arm}}, "--platform takes one of: linux/amd64, linux/arm64"},
		"an archive":                {&archive.NameError{File: "x.tar", Absent: true}, "check the path: x.tar"},
		"a name in an archive":      {&archive.NameError{File: "x.tar", Name: "a", Format: archive.OCI}, "oci-archive:FILE:NAME"},
		"a platform":                {&transfer.PlatformError{Have: []v1.Platform{arm}}, "--platform takes one of: linux/arm64"},
		"a tag":                     {missing(tagged, "MANIFEST_UNKNOWN", ""), "the tags that exist: vicr ls " + repository},
		"a repository, by its code": {missing(tagged, "NAME_UNKNOWN", ""), "what there is: vicr ls registry.example.com/demo"},
		"a repository, by words":    {missing(tagged, "NOT_FOUND", "repository demo/app not found"), "what there is: vicr ls registry.example.com/demo"},
		"a repository":              {missing(repository, "", ""), "what there is: vicr ls registry.example.com/demo"},
		"an image in the store":     {&store.NameError{Dir: "/s", Name: "a"}, "vicr pull, or give it this name, with vicr tag"},
	} {
		if got := strings.Join(notFoundHints(fmt.Errorf("app: %w", test.err), "registry.example.com"), "\n"); !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", what, got, test.want)
		}
	}
}

// Why a change was taken back may be something to mend.
func TestATokenFaultIsNamedAfterTheRollBack(t *testing.T) {
	t.Parallel()
	for fault, want := range map[bool]int{true: 2, false: 1} {
		got := rolledBackHints(&proof.Error{TokenFault: fault}, "registry.example.com")
		if len(got) != want || got[0] != asBefore || fault && !strings.Contains(got[1], "vicr trust registry.example.com --for system") {
			t.Errorf("%t: %q", fault, got)
		}
	}
}

// A path alone, as of a file that was typed, has no folder to look at.
func TestTheFolderOfAFileIsNamed(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{filepath.Join("a", "b"): "a", "b": ""} {
		if got := folderOf(&fs.PathError{Path: path, Err: fs.ErrPermission}); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
	if got := folderOf(errors.New("x")); got != "" {
		t.Errorf("of none: %q", got)
	}
}

// What is done by hand, and after that, is said in the order in which it is typed.
func TestHintsOfDamageAreInOrder(t *testing.T) {
	t.Parallel()
	fault := func(why string, images ...string) store.Fault {
		return store.Fault{Digest: v1.Hash{Algorithm: "sha256", Hex: "ab"}, Why: why, Images: images}
	}
	many := make([]string, 21)
	for i := range many {
		many[i] = fmt.Sprintf("app:%d", i)
	}
	for what, test := range map[string]struct {
		fault store.Fault
		want  []string
	}{
		"a blob of an image":   {fault("wrong bytes", "app:1"), []string{"vicr store rm app:1", "vicr store gc", "vicr pull --to store app:1"}},
		"a folder of an image": {fault("not a file", "app:1"), []string{"remove by hand", "vicr store rm app:1", "vicr store gc", "vicr pull --to store app:1"}},
		"a blob of no image":   {fault("wrong bytes"), []string{"no image needs it: vicr store gc"}},
		"a folder of no image": {fault("not a file"), []string{"remove by hand", "then run this again"}},
		"a folder of many":     {fault("not a file", many...), []string{"remove by hand"}},
	} {
		got := damagedHints(&store.DamagedError{Dir: "/s", Faults: []store.Fault{test.fault}}, "")
		if len(got) != len(test.want) {
			t.Errorf("%s: %q", what, got)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i], test.want[i]) {
				t.Errorf("%s: %q, want %q", what, got[i], test.want[i])
			}
		}
	}
	if got := rollbackHints(&change.RollbackError{Left: []string{"/etc/x"}, Commands: []string{"systemctl restart docker"}}, ""); len(got) != 2 || got[0] != "still changed: /etc/x" || got[1] != "systemctl restart docker" {
		t.Errorf("after a roll-back that failed: %q", got)
	}
}

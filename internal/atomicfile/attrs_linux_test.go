package atomicfile_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

// acl gives user 1234 the right to read, as setfacl -m u:1234:r does: a version,
// and entries of tag, permissions and number.
func acl() []byte {
	entry := func(tag, perm byte, id uint32) []byte {
		return []byte{tag, 0, perm, 0, byte(id), byte(id >> 8), byte(id >> 16), byte(id >> 24)}
	}
	none := ^uint32(0)
	return slices.Concat([]byte{2, 0, 0, 0}, entry(1, 6, none), entry(2, 4, 1234), entry(4, 4, none), entry(0x10, 4, none), entry(0x20, 0, none))
}

func setAttr(t *testing.T, path, name string, value []byte) {
	t.Helper()
	err := unix.Setxattr(path, name, value, 0)
	if errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.EPERM) {
		t.Skipf("the file system of the test folder does not keep %s: %v", name, err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestReplacedFileKeepsItsAttributes(t *testing.T) {
	t.Parallel()
	for name, value := range map[string][]byte{
		"user.vicr": []byte("x\x00y"), "user.empty": {}, "user.large": make([]byte, 3000), "system.posix_acl_access": acl(), "trusted.vicr": []byte("t"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if os.Geteuid() != 0 && name == "trusted.vicr" {
				t.Skip("only root sees these")
			}
			path := filepath.Join(t.TempDir(), "f")
			write(t, path, "old")
			setAttr(t, path, name, value)
			before, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			tree := atomicfile.Machine()
			if err := tree.Write(path, []byte("new"), 0); err != nil {
				t.Fatal(err)
			}
			got, err := tree.Attrs(path)
			if err != nil || !maps.EqualFunc(got, map[string][]byte{name: value}, slices.Equal) {
				t.Errorf("%q, %v", got, err)
			}
			if after, err := os.Stat(path); err != nil || after.Mode() != before.Mode() {
				t.Errorf("mode %v, before %v, %v", after.Mode(), before.Mode(), err)
			}
			// Another mode is the one that was asked for, with an access list too.
			if err := tree.Write(path, []byte("new"), 0o644); err != nil {
				t.Fatal(err)
			}
			if after, err := os.Stat(path); err != nil || after.Mode() != 0o644 {
				t.Errorf("mode %v, %v", after.Mode(), err)
			}
			if err := tree.Replace(path, nil, atomicfile.Replacement{Attrs: map[string][]byte{"user.other": []byte("o")}}); err != nil {
				t.Fatal(err)
			}
			if got, err := tree.Attrs(path); err != nil || !maps.EqualFunc(got, map[string][]byte{"user.other": []byte("o")}, slices.Equal) && name != "trusted.vicr" {
				t.Errorf("given others: %q, %v", got, err)
			}
		})
	}
}

// A file without an access list gets none from its folder when it is replaced.
func TestReplacedFileGetsNoAccessList(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	write(t, path, "old")
	setAttr(t, dir, "system.posix_acl_default", acl())
	if err := atomicfile.Machine().Write(path, []byte("new"), 0); err != nil {
		t.Fatal(err)
	}
	if got, err := atomicfile.Machine().Attrs(path); err != nil || len(got) > 0 {
		t.Errorf("%q, %v", got, err)
	}
}

//go:build e2e && linux

package testkit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TreeHash sums up all below a folder of the rig: names, kinds, modes, owners,
// bytes, where links lead, extended attributes with their values (and with them
// ACLs and capabilities). A folder that does not exist has a sum too.
func (r *Rig) TreeHash(t *testing.T, dir string) string {
	t.Helper()
	return treeHash(t, r.Etc(dir))
}

func treeHash(t *testing.T, root string) string {
	t.Helper()
	sum := sha256.New()
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if os.IsNotExist(err) && path == root {
			fmt.Fprintln(sum, "absent")
			return nil
		}
		if err != nil {
			return err
		}
		return sumOne(sum, path, strings.TrimPrefix(path, root))
	})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func sumOne(sum hash.Hash, path, name string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	st := info.Sys().(*syscall.Stat_t)
	fmt.Fprintf(sum, "%q %s %d %d\n", name, info.Mode(), st.Uid, st.Gid)
	switch {
	case info.Mode().IsRegular():
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%x\n", sha256.Sum256(b))
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%q\n", to)
	}
	return sumAttributes(sum, path)
}

func sumAttributes(sum hash.Hash, path string) error {
	buf := make([]byte, 64<<10) // xattr(7): the most that a list, or a value, can have
	n, err := unix.Llistxattr(path, buf)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	names := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
	slices.Sort(names)
	for _, name := range names {
		if name == "" {
			continue
		}
		n, err := unix.Lgetxattr(path, name, buf)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", path, name, err)
		}
		fmt.Fprintf(sum, "%q %x\n", name, buf[:n])
	}
	return nil
}

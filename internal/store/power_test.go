//go:build unix

package store_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// What was pulled is there after a power failure, once that was said; and at any
// time before, no blob has its name without its bytes. What was not synced may be
// on the disk or not, in any combination.
func TestWhatWasPulledOutlivesAPowerFailure(t *testing.T) {
	t.Parallel()
	start, root, log := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "log")
	for _, dir := range []string{start, root} {
		put(t, store.Open(filepath.Join(dir, "store")), "a", sample(1))
	}
	c := exec.CommandContext(t.Context(), testkit.Crasher(t), "-test.run=^TestCrashHelper$")
	c.Env = append(os.Environ(), "VICR_TEST_STORE="+filepath.Join(root, "store"), "VICR_OP_LOG="+log)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ops := testkit.ReadOps(t, log, root)
	if testkit.InOrder(t, ops); t.Failed() {
		return
	}
	seen := map[string]bool{}
	for k := range len(ops) + 1 {
		for _, d := range testkit.DisksAfter(t, start, ops[:k], isLock) {
			name := d.String()
			if k < len(ops) && seen[name] {
				continue
			}
			seen[name] = true
			after := t.TempDir()
			d.Make(t, after)
			dir := filepath.Join(after, "store")
			consistent(t, dir)
			if k < len(ops) {
				continue
			}
			for _, name := range []string{"a", "b"} {
				if got, want := digestOf(t, store.Open(dir), name), sample(2).Root.Digest.String(); got != want {
					t.Errorf("%s is %s, want %s", name, got, want)
				}
			}
		}
		if t.Failed() {
			t.Fatalf("power failed after call %d", k)
		}
	}
	t.Logf("%d calls, %d states of the disk", len(ops), len(seen))
}

// isLock: what is in a lock's file, or whether it is there, counts for nobody.
func isLock(path string) bool { return strings.HasSuffix(path, "lock") }

// consistent proves that every blob hashes to its name and every name leads to
// a whole image.
func consistent(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := transfertest.DescriptorOf("sha256", "", data).Digest.Hex; got != filepath.Base(path) {
			t.Errorf("%s is torn", path)
		}
	}
	list, err := store.Open(dir).List(t.Context())
	if err != nil || len(list) == 0 {
		t.Fatalf("listed %v, %v", list, err)
	}
	for _, n := range list {
		_, err := transfer.Copy(t.Context(), store.Open(dir).Source(n.Name), &transfertest.Sink{}, transfer.Options{Platform: (*v1.Platform)(nil)})
		if err != nil {
			t.Errorf("%s cannot be read: %v", n.Name, err)
		}
	}
}

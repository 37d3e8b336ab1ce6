//go:build unix

package atomicfile_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s holds %q, want %q", path, got, want)
	}
}

func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s has %q, want %q", dir, got, want)
	}
}

// trees are both kinds of tree, each with the path at which its folder is seen
// from inside.
func trees(t *testing.T) map[string]struct {
	tree *atomicfile.Tree
	dir  string // as the test sees it
	in   string // as the tree sees it
} {
	t.Helper()
	type place = struct {
		tree    *atomicfile.Tree
		dir, in string
	}
	own, under := t.TempDir(), t.TempDir()
	beneath, err := atomicfile.Beneath(under)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := beneath.Close(); err != nil {
			t.Error(err)
		}
	})
	return map[string]place{"machine": {atomicfile.Machine(), own, own}, "beneath": {beneath, under, "/"}}
}

func TestWriteMakesAndReplaces(t *testing.T) {
	t.Parallel()
	for name, p := range trees(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(p.in, "ca.crt")
			for _, data := range []string{"one", "", "another one"} {
				if err := p.tree.Write(path, []byte(data), 0o644); err != nil {
					t.Fatal(err)
				}
				wantFile(t, filepath.Join(p.dir, "ca.crt"), data)
				got, info, err := p.tree.Read(path, 100)
				if err != nil || string(got) != data || info.Mode() != 0o644 {
					t.Errorf("read %q, %v, %v", got, info, err)
				}
			}
			wantNames(t, p.dir, "ca.crt")
		})
	}
}

func TestWriteKeepsModeAndOwner(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config.json")
	write(t, path, "old")
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 1234, 4321); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	owner, _ := atomicfile.OwnerOf(before)
	for _, c := range []struct{ mode, want fs.FileMode }{{0, 0o640}, {0o600, 0o600}, {0o444, 0o444}} {
		if err := atomicfile.Machine().Write(path, []byte("new"), c.mode); err != nil {
			t.Fatal(err)
		}
		after, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if is, ok := atomicfile.OwnerOf(after); !ok || is != owner || after.Mode() != c.want {
			t.Errorf("owner %v, mode %v, want %v, %v", is, after.Mode(), owner, c.want)
		}
	}
}

func TestWriteAsGivesTheFileAway(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	path := filepath.Join(t.TempDir(), "daemon.json")
	want := atomicfile.Owner{UID: 1234, GID: 4321}
	if err := atomicfile.Machine().WriteAs(path, []byte("x"), fs.ModeSetgid|0o650, want); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if is, _ := atomicfile.OwnerOf(info); is != want || info.Mode() != fs.ModeSetgid|0o650 {
		t.Errorf("owner %v, mode %v", is, info.Mode())
	}
}

// odd makes what is no regular file, each at a path of its own.
func odd(t *testing.T, dir string) map[string]string {
	t.Helper()
	target := filepath.Join(dir, "target")
	write(t, target, "target")
	at := map[string]string{}
	for name, make := range map[string]func(path string) error{
		"symlink":  func(p string) error { return os.Symlink("target", p) },
		"dangling": func(p string) error { return os.Symlink("nowhere", p) },
		"loop":     func(p string) error { return os.Symlink("loop", p) },
		"folder":   func(p string) error { return os.Mkdir(p, 0o755) },
		"fifo":     func(p string) error { return syscall.Mkfifo(p, 0o644) },
	} {
		at[name] = filepath.Join(dir, name)
		if err := make(at[name]); err != nil {
			t.Fatal(err)
		}
	}
	return at
}

func TestWhatIsNoRegularFileIsRefusedAndLeft(t *testing.T) {
	t.Parallel()
	for kind, p := range trees(t) {
		for name, path := range odd(t, p.dir) {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				in := filepath.Join(p.in, name)
				before, err := os.Lstat(path)
				if err != nil {
					t.Fatal(err)
				}
				_, _, readErr := p.tree.Read(in, 10)
				_, lockErr := p.tree.Lock(t.Context(), in, 0)
				for verb, err := range map[string]error{
					"write": p.tree.Write(in, []byte("x"), 0o644), "read": readErr, "remove": p.tree.Remove(in), "lock": lockErr,
				} {
					var refused *atomicfile.NotRegularError
					if !errors.As(err, &refused) || refused.Path != path {
						t.Errorf("%s: %v", verb, err)
					}
				}
				after, err := os.Lstat(path)
				if err != nil || !os.SameFile(before, after) {
					t.Errorf("it was replaced: %v", err)
				}
			})
		}
		t.Cleanup(func() { wantFile(t, filepath.Join(p.dir, "target"), "target") })
	}
}

func TestReadHasALimit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "12345")
	if data, _, err := atomicfile.Machine().Read(path, 5); err != nil || string(data) != "12345" {
		t.Errorf("at the limit: %q, %v", data, err)
	}
	if _, _, err := atomicfile.Machine().Read(path, 4); !errors.Is(err, atomicfile.ErrTooLarge) {
		t.Errorf("above the limit: %v", err)
	}
}

func TestTempNamesAreNoneThatContainerToolsLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	seen := map[string]bool{}
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Error(err)
				return
			}
			for _, e := range entries {
				seen[e.Name()] = true
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for range 50 {
		if err := atomicfile.Machine().Write(filepath.Join(dir, "ca.crt"), bytes.Repeat([]byte("x"), 1000), 0o644); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	watch.Wait()
	delete(seen, "ca.crt")
	if len(seen) == 0 {
		t.Error("no temporary file was seen")
	}
	for name := range seen {
		if !strings.HasPrefix(name, ".vicr-") || !strings.HasSuffix(name, ".tmp") {
			t.Errorf("temporary file %q", name)
		}
	}
}

func TestReaderSeesOldOrNewAndNothingElse(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	a, b := strings.Repeat("a", 10_000), strings.Repeat("b", 5000)
	write(t, path, a)
	done := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		defer close(done)
		for i := range 60 {
			if err := atomicfile.Machine().Write(path, []byte([]string{a, b}[i%2]), 0); err != nil {
				t.Error(err)
			}
		}
	})
	for open := true; open; {
		if got, err := os.ReadFile(path); err != nil || string(got) != a && string(got) != b {
			t.Fatalf("read %d bytes: %v", len(got), err)
		}
		select {
		case <-done:
			open = false
		default:
		}
	}
	writer.Wait()
}

func TestBeneathNothingLeadsOut(t *testing.T) {
	t.Parallel()
	outside, dir := t.TempDir(), t.TempDir()
	write(t, filepath.Join(outside, "secret"), "secret")
	for name, to := range map[string]string{
		"absolute": outside, "relative": "../" + filepath.Base(outside), "deep": "../../../../../../../../" + outside,
	} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := atomicfile.Beneath(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close() //nolint:errcheck // only a handle on a folder
	for _, path := range []string{
		"/absolute/secret", "/absolute/new", "/relative/secret", "/deep/secret", "/../" + filepath.Base(outside) + "/secret",
		"../" + filepath.Base(outside) + "/secret", "/x/../../secret", "", "/a\x00b",
	} {
		data, _, readErr := tree.Read(path, 100)
		_, statErr := tree.Stat(path)
		_, mkErr := tree.MkdirAll(path, 0o755)
		_, lockErr := tree.Lock(t.Context(), path, 0)
		for verb, err := range map[string]error{
			"read": readErr, "stat": statErr, "mkdir": mkErr, "lock": lockErr, "write": tree.Write(path, []byte("x"), 0o644),
		} {
			if err == nil {
				t.Errorf("%s %q: no error, %q", verb, path, data)
			}
			link, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
			out, ok := errors.AsType[*atomicfile.OutsideError](err)
			if blamed := slices.Contains([]string{"absolute", "relative", "deep"}, link); ok != blamed || ok && out.Link != filepath.Join(dir, link) {
				t.Errorf("%s %q: %v", verb, path, err)
			}
		}
	}
	wantNames(t, outside, "secret")
	wantFile(t, filepath.Join(outside, "secret"), "secret")
	if got, want := tree.Real("/etc/x"), filepath.Join(dir, "etc/x"); got != want {
		t.Errorf("real path %q, want %q", got, want)
	}
	if _, _, err := tree.Read("/no/file", 1); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join(dir, "no/file")) {
		t.Errorf("an error names the path as people know it: %v", err)
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 0, 5000).Draw(t, "data")
		mode := fs.FileMode(rapid.IntRange(0o400, 0o777).Draw(t, "mode"))
		if err := atomicfile.Machine().Write(path, data, mode|0o400); err != nil {
			t.Fatal(err)
		}
		got, info, err := atomicfile.Machine().Read(path, int64(len(data)))
		if err != nil || !bytes.Equal(got, data) || info.Mode() != mode|0o400 {
			t.Fatalf("%v, %v", info, err)
		}
	})
}

package machine_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"github.com/vicr-cli/vicr/internal/machine"
)

func TestNameIsAPathThatFileSystemsTake(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/":                       ".",
		"/etc/docker":             "etc/docker",
		"//etc/./docker/":         "etc/docker",
		"/../etc":                 "etc",
		"/etc/a\\b":               "etc/a\\b",
		`C:\ProgramData\docker`:   "C:/ProgramData/docker",
		"d:/x":                    "d:/x",
		`\\files\ann\AppData`:     "UNC/files/ann/AppData",
		"/etc/[2001:db8::1]:5000": "etc/[2001:db8::1]:5000",
	} {
		if got := machine.Name(path); got != want || !fs.ValidPath(got) {
			t.Errorf("Name(%q) is %q, want %q", path, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		path := "/" + rapid.StringMatching(`[a./\\:]{0,20}`).Draw(t, "path")
		if got := machine.Name(path); !fs.ValidPath(got) {
			t.Fatalf("Name(%q) is %q", path, got)
		}
	})
}

func write(t *testing.T, path, data string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadFileTakesRegularFilesUpToTheLimit(t *testing.T) {
	t.Parallel()
	var m machine.Machine
	path := write(t, filepath.Join(t.TempDir(), "f"), "12345")
	if data, err := m.ReadFile(path, 5); err != nil || string(data) != "12345" {
		t.Errorf("at the limit: %q, %v", data, err)
	}
	if data, err := m.ReadFile(path, 4); !errors.Is(err, machine.ErrTooLarge) {
		t.Errorf("above the limit: %q, %v", data, err)
	}
	if _, err := m.ReadFile(path+".none", 5); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	var not *machine.NotRegularError
	if _, err := m.ReadFile(filepath.Dir(path), 5); !errors.As(err, &not) && runtime.GOOS != "windows" {
		t.Errorf("a folder: %v", err)
	}
	entries, err := m.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 || entries[0].Name() != "f" {
		t.Errorf("the folder lists %v, %v", entries, err)
	}
	if info, err := m.Stat(path); err != nil || info.Size() != 5 {
		t.Errorf("stat says %v, %v", info, err)
	}
}

func TestTreeIsNeverLeft(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	write(t, filepath.Join(outside, "secret"), "secret")
	root := t.TempDir()
	write(t, filepath.Join(root, "etc", "inside"), "inside")
	for link, to := range map[string]string{
		"absolute": filepath.Join(outside, "secret"),
		"relative": filepath.Join("..", filepath.Base(outside), "secret"),
		"folder":   outside,
		"good":     filepath.Join("etc", "inside"),
	} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Skip("this system makes no symbolic links:", err)
		}
	}
	m := machine.Machine{GOOS: "linux", Root: root}
	for _, path := range []string{"/absolute", "/relative", "/folder/secret", "/../" + filepath.Base(outside) + "/secret"} {
		if data, err := m.ReadFile(path, 100); err == nil {
			t.Errorf("%s: read %q", path, data)
		}
		if _, err := m.Stat(path); err == nil {
			t.Errorf("%s: its existence is told", path)
		}
	}
	for _, path := range []string{"/etc/inside", "/good", `C:\etc\inside`} {
		if data, err := m.ReadFile(path, 100); string(data) != "inside" {
			t.Errorf("%s: read %q, %v", path, data, err)
		}
	}
	if entries, err := m.ReadDir("/etc"); err != nil || len(entries) != 1 {
		t.Errorf("/etc lists %v, %v", entries, err)
	}
	if _, err := (machine.Machine{Root: filepath.Join(root, "none")}).ReadFile("/etc/inside", 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no tree: %v", err)
	}
}

func TestJoinFollowsTheMachineNotTheProgram(t *testing.T) {
	t.Parallel()
	for want, elem := range map[string][]string{
		"/etc/docker":      {"/etc", "docker"},
		"/x":               {"/", "x"},
		`C:\ProgramData\x`: {`C:\`, "ProgramData", "", "x"},
	} {
		goos := "linux"
		if want[0] == 'C' {
			goos = "windows"
		}
		if got := (machine.Machine{GOOS: goos}).Join(elem...); got != want {
			t.Errorf("Join(%q) is %q, want %q", elem, got, want)
		}
	}
}

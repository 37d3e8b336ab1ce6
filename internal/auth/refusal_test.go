package auth

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// B16 of the fault catalogue.
func TestAFileThatIsNotAConfigIsLeftAlone(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"cut off":        `{"auths":{"canary":{"auth":"Y2Fu`,
		"two values":     `{"auths":{}} {"canary":1}`,
		"comments":       "{ // canary\n}",
		"trailing comma": `{"auths":{"canary":{}},}`,
		"BOM":            "\ufeff{\"auths\":{\"canary\":{}}}",
		"UTF-16":         "{\x00}\x00",
		"a list":         `["canary"]`,
		"a string":       `"canary"`,
		"null":           `null`,
		"auths a list":   `{"auths":["canary"]}`,
		"entry a string": `{"auths":{"reg.test":"canary"}}`,
		"auth a number":  `{"auths":{"reg.test":{"auth":1234567890}}}`,
		"helpers a list": `{"credHelpers":["canary"]}`,
		"deep":           strings.Repeat(`{"canary":`, 100_000) + "1" + strings.Repeat("}", 100_000),
		"deep lists":     `{"a":` + strings.Repeat("[", 4<<20),
		"huge":           `{"auths":{},"canary":"` + strings.Repeat("x", maxConfig) + `"}`,
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			writeConfig(t, dir, text)
			s, h := OpenStore(Options{Dir: dir}), host(t, "reg.test")
			_, _, get := s.Get(t.Context(), h)
			_, put := s.Put(t.Context(), h, Credentials{Username: "u", Password: "p"})
			_, erase := s.Erase(t.Context(), h)
			_, hosts := s.Hosts(t.Context())
			for what, err := range map[string]error{"get": get, "put": put, "erase": erase, "hosts": hosts} {
				c, ok := errors.AsType[*ConfigError](err)
				if !ok {
					t.Errorf("%s: %v", what, err)
					continue
				}
				said := strings.ReplaceAll(c.Error(), strings.Trim(fmt.Sprintf("%q", c.Path), `"`), "")
				if strings.Contains(said, "canary") || strings.Contains(said, "12345") || len(said) > 200 {
					t.Errorf("%s: %q", what, said)
				}
			}
			if readConfig(t, dir) != text {
				t.Error("the file was changed")
			}
		})
	}
}

// As docker does: the file was made, and nothing was written yet.
func TestAnEmptyFileIsAnEmptyConfig(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "\n", " \r\n"} {
		dir := t.TempDir()
		writeConfig(t, dir, text)
		s, h := OpenStore(Options{Dir: dir}), host(t, "reg.test")
		if c, _, err := s.Get(t.Context(), h); err != nil || !c.IsZero() {
			t.Errorf("%q: %v, %v", text, c, err)
		}
		if erased, err := s.Erase(t.Context(), h); erased || err != nil || readConfig(t, dir) != text {
			t.Errorf("%q: erased %v, %v", text, erased, err)
		}
		if _, err := s.Put(t.Context(), h, Credentials{Username: "u", Password: "p"}); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if c, _, err := s.Get(t.Context(), h); err != nil || c.Username != "u" {
			t.Errorf("%q: %v, %v", text, c, err)
		}
	}
}

// B2 of the fault catalogue.
func TestThroughASymbolicLinkIsReadAndNotWritten(t *testing.T) {
	t.Parallel()
	text := fmt.Sprintf(`{"auths":{"reg.test":{"auth":%q}}}`, basicAuth("u", "p"))
	for _, dangling := range []bool{false, true} {
		dir := t.TempDir()
		target := filepath.Join(t.TempDir(), "elsewhere.json")
		if !dangling {
			if err := os.WriteFile(target, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(target, filepath.Join(dir, configName)); err != nil {
			t.Skipf("no symbolic links here: %v", err)
		}
		s, h := OpenStore(Options{Dir: dir}), host(t, "reg.test")
		c, _, err := s.Get(t.Context(), h)
		if err != nil || (c.Username == "u") == dangling {
			t.Errorf("dangling %v: get: %v, %v", dangling, c, err)
		}
		_, put := s.Put(t.Context(), h, Credentials{Username: "new", Password: "p"})
		_, erase := s.Erase(t.Context(), h)
		for _, err := range []error{put, erase} {
			if e, ok := errors.AsType[*ConfigError](err); !ok || !strings.Contains(e.Why, "symbolic link") {
				t.Errorf("dangling %v: %v", dangling, err)
			}
		}
		data, err := os.ReadFile(target)
		if dangling != errors.Is(err, fs.ErrNotExist) || !dangling && string(data) != text {
			t.Errorf("dangling %v: the target is %q, %v", dangling, data, err)
		}
	}
}

func TestLinksThatLeadInACircle(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Symlink(configName, filepath.Join(dir, configName)); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	_, _, get := OpenStore(Options{Dir: dir}).Get(t.Context(), host(t, "reg.test"))
	_, marks := LoadMarks(filepath.Join(dir, configName))
	for _, err := range []error{get, marks} {
		e, ok := errors.AsType[*ConfigError](err)
		if !ok || e.Why != "its links lead in a circle" || strings.Contains(err.Error(), "EvalSymlinks") {
			t.Errorf("%v", err)
		}
		if runtime.GOOS != "windows" && !errors.Is(err, syscall.ELOOP) {
			t.Errorf("%v is no ELOOP", err)
		}
	}
}

func TestAConfigThatIsAFolderIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, configName), 0o700); err != nil {
		t.Fatal(err)
	}
	s := OpenStore(Options{Dir: dir})
	_, _, get := s.Get(t.Context(), host(t, "reg.test"))
	_, put := s.Put(t.Context(), host(t, "reg.test"), Credentials{Username: "u", Password: "p"})
	for _, err := range []error{get, put} {
		if _, ok := errors.AsType[*ConfigError](err); !ok {
			t.Errorf("%v", err)
		}
	}
}

func TestWithoutAFolderNothingIsStored(t *testing.T) {
	t.Parallel()
	s := OpenStore(Options{})
	if c, _, err := s.Get(t.Context(), host(t, "reg.test")); err != nil || !c.IsZero() {
		t.Errorf("%v, %v", c, err)
	}
	if hosts, err := s.Hosts(t.Context()); err != nil || len(hosts) != 0 {
		t.Errorf("%v, %v", hosts, err)
	}
	_, err := s.Put(t.Context(), host(t, "reg.test"), Credentials{Username: "u", Password: "p"})
	if _, ok := errors.AsType[*ConfigError](err); !ok {
		t.Errorf("%v", err)
	}
}

func TestCredentialsThatCannotBeStoredChangeNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), ".docker")
	_, err := OpenStore(Options{Dir: dir}).Put(t.Context(), host(t, "reg.test"), Credentials{Username: "u", Password: "a\nb"})
	if _, ok := errors.AsType[*InputError](err); !ok {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder was made: %v", err)
	}
}

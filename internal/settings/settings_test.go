package settings_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/settings"
)

func TestAFileIsKeptWhileItHoldsSomething(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vicr", "settings.json")
	steps := []struct {
		name, value, file string
	}{
		{"to", "", ""},
		{"to", "store", "{\n  \"to\": \"store\"\n}\n"},
		{"jobs", "4", "{\n  \"jobs\": \"4\",\n  \"to\": \"store\"\n}\n"},
		{"to", "", "{\n  \"jobs\": \"4\"\n}\n"},
		{"to", "", "{\n  \"jobs\": \"4\"\n}\n"},
		{"jobs", "", ""},
	}
	for _, s := range steps {
		if err := settings.Set(t.Context(), path, s.name, s.value); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(path)
		if s.file == "" && !errors.Is(err, os.ErrNotExist) || string(raw) != s.file {
			t.Errorf("after %s=%q: %q, %v", s.name, s.value, raw, err)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestSettingsAtTheSameTimeAreAllKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "settings.json")
	want := settings.Settings{}
	var all sync.WaitGroup
	for i := range 8 {
		name := strconv.Itoa(i)
		want[name] = "x"
		all.Go(func() {
			if err := settings.Set(t.Context(), path, name, "x"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got, err := settings.Load(path); err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestWhatIsNoFileOfSettingsIsRefusedAndLeft(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		file  string
		large bool
	}{
		"no JSON":         {file: "to = store"},
		"empty":           {file: ""},
		"null":            {file: "null"},
		"a list":          {file: `["to"]`},
		"no text":         {file: `{"jobs": 4}`},
		"two":             {file: `{"to": "store"} {"to": "docker"}`},
		"something after": {file: `{"to": "store"} to`},
		"without an end":  {file: `{"to": "` + strings.Repeat("x", 1<<20) + `"}`, large: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "settings.json")
			if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			_, loaded := settings.Load(path)
			set := settings.Set(t.Context(), path, "to", "docker")
			for _, err := range []error{loaded, set} {
				var none *settings.FileError
				if c.large && !errors.Is(err, atomicfile.ErrTooLarge) || !c.large && !errors.As(err, &none) {
					t.Errorf("%v", err)
				}
			}
			if raw, err := os.ReadFile(path); err != nil || string(raw) != c.file {
				t.Errorf("the file has changed: %v", err)
			}
		})
	}
}

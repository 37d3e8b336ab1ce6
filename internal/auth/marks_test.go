package auth

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestMarksAreKeptByHost(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vicr", "hosts.json")
	a, b := host(t, "a.test"), host(t, "b.test:5000")
	if err := SaveMark(t.Context(), path, a, Mark{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder was made to forget nothing: %v", err)
	}
	for _, err := range []error{
		SaveMark(t.Context(), path, a, Mark{Realm: "https://SSO.test/token?x=1"}),
		SaveMark(t.Context(), path, b, Mark{Clear: true}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	m, err := LoadMarks(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Of(host(t, "a.test:443")); got != (Mark{Realm: "https://sso.test:443"}) {
		t.Errorf("a: %+v", got)
	}
	if got := m.Of(b); got != (Mark{Clear: true}) {
		t.Errorf("b: %+v", got)
	}
	if got := m.Of(host(t, "b.test")); got != (Mark{}) {
		t.Errorf("another port has the mark %+v", got)
	}
	if err := SaveMark(t.Context(), path, host(t, "a.test:443"), Mark{}); err != nil {
		t.Fatal(err)
	}
	if m, err := LoadMarks(path); err != nil || len(m) != 1 {
		t.Errorf("%v, %v", m, err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("in the folder: %v, %v", entries, err)
	}
}

func TestMarksSavedAtOnceAreAllKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hosts.json")
	var wg sync.WaitGroup
	for i := range 10 {
		h := host(t, fmt.Sprintf("reg%d.test", i))
		wg.Go(func() {
			if err := SaveMark(t.Context(), path, h, Mark{Clear: true}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if m, err := LoadMarks(path); err != nil || len(m) != 10 {
		t.Errorf("%d marks, %v", len(m), err)
	}
}

func TestAMarkWithoutAnOriginIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "hosts.json")
	for _, realm := range []string{"ftp://x.test", "https://", "https://u:canary@x.test", "a b", strings.Repeat("a", 8<<10)} {
		err := SaveMark(t.Context(), path, host(t, "a.test"), Mark{Realm: realm})
		if _, ok := errors.AsType[*RealmError](err); !ok || strings.Contains(err.Error(), "canary") {
			t.Errorf("%.30q: %v", realm, err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file was made: %v", err)
	}
}

func TestMarksThatCannotBeReadAreLeftAlone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"canary", `["canary"]`, `{"a.test":{"clear":"canary"}}`} {
		path := filepath.Join(t.TempDir(), "hosts.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := SaveMark(t.Context(), path, host(t, "a.test"), Mark{Clear: true})
		if _, ok := errors.AsType[*ConfigError](err); !ok || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", text, err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != text {
			t.Errorf("the file is now %q, %v", data, err)
		}
	}
}

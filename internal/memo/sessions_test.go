package memo_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/memo"
)

const sessionURL = "https://h/v2/a/x/blobs/uploads/17?_state=abc%3D"

// kept remembers one session and returns the folder and the session's file.
func kept(t *testing.T) (dir, file string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "not", "yet")
	s := memo.OpenSessions(dir).Take(t.Context(), "h", "a/x", hash(1))
	if s == nil || s.URL() != "" {
		t.Fatal("no session, or one that nobody began")
	}
	if err := s.Keep(sessionURL); err != nil {
		t.Fatal(err)
	}
	if err := s.Release(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "uploads", "*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%q, %v", files, err)
	}
	return dir, files[0]
}

func TestSessionIsRememberedForOneBlobOfOneRepository(t *testing.T) {
	t.Parallel()
	dir, file := kept(t)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	for _, other := range []struct {
		registry, repository string
		blob                 int
		url                  string
	}{{"h", "a/x", 1, sessionURL}, {"h", "a/y", 1, ""}, {"h:5000", "a/x", 1, ""}, {"h", "a/x", 2, ""}} {
		s := memo.OpenSessions(dir).Take(t.Context(), other.registry, other.repository, hash(other.blob))
		if s.URL() != other.url {
			t.Errorf("%v: got %q", other, s.URL())
		}
		if err := s.Release(); err != nil {
			t.Error(err)
		}
	}
	s := memo.OpenSessions(dir).Take(t.Context(), "h", "a/x", hash(1))
	if err := s.Forget(); err != nil {
		t.Fatal(err)
	}
	if err := s.Release(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "uploads")); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// Two processes never go on with one upload.
func TestSessionIsOfOneAtATime(t *testing.T) {
	t.Parallel()
	dir, _ := kept(t)
	first := memo.OpenSessions(dir).Take(t.Context(), "h", "a/x", hash(1))
	second := memo.OpenSessions(dir).Take(t.Context(), "h", "a/x", hash(1))
	if first == nil || second != nil {
		t.Fatal("both have it, or none")
	}
	if second.URL() != "" || second.Keep(sessionURL) != nil || second.Forget() != nil || second.Release() != nil {
		t.Error("nobody's session is not empty")
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	third := memo.OpenSessions(dir).Take(t.Context(), "h", "a/x", hash(1))
	if third.URL() != sessionURL {
		t.Errorf("got %q", third.URL())
	}
	if err := third.Release(); err != nil {
		t.Error(err)
	}
	var none *memo.Sessions
	if none.Take(t.Context(), "h", "a/x", hash(1)) != nil {
		t.Error("nobody remembers")
	}
}

func TestSessionsExpire(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		content string
		age     time.Duration // of the file
		url     string
	}{
		"fresh":              {"TIME h/a/x@" + hash(1).String() + " " + sessionURL + "\n", 0, sessionURL},
		"old":                {"TIME h/a/x@" + hash(1).String() + " " + sessionURL + "\n", 25 * time.Hour, ""},
		"of the future":      {"TIME h/a/x@" + hash(1).String() + " " + sessionURL + "\n", -25 * time.Hour, ""},
		"of another blob":    {"TIME h/a/x@" + hash(2).String() + " " + sessionURL + "\n", 0, ""},
		"not a time":         {"TIMEx h/a/x@" + hash(1).String() + " " + sessionURL + "\n", 0, ""},
		"nothing":            {"", 0, ""},
		"as large as a disk": {"TIME " + strings.Repeat("x", 1<<20), 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, file := kept(t)
			at := time.Now().Add(-test.age)
			if err := os.WriteFile(file, []byte(strings.ReplaceAll(test.content, "TIME", strconv.FormatInt(at.Unix(), 10))), 0o600); err != nil {
				t.Fatal(err)
			}
			s := memo.OpenSessions(dir).Take(t.Context(), "h", "a/x", hash(1))
			if s.URL() != test.url {
				t.Errorf("got %q", s.URL())
			}
			if err := s.Release(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	dir, file := kept(t)
	for _, name := range []string{file, file + ".lock"} {
		if err := os.Chtimes(name, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 300 {
		if err := os.WriteFile(filepath.Join(dir, "uploads", fmt.Sprintf("%032x", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := memo.OpenSessions(dir).Take(t.Context(), "h", "a/x", hash(1))
	if s.URL() != "" {
		t.Error("the oldest was kept")
	}
	if err := s.Release(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "uploads")); err != nil || len(left) > 256 {
		t.Errorf("%d are left, %v", len(left), err)
	}
}

// Whoever was killed before its upload began leaves a lock, for a day.
func TestLocksOfTheKilledGo(t *testing.T) {
	t.Parallel()
	dir, file := kept(t)
	old := filepath.Join(dir, "uploads", strings.Repeat("0", 32)+".lock")
	if err := os.WriteFile(old, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-25*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := memo.OpenSessions(dir).Take(t.Context(), "h", "a/y", hash(1)).Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("it is left: %v", err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

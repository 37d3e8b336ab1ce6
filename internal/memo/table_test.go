package memo_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/memo"
)

// written says whether do replaced the file, which is done by a new one.
func written(t *testing.T, name string, do func() error) bool {
	t.Helper()
	before, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := do(); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return !os.SameFile(before, after)
}

func TestWhatIsKnownIsNotWrittenAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "blobs")
	add := func(repository string, blobs ...v1.Hash) func() error {
		return func() error { return memo.OpenBlobs(dir).Add("h", repository, blobs...) }
	}
	for _, first := range []func() error{add("a/x", hash(1), hash(2)), add("a/y", hash(3))} {
		if err := first(); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		name string
		add  func() error
		want bool
	}{
		{"the last", add("a/y", hash(3)), false},
		{"the last but one", add("a/x", hash(1), hash(2)), false},
		{"in another order, and both", add("a/x", hash(2), hash(1)), false},
		{"nothing", add("a/x"), false},
		{"a blob elsewhere", add("a/y", hash(1)), true},
		{"where it was before", add("a/x", hash(1)), true},
		{"one of two is new", add("a/x", hash(1), hash(4)), true},
	} {
		if got := written(t, file, row.add); got != row.want {
			t.Errorf("%s: written %t, want %t", row.name, got, row.want)
		}
	}
	if got := memo.OpenBlobs(dir).Repositories("h", hash(1)); !slices.Equal(got, []string{"a/x", "a/y"}) {
		t.Errorf("the repositories are %q", got)
	}
}

// A fact that is in use is not the one that leaves a full table.
func TestWhatIsInUseStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "pushes")
	var all strings.Builder
	for _, name := range []string{"h/old", "h/new"} {
		all.WriteString(name + ":1 sha256:1\n")
		all.WriteString(strings.Repeat("h/other:1 sha256:1\n", 499))
	}
	if err := os.WriteFile(file, []byte(all.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	again := func(name string) func() error {
		return func() error { return memo.OpenPushes(dir).Add(name, "sha256:1") }
	}
	if written(t, file, again("h/new:1")) {
		t.Error("a fact out of the newer half was written again")
	}
	if !written(t, file, again("h/old:1")) {
		t.Error("a fact out of the older half stays there")
	}
}

func TestWhatOthersAddedIsSeenByWhoKnewIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, other := memo.OpenPushes(dir), memo.OpenPushes(dir)
	if one.Has("h/a:1", "sha256:1") {
		t.Error("it knows what nobody told")
	}
	if err := other.Add("h/a:1", "sha256:1"); err != nil {
		t.Fatal(err)
	}
	if err := one.Add("h/a:1", "sha256:1"); err != nil || !one.Has("h/a:1", "sha256:1") {
		t.Errorf("what was told to both is not known: %v", err)
	}
}

// The run that was killed may have been about another table.
func TestWhatAKilledRunLeftIsSweptByWhoKnowsAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := memo.OpenBlobs(dir).Add("h", "a/x", hash(1)); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(dir, ".vicr-0123456789abcdef.tmp")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := memo.OpenBlobs(dir).Add("h", "a/x", hash(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(left); err == nil {
		t.Error("it stays")
	}
}

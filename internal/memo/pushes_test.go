package memo_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/vicr-cli/vicr/internal/memo"
)

func TestPushesAreRemembered(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "yet")
	p := memo.OpenPushes(dir)
	if p.Has("h/a:1", "sha256:1") {
		t.Error("it knows what nobody told")
	}
	for _, fact := range [][2]string{{"h/a:1", "sha256:1"}, {"h/a:2", "sha256:1"}, {"h/a:1", "sha256:2"}, {"h/a:1", "sha256:2"}} {
		if err := p.Add(fact[0], fact[1]); err != nil {
			t.Fatal(err)
		}
	}
	p = memo.OpenPushes(dir)
	for fact, want := range map[[2]string]bool{
		{"h/a:1", "sha256:1"}: false, {"h/a:1", "sha256:2"}: true, {"h/a:2", "sha256:1"}: true, {"h/a", "sha256:1"}: false,
	} {
		if p.Has(fact[0], fact[1]) != want {
			t.Errorf("%q: %t", fact, !want)
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "pushes"))
	if err != nil || string(raw) != "h/a:2 sha256:1\nh/a:1 sha256:2\n" {
		t.Errorf("%q, %v", raw, err)
	}
}

func TestMemoIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var all []byte
	for i := range 5000 {
		all = fmt.Appendf(all, "h/a:%d sha256:1\n", i)
	}
	if err := os.WriteFile(filepath.Join(dir, "pushes"), all, 0o600); err != nil {
		t.Fatal(err)
	}
	p := memo.OpenPushes(dir)
	if err := p.Add("h/a:new", "sha256:1"); err != nil {
		t.Fatal(err)
	}
	if !p.Has("h/a:new", "sha256:1") || !p.Has("h/a:4001", "sha256:1") || p.Has("h/a:4000", "sha256:1") {
		t.Error("it does not keep the thousand newest")
	}
}

// A memo that cannot be used is an empty one.
func TestMemoThatIsNone(t *testing.T) {
	t.Parallel()
	var none *memo.Pushes
	if none.Has("h/a:1", "sha256:1") || none.Add("h/a:1", "sha256:1") != nil {
		t.Error("nobody's memo is not empty")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "pushes"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := memo.OpenPushes(dir)
	if p.Has("h/a:1", "sha256:1") || p.Add("h/a:1", "sha256:1") == nil {
		t.Error("a folder was written")
	}
	p = memo.OpenPushes(t.TempDir())
	for _, name := range []string{"h/a:1 x", "h/a\n"} {
		if err := p.Add(name, "sha256:1"); err != nil || p.Has(name, "sha256:1") {
			t.Errorf("%q was kept: %v", name, err)
		}
	}
}

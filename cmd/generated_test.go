package cmd

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

var update = flag.Bool("update", false, "write what is generated instead of comparing it")

// TestGenerated makes the command pages, the man pages, the completions and
// the page of exit codes, and compares them with what is committed.
func TestGenerated(t *testing.T) {
	t.Parallel()
	want := generated(t)
	if *update {
		for _, dir := range []string{"../docs/commands", "../docs/man", "../completions"} {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
		for name, data := range want {
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	for name, data := range want {
		got, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s is not up to date: make generate", name)
		}
	}
	for _, dir := range []string{"../docs/commands", "../docs/man", "../completions"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && want[filepath.ToSlash(path)] == nil {
				t.Errorf("%s belongs to no command any more: make generate", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func generated(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{"../docs/errors.md": errorsPage()}
	root := newRoot(&app{env: OS()})
	for _, f := range []struct{ shell, file string }{
		{"bash", "vicr.bash"}, {"zsh", "_vicr"}, {"fish", "vicr.fish"}, {"powershell", "vicr.ps1"},
	} {
		var b bytes.Buffer
		if err := writeCompletion(root, f.shell, &b); err != nil {
			t.Fatal(err)
		}
		files["../completions/"+f.file] = b.Bytes()
	}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Hidden || c.Name() == "help" {
			return
		}
		c.DisableAutoGenTag = true
		base := strings.ReplaceAll(c.CommandPath(), " ", "_")
		var page, man bytes.Buffer
		if err := doc.GenMarkdown(c, &page); err != nil {
			t.Fatal(err)
		}
		// A fixed date: the pages change when the words do.
		date := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		header := &doc.GenManHeader{Title: strings.ToUpper(strings.ReplaceAll(c.CommandPath(), " ", "-")), Section: "1", Date: &date, Source: "vicr"}
		if err := doc.GenMan(c, header, &man); err != nil {
			t.Fatal(err)
		}
		files["../docs/commands/"+base+".md"] = page.Bytes()
		files["../docs/man/"+strings.ReplaceAll(base, "_", "-")+".1"] = man.Bytes()
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	return files
}

func errorsPage() []byte {
	var b bytes.Buffer
	b.WriteString("# Exit codes and what to type next\n\n" +
		"Every error is one line `vicr: error: WHAT: WHY` on standard error; lines that\nbegin with `vicr: hint:` say what to type next. Scripts can rely on the exit codes.\n\n" +
		"| code | meaning |\n| --- | --- |\n")
	for _, c := range codeMeaning {
		fmt.Fprintf(&b, "| %d | %s |\n", c.code, c.meaning)
	}
	b.WriteString("\n## When each one comes\n\n| code | when | what to do |\n| --- | --- | --- |\n")
	sorted := slices.Clone(rules)
	slices.SortStableFunc(sorted, func(a, b rule) int { return a.code - b.code })
	for _, r := range sorted {
		fmt.Fprintf(&b, "| %d | %s | %s |\n", r.code, r.when, r.try)
	}
	b.WriteString("\n## What docker says in the same case\n\nAs recorded with Harbor 1.1, 1.5, 1.7 and 2.16, and with docker 20.10 and vicr's sandbox;\ncases that were not are not here.\n\n| code | when | docker |\n| --- | --- | --- |\n")
	for _, r := range sorted {
		if r.docker != "" {
			fmt.Fprintf(&b, "| %d | %s | `%s` |\n", r.code, r.when, r.docker)
		}
	}
	return b.Bytes()
}

// TestEveryCommandHasWordsAndAnExample keeps the help useful.
func TestEveryCommandHasWordsAndAnExample(t *testing.T) {
	t.Parallel()
	for _, c := range newRoot(&app{env: OS()}).Commands() {
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s lacks a description or an example", c.CommandPath())
		}
	}
}

// TestNoFlagTakesASecret: what stands on a command line can be read by others.
func TestNoFlagTakesASecret(t *testing.T) {
	t.Parallel()
	for _, c := range newRoot(&app{env: OS()}).Commands() {
		f := c.Flags().Lookup("password")
		if f == nil {
			continue
		}
		if err := f.Value.Set("secret"); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s --password: %v", c.CommandPath(), err)
		}
	}
}

func TestEveryCodeHasAMeaning(t *testing.T) {
	t.Parallel()
	known := map[int]bool{}
	for _, c := range codeMeaning {
		known[c.code] = true
	}
	for _, r := range rules {
		if !known[r.code] {
			t.Errorf("the rule for %q has the unknown code %d", r.when, r.code)
		}
		if r.when == "" {
			t.Errorf("a rule with code %d does not say when it holds", r.code)
		}
		if r.try == "" {
			t.Errorf("the rule for %q says nothing to do", r.when)
		}
	}
}

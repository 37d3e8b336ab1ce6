package edit_test

import (
	"bytes"
	"testing"

	"github.com/vicr-cli/vicr/internal/edit"
)

// fuzz holds every edit of a format to its word on any bytes: no panic, an
// error of our own, or a file that has it, has it once, and gives it back.
func fuzz(f *testing.F, format edit.Format, seeds []doc) {
	f.Helper()
	for _, d := range seeds {
		f.Add([]byte(d.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4<<10 {
			return // longer files are slow to shrink and say no more
		}
		for _, e := range editsOf(format) {
			oneFuzz(t, e, data)
		}
		if format == edit.JSON {
			_, _ = edit.LintDaemonJSON(data)
		}
	})
}

func oneFuzz(t *testing.T, e edit.Edit, data []byte) {
	t.Helper()
	held, err := e.Has(data)
	if err != nil {
		onlySyntax(t, err, "")
	}
	after, err := e.Apply(data)
	if err != nil {
		onlySyntax(t, err, "")
		return
	}
	has(t, e, after, true)
	if held && !bytes.Equal(after, data) {
		t.Fatalf("changed though nothing was to do:\n%q\n%q", data, after)
	}
	if again := must(t, "again", e.Apply, after); !bytes.Equal(again, after) {
		t.Fatalf("again:\n%q\n%q", after, again)
	}
	back, err := e.Revert(after)
	if err != nil {
		onlySyntax(t, err, "")
		return
	}
	has(t, e, back, false)
}

func FuzzJSON(f *testing.F)  { fuzz(f, edit.JSON, jsonDocs()) }
func FuzzShell(f *testing.F) { fuzz(f, edit.Shell, shellDocs()) }
func FuzzYAML(f *testing.F)  { fuzz(f, edit.YAML, yamlDocs()) }
func FuzzTOML(f *testing.F)  { fuzz(f, edit.TOML, append(tomlDocs(), setDocs()...)) }
func FuzzSet(f *testing.F)   { fuzz(f, edit.Set, append(setDocs(), tomlDocs()...)) }

package edit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/edit"
)

const bom = "\xef\xbb\xbf"

func formats() []edit.Format {
	return []edit.Format{edit.JSON, edit.Shell, edit.YAML, edit.TOML, edit.Set}
}

func TestLargeFilesAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1<<20 + 1, 50 << 20} {
		data := bytes.Repeat([]byte("x"), size)
		for _, f := range formats() {
			start := time.Now()
			_, err := editsOf(f)[0].Apply(data)
			onlySyntax(t, err, "xxx")
			if d := time.Since(start); d > time.Second {
				t.Errorf("%s: %v for %d bytes", f, d, size)
			}
		}
		if _, err := edit.LintDaemonJSON(data); err == nil {
			t.Error("linted")
		}
	}
}

// What is nested without end must end in an error, in time.
func TestDeepFiles(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"[", "{\"a\":", "- ", "? ", "a: ", "a.", "[a.", "$(", "${a", "`", "(", "{ ", "if a; then ", "!x ", "&a ", "*a ", "a:\n - ", "|\n", "\"", "'", "-\t", "a = [", "x = {a = ", "\\", "&&"} {
		for _, size := range []int{1 << 20, 100 << 10} {
			data := []byte(strings.Repeat(part, size/len(part)))
			for _, f := range formats() {
				start := time.Now()
				_, err := editsOf(f)[0].Apply(data)
				if err != nil {
					onlySyntax(t, err, "")
				}
				if d := time.Since(start); d > time.Minute { // what is not linear takes hours; a busy machine seconds
					t.Errorf("%s: %v for %q", f, d, part)
				}
			}
		}
	}
}

func TestEditsThatNoFileTakes(t *testing.T) {
	t.Parallel()
	body := yamlBody("h:1")
	for _, e := range []edit.Edit{
		{},
		{Format: "ini", Value: "h:1"},
		{Format: edit.JSON, Key: jsonKey},
		{Format: edit.JSON, Key: jsonKey, Value: "h\"x"},
		{Format: edit.Shell, Key: shellName, Value: "$(reboot)"},
		{Format: edit.Shell, Key: shellName, Value: "h 1"},
		{Format: edit.Shell, Key: "A B", Value: "h:1"},
		{Format: edit.YAML, Value: "h:1"},
		{Format: edit.YAML, Value: "h:2", Body: body},
		{Format: edit.YAML, Value: "h:1", Body: "mirrors: ["},
		{Format: edit.TOML, Key: "registry", Value: "h:1", Body: "ca = [\n"},
		{Format: edit.TOML, Key: "registry", Value: "h:1", Body: "[other]\n"},
		{Format: edit.TOML, Key: "a]\n[b", Value: "h:1", Body: "x = 1\n"},
		{Format: edit.Set, Key: "a", Value: "b"},
		{Format: edit.Set, Key: "a", Value: "b", Body: "1\nc = 2"},
		{Format: edit.Set, Key: "a]\n[b", Value: "b", Body: "1"},
		{Format: edit.Set, Key: "[a]", Value: "b", Body: "1"},
	} {
		_, err := e.Apply(nil)
		onlySyntax(t, err, "")
		_, err = e.Revert([]byte("x"))
		onlySyntax(t, err, "")
	}
}

func TestAnEditIsPlainData(t *testing.T) {
	t.Parallel()
	for _, f := range formats() {
		e := editsOf(f)[0]
		e.Remove = true
		text, err := json.Marshal(e)
		var back edit.Edit
		if err != nil || json.Unmarshal(text, &back) != nil || back != e {
			t.Errorf("%s is %+v", text, back)
		}
	}
}

// Others may have edited the file since.
func TestRevertAfterOthers(t *testing.T) {
	t.Parallel()
	e := editsOf(edit.YAML)[0]
	set := editsOf(edit.Set)[0]
	tomlText := "[registry.\"registry.corp:5000\"]\nca = [\"/etc/vicr/ca.crt\"]\n"
	for _, c := range []struct {
		name, text, want string // want "": refused
		e                edit.Edit
	}{
		{"a key after ours", "{\n  \"insecure-registries\": [\n    \"registry.corp:5000\"\n  ],\n  \"x\": 1\n}\n", "{\n  \"x\": 1\n}\n", editsOf(edit.JSON)[0]},
		{"an entry before ours", "{\"insecure-registries\": [\"x\", \"registry.corp:5000\"]}", "{\"insecure-registries\": [\"x\"]}", editsOf(edit.JSON)[0]},
		{"ours is gone", "{\"a\": 1}", "{\"a\": 1}", editsOf(edit.JSON)[0]},
		{"a word after ours", "DOCKER_OPTS=\"--insecure-registry registry.corp:5000 --x\"\n", "DOCKER_OPTS=\"--x\"\n", editsOf(edit.Shell)[0]},
		{"in a line of its own", "DOCKER_OPTS=\"--a \\\n  --insecure-registry=registry.corp:5000 \\\n  --b\"\n", "DOCKER_OPTS=\"--a \\\n  --b\"\n", editsOf(edit.Shell)[0]},
		{"in two kinds of quotes", "DOCKER_OPTS=\"--insecure-registry\"=registry.corp:5000\n", "", editsOf(edit.Shell)[0]},
		{"a key of the host", yamlBody(e.Value) + "      cert_file: x\n", "", e},
		{"an entry after ours", yamlBody(e.Value) + "  b:\n    tls: {}\n", "configs:\n  b:\n    tls: {}\n", e},
		{"flow rewritten", "mirrors: {registry.corp:5000: {endpoint: ['https://registry.corp:5000']}}\n", "", e},
		{"flow after others", "mirrors: {a: {}, \"registry.corp:5000\": {\"endpoint\": [\"https://registry.corp:5000\"]}}\n", "mirrors: {a: {}}\n", e},
		{"a table's key", tomlText + "http = true\n", "", editsOf(edit.TOML)[0]},
		{"a table rewritten", "[registry.'registry.corp:5000']\nca = [\"/etc/vicr/ca.crt\"]\n", "", editsOf(edit.TOML)[0]},
		{"a table after ours", "a = 1\n\n" + tomlText + "\n[b]\n", "a = 1\n\n[b]\n", editsOf(edit.TOML)[0]},
		{"another path", "[" + criTable + "]\nconfig_path = \"/x\"\n", "", set},
		{"a comment", "[" + criTable + "]\nconfig_path = \"/etc/containerd/certs.d\" # ours\nx = 1\n", "", set},
		{"a name after ours", "[" + criTable + "]\n  config_path = \"/etc/containerd/certs.d\"\n  x = 1\n", "[" + criTable + "]\n  x = 1\n", set},
	} {
		got, err := c.e.Revert([]byte(c.text))
		if c.want == "" {
			if err == nil {
				t.Errorf("%s: %q", c.name, got)
				continue
			}
			onlySyntax(t, err, "")
			continue
		}
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}

func TestRemoveFromDaemonJSON(t *testing.T) {
	t.Parallel()
	e := editsOf(edit.JSON)[0]
	e.Remove = true
	for text, want := range map[string]string{
		"":         "",
		`{"a": 1}`: `{"a": 1}`,
		`{"insecure-registries": ["registry.corp:5000"]}`:                                        `{"insecure-registries": []}`,
		`{"insecure-registries": ["registry.corp:5000", "x", "https://registry.corp:5000"]}`:     `{"insecure-registries": ["x"]}`,
		`{"insecure-registries": ["registry.corp:50000", "REGISTRY.corp:5000"]}`:                 `{"insecure-registries": ["registry.corp:50000", "REGISTRY.corp:5000"]}`,
		"{\"insecure-registries\": [\n  \"a\",\n  \"registry.corp:5000\",\n  \"b\"\n], \"x\":1}": "{\"insecure-registries\": [\n  \"a\",\n  \"b\"\n], \"x\":1}",
	} {
		got, err := e.Apply([]byte(text))
		if err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestInterim(t *testing.T) {
	t.Parallel()
	e := editsOf(edit.JSON)[0]
	for text, want := range map[string]string{
		"":                                    "{\n  \"insecure-registries\": []\n}\n",
		"{}":                                  `{"insecure-registries": []}`,
		"{\n\t\"a\": 1\n}\n":                  "{\n\t\"a\": 1,\n\t\"insecure-registries\": []\n}\n",
		`{"insecure-registries": ["x"]}`:      `{"insecure-registries": ["x"]}`,
		"{ \"insecure-registries\" : [ ] }\n": "{ \"insecure-registries\" : [ ] }\n",
	} {
		got, err := e.Interim([]byte(text))
		if err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, bad := range []string{bom + "{}", "{", "[]"} {
		_, err := e.Interim([]byte(bad))
		onlySyntax(t, err, "")
	}
	got, err := editsOf(edit.Shell)[0].Interim([]byte("$("))
	if err != nil || string(got) != "$(" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestJSONList(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"": nil, "{}": nil, `{"insecure-registries": []}`: {}, `{"insecure-registries": ["a\u003a1", "b"]}`: {"a:1", "b"},
	} {
		got, err := edit.JSONList([]byte(text), jsonKey)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %#v, %v", text, got, err)
		}
	}
	_, err := edit.JSONList([]byte("{\n\"insecure-registries\": {\"hunter2\": 1}}"), jsonKey)
	var se *edit.SyntaxError
	if !errors.As(err, &se) || se.Line != 2 || se.Format != edit.JSON {
		t.Errorf("%v", err)
	}
}

func TestLintDaemonJSON(t *testing.T) {
	t.Parallel()
	text := bom + `{
  "insecure-registry": ["hunter2"],
  "a": 1,
  "a": 2,
  "Insecure-Registries": [],
  "insecure-registries": [
    "good:5000", "10.0.0.0/8", "[2001:db8::1]:5000", "2001:db8::/32",
    "http://hunter2",
    "ftp://hunter2",
    "hunter2/lib",
    "-hunter2:1",
    "hunter2 x",
    "",
    5
  ]
}`
	got, err := edit.LintDaemonJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, r := range got {
		fmt.Fprintf(&b, "%d %s\n", r.Line, r.Text)
	}
	golden(t, "lint.golden", b.String())
	if strings.Contains(b.String(), secret) {
		t.Error("the file's content is told")
	}
	for text, want := range map[string]int{"": 1, "{}\n": 0, `{"insecure-registries": "x"}`: 1, `{"insecure-registries": ["a:1"]}`: 0} {
		if got, err := edit.LintDaemonJSON([]byte(text)); err != nil || len(got) != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	_, err = edit.LintDaemonJSON([]byte("{\n// hunter2\n}"))
	onlySyntax(t, err, secret)
}

package edit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/pelletier/go-toml/v2"
	"pgregory.net/rapid"

	"github.com/vicr-cli/vicr/internal/edit"
)

const (
	jsonKey   = "insecure-registries"
	shellName = "DOCKER_OPTS"
	criTable  = `plugins."io.containerd.grpc.v1.cri".registry`
)

func yamlBody(host string) string {
	return "mirrors:\n  \"" + host + "\":\n    endpoint:\n      - \"https://" + host + "\"\n" +
		"configs:\n  \"" + host + "\":\n    tls:\n      ca_file: /etc/vicr/" + host + ".crt\n"
}

// editsOf are the edits of two hosts; of the one setting there is, for Set.
func editsOf(f edit.Format) []edit.Edit {
	var out []edit.Edit
	for _, host := range []string{"registry.corp:5000", "[2001:db8::2]:5000"} {
		e := edit.Edit{Format: f, Value: host}
		switch f {
		case edit.JSON:
			e.Key = jsonKey
		case edit.Shell:
			e.Key = shellName
		case edit.YAML:
			e.Body = yamlBody(host)
		case edit.TOML:
			e.Key, e.Body = "registry", "ca = [\"/etc/vicr/ca.crt\"]\n"
		case edit.Set:
			return []edit.Edit{
				{Format: f, Key: criTable, Value: "config_path", Body: `"/etc/containerd/certs.d"`},
				{Format: f, Value: "version", Body: "2"},
			}
		}
		out = append(out, e)
	}
	return out
}

// meaning is what a reader of the file makes of it; order in sets is left out,
// and so are k3s's maps without entries.
func meaning(t rapid.TB, f edit.Format, data []byte) any {
	t.Helper()
	switch f {
	case edit.JSON:
		tree := map[string]any{}
		if len(bytes.TrimSpace(data)) > 0 {
			dec := json.NewDecoder(bytes.NewReader(data))
			dec.UseNumber()
			if err := dec.Decode(&tree); err != nil {
				t.Fatalf("%v in %q", err, data)
			}
		}
		list, _ := tree[jsonKey].([]any)
		delete(tree, jsonKey)
		return []any{tree, sorted(list)}
	case edit.Shell:
		flags, _, err := edit.ShellFlags(data, shellName)
		if err != nil {
			t.Fatalf("%v in %q", err, data)
		}
		slices.Sort(flags)
		return strings.Join(flags, " ")
	case edit.YAML:
		tree := map[string]any{}
		if err := yaml.Unmarshal(data, &tree); err != nil {
			t.Fatalf("%v in %q", err, data)
		}
		if tree == nil {
			return map[string]any{}
		}
		for _, k := range []string{"mirrors", "configs"} {
			if m, _ := tree[k].(map[string]any); len(m) == 0 {
				delete(tree, k)
			}
		}
		return tree
	default:
		tree := map[string]any{}
		if err := toml.Unmarshal(data, &tree); err != nil {
			t.Fatalf("%v in %q", err, data)
		}
		return tree
	}
}

func sorted(list []any) string {
	var out []string
	for _, v := range list {
		out = append(out, fmt.Sprint(v))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func must(t rapid.TB, what string, f func([]byte) ([]byte, error), data []byte) []byte {
	t.Helper()
	kept := bytes.Clone(data)
	out, err := f(data)
	if err != nil {
		t.Fatalf("%s: %v in\n%s", what, err, data)
	}
	if !bytes.Equal(kept, data) {
		t.Fatalf("%s wrote into what it was handed", what)
	}
	return out
}

func has(t rapid.TB, e edit.Edit, data []byte, want bool) {
	t.Helper()
	got, err := e.Has(data)
	if err != nil || got != want {
		t.Fatalf("has %v, %v, want %v in\n%s", got, err, want, data)
	}
}

func TestApplyAndRevert(t *testing.T) {
	t.Parallel()
	for _, f := range []edit.Format{edit.JSON, edit.Shell, edit.YAML, edit.TOML, edit.Set} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				d := []byte(document(rt, f))
				both := editsOf(f)
				a, b := both[0], both[1]
				before := meaning(rt, f, d)

				withA := must(rt, "apply", a.Apply, d)
				has(rt, a, withA, true)
				if again := must(rt, "apply again", a.Apply, withA); !bytes.Equal(again, withA) {
					rt.Fatalf("again:\n%s\nafter\n%s", again, withA)
				}
				if back := must(rt, "revert", a.Revert, withA); !bytes.Equal(back, d) {
					rt.Fatalf("reverted %q\nfrom %q\nwant %q", back, withA, d)
				}

				ab := must(rt, "apply b", b.Apply, withA)
				ba := must(rt, "apply a", a.Apply, must(rt, "apply b", b.Apply, d))
				if !reflect.DeepEqual(meaning(rt, f, ab), meaning(rt, f, ba)) {
					rt.Fatalf("the order counts:\n%s\nand\n%s", ab, ba)
				}
				bOnly := must(rt, "revert a under b", a.Revert, ab)
				has(rt, a, bOnly, false)
				has(rt, b, bOnly, true)
				none := must(rt, "revert b", b.Revert, bOnly)
				has(rt, b, none, false)
				if got := meaning(rt, f, none); !reflect.DeepEqual(got, before) {
					rt.Fatalf("in the end %v, want %v:\n%q\nfrom %q\nfrom %q\nfrom %q", got, before, none, bOnly, ab, d)
				}
			})
		})
	}
}

// Remove is the opposite, in every format.
func TestRemoveAndRevert(t *testing.T) {
	t.Parallel()
	for _, f := range []edit.Format{edit.JSON, edit.Shell, edit.YAML, edit.TOML, edit.Set} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				a := editsOf(f)[0]
				d := must(rt, "apply", a.Apply, []byte(document(rt, f)))
				r := a
				r.Remove = true
				gone := must(rt, "remove", r.Apply, d)
				has(rt, r, gone, true)
				has(rt, a, gone, false)
				if again := must(rt, "remove again", r.Apply, gone); !bytes.Equal(again, gone) {
					rt.Fatalf("again: %q after %q", again, gone)
				}
				back := must(rt, "revert", r.Revert, gone)
				if !reflect.DeepEqual(meaning(rt, f, back), meaning(rt, f, d)) {
					rt.Fatalf("came back as %q, was %q", back, d)
				}
			})
		})
	}
}

func document(t *rapid.T, f edit.Format) string {
	switch f {
	case edit.JSON:
		return jsonDocument(t)
	case edit.Shell:
		return shellDocument(t)
	case edit.YAML:
		return yamlDocument(t)
	default:
		return tomlDocument(t)
	}
}

func pick(t *rapid.T, name string, from ...string) string {
	return rapid.SampledFrom(from).Draw(t, name)
}

func jsonDocument(t *rapid.T) string {
	if rapid.IntRange(0, 15).Draw(t, "trivial") == 0 {
		return pick(t, "doc", "", "{}", "{}\n", "{ }", "{\n}\n", "\n{}", "{\r\n}\r\n", " {\t} ")
	}
	eol := pick(t, "eol", "\n", "\r\n", "")
	unit := pick(t, "unit", "  ", "\t", "    ", "", "   ")
	colon := pick(t, "colon", ": ", ":", " : ")
	comma := pick(t, "comma", ",", ", ", " ,")
	if eol == "" {
		unit = ""
	}
	entries := rapid.SliceOfN(rapid.SampledFrom([]string{`"other:1"`, `"10.0.0.0/8"`, `"\u0061:1"`, `"http://x"`}), 0, 3).Draw(t, "entries")
	lists := []string{
		"[" + strings.Join(entries, comma) + "]",
		"[ " + strings.Join(entries, ", ") + " ]",
		"[" + eol + unit + unit + strings.Join(entries, ","+eol+unit+unit) + eol + unit + "]",
	}
	members := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
		`"a"` + colon + `1e400`, `"b"` + colon + `123456789012345678901234567890`, `"\u00e9\/"` + colon + `"\ud83d\ude00"`,
		`"n"` + colon + `{"insecure-registries":["registry.corp:5000"], "deep" :[[{ }]]}`, `"list"` + colon + "[" + eol + "1,2" + eol + "]",
		`"insecure-registry"` + colon + `["x"]`, `"log-opts"` + colon + "{" + eol + unit + unit + `"max-size"` + colon + `"10m"` + eol + unit + "}",
	}), 0, 5, rapid.ID[string]).Draw(t, "members")
	if rapid.Bool().Draw(t, "has the key") || len(members) == 0 {
		at := rapid.IntRange(0, len(members)).Draw(t, "at")
		members = slices.Insert(members, at, `"insecure-registries"`+colon+pick(t, "list", lists...))
	}
	sep := "," + eol + unit
	if eol == "" {
		sep = comma
	}
	return "{" + eol + unit + strings.Join(members, sep) + eol + "}" + pick(t, "end", "", eol, "\n\n")
}

func shellDocument(t *rapid.T) string {
	values := []string{
		"", `""`, "''", `"--debug"`, "'--debug --tls'", "--debug", `"--debug "`, `" "`, `"$OTHER --debug"`, `"${A}"`, "$OTHER",
		"--a\\ --b", "\"--a \\\n  --b\"", "\"\n --a\n --b\n\"", `'--insecure-registry a:1'`, `"--insecure-registry=a:1 --insecure-registry b:2"`,
		`"--label=\"x y\""`, `"it's"`, `--a" "'--b'`, `"--dns 8.8.8.8" `, `"x" # why`, `"x";`, "--a\\\n", `"\$HOME \q"`, `--log=~/x`, `"$DOCKER_OPTS --c"`, "--a --b=c"[:3],
	}
	lines := rapid.SliceOfN(rapid.SampledFrom([]string{
		"# a comment with 'one quote", "", "#DOCKER_OPTS=\"--dns 8.8.8.8\"", "OTHER=x", "export HTTP_PROXY=\"http://127.0.0.1:3128/\"", "  INDENTED='a b'",
		"NOW=$(date '+%s (')", "W=`id -u`", "if [ -n \"$X\" ]; then Y=\"1\"; fi", "case $X in a) Y=2 ;; (b) Y=3 ;; esac", "MULTI='a\nDOCKER_OPTS=no\n'",
		"f() { echo \"$1\"; }", "export PATH", "ulimit -n 1024 && Z=1", "for i in 1 2; do :; done", "OPTIONS=\"--selinux ${X:-\"q\"}\"", "CONT=a \\\n  B=c", "x & ", ": >/dev/null 2>&1",
	}), 0, 4).Draw(t, "lines")
	for range rapid.IntRange(0, 2).Draw(t, "assignments") {
		prefix := pick(t, "prefix", "", "", "export ", "  ", "A=1 ", "export B=2 ")
		at := rapid.IntRange(0, len(lines)).Draw(t, "at")
		lines = slices.Insert(lines, at, prefix+shellName+"="+pick(t, "value", values...))
	}
	return strings.Join(lines, "\n") + pick(t, "end", "", "\n", "\n\n", "\n# end", " ")
}

func yamlDocument(t *rapid.T) string {
	unit := pick(t, "unit", "  ", "    ", " ")
	section := func(name string) string {
		return pick(t, name,
			"", name+":\n", name+": {}\n", name+":   # none yet\n",
			name+":\n"+unit+"docker.io: # the hub\n"+unit+unit+"endpoint:\n"+unit+unit+"- \"https://m\"\n",
			name+":\n\n"+unit+"# a comment\n"+unit+"'*':\n"+unit+unit+"tls: {insecure_skip_verify: true}\n\n",
			name+": {docker.io: {x: [1, 0x10, 1e3]}, \"a:1\": {}}\n",
			name+": { } # flow\n",
			"\""+name+"\":\n"+unit+"? x\n"+unit+": y\n",
		)
	}
	parts := []string{
		section("mirrors"), section("configs"),
		pick(t, "other", "", "# only a comment\n", "text: |\n"+unit+"mirrors:\n"+unit+"  x\n", "multi: \"a\n"+unit+"mirrors: b\"\n", "é: ~\n", "list:\n- a\n- b: c\n", "flag: yes\n"),
	}
	doc := strings.Join(rapid.Permutation(parts).Draw(t, "order"), pick(t, "between", "", "\n", "# between\n"))
	doc = pick(t, "start", "", "---\n", "# head\n\n") + doc + pick(t, "tail", "", "\n", "# tail\n")
	// A block scalar without a line end says something else when one is added.
	if rapid.Bool().Draw(t, "cut") && !strings.Contains(doc, "|") {
		doc = strings.TrimSuffix(doc, "\n")
	}
	if rapid.Bool().Draw(t, "crlf") {
		doc = strings.ReplaceAll(doc, "\n", "\r\n")
	}
	return doc
}

func tomlDocument(t *rapid.T) string {
	parts := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
		"debug = true\n", "# a comment\n", "text = \"\"\"\n[registry.\"registry.corp:5000\"]\nca = [\"/etc/vicr/ca.crt\"]\n\"\"\"\n", "\n", "  n = 1_000\n", "root = ''\n",
	}), 0, 5, rapid.ID[string]).Draw(t, "top")
	parts = append(parts, rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
		"[grpc]\n  address = [\"a\", # c\n  \"b\"]\n", "[registry.\"docker.io\"]\n  mirrors = [\"m\"]\n", "[[list]]\nx = 1\n[[list]]\nx = {a = \"[y]\"}\n", "\n\n",
		"[plugins.'io.containerd.grpc.v1.cri']\n  sandbox_image = \"p\"\n", "[worker.oci]\nenabled = true # yes\n",
		"[plugins.\"io.containerd.grpc.v1.cri\".registry.configs]\n",
	}), 0, 5, rapid.ID[string]).Draw(t, "tables")...)
	parts = append(parts, pick(t, "cri", "", "", "[ plugins . 'io.containerd.grpc.v1.cri' . \"registry\" ] # here\n", "["+criTable+"]\n", "  ["+criTable+"]\n    config_path = \"\"\n    x = 1\n",
		"["+criTable+"]\nconfig_path='' # none\n", "["+criTable+"]\n  other = 1\n\n  config_path = \"\"\n", "["+criTable+"]\n\tother = 1\n", "["+criTable+"]\n  config_path = \"\"\n"))
	parts = append(parts, pick(t, "tail", "", "\n", "[tail]\n", "# tail\n"))
	doc := strings.Join(parts, pick(t, "between", "", "\n"))
	if rapid.Bool().Draw(t, "cut") {
		doc = strings.TrimSuffix(doc, "\n")
	}
	if rapid.Bool().Draw(t, "crlf") {
		doc = strings.ReplaceAll(doc, "\n", "\r\n")
	}
	return doc
}

// onlySyntax fails unless err is of the room's own kind, without content.
func onlySyntax(t rapid.TB, err error, secret string) {
	t.Helper()
	var se *edit.SyntaxError
	switch {
	case !errors.As(err, &se):
		t.Fatalf("error %T %v", err, err)
	case secret != "" && strings.Contains(err.Error(), secret):
		t.Fatalf("%q tells the file's content", err)
	}
}

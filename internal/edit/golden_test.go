package edit_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/edit"
)

var update = flag.Bool("update", false, "write the golden files anew")

// secret is in every file that is refused, and in no error.
const secret = "hunter2"

type doc struct{ name, text string }

func jsonDocs() []doc {
	return []doc{
		{"no file", ""},
		{"nothing but white space", " \n\n"},
		{"empty object", "{}\n"},
		{"empty object in two lines", "{\n}\n"},
		{"no key", "{\n  \"log-driver\": \"json-file\"\n}\n"},
		{"tabs", "{\n\t\"a\": 1,\n\t\"b\": {\n\t\t\"c\": [1,\t2]\n\t}\n}\n"},
		{"four spaces, no final line end", "{\n    \"a\": 1\n}"},
		{"CR LF", "{\r\n  \"a\": 1,\r\n  \"insecure-registries\": [\r\n    \"other:1\"\r\n  ]\r\n}\r\n"},
		{"CR LF, no key", "{\r\n  \"a\": 1\r\n}\r\n"},
		{"one line", `{"a": 1, "b": [true]}` + "\n"},
		{"one line, tight", `{"a":1}`},
		{"one line with the list", `{"insecure-registries":["a:1","b:1"],"x":1}`},
		{"empty list", "{\n  \"insecure-registries\": [],\n  \"x\": 1\n}\n"},
		{"empty list in one line", `{"insecure-registries": []}`},
		{"list in one of several lines", "{\n  \"insecure-registries\": [\"a:1\"],\n  \"x\": 1\n}\n"},
		{"held already", "{\"insecure-registries\" : [\"registry.corp:5000\"] }"},
		{"unknown and nested keys", "{\n  \"x-ours\": {\"insecure-registries\": [\"registry.corp:5000\"], \"deep\": [[{}, {\"y\": null}]]}\n}\n"},
		{"big numbers", "{\n  \"i\": 123456789012345678901234567890,\n  \"f\": 1.10000000000000000000E+400,\n  \"z\": -0.0\n}\n"},
		{"unicode escapes", "{\n  \"\\u00e9\\/\": \"\\ud83d\\ude00 \\u0000 é\",\n  \"insecure\\u002dregistries\": [\"\\u0061:1\"]\n}\n"},
		{"singular", "{\n  \"insecure-registry\": [\"registry.corp:5000\"]\n}\n"},
		{"BOM", bom + "{\"password\": \"hunter2\"}\n"},
		{"line comment", "{\n  \"a\": \"hunter2\",\n  // hunter2\n  \"b\": 1\n}\n"},
		{"block comment", "{\n  \"a\": 1 /* hunter2 */\n}\n"},
		{"hash comment", "# hunter2\n{}\n"},
		{"trailing comma", "{\n  \"a\": \"hunter2\",\n}\n"},
		{"trailing comma in a list", "{\n  \"a\": [\n    \"hunter2\",\n  ]\n}\n"},
		{"duplicate keys", "{\n  \"a\": \"hunter2\",\n  \"b\": 2,\n  \"\\u0061\": 3\n}\n"},
		{"string for a list", "{\n  \"insecure-registries\": \"hunter2\"\n}\n"},
		{"number in the list", "{\n  \"insecure-registries\": [\n    \"hunter2\",\n    5\n  ]\n}\n"},
		{"null for a list", "{\"insecure-registries\": null}\n"},
		{"ends too early", "{\n  \"hunter2\": \"x\n"},
		{"two values", "{}\n{\"hunter2\": 1}\n"},
		{"no object", "[\"hunter2\"]\n"},
		{"words", "hunter2\n"},
		{"zero byte", "{\"hunter2\": \"\x00\"}"},
	}
}

func shellDocs() []doc {
	return []doc{
		{"no file", ""},
		{"as Debian has it", "# Docker Upstart and SysVinit configuration file\n\n#DOCKER_OPTS=\"--dns 8.8.8.8 --dns 8.8.4.4\"\n\n#export http_proxy=\"http://127.0.0.1:3128/\"\n"},
		{"double quotes", "A=1\nDOCKER_OPTS=\"--dns 8.8.8.8\" # why\nB=2\n"},
		{"single quotes", "DOCKER_OPTS='--dns 8.8.8.8'\n"},
		{"no quotes", "DOCKER_OPTS=--debug\n"},
		{"no quotes, a blank", "DOCKER_OPTS=--debug\\ --tls\n"},
		{"nothing", "DOCKER_OPTS=\n"},
		{"nothing in quotes", "DOCKER_OPTS=\"\"\nB=2\n"},
		{"mixed quotes", "DOCKER_OPTS=--a\" --b\"' --c'\n"},
		{"continued", "DOCKER_OPTS=\"--debug \\\n  --insecure-registry a:1 \\\n  --tls\"\n"},
		{"over lines", "DOCKER_OPTS='\n  --debug\n'\n"},
		{"export", "export DOCKER_OPTS=\"--debug\"\n"},
		{"the last one counts", "DOCKER_OPTS=\"--a\"\nDOCKER_OPTS=\"--b\"\n"},
		{"names itself", "DOCKER_OPTS=\"--insecure-registry=a:1\"\nDOCKER_OPTS=\"$DOCKER_OPTS --b\"\n"},
		{"another variable in it", "DOCKER_OPTS=\"${PROXY} --b\"\n"},
		{"within a text", "TEXT='\nDOCKER_OPTS=\"no\"\n'\n"},
		{"no final line end", "A=1"},
		{"held with a blank", "DOCKER_OPTS='--insecure-registry registry.corp:5000'\n"},
		{"held with =", "DOCKER_OPTS='--a --insecure-registry=registry.corp:5000 --b'\n"},
		{"a command elsewhere", "A=$(echo \"hunter2 )\")\nB=`id`\nDOCKER_OPTS=\"--a\"\n"},
		{"a command in it", "A=1\nDOCKER_OPTS=\"--label hunter2 $(hostname)\"\n"},
		{"backticks in it", "DOCKER_OPTS=\"--label hunter2`hostname`\"\n"},
		{"a default in it", "DOCKER_OPTS=\"${A:-hunter2}\"\n"},
		{"under a condition", "if true; then\n  DOCKER_OPTS=\"hunter2\"\nfi\n"},
		{"behind &&", "test -f x &&\n  DOCKER_OPTS=\"hunter2\"\n"},
		{"+=", "DOCKER_OPTS+=\" hunter2\"\n"},
		{"by default", ": ${DOCKER_OPTS:=\"hunter2\"}\n"},
		{"unset", "DOCKER_OPTS=hunter2\nunset DOCKER_OPTS\n"},
		{"read-only", "readonly DOCKER_OPTS=hunter2\n"},
		{"another file", ". /etc/hunter2\n"},
		{"here-document", "cat <<E\nDOCKER_OPTS=hunter2\nE\n"},
		{"open quote", "A=1\nB=\"hunter2\n"},
		{"open command", "A=$(hunter2\n"},
		{"open if", "if true; then\nA=hunter2\n"},
		{"stray fi", "A=hunter2\nfi\n"},
		{"CR LF", "A=hunter2\r\n"},
		{"bash quotes", "DOCKER_OPTS=$'hunter2'\n"},
		{"continued at the end", "echo hunter2 \\\n"},
	}
}

func yamlDocs() []doc {
	return []doc{
		{"no file", ""},
		{"only a comment", "# ours\n---\n"},
		{"no configs", "mirrors:\n    docker.io: # hub\n        endpoint:\n            - https://m\n\n# end\nother: 1"},
		{"empty ones", "mirrors: {}\nconfigs: null # nothing\n"},
		{"no values", "configs:\nmirrors:\n  # none\n"},
		{"flow", "mirrors: {docker.io: {endpoint: [\"https://m\"]}}\n"},
		{"CR LF", "mirrors:\r\n  docker.io:\r\n    endpoint: [x]\r\n"},
		{"held", yamlBody("registry.corp:5000")},
		{"held in other words", "mirrors: {'registry.corp:5000': {endpoint: ['https://registry.corp:5000']}}\nconfigs: {'registry.corp:5000': {tls: {ca_file: \"/etc/vicr/registry.corp:5000.crt\"}}}\n"},
		{"text in a block", "text: |\n  mirrors:\n    x\n"},
		{"another entry", "mirrors:\n  'registry.corp:5000':\n    endpoint: [\"https://hunter2\"]\n"},
		{"another entry in flow", "mirrors: {\"registry.corp:5000\": hunter2}\n"},
		{"no map", "mirrors: hunter2\n"},
		{"a list", "mirrors:\n- hunter2\n"},
		{"an anchor", "configs: &a\n  x: hunter2\n"},
		{"top level in flow", "{mirrors: hunter2}\n"},
		{"top level no map", "- hunter2\n"},
		{"two documents", "a: hunter2\n---\nb: 1\n"},
		{"marked end", "a: hunter2\n...\n"},
		{"tabs", "a:\n\tb: hunter2\n"},
		{"duplicate keys", "hunter2: 1\nhunter2: 2\n"},
		{"mixed line ends", "a: hunter2\r\nb: 1\n"},
		{"open quote", "a: 1\nb: \"hunter2\n"},
		{"block scalar without a line end", "a: |\n  hunter2"},
		{"BOM", bom + "a: hunter2\n"},
	}
}

func tomlDocs() []doc {
	return []doc{
		{"no file", ""},
		{"others", "debug = true # yes\n\n[registry.\"docker.io\"]\n  mirrors = [\"m\"]\n"},
		{"no final line end", "debug = true"},
		{"CR LF", "debug = true\r\n"},
		{"held", "[registry.'registry.corp:5000']\nca=['/etc/vicr/ca.crt']\n"},
		{"within a text", "x = '''\n[registry.\"registry.corp:5000\"]\n'''\n"},
		{"another", "a = 1\n[registry.\"registry.corp:5000\"]\nhttp = \"hunter2\"\n"},
		{"another inline", "a = 1\n[registry]\n\"registry.corp:5000\" = {x = \"hunter2\"}\n"},
		{"empty table", "[registry.\"registry.corp:5000\"]\n"},
		{"closed table", "registry = {x = \"hunter2\"}\n"},
		{"no TOML", "a = 1\nb = hunter2\n"},
		{"duplicate", "hunter2 = 1\nhunter2 = 2\n"},
	}
}

func setDocs() []doc {
	return []doc{
		{"no file", ""},
		{"no table", "version = 2\n"},
		{"empty value", "version = 2\n[" + criTable + "]\n  config_path = \"\"\n  x = 1\n"},
		{"empty value in single quotes, a comment", "[" + criTable + "]\n  config_path = '' # ours\n"},
		{"table without it", "  [plugins.'io.containerd.grpc.v1.cri'.registry] # here\n    x = 1\n"},
		{"table without anything", "[" + criTable + "]"},
		{"only below it", "[" + criTable + ".mirrors.\"docker.io\"]\nendpoint = []\n"},
		{"held", "[" + criTable + "]\nconfig_path='/etc/containerd/certs.d'\n"},
		{"another value", "a = 1\n[" + criTable + "]\nconfig_path = \"/hunter2\"\n"},
		{"dotted", "[plugins.\"io.containerd.grpc.v1.cri\"]\nregistry.config_path = \"\"\n"},
		{"dotted sibling", "[plugins.\"io.containerd.grpc.v1.cri\"]\nregistry.x = \"hunter2\"\n"},
		{"list of tables", "[[" + criTable + "]]\nx = \"hunter2\"\n"},
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for f, docs := range map[edit.Format][]doc{
		edit.JSON: jsonDocs(), edit.Shell: shellDocs(), edit.YAML: yamlDocs(), edit.TOML: tomlDocs(), edit.Set: setDocs(),
	} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			var got strings.Builder
			for _, d := range docs {
				fmt.Fprintf(&got, "== %s\n", d.name)
				show(t, &got, editsOf(f)[0], d)
			}
			golden(t, string(f)+".golden", got.String())
		})
	}
}

// show writes the lines of a file before and after, or why not.
func show(t *testing.T, w *strings.Builder, e edit.Edit, d doc) {
	t.Helper()
	quote(w, "<", d.text)
	after, err := e.Apply([]byte(d.text))
	if err != nil {
		onlySyntax(t, err, secret)
		if _, err := e.Has([]byte(d.text)); err != nil {
			onlySyntax(t, err, secret)
		}
		fmt.Fprintf(w, "! %v\n", err)
		return
	}
	if string(after) == d.text {
		w.WriteString("= unchanged\n")
		return
	}
	quote(w, ">", string(after))
	back, err := e.Revert(after)
	switch {
	case err != nil:
		t.Errorf("%s: %v", d.name, err)
	case string(back) != d.text:
		w.WriteString("reverted:\n")
		quote(w, "<", string(back))
	}
}

func quote(w *strings.Builder, sign, text string) {
	if text == "" {
		fmt.Fprintf(w, "%s (nothing)\n", sign)
	}
	for l := range strings.Lines(text) {
		fmt.Fprintf(w, "%s %q\n", sign, l)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n")), []byte(got)) {
		t.Errorf("%s differs; with -update it is written anew:\n%s", path, got)
	}
}

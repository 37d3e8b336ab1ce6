package edit

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/tailscale/hujson"
)

// A Remark is something strange in a file that can be read nonetheless.
type Remark struct {
	Line int
	Text string
}

const insecureKey = "insecure-registries"

// LintDaemonJSON says what is strange in a daemon.json though some dockerd
// reads it, none of the file's content among it. The error is a [SyntaxError]:
// none does.
func LintDaemonJSON(data []byte) ([]Remark, error) {
	var out []Remark
	if rest, ok := bytes.CutPrefix(data, []byte(bom)); ok {
		out = append(out, Remark{1, "the file begins with a byte order mark: Docker 20.10 does not start with it"})
		data = rest
	}
	if err := check(JSON, data); err != nil {
		return out, err
	}
	if emptyFile(data) {
		return append(out, Remark{1, "the file is empty: Docker 20.10 does not start with it; {} is an empty configuration"}), nil
	}
	d, err := parseJSON(data, "", true)
	if err != nil {
		return out, err
	}
	seen := make(map[string]bool, len(d.obj.Members))
	for _, m := range d.obj.Members {
		name, line := literal(m.Name), lineAt(data, m.Name.StartOffset)
		if seen[name] {
			out = append(out, Remark{line, "this key is there twice: the last one counts"})
		}
		seen[name] = true
		switch {
		case name == "insecure-registry":
			out = append(out, Remark{line, "insecure-registry is no key: Docker ignores it in silence; the key is " + insecureKey})
		case name == insecureKey:
			out = append(out, lintInsecure(data, m.Value)...)
		case strings.EqualFold(name, insecureKey):
			out = append(out, Remark{line, "Docker refuses this key: it is written " + insecureKey})
		}
	}
	return out, nil
}

func lintInsecure(data []byte, v hujson.Value) (out []Remark) {
	list, ok := v.Value.(*hujson.Array)
	if !ok {
		return []Remark{{lineAt(data, v.StartOffset), insecureKey + " is no list: Docker does not start with it"}}
	}
	for _, e := range list.Elements {
		why := "this entry is no string: Docker does not start with it"
		if e.Value.Kind() == '"' {
			why = lintEntry(literal(e))
		}
		if why != "" {
			out = append(out, Remark{lineAt(data, e.StartOffset), why})
		}
	}
	return out
}

// lintEntry knows moby daemon/pkg/registry/config.go, loadInsecureRegistries;
// dockerd --validate does not look at it.
func lintEntry(entry string) string {
	scheme, rest, hasScheme := strings.Cut(entry, "://")
	_, err := netip.ParsePrefix(entry)
	switch {
	case hasScheme && scheme != "http" && scheme != "https":
		return "this entry has a scheme: Docker does not start with it"
	case err == nil:
		return ""
	case entry == "":
		return "this entry is empty"
	case strings.Contains(rest, "/") || !hasScheme && strings.Contains(entry, "/"):
		return "this entry has a path: Docker does not start with it"
	case strings.HasPrefix(entry, "-") || strings.HasSuffix(entry, "-") || hasScheme && strings.HasPrefix(rest, "-"):
		return "this entry begins or ends with a hyphen: Docker does not start with it"
	case hasScheme:
		return "this entry has a scheme: Docker ignores that, with a warning"
	case !plainWord(entry):
		return "this entry has characters that no registry's name has"
	}
	return ""
}

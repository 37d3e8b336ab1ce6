package machine

import (
	"path"
	"strings"
)

// flags are what matters in the argv of dockerd.
type flags struct {
	config, pidfile string
	insecure, hosts []string
}

// parseFlags reads argv without its first word as pflag does. A flag that is
// not known here is taken to have no value in the next word.
func parseFlags(args []string) flags {
	var f flags
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		name, value, has := cutFlag(args[i])
		switch name {
		case "config-file", "pidfile", "p", "insecure-registry", "host", "H":
		default:
			continue
		}
		if !has {
			if i++; i == len(args) {
				break
			}
			value = args[i]
		}
		switch name {
		case "config-file":
			f.config = value
		case "pidfile", "p":
			f.pidfile = value
		case "insecure-registry":
			f.insecure = append(f.insecure, list(value)...)
		default:
			f.hosts = append(f.hosts, value)
		}
	}
	return f
}

// cutFlag splits --name=value, -n=value and -nvalue.
func cutFlag(arg string) (name, value string, has bool) {
	if long, ok := strings.CutPrefix(arg, "--"); ok {
		return strings.Cut(long, "=")
	}
	if len(arg) < 2 || arg[0] != '-' {
		return "", "", false
	}
	name, value = arg[1:2], arg[2:]
	return name, strings.TrimPrefix(value, "="), value != ""
}

func list(s string) []string {
	var l []string
	for v := range strings.SplitSeq(s, ",") {
		if v = strings.TrimSpace(v); v != "" {
			l = append(l, v)
		}
	}
	return l
}

// words splits a command line as systemd and a shell do, quotes and
// backslashes resolved, variables left alone (systemd.service(5), "Command lines").
func words(s string) []string {
	var (
		out   []string
		word  strings.Builder
		in    bool
		quote byte
	)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(s):
			i++
			word.WriteByte(s[i])
			in = true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '\'' || c == '"':
			quote, in = c, true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			if in {
				out = append(out, word.String())
				word.Reset()
			}
			in = false
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if in {
		out = append(out, word.String())
	}
	return out
}

// unwrap makes the words of "sh -c COMMAND" those of the command.
func unwrap(args []string) []string {
	if len(args) >= 3 && args[1] == "-c" {
		switch path.Base(args[0]) {
		case "sh", "bash", "dash":
			return words(args[2])
		}
	}
	return args
}

// expand puts the values of variables into a command line: $NAME as a word of
// its own becomes several words, ${NAME} none but itself.
func expand(args []string, value func(string) string) []string {
	var out []string
	for _, a := range args {
		if name, ok := strings.CutPrefix(a, "$"); ok && isName(name) {
			out = append(out, words(value(name))...)
			continue
		}
		for _, name := range variables(a) {
			a = strings.ReplaceAll(a, "${"+name+"}", value(name))
		}
		out = append(out, a)
	}
	return out
}

// variables are the names that a command line uses, each once.
func variables(s string) []string {
	var names []string
	seen := map[string]bool{}
	s = strings.ReplaceAll(s, "$$", "")
	for {
		_, rest, ok := strings.Cut(s, "$")
		if !ok {
			return names
		}
		s = rest
		name := strings.TrimPrefix(s, "{")
		n := 0
		for n < len(name) && isNameByte(name[n], n) {
			n++
		}
		if name = name[:n]; name != "" && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
}

func isName(s string) bool {
	for i := range len(s) {
		if !isNameByte(s[i], i) {
			return false
		}
	}
	return s != ""
}

func isNameByte(c byte, at int) bool {
	return c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z' || at > 0 && '0' <= c && c <= '9'
}

// assigned is the value that a file of shell variables gives to one, as far as
// it can be read without a shell; the last assignment counts.
func assigned(data []byte, variable string) (value string, ok bool) {
	lines := joined(string(data))
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(lines[i]), "export "))
		v, is := strings.CutPrefix(line, variable+"=")
		if !is {
			continue
		}
		for openQuote(v) && i+1 < len(lines) {
			i++
			v += "\n" + lines[i]
		}
		value, ok = strings.Join(words(v), " "), true
	}
	return value, ok
}

// openQuote says that a quote is not closed, so that the value goes on in the next line.
func openQuote(s string) bool {
	var quote byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quote != '\'':
			i++
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case c == quote:
			quote = 0
		}
	}
	return quote != 0
}

// joined are the lines of a file that are no comments, those that end in a
// backslash put together with the next; a comment does not end that.
func joined(s string) []string {
	var out []string
	open := false
	for line := range strings.Lines(s) {
		line = strings.TrimRight(line, "\r\n")
		if t := strings.TrimSpace(line); strings.HasPrefix(t, "#") || strings.HasPrefix(t, ";") {
			continue
		}
		body, more := strings.CutSuffix(line, `\`)
		if open {
			out[len(out)-1] += " " + body
		} else {
			out = append(out, body)
		}
		open = more
	}
	return out
}

package probe

import "strings"

// parseChallenge reads the first challenge of a Www-Authenticate header (RFC
// 9110 section 11.6.1): the scheme and the names of its parameters in lower
// case. What it cannot read it leaves out.
func parseChallenge(header string) (scheme string, params map[string]string) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(header), " ")
	params = map[string]string{}
	for {
		rest = strings.TrimLeft(rest, " \t,")
		key, after, ok := strings.Cut(rest, "=")
		key = strings.TrimSpace(key)
		if !ok || key == "" || strings.ContainsFunc(key, notWord) {
			return strings.ToLower(scheme), params
		}
		key = strings.ToLower(key)
		var value string
		value, rest = cutValue(strings.TrimLeft(after, " \t"))
		if _, again := params[key]; !again {
			params[key] = value
		}
	}
}

// notWord is for names of parameters: those in use are words.
func notWord(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// cutValue takes a token or a quoted string from the front of s.
func cutValue(s string) (value, rest string) {
	quoted, ok := strings.CutPrefix(s, `"`)
	if !ok {
		end := strings.IndexAny(s, " \t,")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:]
	}
	var b strings.Builder
	for i := 0; i < len(quoted); i++ {
		switch c := quoted[i]; {
		case c == '"':
			return b.String(), quoted[i+1:]
		case c == '\\' && i+1 < len(quoted):
			i++
			b.WriteByte(quoted[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), ""
}

package auth

import (
	"net/http"
	"strings"
)

// Bounds on the challenges of one answer.
const (
	maxChallengeBytes = 8 << 10
	maxChallenges     = 16
	maxParams         = 32
)

const (
	schemeBearer = "bearer"
	schemeBasic  = "basic"
)

// A challenge is one way in which a server wants to be asked again (RFC 9110
// section 11.6.1). Scheme and the names of parameters are in lower case; of a
// parameter that is there twice, the first counts.
type challenge struct {
	scheme string
	params map[string]string
}

// challengesOf reads the challenges of an answer. What cannot be read, and all
// that follows it in the same line, is left out.
func challengesOf(h http.Header) []challenge {
	var all []challenge
	bytes := 0
	for _, line := range h.Values("WWW-Authenticate") {
		if bytes += len(line); bytes > maxChallengeBytes {
			break
		}
		all = append(all, parseChallenges(line)...)
	}
	return all[:min(len(all), maxChallenges)]
}

// choose is the challenge to be answered: Bearer with a realm, else Basic.
func choose(all []challenge) (challenge, bool) {
	for _, c := range all {
		if c.scheme == schemeBearer && c.params["realm"] != "" {
			return c, true
		}
	}
	for _, c := range all {
		if c.scheme == schemeBasic {
			return c, true
		}
	}
	return challenge{}, false
}

// parseChallenges reads the value of one WWW-Authenticate line. A comma parts
// challenges as well as parameters: a word with a single "=" behind it is a
// parameter, any other begins a challenge.
func parseChallenges(line string) []challenge {
	var all []challenge
	s := scanner{rest: line}
	for len(all) <= maxChallenges {
		s.skip(" \t,")
		word := s.token()
		if word == "" {
			break
		}
		if s.isParam() {
			value, ok := s.value()
			if !ok || len(all) == 0 {
				break
			}
			all[len(all)-1].set(word, value)
			continue
		}
		if s.rest != "" && !strings.ContainsRune(" \t,", rune(s.rest[0])) {
			break
		}
		all = append(all, challenge{scheme: strings.ToLower(word), params: map[string]string{}})
		s.token68()
	}
	return all[:min(len(all), maxChallenges)]
}

func (c challenge) set(name, value string) {
	name = strings.ToLower(name)
	if _, ok := c.params[name]; !ok && len(c.params) < maxParams {
		c.params[name] = value
	}
}

// A scanner takes a header value apart from left to right.
type scanner struct{ rest string }

func (s *scanner) skip(chars string) { s.rest = strings.TrimLeft(s.rest, chars) }

// while takes the longest beginning of which all bytes are in.
func (s *scanner) while(in func(byte) bool) string {
	n := 0
	for n < len(s.rest) && in(s.rest[n]) {
		n++
	}
	taken := s.rest[:n]
	s.rest = s.rest[n:]
	return taken
}

func (s *scanner) token() string { return s.while(isTokenChar) }

// isParam says whether what follows a word makes it the name of a parameter.
// The "=" that pad the token68 form have nothing behind them but more of them.
func (s *scanner) isParam() bool {
	after, ok := strings.CutPrefix(strings.TrimLeft(s.rest, " \t"), "=")
	after = strings.TrimLeft(after, " \t")
	return ok && after != "" && after[0] != '=' && after[0] != ','
}

// value takes "=" and the token or quoted string behind it.
func (s *scanner) value() (string, bool) {
	s.skip(" \t")
	s.rest = strings.TrimPrefix(s.rest, "=")
	s.skip(" \t")
	if !strings.HasPrefix(s.rest, `"`) {
		// realms without quotes are not tokens, but are seen
		v := s.while(func(c byte) bool { return c > ' ' && c < 0x7f && c != ',' && c != '"' })
		return v, v != ""
	}
	var b strings.Builder
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			s.rest = s.rest[i+1:]
			return b.String(), true
		case c == '\\' && i+1 < len(s.rest):
			i++
			b.WriteByte(s.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	s.rest = ""
	return "", false
}

// token68 skips the other form that may follow a scheme: one word of base64.
func (s *scanner) token68() {
	ahead := *s
	ahead.skip(" \t")
	word := ahead.while(func(c byte) bool { return isTokenChar(c) || c == '/' })
	if word == "" || ahead.isParam() {
		return
	}
	ahead.while(func(c byte) bool { return c == '=' })
	ahead.skip(" \t")
	if ahead.rest == "" || ahead.rest[0] == ',' {
		*s = ahead
	}
}

// isTokenChar is tchar of RFC 9110 section 5.6.2.
func isTokenChar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// Package ref reads what the user typed: the address of a registry, the name
// of an image, a place where images live. It is pure: no disk, no network.
package ref

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

const (
	maxHostName = 253 // bytes, RFC 1035 section 2.3.4 in text form
	maxLabel    = 63  // bytes, RFC 1035 section 2.3.4
	httpsPort   = 443
)

// An Error says why a text that the user typed cannot be read. Nothing was
// opened or changed when it is returned.
type Error struct {
	What  string // "host", "image", "place"
	Input string // as typed, without a user name and password; may hold any byte
	Why   string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s %q: %s", e.What, abridged(e.Input), e.Why)
}

// abridged keeps a hostile argument from filling the screen.
func abridged(s string) string {
	const limit = 120 // bytes
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "..."
}

// withoutUser drops what stands before an @ in the host part of s: people
// type user:password@host, and errors are logged. In an image the @ of a
// digest stays, which is where no slash follows; host says that s is no image.
func withoutUser(s string, host bool) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "", s
	}
	authority, path, slash := strings.Cut(rest, "/")
	at := strings.LastIndexByte(authority, '@')
	if at < 0 || !host && !ok && !slash {
		return s
	}
	if ok {
		scheme += "://"
	}
	if slash {
		path = "/" + path
	}
	return scheme + "..." + authority[at:] + path
}

// A Host is the address of a registry: a DNS name or an IP address in
// canonical lower-case form, and the port if one was typed. The zero Host is
// no host. Hosts are comparable.
type Host struct {
	name string // without brackets
	port uint16 // 0: not typed
}

// ParseHost reads HOST[:PORT]. It takes letters-digits-hyphen names (IDN only
// as punycode), canonical dotted IPv4 and bracketed IPv6 without a zone, and
// returns an [*Error] for all else.
func ParseHost(s string) (Host, error) {
	h, why := parseHost(s)
	if why != "" {
		return Host{}, &Error{What: "host", Input: withoutUser(s, true), Why: why}
	}
	return h, nil
}

// CutHost reads HOST[:PORT][/REST] and says whether there was a slash. Of a URL
// it wants the scheme left out; all errors are [*Error].
func CutHost(s string) (h Host, rest string, found bool, err error) {
	host, rest, found := strings.Cut(s, "/")
	if strings.Contains(s, "://") {
		host = s
	}
	h, err = ParseHost(host)
	return h, rest, found, err
}

func parseHost(s string) (h Host, why string) {
	if strings.Contains(s, "://") {
		return Host{}, "leave out the scheme"
	}
	if host, _, ok := strings.Cut(s, "/"); ok {
		if h, why = parseHost(host); why == "" {
			why = "the address of a registry has no path: it is " + h.String()
		}
		return Host{}, why
	}
	if strings.ContainsRune(s, '@') {
		return Host{}, "leave out the user name"
	}
	name, port, hasPort := s, "", false
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		name, port, hasPort = s[:i], s[i+1:], true
	}
	if hasPort && strings.ContainsRune(name, ':') && name[0] != '[' {
		return Host{}, bareIPv6
	}
	if hasPort {
		n, ok := parsePort(port)
		if !ok {
			return Host{}, "the port is not a number from 1 to 65535"
		}
		h.port = n
	}
	if inner, ok := strings.CutPrefix(name, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if !ok {
			return Host{}, "the bracket is not closed"
		}
		h.name, why = parseIPv6(inner)
		return h, why
	}
	h.name, why = parseName(name)
	return h, why
}

const bareIPv6 = "write an IPv6 address in brackets, as in [2001:db8::1]:5000"

func parsePort(s string) (uint16, bool) {
	if s == "" || s[0] < '1' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil
}

func parseIPv6(s string) (name, why string) {
	addr, err := netip.ParseAddr(s)
	switch {
	case err != nil || !addr.Is6():
		return "", "not an IPv6 address"
	case addr.Zone() != "":
		return "", "an IPv6 address with a zone is not the address of a registry"
	case addr.Is4In6():
		return "", "write the IPv4 address itself"
	}
	return addr.String(), ""
}

func parseName(s string) (name, why string) {
	switch {
	case s == "":
		return "", "the name is empty"
	case len(s) > maxHostName:
		return "", "the name is longer than 253 characters"
	}
	s = lower(s)
	labels := strings.Split(s, ".")
	punycode := false
	for _, l := range labels {
		if why := checkLabel(l); why != "" {
			return "", why
		}
		punycode = punycode || strings.HasPrefix(l, "xn--")
	}
	// A last label that reads as a number makes resolvers take the whole for
	// an IPv4 address, in forms like 0x7f.1 too (WHATWG URL, section 3.5).
	if last := labels[len(labels)-1]; numeric(last) {
		addr, err := netip.ParseAddr(s)
		if err != nil || !addr.Is4() {
			return "", "not an IPv4 address in its usual form, four numbers with dots"
		}
	}
	if punycode {
		if back, err := idna.Lookup.ToASCII(s); err != nil || back != s {
			return "", "not a valid internationalised name"
		}
	}
	return s, ""
}

// lower is for ASCII alone: [strings.ToLower] makes a plain k of U+212A, and so
// another host of a look-alike.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, s)
}

func checkLabel(l string) (why string) {
	switch {
	case l == "":
		return "an empty part between dots, or a dot at an end"
	case len(l) > maxLabel:
		return "a part between dots is longer than 63 characters"
	case l[0] == '-' || l[len(l)-1] == '-':
		return "a part between dots begins or ends with a hyphen"
	}
	for i := range len(l) {
		c := l[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			if c >= 0x80 {
				return "only ASCII letters, digits, hyphens and dots; write an international name as punycode (xn--...)"
			}
			return "only letters, digits, hyphens and dots can stand in a name"
		}
	}
	return ""
}

func numeric(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// IsZero says whether h is no host at all.
func (h Host) IsZero() bool { return h.name == "" }

// Name is the DNS name or address alone, an IPv6 address without brackets.
func (h Host) Name() string { return h.name }

// IsIP says whether the name is an IP address.
func (h Host) IsIP() bool { _, err := netip.ParseAddr(h.name); return err == nil }

// HasPort says whether a port was typed.
func (h Host) HasPort() bool { return h.port != 0 }

// Port is the port typed, or the one that https means.
func (h Host) Port() int {
	if h.port == 0 {
		return httpsPort
	}
	return int(h.port)
}

// String is what an image reference begins with: NAME or NAME:PORT, an IPv6
// address in brackets. ParseHost(h.String()) is h.
func (h Host) String() string {
	switch {
	case h.port != 0:
		return net.JoinHostPort(h.name, strconv.Itoa(int(h.port)))
	case strings.ContainsRune(h.name, ':'):
		return "[" + h.name + "]"
	default:
		return h.name
	}
}

// Canonical drops the port that https means anyway: h and h:443 are one
// registry to the user.
func (h Host) Canonical() Host {
	if h.port == httpsPort {
		h.port = 0
	}
	return h
}

// Spellings lists the names by which tools that compare text literally know
// this registry: both h and h:443 where the port is 443 or was left out.
func (h Host) Spellings() []string {
	c := h.Canonical()
	if c.port != 0 {
		return []string{c.String()}
	}
	return []string{c.String(), Host{name: c.name, port: httpsPort}.String()}
}

// Folder is a name for this registry that every file system takes, that h and
// h:443 share and no other host has: NAME_PORT_, the colons of an IPv6 address
// as underscores, which stand in no DNS name.
func (h Host) Folder() string {
	return fmt.Sprintf("%s_%d_", strings.ReplaceAll(h.name, ":", "_"), h.Port())
}

// Endpoint is the host that serves the API: h itself, except for Docker Hub,
// whose images are named docker.io but served elsewhere
// (distribution/reference normalises to docker.io; moby registry/config.go).
func (h Host) Endpoint() Host {
	if h.Canonical().name == dockerHub && h.Canonical().port == 0 {
		return Host{name: "registry-1.docker.io"}
	}
	return h
}

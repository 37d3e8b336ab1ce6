package wire

import (
	"net"
	"net/url"
	"strings"

	"github.com/vicr-cli/vicr/internal/ref"
)

// Names of Docker Hub: images are docker.io's, go-containerregistry says
// index.docker.io, and another host serves them (moby registry/config.go).
const (
	hubEndpoint = "registry-1.docker.io"
	hubIndex    = "index.docker.io"
	hubRealm    = "https://auth.docker.io:443"
)

// OriginOf is the origin of u, scheme://host:port in lower case and always
// with the port; two URLs share credentials only if their origins are equal.
func OriginOf(u *url.URL) string {
	scheme := strings.ToLower(u.Scheme)
	return scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), portOf(u))
}

func portOf(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case strings.EqualFold(u.Scheme, schemeHTTP):
		return httpPort
	default:
		return httpsPort
	}
}

// Join is where an upload goes on: location as the answer to a request to base
// had it. It may be relative or of base's own origin; another origin only over
// https, and credentials never go there ([Transport] holds that). A location in
// clear on another origin is a [*PolicyError] in an [Error] of kind Policy; one
// that is missing, malformed, has a user name or is longer than [MaxLocation]
// is an [Error] of kind BadAnswer.
func Join(base *url.URL, location string) (*url.URL, error) {
	u, err := parseLocation(base, location)
	if err != nil {
		return nil, err
	}
	if OriginOf(u) != OriginOf(base) && u.Scheme != schemeHTTPS {
		return nil, refused("follow location", u, "another origin, and not over https")
	}
	return u, nil
}

func parseLocation(base *url.URL, location string) (*url.URL, error) {
	bad := func(why string) (*url.URL, error) {
		return nil, &Error{Op: "follow location", Host: base.Host, Kind: BadAnswer, Err: badLocation(why)}
	}
	switch {
	case location == "":
		return bad("there is none")
	case len(location) > MaxLocation:
		return bad("it is too long")
	}
	u, err := base.Parse(location)
	switch {
	case err != nil:
		return bad("it is not a URL")
	case u.User != nil:
		return bad("it has a user name in it")
	case u.Hostname() == "" || u.Opaque != "":
		return bad("it names no host")
	}
	u.Scheme, u.Fragment, u.RawFragment = strings.ToLower(u.Scheme), "", ""
	return u, nil
}

type badLocation string

func (b badLocation) Error() string { return "the location in the answer cannot be used: " + string(b) }

func refused(op string, u *url.URL, why string) *Error {
	return &Error{Op: op, Host: u.Host, Kind: Policy, Err: &PolicyError{URL: Redact(u), Why: why}}
}

// refusedRedirect is the refusal to go where a redirect leads.
func refusedRedirect(op string, u *url.URL, why string) *Error {
	return &Error{Op: op, Host: u.Host, Kind: Policy, Err: &PolicyError{URL: Redact(u), Why: why, Redirected: true}}
}

// shown are the parts of a query that say what was asked for and open nothing.
var shown = map[string]bool{
	"service": true, "scope": true, "n": true, "last": true, "digest": true,
	"mount": true, "from": true, "page": true, "page_size": true,
}

// Redact is u as it may be shown: without user name, and with the values of
// its query hidden where they may be signatures or upload states.
func Redact(u *url.URL) string {
	r := *u
	r.User, r.Fragment, r.RawFragment = nil, "", ""
	if r.RawQuery != "" {
		parts := strings.Split(r.RawQuery, "&")
		for i, part := range parts {
			key, value, ok := strings.Cut(part, "=")
			if !ok {
				key = ""
			}
			if !shown[key] || strings.Contains(value, ";") { // ";" once stood for "&"
				parts[i] = key + "=redacted"
			}
		}
		r.RawQuery = strings.Join(parts, "&")
	}
	return printable(r.String())
}

func realmsOf(c Config) map[string]bool {
	realms := map[string]bool{}
	for _, text := range c.Realms {
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" {
			continue
		}
		if u.Scheme == schemeHTTPS || (u.Scheme == schemeHTTP && c.PlainHTTP) {
			realms[OriginOf(u)] = true
		}
	}
	if c.Host.Endpoint().String() == hubEndpoint {
		realms[hubRealm] = true
	}
	return realms
}

// aliasesOf are the host names that stand for the origin.
func aliasesOf(h ref.Host) map[string]bool {
	names := map[string]bool{h.Name(): true, h.Endpoint().Name(): true}
	if h.Endpoint().String() == hubEndpoint {
		names[hubIndex] = true
	}
	return names
}

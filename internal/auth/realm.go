package auth

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/wire"
)

const (
	maxRealm = 2 << 10 // bytes

	schemeHTTP  = "http"
	schemeHTTPS = "https"

	hubEndpoint = "https://registry-1.docker.io:443"
	hubRealm    = "https://auth.docker.io:443"
)

// A Policy says where credentials may go beyond the registry's own origin over
// verified TLS.
type Policy struct {
	Realm      string // URL or origin of a token service on another host that the user agreed to
	AllowClear bool   // the user agreed that credentials go over plain HTTP or unverified TLS
	Unverified bool   // the transport below does not verify the registry's certificate
}

// Origins are the origins beside its own to which tokens of h may lead: what
// [wire.Config] wants as Realms. It has the usual port of the registry's host,
// which Harbor 1.x names whatever port it is reached by.
func (p Policy) Origins(h ref.Host) []string {
	own := &url.URL{Scheme: schemeHTTPS, Host: bracketed(h.Endpoint().Name())}
	origins := []string{wire.OriginOf(own)}
	if origin, why := originOfRealm(p.Realm); why == "" {
		origins = append(origins, origin)
	}
	return origins
}

func bracketed(name string) string {
	if strings.ContainsRune(name, ':') {
		return "[" + name + "]"
	}
	return name
}

// originOfRealm is the origin of a realm that a user gave, or why there is none.
func originOfRealm(text string) (origin, why string) {
	if !strings.Contains(text, "://") {
		text = schemeHTTPS + "://" + text
	}
	u, why := parseRealm(text)
	if why != "" {
		return "", why
	}
	return wire.OriginOf(u), ""
}

// RealmHost is the host that the address of a token service names, false where
// it names none that credentials may ever go to from a registry over TLS.
func RealmHost(text string) (ref.Host, bool) {
	u, why := parseRealm(text)
	if why != "" || u.Scheme != schemeHTTPS {
		return ref.Host{}, false
	}
	h, err := ref.ParseHost(u.Host)
	return h, err == nil
}

// parseRealm reads the address of a token service, whoever wrote it.
func parseRealm(text string) (u *url.URL, why string) {
	if len(text) > maxRealm {
		return nil, "its address is too long"
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, "this is not a URL"
	case u.Scheme != schemeHTTP && u.Scheme != schemeHTTPS:
		return nil, "this is not the address of a web server"
	case u.Opaque != "" || u.Hostname() == "":
		return nil, "its address has no host"
	case u.User != nil:
		return nil, "its address has a user name in it"
	case u.Fragment != "":
		return nil, "its address has a fragment"
	}
	if _, err := ref.ParseHost(u.Host); err != nil {
		return nil, "its host is not one"
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, "its address has a malformed query"
	}
	for _, name := range []string{"service", "scope", "account", "client_id", "offline_token"} {
		if query.Has(name) {
			return nil, "its address asks for something itself"
		}
	}
	return u, ""
}

// realm is where tokens are asked for, as the registry writes it in text. Who is
// nobody may ask any token service over https: nothing goes there that says who
// asks, and the transport below, which was told of no such host, holds that and
// verifies it. What comes back is sent to the registry alone.
func (t *Transport) realm(text string) (*url.URL, error) {
	u, err := t.policy.realmOf(t.base, text)
	foreign, ok := errors.AsType[*RealmError](err)
	if !ok || foreign.Origin == "" || !t.credentials.IsZero() {
		return u, err
	}
	if u, _ = parseRealm(text); u.Scheme != schemeHTTPS { // it has been parsed before
		return nil, err
	}
	return u, nil
}

// refusedRealm is err, with which asking the realm failed, as one about the
// realm if it is. To agree helps where the realm itself was refused a password,
// and not where it redirects.
func (t *Transport) refusedRealm(realm *url.URL, text string, err error) error {
	policy, ok := errors.AsType[*wire.PolicyError](err)
	if !ok {
		return err
	}
	e := &RealmError{Host: t.base.Host, Realm: text, Why: policy.Why, Err: err}
	switch {
	case policy.Redirected:
		e.Why = "it redirects to " + quote(policy.URL) + ", where no token is asked for"
	case !t.credentials.IsZero():
		e.Origin = wire.OriginOf(realm)
	}
	return e
}

// realmOf judges the realm that the registry at base names. What is sent for a
// token goes to the URL it returns. Whether a password may go over plain HTTP
// is asked apart from this: the realm of a registry in clear is in clear.
func (p Policy) realmOf(base *url.URL, text string) (*url.URL, error) {
	fail := func(why string) (*url.URL, error) {
		return nil, &RealmError{Host: base.Host, Realm: text, Why: why}
	}
	u, why := parseRealm(text)
	if why != "" {
		return fail(why)
	}
	if u.Scheme == schemeHTTP && base.Scheme != schemeHTTP {
		return fail("it would be asked over plain http, and the registry itself is not")
	}
	origin := wire.OriginOf(u)
	switch {
	case SameHost(u.Hostname(), base.Hostname()):
		return u, nil
	case origin == hubRealm && wire.OriginOf(base) == hubEndpoint:
		return u, nil
	}
	if agreed, why := originOfRealm(p.Realm); p.Realm != "" && why == "" && agreed == origin {
		return u, nil
	}
	return nil, &RealmError{
		Host: base.Host, Realm: text, Origin: origin, Why: "it is on another host, which nobody agreed to",
	}
}

// SameHost says whether two names, without brackets or ports, are one.
func SameHost(a, b string) bool {
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	if errX == nil && errY == nil {
		return x == y
	}
	return strings.EqualFold(a, b)
}

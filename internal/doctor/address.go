package doctor

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/vicr-cli/vicr/internal/wire"
)

// address says how what was typed is understood.
func (d *doctor) address(context.Context, facts) outcome {
	t := d.target
	h := t.Host
	seen := "port " + strconv.Itoa(h.Port())
	if !h.HasPort() {
		seen += ", which https means"
	}
	name := h.String()
	if typed, _, _ := strings.Cut(t.Typed, "/"); typed != "" && typed != name {
		seen = "typed as " + strconv.Quote(typed) + ": hosts are lower case; " + seen
	}
	if t.Path != "" {
		name += "/" + t.Path
	}
	if !docker(h.String()) {
		return warn("%s, %s; docker takes a name without a dot and without a port for a part of Docker Hub's", name, seen).
			try("vicr doctor " + h.String() + ":" + strconv.Itoa(h.Port()))
	}
	return ok("%s, %s", name, seen)
}

// docker says whether docker takes h at the beginning of an image's name for a
// host (distribution/reference).
func docker(h string) bool { return strings.ContainsAny(h, ".:") || h == "localhost" }

func (d *doctor) dns(ctx context.Context, f facts) outcome {
	h := d.target.Host.Endpoint()
	switch {
	case f.proxy != nil:
		return skip("the proxy looks names up")
	case h.IsIP():
		addr, _ := netip.ParseAddr(h.Name()) // IsIP has read it
		return skip("%s is an address itself", h.Name()).with(func(f *facts) { f.addresses = []netip.Addr{addr} })
	}
	addrs, err := d.o.Resolver.LookupNetIP(ctx, "ip", h.Name())
	if err != nil {
		return d.dnsFault(h.Name(), err, f)
	}
	texts := make([]string, len(addrs))
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
		texts[i] = addrs[i].String()
	}
	if len(addrs) == 0 {
		return fail("%s has no address", h.Name()).try(d.lookUp(h.Name()))
	}
	return ok("%s is %s", h.Name(), few(texts, 4)).with(func(f *facts) { f.addresses = addrs })
}

func (d *doctor) dnsFault(name string, err error, f facts) outcome {
	var dns *net.DNSError
	by := ""
	if errors.As(err, &dns) && dns.Server != "" {
		by = ", says " + dns.Server
	}
	if dns != nil && dns.IsNotFound {
		return fail("there is no host named %s%s", name, by).
			try("check the spelling; ask the administrator of the registry for its address", d.lookUp(name))
	}
	if why := why(err, f.limit); !strings.Contains(why, "no name server") {
		by = by + " (" + why + ")"
	}
	o := fail("%s cannot be looked up: no name server answers%s", name, by)
	if d.o.Machine.GOOS != "windows" {
		o = o.try("cat /etc/resolv.conf")
	}
	return o.try(d.lookUp(name))
}

// proxy says which proxy connections to the host take. What logs in at the
// proxy is never shown.
func (d *doctor) proxy(context.Context, facts) outcome {
	u := &url.URL{Scheme: "https", Host: d.target.Host.Endpoint().String(), Path: "/v2/"}
	proxy, err := d.o.Wire.Proxy(&http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}})
	set := d.o.env("HTTPS_PROXY", "https_proxy") != ""
	daemon := ""
	if d.o.Machine.Docker.Found || len(d.o.Machine.Docker.Variants) > 0 {
		daemon = "; the docker daemon has settings of its own"
	}
	switch {
	case err != nil:
		return fail("HTTPS_PROXY is not the address of a proxy").try("unset HTTPS_PROXY, or set it as in HTTPS_PROXY=http://proxy.example.com:3128")
	case proxy == nil && set:
		return ok("none for this host: NO_PROXY, or the host is this machine")
	case proxy == nil:
		return ok("none: HTTPS_PROXY is not set%s", daemon)
	}
	login := ""
	if proxy.User != nil {
		login = ", with a login that is not shown"
	}
	return ok("%s by HTTPS_PROXY%s%s", wire.Redact(proxy), login, daemon).with(func(f *facts) { f.proxy = proxy })
}

// tcp connects, to the proxy if there is one.
func (d *doctor) tcp(ctx context.Context, f facts) outcome {
	h := d.target.Host.Endpoint()
	address, port := net.JoinHostPort(h.Name(), strconv.Itoa(h.Port())), strconv.Itoa(h.Port())
	who := h.String()
	if f.proxy != nil {
		address = proxyAddress(f.proxy)
		who = "the proxy " + address
	}
	conn, err := d.o.Dial(ctx, "tcp", address)
	if err == nil {
		at := conn.RemoteAddr().String()
		_ = conn.Close() // nothing was sent
		if f.proxy != nil {
			return ok("%s takes connections; whether it lets them through is seen next", who)
		}
		return ok("connected to %s", at)
	}
	o := fail("%s: %s", who, why(err, f.limit))
	switch {
	case f.proxy != nil:
		return o.try("check HTTPS_PROXY", "NO_PROXY="+h.Name()+" vicr doctor "+word(d.target.Host.String())+"   # without the proxy")
	case strings.Contains(o.Seen, "nothing listens"):
		return o.try("check the port: "+port+" was tried; registries also listen at 5000, 8443 or 4443, and say so in their documentation",
			d.onPort())
	}
	return o.try("a firewall, a VPN that is not up, or a registry that is down: ask its administrator", d.trace(h.Name()))
}

func proxyAddress(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

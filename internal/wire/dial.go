package wire

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
)

// An addressClass is what kind of machine an address leads to.
type addressClass int32

const (
	unknownAddress  addressClass = iota
	ordinaryAddress              // the internet, or a private network
	loopbackAddress              // this machine
	linkAddress                  // this link: hosts without a router
	metadataAddress              // services of a cloud that hand out secrets to whoever can reach them
	uselessAddress               // no host: unspecified, multicast
)

func (c addressClass) String() string {
	switch c {
	case loopbackAddress:
		return "a loopback address"
	case linkAddress:
		return "a link-local address"
	case metadataAddress:
		return "the address of a cloud metadata service"
	case uselessAddress:
		return "not the address of a host"
	default:
		return "an ordinary address"
	}
}

// Metadata services: AWS, Azure, Google Cloud, OpenStack (169.254.169.254 and
// AWS's fd00:ec2::254, ECS 169.254.170.2), Azure's 168.63.129.16, Oracle's
// 192.0.0.192, Alibaba's 100.100.100.200; from their manuals.
var metadata = map[netip.Addr]bool{
	netip.MustParseAddr("169.254.169.254"): true,
	netip.MustParseAddr("169.254.170.2"):   true,
	netip.MustParseAddr("fd00:ec2::254"):   true,
	netip.MustParseAddr("168.63.129.16"):   true,
	netip.MustParseAddr("192.0.0.192"):     true,
	netip.MustParseAddr("100.100.100.200"): true,
}

// nat64 is the prefix under which IPv4 addresses stand in IPv6 ones (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func classOf(a netip.Addr) addressClass {
	a = a.Unmap().WithZone("")
	if nat64.Contains(a) {
		bytes := a.As16()
		a = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	switch {
	case metadata[a]:
		return metadataAddress
	case a.IsLoopback():
		return loopbackAddress
	case a.IsLinkLocalUnicast():
		return linkAddress
	case a.IsUnspecified(), a.IsMulticast(), !a.IsValid():
		return uselessAddress
	}
	return ordinaryAddress
}

// literalClass is the class of a host as written; a name other than localhost
// (RFC 6761 section 6.3) has none before it is resolved.
func literalClass(host string) addressClass {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if a, err := netip.ParseAddr(host); err == nil {
		return classOf(a)
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return loopbackAddress
	}
	return unknownAddress
}

// originClass is where the registry itself is.
func (t *Transport) originClass() addressClass {
	if c := addressClass(t.class.Load()); c != unknownAddress {
		return c
	}
	return literalClass(t.base.Hostname())
}

// whyNotAddress says why a host that is not the registry may not be at an
// address of this class, or "". A registry that is on this machine may have
// its storage there; one that is elsewhere has no business to send us there.
func (t *Transport) whyNotAddress(c addressClass) string {
	if c == unknownAddress || c == ordinaryAddress || c == t.originClass() {
		return ""
	}
	return "it is " + c.String()
}

// A controlFunc sees an address after resolution and before it is connected to.
type controlFunc func(ctx context.Context, network, address string, c syscall.RawConn) error

type dialFunc func(ctx context.Context, network, address string, control controlFunc) (net.Conn, error)

func dialTCP(ctx context.Context, network, address string, control controlFunc) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive, ControlContext: control}
	return d.DialContext(ctx, network, address)
}

// dialContext connects to a proxy or a host. The address of a host that is
// neither the registry nor an agreed token service is judged once more after
// it was resolved: names may lead anywhere.
func (t *Transport) dialContext(ctx context.Context, network, address string) (net.Conn, error) {
	h := hopOf(ctx)
	direct := h != nil && h.proxy == nil
	var control controlFunc
	if direct && h.site == elsewhere {
		control = func(_ context.Context, _, address string, _ syscall.RawConn) error {
			return t.checkAddress(h, address)
		}
	}
	c, err := t.dial(ctx, network, address, control)
	if err != nil {
		return nil, err
	}
	if direct && h.site == origin {
		if a, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
			t.class.Store(int32(classOf(a.Addr())))
		}
	}
	keepUnsent(c, maxUnsent)
	return &conn{Conn: c, silence: t.config.Silence, buffers: &t.buffers}, nil
}

func (t *Transport) checkAddress(h *hop, address string) error {
	a, err := netip.ParseAddrPort(address)
	why := "its address cannot be read"
	if err == nil {
		why = t.whyNotAddress(classOf(a.Addr()))
	}
	if why == "" {
		return nil
	}
	return h.refuse(h.req.URL, why)
}

// setProxy asks once which proxy h goes through.
func (t *Transport) setProxy(h *hop) error {
	if t.config.Proxy == nil {
		return nil
	}
	proxy, err := t.config.Proxy(h.req)
	if err != nil {
		return h.fail(ProxyRefused, err)
	}
	if proxy != nil && proxy.Scheme == schemeHTTPS && (t.pinned || t.config.InsecureSkipVerify) {
		// The one TLS configuration would leave the proxy unverified too, and
		// it is shown a password.
		return h.fail(ProxyRefused, errProxyTLS)
	}
	if proxy != nil && proxy.Scheme == schemeHTTPS && t.config.ClientCert != nil && t.own(h) {
		return h.fail(ProxyRefused, errProxyCert) // for the same reason it would be shown to the proxy
	}
	h.proxy = proxy
	return nil
}

var errProxyCert = errors.New("a proxy that is itself reached over https cannot be used together with a client certificate")

var errProxyTLS = errors.New("a proxy that is itself reached over https cannot be used without verifying the registry")

func proxyOfHop(req *http.Request) (*url.URL, error) {
	if h := hopOf(req.Context()); h != nil {
		return h.proxy, nil
	}
	return nil, nil //nolint:nilnil // no proxy, and nothing wrong
}

// onProxyConnect sees the proxy's answer to CONNECT.
func onProxyConnect(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return &ProxyError{Proxy: proxy.Host, Status: resp.StatusCode}
}

// Package wire is the one HTTP transport: every connection to a registry, its
// token service and its storage is opened here. It is handed the roots, the
// origin and the proxy, reads no environment, and decides what may be spoken
// to: the scheme, where credentials go, redirects, limits, timeouts, retries.
package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vicr-cli/vicr/internal/ref"
)

// The limits of every request.
const (
	// MaxToken is how large the answer of a token service may be, in bytes.
	MaxToken = 64 << 10
	// MaxError is how much of an error answer is read, in bytes.
	MaxError = 64 << 10
	// MaxRedirects is how many redirects one request may go through.
	MaxRedirects = 5
	// MaxTries is how often one request is sent, over all its redirects
	// together, when it fails in a way that may pass.
	MaxTries = 5
	// MaxRetryAfter is the longest wait a server may ask for.
	MaxRetryAfter = 120 * time.Second
	// MaxLocation is how long a Location may be, in bytes: what RFC 9110
	// section 4.1 asks everyone to take.
	MaxLocation = 8000
	// DefaultSilence is how long the other side may be silent.
	DefaultSilence = 30 * time.Second

	dialTimeout      = 10 * time.Second
	handshakeTimeout = 10 * time.Second
	keepAlive        = 15 * time.Second
	idleConnTimeout  = 30 * time.Second // below the 60 s and more of usual front ends, so that they do not close first
	maxIdleConns     = 64
	maxIdlePerHost   = 32
	maxHeaderBytes   = 64 << 10
	bufferBytes      = 64 << 10
	sendBytes        = 256 << 10 // what is read and sent at a time of a large body
	httpPort         = "80"
	httpsPort        = "443"
	schemeHTTP       = "http"
	schemeHTTPS      = "https"
)

// A Config says which registry a transport speaks to and how. Only Host is needed.
type Config struct {
	Host  ref.Host       // the origin: its Endpoint is dialled
	Roots *x509.CertPool // for the origin, its realms and what it redirects to; nil: the system's
	// AllRoots are Roots and others that count as well. It is called at most once,
	// and only if Roots do not verify what the origin shows, or for another host,
	// which they are not made for. Nil: there are no others.
	AllRoots func() (*x509.CertPool, error)

	PlainHTTP          bool // speak http to the origin; only because the user said so
	InsecureSkipVerify bool // do not verify the certificate of the origin's host name; only because the user said so

	// ClientCert is shown to the registry, and to token services of Realms under
	// the same host name, when they ask for one; to nobody else. Nil: none.
	ClientCert *tls.Certificate

	// Realms are origins (scheme://host:port) beside the registry's own that
	// credentials may go to: token services that the user agreed to. That of
	// Docker Hub is known.
	Realms []string
	// AllowCredentials lets a [Pinned] transport send credentials.
	AllowCredentials bool

	UserAgent string                                // "": UserAgent("")
	Proxy     func(*http.Request) (*url.URL, error) // nil: none
	Silence   time.Duration                         // longest silence of the other side; 0: DefaultSilence

	Sleep func(context.Context, time.Duration) error // nil: real; returns early with an error when ctx ends
	Now   func() time.Time                           // nil: real; for dates in Retry-After
	Trace func(Exchange)                             // nil: none; called from several goroutines
	// Waiting hears of waits that somebody could wonder about, before they
	// begin. Nil: nobody; called from several goroutines.
	Waiting func(Wait)
}

// A Wait is a pause before a request is sent again.
type Wait struct {
	Host   string // host:port
	Status int    // of the answer that led to it
	For    time.Duration
}

// An Exchange is one request that was sent and what came back.
type Exchange struct {
	Method   string
	URL      string // redacted
	Status   int    // 0: no answer
	Duration time.Duration
	Err      error // nil when there was an answer
}

// A Transport is an [http.RoundTripper] for one registry. It is safe for use
// by several goroutines.
type Transport struct {
	config  Config
	base    *url.URL
	realms  map[string]bool // origins
	pinned  bool
	lanes   *lanes // verified by config.Roots first
	wide    atomic.Pointer[lanes]
	dial    dialFunc
	class   atomic.Int32 // addressClass of the origin, once it was dialled
	aliases map[string]bool
	asking  asking
	buffers sync.Pool // of *[]byte, for what is sent

	allRoots func() (*x509.CertPool, error) // nil: config.Roots are all
}

// New returns a transport for the registry c.Host.
func New(c Config) *Transport { return newTransport(c, nil) }

// Pinned returns a transport that accepts this very leaf certificate, compared
// byte by byte, and no other, and speaks to no other origin: for the moment
// before trust. It refuses to send credentials unless c.AllowCredentials says
// so, and is never plain HTTP.
func Pinned(c Config, leaf *x509.Certificate) *Transport {
	c.PlainHTTP, c.InsecureSkipVerify, c.AllRoots = false, false, nil
	return newTransport(c, leaf)
}

// UserAgent is what vicr calls itself. It begins with "docker" since Harbor up
// to 1.6 records only pushes of such clients (its filterEvents).
func UserAgent(version string) string {
	if version == "" {
		version = "dev"
	}
	return "docker-vicr/" + version + " (" + runtime.GOOS + "/" + runtime.GOARCH + ")"
}

// Base is the root of the registry's API, as https://host or https://host:port
// without the port that the scheme means anyway.
func (t *Transport) Base() *url.URL { u := *t.base; return &u }

// Origin is the registry's origin in the form of [OriginOf].
func (t *Transport) Origin() string { return OriginOf(t.base) }

// CloseIdleConnections closes the connections that no request uses.
func (t *Transport) CloseIdleConnections() {
	t.lanes.closeIdle()
	if wide := t.wide.Load(); wide != nil {
		wide.closeIdle()
	}
}

func newTransport(c Config, leaf *x509.Certificate) *Transport {
	if c.Silence <= 0 {
		c.Silence = DefaultSilence
	}
	if c.Sleep == nil {
		c.Sleep = Sleep
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.UserAgent == "" {
		c.UserAgent = UserAgent("")
	}
	if c.Trace == nil {
		c.Trace = func(Exchange) {}
	}
	if c.Waiting == nil {
		c.Waiting = func(Wait) {}
	}
	t := &Transport{config: c, base: baseOf(c), pinned: leaf != nil, dial: dialTCP}
	t.realms = realmsOf(c)
	t.aliases = aliasesOf(c.Host)
	if c.AllRoots != nil {
		t.allRoots = sync.OnceValues(c.AllRoots)
	}
	t.lanes = t.newLanes(c.Roots, t.verifier(leaf))
	return t
}

func (t *Transport) transport(c *tls.Config) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true) // blobs over one HTTP/2 connection take 1.6 times as long
	return &http.Transport{
		Proxy:                  proxyOfHop,
		OnProxyConnectResponse: onProxyConnect,
		DialContext:            t.dialContext,
		TLSClientConfig:        c,
		Protocols:              &protocols,
		DisableCompression:     true, // the bytes as they are stored: digests are over them
		TLSHandshakeTimeout:    min(handshakeTimeout, t.config.Silence),
		IdleConnTimeout:        idleConnTimeout,
		MaxIdleConns:           maxIdleConns,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ReadBufferSize:         bufferBytes,
		WriteBufferSize:        bufferBytes,
	}
}

// baseOf is the root of the API: the endpoint, https unless the user said otherwise.
func baseOf(c Config) *url.URL {
	h := c.Host.Endpoint()
	scheme, port := schemeHTTPS, httpsPort
	if c.PlainHTTP {
		scheme, port = schemeHTTP, httpPort
	}
	u := &url.URL{Scheme: scheme, Host: h.String(), Path: ""}
	if p := strconv.Itoa(h.Port()); h.HasPort() && p == port {
		u.Host = bracketed(h.Name())
	}
	return u
}

func bracketed(name string) string {
	if ip := net.ParseIP(name); ip != nil && ip.To4() == nil {
		return "[" + name + "]"
	}
	return name
}

// Package sandbox is a throw-away registry in this process that answers as
// Harbor 2.16 does, or an older Harbor, or a plain registry: TLS from a CA of
// its own, logins, projects and their policies, the CA for download, listings,
// and an image to try. What it keeps is gone when it is closed.
//
// What it says is held against the recorded answers of real servers by a test,
// so that it cannot drift; where nothing was recorded, as for the refusals of
// policies and most of 1.10, the source of that release was read.
package sandbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	defaultAddr   = "127.0.0.1:0"
	headerTimeout = 10 * time.Second // for a request's header
	idleTimeout   = 60 * time.Second // between two requests of one connection
)

// A Sandbox is a running registry. [Sandbox.Close] ends it.
type Sandbox struct {
	host   string
	ca     *x509.Certificate
	users  []User
	site   *site
	server *http.Server
	done   chan struct{} // closed when the listener's goroutine has ended

	inFlight sync.RWMutex // held for reading by each request
	closed   bool         // guarded by inFlight
}

// Start begins to serve. Ctx bounds the start alone. The error is a
// [*LikeError], that of the listener, or of making keys, certificates and the image.
func Start(ctx context.Context, o Options) (*Sandbox, error) {
	if o.Addr == "" {
		o.Addr = defaultAddr
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Sandbox{users: o.allUsers(), done: make(chan struct{})}
	made, err := openFolder(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	if s.site, err = newSite(o, s.users); err != nil {
		return nil, errors.Join(fmt.Errorf("sandbox: %w", err), removeFolders(made))
	}
	s.site.folders = made
	listener, err := s.listen(ctx, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sandbox: %w", err), s.site.close())
	}
	s.server = &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          log.New(io.Discard, "", 0), // a refused handshake is what a sandbox is for
	}
	go func() {
		defer close(s.done)
		_ = s.server.Serve(listener) // always an error: the one that says it was closed
	}()
	return s, nil
}

// listen opens the listener and makes the certificates for its names.
func (s *Sandbox) listen(ctx context.Context, o Options) (net.Listener, error) {
	name, _, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return nil, err
	}
	if ip, err := netip.ParseAddr(name); name == "" || err == nil && ip.IsUnspecified() {
		name = "127.0.0.1"
	}
	var conf *tls.Config
	if !o.PlainHTTP {
		a, err := newAuthority(o.Now(), name)
		if err != nil {
			return nil, err
		}
		s.ca = a.ca
		if !o.Policy.NoCA {
			s.site.caPEM = a.pem()
		}
		if s.site.gen.chain {
			a.leaf.Certificate = append(a.leaf.Certificate, a.ca.Raw)
		}
		// Harbor's nginx speaks HTTP/1.1 alone.
		conf = &tls.Config{
			MinVersion:   tls.VersionTLS12,
			NextProtos:   []string{"http/1.1"},
			Certificates: []tls.Certificate{a.leaf},
			Time:         o.Now,
		}
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Addr)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	s.host = net.JoinHostPort(name, port)
	s.site.public = s.host
	if conf != nil {
		listener = tls.NewListener(listener, conf)
	}
	return listener, nil
}

// Handler is what the sandbox serves, for a server that puts something of its
// own in front. Close waits for its requests too, and then it aborts every one.
func (s *Sandbox) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.inFlight.RLock()
		defer s.inFlight.RUnlock()
		if s.closed {
			panic(http.ErrAbortHandler)
		}
		s.site.ServeHTTP(w, r)
	})
}

// Host is the registry's address, HOST:PORT, as an image reference begins.
func (s *Sandbox) Host() string { return s.host }

// CA is the certificate that everything here is signed with; nil over plain HTTP.
func (s *Sandbox) CA() *x509.Certificate { return s.ca }

// OffersCA says whether a client gets the CA from here without a password: for
// download, or behind the certificate in the chain.
func (s *Sandbox) OffersCA() bool {
	g := s.site.gen
	return s.ca != nil && (g.chain || s.site.caPEM != nil && (g.v1 == nil || !g.v1.adminCA))
}

// Users lists who may log in: admin, who may do everything, dev, who may push to
// project demo and pull from library, and those of the options.
func (s *Sandbox) Users() []User { return slices.Clone(s.users) }

// Close cuts all connections, waits for their handlers and drops all bytes.
// It may be called more than once.
func (s *Sandbox) Close() error {
	err := s.server.Close()
	<-s.done
	s.inFlight.Lock()
	defer s.inFlight.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return errors.Join(err, s.site.close())
}

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/moby/moby/client"
)

const (
	maxDocument = 32 << 20 // bytes of an answer that is no stream: of thousands of images it has a few MiB
	maxIdle     = 6        // connections, and how long, as the client library has them
	idleLimit   = 30 * time.Second
	dialLimit   = 10 * time.Second
)

// A transport is the way to an engine. It bounds what an answer may take in memory,
// and says in plain words why there is none.
type transport struct{ base *http.Transport }

// newTransport returns the transport to host, which dialer gives the connections of
// where it is a socket or a pipe of this machine.
func newTransport(host string, o Options, dialer func(context.Context) (net.Conn, error)) *transport {
	base := &http.Transport{MaxIdleConns: maxIdle, IdleConnTimeout: idleLimit}
	if strings.HasPrefix(host, "tcp://") {
		base.TLSClientConfig, base.Proxy = o.TLS, http.ProxyFromEnvironment
		base.DialContext = (&net.Dialer{Timeout: dialLimit}).DialContext
		return &transport{base}
	}
	base.DisableCompression = true
	base.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer(ctx) }
	return &transport{base}
}

// newClient returns the client of host's API, and what ends its idle connections.
func newClient(host string, o Options) (*client.Client, func(), error) {
	own, err := client.New(client.WithHost(host)) // for its dialer: of a pipe only it knows how
	if err != nil {
		return nil, nil, err
	}
	t := newTransport(host, o, own.Dialer())
	opts := []client.Opt{
		client.WithHost(host),
		client.WithHTTPClient(&http.Client{Transport: t, CheckRedirect: client.CheckRedirect}),
	}
	if t.base.TLSClientConfig != nil {
		opts = append(opts, client.WithScheme("https"))
	}
	api, err := client.New(opts...)
	return api, t.base.CloseIdleConnections, err
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(r)
	switch {
	case err != nil && r.Context().Err() == nil:
		return nil, unreached(err)
	case err != nil:
		return nil, err
	case !streams(r):
		resp.Body = &bounded{ReadCloser: resp.Body, left: maxDocument}
	}
	return resp, nil
}

// streams says whether what answers r is read as it comes: each message of it is
// bounded where it is read.
func streams(r *http.Request) bool {
	parts := strings.Split(r.URL.Path, "/")
	last := parts[len(parts)-1]
	switch r.Method {
	case http.MethodGet:
		return last == "get"
	case http.MethodPost:
		return last == "load" || last == "create" || last == "push"
	}
	return false
}

// A bounded body fails where it is longer than any that makes sense.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errAnswer
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// An unreachedError says in plain words why there was no answer at all.
type unreachedError struct {
	why string
	err error
}

func (e *unreachedError) Error() string { return e.why }

func (e *unreachedError) Unwrap() error { return e.err }

// unreached gives what is known to go wrong with a connection plain words.
func unreached(err error) error {
	op, dialed := errors.AsType[*net.OpError](err)
	dialed = dialed && op.Op == "dial"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &unreachedError{"there is no such socket", err}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &unreachedError{"nobody answers there", err}
	case brokenOff(err):
		return &unreachedError{offWords, err}
	case errors.Is(err, fs.ErrPermission):
		return err
	}
	if name, ok := errors.AsType[*net.DNSError](err); ok {
		return &unreachedError{why: "its name cannot be resolved: " + name.Err}
	}
	if dialed {
		return &unreachedError{"no connection to it: " + cause(op.Err).Error(), err}
	}
	return err
}

// cause is the innermost error, without the names of system calls.
func cause(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err
}

const (
	offWords        = "it broke off the connection"
	unreadableWords = "its answer cannot be read"
)

// brokenOff says whether an answer, or a request, was cut.
func brokenOff(err error) bool {
	for _, one := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}

// unreadableAnswer says why an answer is of no use; "" if err is not about that.
func unreadableAnswer(err error) (why string) {
	if errors.Is(err, errAnswer) {
		return errAnswer.Error()
	}
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, shape := errors.AsType[*json.UnmarshalTypeError](err)
	if syntax || shape {
		return unreadableWords
	}
	return ""
}

// unconnected says in plain words what [client.IsErrConnectionFailed] is.
func unconnected(err error) string {
	if known, ok := errors.AsType[*unreachedError](err); ok {
		return known.why
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op != "dial" {
		return offWords
	}
	return plain(err)
}

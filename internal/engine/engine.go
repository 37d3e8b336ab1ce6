// Package engine moves images into and out of a Docker-compatible engine,
// names them there, and asks it whether it trusts a registry. It speaks the
// Engine API from 1.40 on (Docker 19.03), which Podman's socket serves too.
package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/transfer"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const (
	// DefaultHost is where an engine is looked for when nothing else is configured.
	DefaultHost = client.DefaultDockerHost

	// Silence is how long an engine may leave a ping unanswered if nobody says more.
	Silence = 2 * time.Second
	// watchEvery is how often an engine is pinged while it works on a long call.
	// It is busy then and may take twice as long to answer.
	watchEvery = 15 * time.Second
)

// Options say how an engine is reached.
type Options struct {
	Configured bool          // somebody named this host: its absence is an error, not an absence
	Scratch    string        // folder for the layers of images that are read; made when it is needed
	TLS        *tls.Config   // for tcp hosts; nil: in clear
	Silence    time.Duration // longest wait for a ping; 0: 2 s
	Watch      time.Duration // pause between two pings during long calls; 0: 15 s

	// What is remembered of the layers and images that went through here; nil: nothing.
	Layers    *memo.Layers
	Manifests *memo.Manifests
}

// An Engine is a connection to one Docker-compatible engine. Its methods may
// be called at the same time.
type Engine struct {
	host string
	api  *client.Client
	o    Options

	closeIdle func() // connections

	found found // by [Engine.Find]
}

// Open prepares the connection to host, a DOCKER_HOST value; "" is
// [DefaultHost]. It takes unix:// and tcp:// everywhere and npipe:// on
// Windows. Nothing is sent yet. Errors are [*UnavailableError].
func Open(host string, o Options) (*Engine, error) {
	if host == "" {
		host = DefaultHost
	}
	if o.Silence <= 0 {
		o.Silence = Silence
	}
	if o.Watch <= 0 {
		o.Watch = watchEvery
	}
	e := &Engine{host: host, o: o}
	if why := refused(host); why != "" {
		return nil, e.unavailable(why, nil)
	}
	api, closeIdle, err := newClient(host, o)
	if err != nil {
		return nil, e.unavailable(err.Error(), err)
	}
	e.api, e.closeIdle = api, closeIdle
	return e, nil
}

// withoutUser is an address as it may be shown: a password may stand before the host.
func withoutUser(host string) string {
	if at := strings.LastIndexByte(host, '@'); at >= 0 && strings.HasPrefix(host, "tcp://") {
		return "..." + host[at:]
	}
	return host
}

// refused says why a host is none that can be reached, "" if it can.
func refused(host string) (why string) {
	scheme, rest, ok := strings.Cut(host, "://")
	switch {
	case !ok || rest == "":
		return "not a DOCKER_HOST value such as unix:///var/run/docker.sock or tcp://192.0.2.1:2376"
	case scheme == "ssh":
		return "engines behind ssh are not supported; forward the socket with ssh -L and set DOCKER_HOST to it"
	case scheme == "tcp" && strings.Contains(rest, "@"):
		return "its address has a user name in it"
	case scheme == "npipe" && !strings.HasPrefix(DefaultHost, "npipe://"):
		return "named pipes exist on Windows only"
	case scheme != "unix" && scheme != "tcp" && scheme != "npipe":
		return fmt.Sprintf("%s:// is not supported; unix:// and tcp:// are", scheme)
	}
	return ""
}

// Close ends idle connections.
func (e *Engine) Close() error {
	e.closeIdle()
	return nil
}

// Host is the address that the engine was opened with.
func (e *Engine) Host() string { return e.host }

// A Pong is what an engine says of itself when it is pinged.
type Pong struct {
	APIVersion string // highest that it serves, such as "1.41"
	OS         string // of the containers: "linux", "windows"
}

// Ping asks whether the engine is there, and settles the version of the API.
// It takes as long as [Options] say at most. The error is [ErrNoEngine] when there is no such
// socket and nobody configured it, else [*UnavailableError].
func (e *Engine) Ping(ctx context.Context) (Pong, error) {
	return e.ping(ctx, e.o.Silence)
}

func (e *Engine) ping(ctx context.Context, limit time.Duration) (Pong, error) {
	short, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	res, err := e.api.Ping(short, client.PingOptions{NegotiateAPIVersion: true})
	switch {
	case ctx.Err() != nil:
		return Pong{}, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded) || short.Err() != nil:
		return Pong{}, e.unavailable(fmt.Sprintf("silent for %s", limit), err)
	case errors.Is(err, fs.ErrNotExist) && !e.o.Configured:
		return Pong{}, ErrNoEngine
	case err != nil && e.forbidden(short):
		return Pong{}, e.unavailable("you may not use its socket", fs.ErrPermission)
	case err != nil:
		return Pong{}, e.unavailable(unconnected(err), err)
	case res.APIVersion == "":
		return Pong{}, e.unavailable("what answers there does not speak the Docker API", nil)
	}
	return Pong{APIVersion: res.APIVersion, OS: res.OSType}, nil
}

// forbidden says whether the socket is there and not for us: the client's error
// does not wrap that.
func (e *Engine) forbidden(ctx context.Context) bool {
	path, ok := strings.CutPrefix(e.host, "unix://")
	if !ok {
		return false
	}
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		_ = c.Close()
	}
	return errors.Is(err, fs.ErrPermission)
}

func (e *Engine) unavailable(why string, err error) *UnavailableError {
	return &UnavailableError{Host: withoutUser(e.host), Why: why, Err: err}
}

// failure gives an error of a call to the engine one of this package's types
// where it is about the connection. what says what was asked for.
func (e *Engine) failure(ctx context.Context, what string, err error) error {
	var away *UnavailableError
	cause := context.Cause(ctx)
	switch {
	case err == nil:
		return nil
	case errors.As(cause, &away):
		return away
	case cause != nil:
		return cause
	case brokenOff(err):
		return e.unavailable(offWords, err)
	case client.IsErrConnectionFailed(err):
		return e.unavailable(unconnected(err), err)
	case unreadableAnswer(err) != "":
		return e.unavailable(unreadableAnswer(err), err)
	case errdefs.IsNotFound(err):
		return fmt.Errorf("%s: %w", what, transfer.ErrNotFound)
	}
	return fmt.Errorf("%s: %w", what, &ResponseError{Message: plain(err), Err: err})
}

// plain drops what the client library puts before the engine's own words.
func plain(err error) string {
	return strings.TrimPrefix(err.Error(), "Error response from daemon: ")
}

// guard returns a context that ends, with an [*UnavailableError] as its cause,
// when the engine stops answering pings. Long calls have no limit of time of
// their own: a large image may keep a healthy engine silent for minutes. The
// caller calls stop.
func (e *Engine) guard(ctx context.Context) (guarded context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(e.o.Watch)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if _, err := e.ping(ctx, max(2*e.o.Watch, e.o.Silence)); err != nil {
				cancel(err)
				return
			}
		}
	}()
	return ctx, func() {
		cancel(context.Canceled)
		<-done
	}
}

// Platform is the one that the engine runs images for.
func (e *Engine) Platform(ctx context.Context) (v1.Platform, error) {
	ctx, stop := e.guard(ctx)
	defer stop()
	v, err := e.api.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return v1.Platform{}, e.failure(ctx, "version of the engine", err)
	}
	if v.Os == "" || v.Arch == "" {
		return v1.Platform{}, e.unavailable("it does not say what it runs on", nil)
	}
	return v1.Platform{OS: v.Os, Architecture: v.Arch}, nil
}

// keepsManifests says whether the engine keeps manifests and compressed layers
// as they came (the containerd image store), rather than unpacked layers alone.
func (e *Engine) keepsManifests(ctx context.Context) (bool, error) {
	ctx, stop := e.guard(ctx)
	defer stop()
	i, err := e.state(ctx)
	return containerdStore(i), err
}

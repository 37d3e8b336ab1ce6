package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
)

// infoLimit is how long an engine may take to describe itself: it counts its
// containers for that, and may be busy.
const infoLimit = 15 * time.Second

// Info is what an engine says of itself. Its words are foreign.
type Info struct {
	ServerVersion   string // such as "29.4.3"; may be no number at all
	OperatingSystem string // of the machine it runs on, such as "Docker Desktop"
	Driver          string // of its storage
	ContainerdStore bool   // it keeps images in the containerd store
	DataRoot        string
	// Insecure are the registries that it does not verify: hosts as they are
	// written in an image reference, and networks as CIDRs. Podman names none.
	Insecure    []string
	LiveRestore bool // its containers survive it
	Running     int  // containers
	Rootless    bool
	Podman      bool // Podman's socket
}

// state is what the engine says of itself, as it comes.
func (e *Engine) state(ctx context.Context) (system.Info, error) {
	res, err := e.api.Info(ctx, client.InfoOptions{})
	if err != nil && strings.HasPrefix(err.Error(), "Error reading remote info: ") && ctx.Err() == nil {
		return system.Info{}, e.unavailable(unreadableWords, err) // the client library drops why
	}
	return res.Info, e.failure(ctx, "state of the engine", err)
}

// Info asks the engine to describe itself. It takes 15 s at most. The error is
// [ErrNoEngine] when there is no such socket and nobody configured it, an
// [*UnavailableError], or wraps a [*ResponseError].
func (e *Engine) Info(ctx context.Context) (Info, error) {
	if _, err := e.Ping(ctx); err != nil {
		return Info{}, err
	}
	short, cancel := context.WithTimeoutCause(ctx, infoLimit, e.unavailable(fmt.Sprintf("silent for %s", infoLimit), nil))
	defer cancel()
	i, err := e.state(short)
	if err != nil {
		return Info{}, err
	}
	v, err := e.api.ServerVersion(short, client.ServerVersionOptions{})
	if err != nil {
		return Info{}, e.failure(short, "version of the engine", err)
	}
	return Info{
		ServerVersion:   i.ServerVersion,
		OperatingSystem: i.OperatingSystem,
		Driver:          i.Driver,
		ContainerdStore: containerdStore(i),
		DataRoot:        i.DockerRootDir,
		Insecure:        insecure(i.RegistryConfig),
		LiveRestore:     i.LiveRestoreEnabled,
		Running:         i.ContainersRunning,
		Rootless:        slices.ContainsFunc(i.SecurityOptions, isRootless),
		Podman:          isPodman(v.Components),
	}, nil
}

// Version is what GET /version says, such as "1.10.3". It is asked without
// settling a version of the API, since an engine may be too old for any that we
// speak. It takes 2 s at most. Errors are those of [Engine.Ping].
func (e *Engine) Version(ctx context.Context) (string, error) {
	const limit = 1 << 20 // bytes
	short, cancel := context.WithTimeoutCause(ctx, e.o.Silence, e.unavailable(fmt.Sprintf("silent for %s", e.o.Silence), nil))
	defer cancel()
	dial := e.api.Dialer()
	t := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}
	defer t.CloseIdleConnections()
	req, err := http.NewRequestWithContext(short, http.MethodGet, "http://docker/version", http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		if cause := context.Cause(short); cause != nil {
			return "", cause
		}
		return "", e.unavailable(err.Error(), err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	var v struct{ Version string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, limit)).Decode(&v); err != nil || v.Version == "" {
		return "", e.unavailable("what answers there does not speak the Docker API", err)
	}
	return v.Version, nil
}

// KnowsInsecureList says whether a Docker engine of this version takes
// insecure-registries in daemon.json: before 1.12 it does not start with a key
// that it does not know (moby/moby#37321). What is no number is taken for new.
func KnowsInsecureList(version string) bool {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	b, err := strconv.ParseUint(minor, 10, 31)
	return major != "1" || err != nil || b >= 12
}

// containerdStore says whether the engine keeps manifests and compressed
// layers as they came (moby daemon/containerd/service.go, LayerStoreStatus).
func containerdStore(i system.Info) bool {
	return slices.Contains(i.DriverStatus, [2]string{"driver-type", "io.containerd.snapshotter.v1"})
}

// isRootless knows the security option, which may have details after a comma.
func isRootless(option string) bool {
	name, _, _ := strings.Cut(option, ",")
	return name == "name=rootless" || name == "rootless"
}

func insecure(c *registry.ServiceConfig) []string {
	if c == nil {
		return nil
	}
	var list []string
	for host, index := range c.IndexConfigs {
		if index != nil && !index.Secure {
			list = append(list, host)
		}
	}
	for _, network := range c.InsecureRegistryCIDRs {
		list = append(list, network.String())
	}
	slices.Sort(list)
	return list
}

// oldestMajor is below the first Docker with versions by date, 17.03. Smaller
// numbers are those of other products: Podman, builds of moby's Go module.
const oldestMajor = 17

// OlderThan says whether a Docker engine's version is before major.minor, and
// whether that can be known: a version may be "dev", or a distribution's own word.
func OlderThan(version string, major, minor int) (older, known bool) {
	first, rest, ok := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	if end := strings.IndexFunc(second, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		second = second[:end]
	}
	a, errA := strconv.ParseUint(first, 10, 31)
	b, errB := strconv.ParseUint(second, 10, 31)
	if !ok || errA != nil || errB != nil || a < oldestMajor {
		return false, false
	}
	return int(a) < major || int(a) == major && int(b) < minor, true
}

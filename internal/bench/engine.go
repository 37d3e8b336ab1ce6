//go:build linux

package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
)

// An engine is a dockerd with a folder of its own, on a socket and on a TCP
// port: behind the port it is any engine, of which nothing is known. It is
// started when a row first needs it.
type engine struct {
	dir        string
	dockerd    string
	containerd string // program; "": dockerd brings one, and keeps layers itself
	host       string // DOCKER_HOST of the socket
	tcp        string // DOCKER_HOST of the port
	started    bool
	failed     error
	servers    []*server
}

func newEngine(dir, dockerd, containerd string) *engine {
	return &engine{
		dir: dir, dockerd: dockerd, containerd: containerd,
		host: "unix://" + filepath.Join(dir, "docker.sock"),
	}
}

func (e *engine) stop() {
	for i := range e.servers {
		e.servers[len(e.servers)-1-i].stop()
	}
}

// start starts the engine, once.
func (e *engine) start(ctx context.Context) error {
	if !e.started {
		e.started = true
		e.failed = e.launch(ctx)
	}
	return e.failed
}

func (e *engine) launch(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("an engine needs root")
	}
	if filepath.IsAbs(e.dockerd) && !isFile(e.dockerd) {
		return errors.New("no " + e.dockerd + ": `make e2e-tools` builds it")
	}
	if err := os.MkdirAll(e.dir, 0o755); err != nil {
		return err
	}
	config := filepath.Join(e.dir, "daemon.json")
	if err := os.WriteFile(config, []byte("{}"), 0o600); err != nil {
		return err
	}
	addr, err := freePort(ctx)
	if err != nil {
		return err
	}
	e.tcp = "tcp://" + addr
	argv := []string{
		e.dockerd, "--data-root", filepath.Join(e.dir, "data"), "--exec-root", filepath.Join(e.dir, "exec"),
		"--pidfile", filepath.Join(e.dir, "pid"), "-H", e.host, "-H", e.tcp,
		"--tls=false", "--iptables=false", "--ip6tables=false", "--bridge=none", "--config-file", config,
	}
	if e.containerd != "" {
		socket, err := e.launchContainerd(ctx)
		if err != nil {
			return err
		}
		argv = append(argv, "--containerd", socket)
	}
	s, err := launch(ctx, filepath.Join(e.dir, "log"), os.Environ(), argv...)
	if err != nil {
		return err
	}
	e.servers = append(e.servers, s)
	return await(e.dockerd, func() bool { return pings(ctx, addr) })
}

// launchContainerd starts a containerd and gives its socket.
func (e *engine) launchContainerd(ctx context.Context) (string, error) {
	config := filepath.Join(e.dir, "containerd.toml")
	if err := os.WriteFile(config, []byte("version = 3\n"), 0o600); err != nil {
		return "", err
	}
	socket := filepath.Join(e.dir, "containerd.sock")
	// It looks for its shim beside itself.
	env := append(os.Environ(), "PATH="+filepath.Dir(e.containerd)+":"+os.Getenv("PATH"))
	s, err := launch(ctx, filepath.Join(e.dir, "containerd.log"), env, e.containerd, "--config", config,
		"--root", filepath.Join(e.dir, "containerd"), "--state", filepath.Join(e.dir, "state"), "--address", socket)
	if err != nil {
		return "", err
	}
	e.servers = append(e.servers, s)
	return socket, await(e.containerd, func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
}

func pings(ctx context.Context, addr string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/_ping", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// forget makes an engine that keeps layers itself lose their digests, so that
// the next push is a first one. containerd's store loses them with the image.
func (e *engine) forget() error {
	return os.RemoveAll(filepath.Join(e.dir, "data/image/overlay2/distribution"))
}

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// engineEnv is what a tool is started with to use the engine at a host.
func (b *bench) engineEnv(tool, host string) []string {
	return b.env(tool, "DOCKER_HOST="+host)
}

// docker runs docker itself, outside the clock.
func (b *bench) docker(ctx context.Context, e *engine, args ...string) error {
	_, err := run(ctx, b.engineEnv("docker", e.host), append([]string{"docker"}, args...)...)
	return err
}

// clean empties the engine.
func (b *bench) clean(ctx context.Context, e *engine) error {
	cmd := exec.CommandContext(ctx, "sh", "-c", "docker images -qa | sort -u | xargs -r docker rmi -f")
	cmd.Env = b.engineEnv("docker", e.host)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("docker rmi: %w: %s", err, out)
	}
	return e.forget()
}

// toEngine brings an image of a registry into the engine at host.
func (b *bench) toEngine(ctx context.Context, tool, host string, s site, name string) (sample, error) {
	from := s.ref(name) + ":" + name
	env := b.engineEnv(tool, host)
	switch tool {
	case "vicr":
		return run(ctx, env, "vicr", "pull", "--to", "docker", "--plain-http", from)
	case "docker":
		return run(ctx, env, "docker", "pull", from)
	case "skopeo":
		return run(ctx, env, "skopeo", "copy", "--src-tls-verify=false", "--dest-daemon-host", host, "docker://"+from, "docker-daemon:"+from)
	case "crane+load":
		tar := filepath.Join(b.dir, "crane.tar")
		defer os.Remove(tar) //nolint:errcheck // of the benchmark's own folder
		pulled, err := run(ctx, b.env("crane"), "crane", "pull", "--insecure", from, tar)
		if err != nil {
			return pulled, err
		}
		loaded, err := run(ctx, env, "docker", "load", "-i", tar)
		return pulled.add(loaded), err
	}
	return sample{}, errors.New("no such tool: " + tool)
}

// fromEngine brings an image of the engine at host to a registry.
func (b *bench) fromEngine(ctx context.Context, tool, host, image string) (sample, error) {
	env := b.engineEnv(tool, host)
	switch tool {
	case "vicr":
		return run(ctx, env, "vicr", "push", "--from", "docker", "--plain-http", image)
	case "docker":
		return run(ctx, env, "docker", "push", image)
	case "skopeo":
		host = strings.Replace(host, "tcp://", "http://", 1) // else it wants TLS
		return run(ctx, env, "skopeo", "copy", "--dest-tls-verify=false", "--src-daemon-host", host, "docker-daemon:"+image, "docker://"+image)
	}
	return sample{}, errors.New("no such tool: " + tool)
}

func (b *bench) forgetAll(tool string) error {
	for _, name := range []string{tool, "docker"} {
		if err := b.forget(name); err != nil {
			return err
		}
	}
	return nil
}

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

// Of the engine's rows, those by its socket take the relay, and those by its
// port, behind which nothing is known of it, take load and save.
func (b *bench) engineRows() []row {
	memory := func() site { return b.site(b.memory) }
	capped := func() site { return site{addr: b.capped.addr()} }
	docker := func(limit float64) []goal { return []goal{{"docker", limit}} }
	bySocket := func() string { return b.engine.host } // the engine is started later
	byPort := func() string { return b.engine.tcp }
	rows := []row{
		b.enginePull("engine-pull", "engine pull cold: typical", "typical", memory, []string{"vicr", "docker", "skopeo", "crane+load"}, docker(1.05)),
		b.enginePull("engine-pull-capped", "engine pull cold, 200 Mbit/s per connection, 20 ms RTT: typical", "typical", capped, []string{"vicr", "docker"}, docker(0.6)),
		b.engineOneLayer(),
		b.engineAgain(),
		b.pushFirst("engine-push", "engine push cold", bySocket, []string{"vicr", "docker"}, docker(firstPush)),
		b.pushTwice("engine-push-again", "engine push again", bySocket, []string{"vicr", "docker"}, docker(1)),
		b.enginePushNew("engine-push-new", "engine push to a new repository, on a pulled base", onPulledBase, pulledBy("docker")),
		b.pushFirst("save-push", "engine push by save", byPort, []string{"vicr", "skopeo"}, []goal{{"skopeo", 0.75}}),
		b.pushTwice("save-push-again", "engine push by save again", byPort, []string{"vicr", "skopeo"}, []goal{{"skopeo", 0.1}}),
		b.loadOneLayer(),
	}
	for _, h := range histories() {
		rows = append(rows, b.enginePushNew("engine-history-"+h.name, "engine push to a new repository, image "+h.title, h.limit, h.make))
	}
	for i := range rows {
		rows[i].engine = true
	}
	return rows
}

// engineEnv is what a tool is started with to use the engine at a host.
func (b *bench) engineEnv(tool, host string) []string {
	return b.env(tool, "DOCKER_HOST="+host)
}

// docker runs docker itself, outside the clock.
func (b *bench) docker(ctx context.Context, args ...string) error {
	_, err := run(ctx, b.engineEnv("docker", b.engine.host), append([]string{"docker"}, args...)...)
	return err
}

// clean empties the engine.
func (b *bench) clean(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "sh", "-c", "docker images -qa | sort -u | xargs -r docker rmi -f")
	cmd.Env = b.engineEnv("docker", b.engine.host)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("docker rmi: %w: %s", err, out)
	}
	return b.engine.forget()
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

func (b *bench) enginePull(name, title, image string, at func() site, tools []string, goals []goal) row {
	return row{
		name: name, title: title, goals: goals, tools: tools,
		before: func(ctx context.Context, tool string) error {
			if err := b.forgetAll(tool); err != nil {
				return err
			}
			return b.clean(ctx)
		},
		run: func(ctx context.Context, tool string) (sample, error) {
			return b.toEngine(ctx, tool, b.engine.host, at(), image)
		},
	}
}

// engineOneLayer has seven of the eight layers there already.
func (b *bench) engineOneLayer() row {
	s := func() site { return b.site(b.memory) }
	return row{
		name: "engine-pull-one", title: "engine pull, one of 8 layers new", tools: []string{"vicr", "docker", "crane+load"},
		goals: []goal{{"docker", 1.1}, {"crane+load", 0.2}},
		before: func(ctx context.Context, tool string) error {
			if err := b.clean(ctx); err != nil {
				return err
			}
			_, err := b.toEngine(ctx, "docker", b.engine.host, s(), "fleet0")
			return err
		},
		run: func(ctx context.Context, tool string) (sample, error) {
			return b.toEngine(ctx, tool, b.engine.host, s(), "fleet1")
		},
	}
}

func (b *bench) engineAgain() row {
	s := func() site { return b.site(b.memory) }
	return row{
		name: "engine-pull-again", title: "engine pull, already there: fleet", tools: []string{"vicr", "docker", "crane+load"},
		goals: []goal{{"docker", 1}, {"crane+load", 0.2}},
		before: func(ctx context.Context, tool string) error {
			by := tool
			if by == "crane+load" {
				by = "docker"
			}
			_, err := b.toEngine(ctx, by, b.engine.host, s(), "fleet0")
			return err
		},
		run: func(ctx context.Context, tool string) (sample, error) {
			return b.toEngine(ctx, tool, b.engine.host, s(), "fleet0")
		},
	}
}

// loaded brings an image into the engine by a load: it knows no digest of its layers.
func (b *bench) loaded(ctx context.Context, as string) error {
	const image = "fleet0"
	if err := b.clean(ctx); err != nil {
		return err
	}
	from := b.site(b.memory).ref(image) + ":" + image
	if _, err := b.toEngine(ctx, "crane+load", b.engine.host, b.site(b.memory), image); err != nil {
		return err
	}
	return b.docker(ctx, "tag", from, as)
}

// pushFirst pushes an image that the engine has by a load to a new repository.
func (b *bench) pushFirst(name, title string, host func() string, tools []string, goals []goal) row {
	var image string
	return row{
		name: name, title: title + ": fleet", tools: tools, goals: goals,
		before: func(ctx context.Context, tool string) error {
			image = b.memory.addr + "/bench/" + b.fresh(name) + ":1"
			if err := b.forgetAll(tool); err != nil {
				return err
			}
			return b.loaded(ctx, image)
		},
		run: func(ctx context.Context, tool string) (sample, error) {
			return b.fromEngine(ctx, tool, host(), image)
		},
	}
}

// pushTwice pushes what the same tool pushed before.
func (b *bench) pushTwice(name, title string, host func() string, tools []string, goals []goal) row {
	image := func(tool string) string { return b.memory.addr + "/bench/" + name + "-" + tool + ":1" }
	done := map[string]bool{}
	return row{
		name: name, title: title + ": fleet", tools: tools, goals: goals,
		before: func(ctx context.Context, tool string) error {
			if done[tool] {
				return nil
			}
			done[tool] = true
			s := b.site(b.memory)
			if _, err := b.toEngine(ctx, "docker", b.engine.host, s, "fleet0"); err != nil {
				return err
			}
			if err := b.docker(ctx, "tag", s.ref("fleet0")+":fleet0", image(tool)); err != nil {
				return err
			}
			_, err := b.fromEngine(ctx, tool, host(), image(tool))
			return err
		},
		run: func(ctx context.Context, tool string) (sample, error) {
			return b.fromEngine(ctx, tool, host(), image(tool))
		},
	}
}

// What a push to a new repository may take beside docker's.
const (
	onPulledBase = 0.2
	firstPush    = 1.05
)

// A history is how an image came to be in the engine.
type history struct {
	name, title string
	limit       float64 // of docker push
	make        func(ctx context.Context, b *bench, image string) error
}

func histories() []history {
	return []history{
		{"built", "built here", firstPush, built},
		{"pulled-docker", "pulled by docker", onPulledBase, pulledBy("docker")},
		{"pulled-vicr", "pulled by vicr", onPulledBase, pulledBy("vicr")},
		{"pushed-docker", "pushed by docker", firstPush, pushedBy("docker")},
		{"pushed-vicr", "pushed by vicr", firstPush, pushedBy("vicr")},
	}
}

func pulledBy(tool string) func(context.Context, *bench, string) error {
	return func(ctx context.Context, b *bench, image string) error {
		s := b.site(b.memory)
		if err := b.clean(ctx); err != nil {
			return err
		}
		if _, err := b.toEngine(ctx, tool, b.engine.host, s, "fleet0"); err != nil {
			return err
		}
		return b.docker(ctx, "tag", s.ref("fleet0")+":fleet0", image)
	}
}

func built(ctx context.Context, b *bench, image string) error { return b.loaded(ctx, image) }

func pushedBy(tool string) func(context.Context, *bench, string) error {
	return func(ctx context.Context, b *bench, image string) error {
		first := b.memory.addr + "/bench/" + b.fresh("first") + ":1"
		if err := b.loaded(ctx, first); err != nil {
			return err
		}
		if _, err := b.fromEngine(ctx, tool, b.engine.host, first); err != nil {
			return err
		}
		return b.docker(ctx, "tag", first, image)
	}
}

// enginePushNew pushes to a repository that is new in the registry. Both tools
// find the image after the same history.
func (b *bench) enginePushNew(name, title string, limit float64, make func(context.Context, *bench, string) error) row {
	var image string
	return row{
		name: name, title: title + ": fleet", tools: []string{"vicr", "docker"}, goals: []goal{{"docker", limit}},
		before: func(ctx context.Context, tool string) error {
			if err := b.forgetAll(tool); err != nil {
				return err
			}
			image = b.memory.addr + "/bench/" + b.fresh("new") + ":1"
			return make(ctx, b, image)
		},
		run: func(ctx context.Context, tool string) (sample, error) {
			return b.fromEngine(ctx, tool, b.engine.host, image)
		},
	}
}

// loadOneLayer is engineOneLayer where the engine's port alone is known.
func (b *bench) loadOneLayer() row {
	r := b.engineOneLayer()
	r.name, r.title = "load-one", "engine pull by load, one of 8 layers new"
	r.tools, r.goals = []string{"vicr", "crane+load"}, []goal{{"crane+load", 0.2}}
	r.run = func(ctx context.Context, tool string) (sample, error) {
		return b.toEngine(ctx, tool, b.engine.tcp, b.site(b.memory), "fleet1")
	}
	return r
}

//go:build linux

package main

import (
	"context"
	"fmt"
	"strings"
)

// A story brings an image into an engine in its own way. It gives a name under
// which the image is in the engine and in a registry; built here, it is in none.
type story func(ctx context.Context, g engineGroup, tool string) (image string, err error)

// A history is how an image came to be in the engine.
type history struct {
	name, title string
	limit       float64 // of docker push, to a new repository
	make        story
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

// historyRows push to a new repository and, where the image is in a registry,
// there again.
func (b *bench) historyRows() []row {
	g := engineGroup{bench: b, name: "history", e: b.engine}
	var rows []row
	for _, h := range histories() {
		rows = append(rows, g.pushNew("new-"+h.name, fmt.Sprintf("%s, to a new repository: fleet", h.title), h.limit, h.make))
		if h.name != "built" {
			rows = append(rows, g.pushBack("again-"+h.name, fmt.Sprintf("%s, to the same repository: fleet", h.title), h.make))
		}
	}
	return rows
}

func built(ctx context.Context, g engineGroup, tool string) (string, error) {
	repository, err := g.fromNothing(ctx, tool)
	if err != nil {
		return "", err
	}
	return repository + ":1", g.loaded(ctx, "fleet0", repository+":1")
}

func pulledBy(tool string) story {
	return func(ctx context.Context, g engineGroup, measured string) (string, error) {
		if _, err := g.fromNothing(ctx, measured); err != nil {
			return "", err
		}
		s := g.site(g.memory)
		_, err := g.toEngine(ctx, tool, g.e.host, s, "fleet0")
		return s.ref("fleet0") + ":fleet0", err
	}
}

func pushedBy(tool string) story {
	return func(ctx context.Context, g engineGroup, measured string) (string, error) {
		image, err := built(ctx, g, measured)
		if err != nil {
			return "", err
		}
		_, err = g.fromEngine(ctx, tool, g.e.host, image)
		return image, err
	}
}

// pushNew pushes to a repository that is new in the registry. Both tools find
// the image after the same history, which vicr remembers as far as it was its.
func (g engineGroup) pushNew(name, title string, limit float64, tell story) row {
	var image string
	r := g.row(name, title, docker(limit), []string{"vicr", "docker"})
	r.before = func(ctx context.Context, tool string) error {
		if err := g.forget("vicr"); err != nil {
			return err
		}
		from, err := tell(ctx, g, tool)
		if err != nil {
			return err
		}
		host, _, _ := strings.Cut(from, "/")
		image = host + "/bench/" + g.fresh("new") + ":1"
		return g.docker(ctx, g.e, "tag", from, image)
	}
	r.run = func(ctx context.Context, tool string) (sample, error) {
		return g.fromEngine(ctx, tool, g.e.host, image)
	}
	return r
}

// pushBack pushes to where the image is already.
func (g engineGroup) pushBack(name, title string, tell story) row {
	var image string
	r := g.row(name, title, docker(1), []string{"vicr", "docker"})
	r.before = func(ctx context.Context, tool string) (err error) {
		if err := g.forget("vicr"); err != nil {
			return err
		}
		image, err = tell(ctx, g, tool)
		return err
	}
	r.run = func(ctx context.Context, tool string) (sample, error) {
		return g.fromEngine(ctx, tool, g.e.host, image)
	}
	return r
}

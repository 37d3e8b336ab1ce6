//go:build linux

package main

import (
	"context"
	"path/filepath"
)

// push goes to a new repository each time. The registry in memory that is
// pushed to has lost all that it had; the one behind the slow line has the
// few bytes of the tiny image already, linked to no repository of this push.
func (b *bench) push(name, title, image string, at func() site, goals []goal) row {
	return row{
		facts: facts{Group: "push", Name: name, Title: title, Goals: goals}, tools: clients, quick: image == "tiny",
		before: func(_ context.Context, tool string) error {
			if err := b.forget(tool); err != nil {
				return err
			}
			return b.other.empty()
		},
		run: func(ctx context.Context, tool string) (sample, error) {
			return run(ctx, b.env(tool), pushLayout(tool, at(), filepath.Join(b.layout, image), image, b.fresh("push"))...)
		},
	}
}

func (b *bench) pushAgain(name, title string, at func() site, goals []goal) row {
	push := func(ctx context.Context, tool string) (sample, error) {
		return run(ctx, b.env(tool), pushLayout(tool, at(), filepath.Join(b.layout, "typical"), "typical", name+"-"+tool)...)
	}
	return row{
		facts: facts{Group: "push", Name: name, Title: title, Goals: goals}, tools: clients, quick: true,
		before: again(func(ctx context.Context, tool string) error {
			_, err := push(ctx, tool)
			return err
		}),
		run: push,
	}
}

func (b *bench) tag(name, title string, at func() site, goals []goal) row {
	return row{
		facts: facts{Group: "small", Name: name, Title: title, Goals: goals}, tools: clients, quick: true,
		run: func(ctx context.Context, tool string) (sample, error) {
			return run(ctx, b.env(tool), retag(tool, at(), "tiny", b.fresh("tag"))...)
		},
	}
}

func (b *bench) copyRow() row {
	return row{
		facts: facts{
			Group: "push", Name: "copy", Title: "registry to registry: typical",
			Goals: []goal{{"oras", 0.85}}, Memory: copyMemory,
		},
		tools: clients,
		before: func(_ context.Context, tool string) error {
			if err := b.forget(tool); err != nil {
				return err
			}
			return b.other.empty()
		},
		run: func(ctx context.Context, tool string) (sample, error) {
			return run(ctx, b.env(tool), remoteCopy(tool, b.site(b.memory), b.site(b.other), "typical", b.fresh("copy"))...)
		},
	}
}

func (b *bench) mount() row {
	return row{
		facts: facts{Group: "push", Name: "mount", Title: "copy inside one registry: typical"}, tools: clients,
		before: func(_ context.Context, tool string) error { return b.forget(tool) },
		run: func(ctx context.Context, tool string) (sample, error) {
			return run(ctx, b.env(tool), remoteCopy(tool, b.site(b.memory), b.site(b.memory), "typical", b.fresh("mount"))...)
		},
	}
}

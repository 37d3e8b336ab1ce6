//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

var clients = []string{"vicr", "crane", "regctl", "oras", "skopeo"}

// best is a bound beside the best peer of a row.
func best(limit float64) []goal { return []goal{{"", limit}} }

func (b *bench) registryRows() []row {
	memory := func() site { return b.site(b.memory) }
	other := func() site { return b.site(b.other) }
	tls := func() site { return b.site(b.tls) }
	lag := func() site { return site{addr: b.lag.addr()} }
	capped := func() site { return site{addr: b.capped.addr()} }
	oras := []goal{{"oras", 1}}
	return []row{
		{facts: facts{Group: "small", Name: "startup", Title: "start-up (version)", Goals: []goal{{"crane", 1.25}}}, tools: clients, run: b.version, quick: true},
		b.tag("tag", "remote tag: tiny", memory, oras),
		b.tag("tag-rtt", "remote tag at 20 ms RTT: tiny", lag, oras),
		b.pull("pull-tiny", "pull, HTTP: tiny", "tiny", memory, nil),
		b.pull("pull-typical", "pull, HTTP: typical", "typical", memory, best(1)),
		b.pull("pull-many", "pull, HTTP: many", "many", memory, best(1)),
		b.pull("pull-big", "pull, HTTP: big", "big", memory, best(0.95)),
		b.pullDisk(),
		b.pull("pull-tls", "pull, TLS: typical", "typical", tls, best(0.7)),
		b.pull("pull-rtt", "pull, 20 ms RTT, 1 Gbit/s: typical", "typical", lag, nil),
		b.pull("pull-capped", "pull, 20 ms RTT, 200 Mbit/s per connection: typical", "typical", capped, best(0.5)),
		b.pullAgain("pull-again", "pull again: typical", memory, best(1)),
		b.pullAgain("pull-again-rtt", "pull again at 20 ms RTT: typical", lag, best(0.6)),
		b.pullBatch(),
		b.push("push-typical", "push cold: typical", "typical", other, best(1)),
		b.push("push-many", "push cold: many", "many", other, nil),
		b.push("push-tiny-rtt", "push cold at 20 ms RTT: tiny", "tiny", lag, best(0.5)),
		b.pushAgain("push-again", "push again: typical", memory, best(1)),
		b.pushAgain("push-again-rtt", "push again at 20 ms RTT: typical", lag, best(0.6)),
		b.copyRow(),
		b.mount(),
	}
}

func (b *bench) version(ctx context.Context, tool string) (sample, error) {
	argv := []string{tool, "version"}
	if tool == "skopeo" {
		argv[1] = "--version"
	}
	return run(ctx, b.env(tool), argv...)
}

// trusting is the environment of a tool for a site.
func (b *bench) trusting(tool string, s site) []string {
	if s.ca == "" {
		return b.env(tool)
	}
	return b.env(tool, "SSL_CERT_FILE="+s.ca)
}

// emptied removes a folder's content before a run.
func emptied(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o755)
}

func (b *bench) pull(name, title, image string, at func() site, goals []goal) row {
	return b.pullInto(filepath.Join(b.dir, "out"), facts{Group: "pull", Name: name, Title: title, Goals: goals}, image, at)
}

func (b *bench) pullDisk() row {
	f := facts{Group: "pull", Name: "pull-disk", Title: "pull, disk to disk: big", Goals: best(0.7)}
	return b.pullInto(filepath.Join(b.diskDir, "out"), f, "big", func() site { return b.site(b.disk) })
}

func (b *bench) pullInto(dir string, f facts, image string, at func() site) row {
	return row{
		facts: f, tools: clients, quick: image == "tiny",
		before: func(_ context.Context, tool string) error {
			if err := b.forget(tool); err != nil {
				return err
			}
			return emptied(dir)
		},
		run: func(ctx context.Context, tool string) (sample, error) {
			s := at()
			got, err := run(ctx, b.trusting(tool, s), pullLayout(tool, s, image, filepath.Join(dir, image))...)
			if err == nil {
				err = os.RemoveAll(dir)
			}
			return got, err
		},
	}
}

// again makes before of a row that measures what a tool does the second time.
func again(first func(ctx context.Context, tool string) error) func(context.Context, string) error {
	done := map[string]bool{}
	return func(ctx context.Context, tool string) error {
		if done[tool] {
			return nil
		}
		done[tool] = true
		return first(ctx, tool)
	}
}

func (b *bench) pullAgain(name, title string, at func() site, goals []goal) row {
	dir := func(tool string) string { return filepath.Join(b.dir, name, tool) }
	pull := func(ctx context.Context, tool string) (sample, error) {
		return run(ctx, b.env(tool), pullLayout(tool, at(), "typical", dir(tool))...)
	}
	return row{
		facts: facts{Group: "pull", Name: name, Title: title, Goals: goals}, tools: clients, quick: true,
		before: again(func(ctx context.Context, tool string) error {
			if err := os.MkdirAll(filepath.Dir(dir(tool)), 0o755); err != nil {
				return err
			}
			_, err := pull(ctx, tool)
			return err
		}),
		run: pull,
	}
}

// pullBatch pulls all tags of a repository into one layout, which vicr does by
// one command and the others by one for each tag.
func (b *bench) pullBatch() row {
	dir := filepath.Join(b.dir, "out")
	return row{
		facts: facts{
			Group: "pull", Name: "pull-batch",
			Title: fmt.Sprintf("pull of %d tags that share 7 of 8 layers, into one layout: batch", batchSize),
		},
		tools: []string{"vicr", "crane", "oras"},
		before: func(_ context.Context, tool string) error {
			if err := b.forget(tool); err != nil {
				return err
			}
			return emptied(dir)
		},
		run: func(ctx context.Context, tool string) (sample, error) { return b.batch(ctx, tool, dir) },
	}
}

// batch pulls all tags of the batch into the layout in dir.
func (b *bench) batch(ctx context.Context, tool, dir string) (sample, error) {
	s, layout := b.site(b.memory), filepath.Join(dir, "batch")
	if tool == "vicr" {
		argv := []string{"vicr", "pull", "--to", "oci:" + layout, "--plain-http"}
		for _, tag := range batchTags() {
			argv = append(argv, s.ref("batch")+":"+tag)
		}
		return run(ctx, b.env(tool), argv...)
	}
	var sum sample
	for _, tag := range batchTags() {
		got, err := run(ctx, b.env(tool), pullTag(tool, s, "batch", tag, layout)...)
		if err != nil {
			return sum, err
		}
		sum = sum.add(got)
	}
	return sum, nil
}

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// A goal is a bound on what vicr takes beside a peer.
type goal struct {
	peer  string // "": the best of the row
	limit float64
}

// A row is one errand that several tools do in turn.
type row struct {
	name, title string
	engine      bool
	goals       []goal
	tools       []string // vicr first
	// before is outside the clock, before each run; it may be nil.
	before func(ctx context.Context, tool string) error
	run    func(ctx context.Context, tool string) (sample, error)
}

// A result is what the rounds of a row gave.
type result struct {
	row    row
	series []series
}

func (b *bench) wanted() []row {
	all := b.registryRows()
	all = append(all, b.engineRows()...)
	var wanted []row
	for _, r := range all {
		if b.rows.MatchString(r.name) {
			wanted = append(wanted, r)
		}
	}
	return wanted
}

func (b *bench) anyEngineRow() bool {
	for _, r := range b.wanted() {
		if r.engine {
			return true
		}
	}
	return false
}

// measure runs all rows: in each round every tool once, the first one being
// another in each round.
func (b *bench) measure(ctx context.Context) ([]result, error) {
	var results []result
	for _, r := range b.wanted() {
		rounds := b.rounds
		if r.engine {
			if b.engine == nil {
				b.log("%s: left out: it needs root", r.name)
				continue
			}
			rounds = b.engineRounds
		}
		res := result{row: r, series: make([]series, len(r.tools))}
		for i, tool := range r.tools {
			res.series[i].tool = tool
		}
		for round := range rounds {
			for i := range r.tools {
				at := (i + round) % len(r.tools)
				if r.before != nil {
					if err := r.before(ctx, r.tools[at]); err != nil {
						return nil, fmt.Errorf("%s: %w", r.name, err)
					}
				}
				s, err := r.run(ctx, r.tools[at])
				if err != nil {
					return nil, fmt.Errorf("%s: %w", r.name, err)
				}
				res.series[at].samples = append(res.series[at].samples, s)
			}
		}
		for _, line := range res.lines() {
			b.log("%s", line)
		}
		results = append(results, res)
	}
	return results, nil
}

var clients = []string{"vicr", "crane", "regctl", "oras", "skopeo"}

func (b *bench) registryRows() []row {
	memory := func() site { return b.site(b.memory) }
	lag := func() site { return site{addr: b.lag.addr()} }
	capped := func() site { return site{addr: b.capped.addr()} }
	best := func(limit float64) []goal { return []goal{{"", limit}} }
	rows := []row{
		{name: "startup", title: "start-up (version)", goals: []goal{{"crane", 1.25}}, tools: clients, run: b.version},
		b.pull("pull-tiny", "pull to layout, HTTP: tiny", "tiny", memory, nil),
		b.pull("pull-typical", "pull to layout, HTTP: typical", "typical", memory, best(1)),
		b.pull("pull-many", "pull to layout, HTTP: many", "many", memory, best(1)),
		b.pull("pull-big", "pull to layout, HTTP: big", "big", memory, best(0.95)),
		b.pullDisk(),
		b.pull("pull-tls", "pull to layout, TLS: typical", "typical", func() site { return b.site(b.tls) }, best(0.7)),
		b.pull("pull-rtt", "pull to layout, 20 ms RTT, 1 Gbit/s: typical", "typical", lag, nil),
		b.pull("pull-capped", "pull with 200 Mbit/s per connection, 20 ms RTT: typical", "typical", capped, best(0.5)),
		b.pullAgain("pull-again", "pull again: typical", memory, best(1)),
		b.pullAgain("pull-again-rtt", "pull again at 20 ms RTT: typical", lag, best(0.6)),
		b.push("push-typical", "push cold from layout: typical", "typical", memory, best(1)),
		b.push("push-many", "push cold from layout: many", "many", memory, nil),
		b.push("push-tiny-rtt", "push cold from layout at 20 ms RTT: tiny", "tiny", lag, best(0.5)),
		b.pushAgain("push-again", "push again: typical", memory, best(1)),
		b.pushAgain("push-again-rtt", "push again at 20 ms RTT: typical", lag, best(0.6)),
		b.tag("tag", "remote tag: tiny", memory, []goal{{"oras", 1}}),
		b.tag("tag-rtt", "remote tag at 20 ms RTT: tiny", lag, []goal{{"oras", 1}}),
		b.copyRow(),
		b.mount(),
	}
	return rows
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
	dir := func(tool string) string { return filepath.Join(b.dir, "out", tool) }
	return row{
		name: name, title: title, goals: goals, tools: clients,
		before: func(_ context.Context, tool string) error {
			if err := b.forget(tool); err != nil {
				return err
			}
			return emptied(dir(tool))
		},
		run: func(ctx context.Context, tool string) (sample, error) {
			s := at()
			got, err := run(ctx, b.trusting(tool, s), pullLayout(tool, s, image, filepath.Join(dir(tool), image))...)
			if err == nil {
				err = os.RemoveAll(dir(tool))
			}
			return got, err
		},
	}
}

func (b *bench) pullDisk() row {
	r := b.pull("pull-disk", "pull to layout, disk to disk: big", "big", func() site { return b.site(b.disk) }, []goal{{"", 0.7}})
	dir := filepath.Join(b.diskDir, "out")
	r.before = func(_ context.Context, tool string) error {
		if err := b.forget(tool); err != nil {
			return err
		}
		return emptied(dir)
	}
	r.run = func(ctx context.Context, tool string) (sample, error) {
		return run(ctx, b.env(tool), pullLayout(tool, b.site(b.disk), "big", filepath.Join(dir, "big"))...)
	}
	return r
}

func (b *bench) pullAgain(name, title string, at func() site, goals []goal) row {
	done := map[string]bool{}
	dir := func(tool string) string { return filepath.Join(b.dir, name, tool) }
	argv := func(tool string) []string { return pullLayout(tool, at(), "typical", dir(tool)) }
	return row{
		name: name, title: title, goals: goals, tools: clients,
		before: func(ctx context.Context, tool string) error {
			if done[tool] {
				return nil
			}
			done[tool] = true
			if err := os.MkdirAll(filepath.Dir(dir(tool)), 0o755); err != nil {
				return err
			}
			_, err := run(ctx, b.env(tool), argv(tool)...)
			return err
		},
		run: func(ctx context.Context, tool string) (sample, error) { return run(ctx, b.env(tool), argv(tool)...) },
	}
}

// push goes to a new repository each time, of a registry that has the bytes
// already and links none of them to it.
func (b *bench) push(name, title, image string, at func() site, goals []goal) row {
	return row{
		name: name, title: title, goals: goals, tools: clients,
		before: func(_ context.Context, tool string) error { return b.forget(tool) },
		run: func(ctx context.Context, tool string) (sample, error) {
			return run(ctx, b.env(tool), pushLayout(tool, at(), filepath.Join(b.layout, image), image, b.fresh("push"))...)
		},
	}
}

func (b *bench) pushAgain(name, title string, at func() site, goals []goal) row {
	done := map[string]bool{}
	argv := func(tool string) []string {
		return pushLayout(tool, at(), filepath.Join(b.layout, "typical"), "typical", name+"-"+tool)
	}
	return row{
		name: name, title: title, goals: goals, tools: clients,
		before: func(ctx context.Context, tool string) error {
			if done[tool] {
				return nil
			}
			done[tool] = true
			_, err := run(ctx, b.env(tool), argv(tool)...)
			return err
		},
		run: func(ctx context.Context, tool string) (sample, error) { return run(ctx, b.env(tool), argv(tool)...) },
	}
}

func (b *bench) tag(name, title string, at func() site, goals []goal) row {
	return row{
		name: name, title: title, goals: goals, tools: clients,
		run: func(ctx context.Context, tool string) (sample, error) {
			return run(ctx, b.env(tool), retag(tool, at(), "tiny", b.fresh("tag"))...)
		},
	}
}

func (b *bench) copyRow() row {
	return row{
		name: "copy", title: "registry to registry: typical", goals: []goal{{"oras", 0.85}}, tools: clients,
		before: func(_ context.Context, tool string) error { return b.forget(tool) },
		run: func(ctx context.Context, tool string) (sample, error) {
			return run(ctx, b.env(tool), remoteCopy(tool, b.site(b.memory), b.site(b.other), "typical", b.fresh("copy"))...)
		},
	}
}

func (b *bench) mount() row {
	return row{
		name: "mount", title: "copy inside one registry: typical", tools: clients,
		before: func(_ context.Context, tool string) error { return b.forget(tool) },
		run: func(ctx context.Context, tool string) (sample, error) {
			return run(ctx, b.env(tool), remoteCopy(tool, b.site(b.memory), b.site(b.memory), "typical", b.fresh("mount"))...)
		},
	}
}

// A count is how many requests an errand takes.
type count struct {
	errand string
	of     map[string]int // by tool
}

// count has each tool do each errand once with the tiny image.
func (b *bench) count(ctx context.Context) ([]count, error) {
	if !b.rows.MatchString("requests") {
		return nil, nil
	}
	s, dir := b.site(b.memory), filepath.Join(b.dir, "count")
	var counts []count
	for _, errand := range []struct {
		name string
		argv func(tool string) []string
	}{
		{"push cold", func(tool string) []string {
			return pushLayout(tool, s, filepath.Join(b.layout, "tiny"), "tiny", "count-"+tool)
		}},
		{"push again", func(tool string) []string {
			return pushLayout(tool, s, filepath.Join(b.layout, "tiny"), "tiny", "count-"+tool)
		}},
		{"pull cold", func(tool string) []string { return pullLayout(tool, s, "tiny", filepath.Join(dir, tool)) }},
		{"pull again", func(tool string) []string { return pullLayout(tool, s, "tiny", filepath.Join(dir, tool)) }},
		{"remote tag", func(tool string) []string { return retag(tool, s, "tiny", "count-"+tool) }},
		{"copy, same registry", func(tool string) []string { return remoteCopy(tool, s, s, "tiny", "counted-"+tool) }},
	} {
		c := count{errand: errand.name, of: map[string]int{}}
		for _, tool := range clients {
			if errand.name == "push cold" {
				if err := b.forget(tool); err != nil {
					return nil, err
				}
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return nil, err
			}
			before, err := b.memory.requests()
			if err != nil {
				return nil, err
			}
			if _, err := run(ctx, b.env(tool), errand.argv(tool)...); err != nil {
				return nil, fmt.Errorf("%s: %w", errand.name, err)
			}
			after, err := b.memory.requests()
			if err != nil {
				return nil, err
			}
			c.of[tool] = after - before
		}
		counts = append(counts, c)
	}
	return counts, nil
}

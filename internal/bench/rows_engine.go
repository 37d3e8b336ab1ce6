//go:build linux

package main

import "context"

// An engineGroup makes the rows of one engine. Those by its socket take the
// relay, and those by its port, behind which nothing is known of it, take load
// and save.
type engineGroup struct {
	*bench
	name string
	e    *engine
	all  []string // tools that pull into the engine when it has nothing
	load bool     // crane and docker load are measured where the engine has most
}

func (b *bench) engineRows() []row {
	old := engineGroup{b, "engine", b.engine, []string{"vicr", "docker", "skopeo"}, true}
	newest := engineGroup{b, "newest", b.newest, []string{"vicr", "docker"}, false}
	rows := old.mainRows()
	capped := old.pull("pull-capped", "pull cold, 20 ms RTT, 200 Mbit/s per connection: typical", docker(0.6))
	capped.tools = []string{"vicr", "docker"}
	capped.run = func(ctx context.Context, tool string) (sample, error) {
		return b.toEngine(ctx, tool, b.engine.host, site{addr: b.capped.addr()}, "typical")
	}
	return append(append(append(rows, capped), old.portRows()...), newest.mainRows()...)
}

func docker(limit float64) []goal { return []goal{{"docker", limit}} }

// What a push may take beside docker's.
const (
	onPulledBase = 0.2
	firstPush    = 1.05
)

func (g engineGroup) mainRows() []row {
	host := func() string { return g.e.host }
	some, one, there := []string{"vicr", "docker"}, docker(1.1), docker(1)
	if g.load {
		load := goal{"crane+load", 0.2}
		some, one, there = append(some, load.Peer), append(one, load), append(there, load)
	}
	rows := []row{
		g.pull("pull", "pull cold: typical", docker(1.05)),
		g.pullOneLayer("pull-one", "pull, one of typical's 8 layers new, 41 MB", host, some, one),
		g.pullAgain(some, there),
		g.pushFirst("push", "push cold: fleet", host, []string{"vicr", "docker"}, docker(firstPush)),
		g.pushOneLayer(),
		g.pushTwice("push-again", "push again: fleet", host, []string{"vicr", "docker"}, docker(1)),
	}
	for _, h := range histories() {
		if !g.load && h.name != "built" { // of the other engine they have a group
			rows = append(rows, g.pushNew("new-"+h.name, h.title+", to a new repository: fleet", h.limit, h.make))
		}
	}
	return rows
}

// portRows are by the engine's port.
func (g engineGroup) portRows() []row {
	port := func() string { return g.e.tcp } // known when the engine has started
	tools := []string{"vicr", "skopeo"}
	rows := []row{
		g.pushFirst("save-push", "push by save: fleet", port, tools, []goal{{"skopeo", 0.75}}),
		g.pushTwice("save-push-again", "push by save again: fleet", port, tools, []goal{{"skopeo", 0.1}}),
		g.pullOneLayer("load-one", "pull by load, one of typical's 8 layers new, 41 MB", port, []string{"vicr", "crane+load"}, []goal{{"crane+load", 0.2}}),
	}
	for i := range rows {
		rows[i].Memory = saveMemory
	}
	return rows
}

func (g engineGroup) row(name, title string, goals []goal, tools []string) row {
	return row{facts: facts{Group: g.name, Name: name, Title: title, Goals: goals}, engine: g.e, tools: tools}
}

func (g engineGroup) pull(name, title string, goals []goal) row {
	r := g.row(name, title, goals, g.all)
	r.before = func(ctx context.Context, tool string) error {
		if err := g.forgetAll(tool); err != nil {
			return err
		}
		return g.clean(ctx, g.e)
	}
	r.run = func(ctx context.Context, tool string) (sample, error) {
		return g.toEngine(ctx, tool, g.e.host, g.site(g.memory), "typical")
	}
	return r
}

// pullOneLayer has seven of the eight layers there already, pulled by docker.
func (g engineGroup) pullOneLayer(name, title string, host func() string, tools []string, goals []goal) row {
	r := g.row(name, title, goals, tools)
	r.before = func(ctx context.Context, tool string) error {
		if err := g.forgetAll(tool); err != nil {
			return err
		}
		// That it is not there is no error of this row.
		_ = g.docker(ctx, g.e, "rmi", "-f", g.site(g.memory).ref("next")+":next")
		_, err := g.toEngine(ctx, "docker", g.e.host, g.site(g.memory), "typical")
		return err
	}
	r.run = func(ctx context.Context, tool string) (sample, error) {
		return g.toEngine(ctx, tool, host(), g.site(g.memory), "next")
	}
	return r
}

func (g engineGroup) pullAgain(tools []string, goals []goal) row {
	r := g.row("pull-again", "pull, already there: typical", goals, tools)
	r.quick = !g.load
	r.before = func(ctx context.Context, tool string) error {
		by := tool
		if by != "vicr" {
			by = "docker"
		}
		_, err := g.toEngine(ctx, by, g.e.host, g.site(g.memory), "typical")
		return err
	}
	r.run = func(ctx context.Context, tool string) (sample, error) {
		return g.toEngine(ctx, tool, g.e.host, g.site(g.memory), "typical")
	}
	return r
}

// loaded brings an image into the engine by a load, as a build does: the
// engine knows no digest of its layers.
func (g engineGroup) loaded(ctx context.Context, image, as string) error {
	from := g.site(g.memory)
	if _, err := g.toEngine(ctx, "crane+load", g.e.host, from, image); err != nil {
		return err
	}
	return g.docker(ctx, g.e, "tag", from.ref(image)+":"+image, as)
}

// fromNothing is an engine, a tool and a registry to push to that know nothing, and
// a repository of that registry.
func (g engineGroup) fromNothing(ctx context.Context, tool string) (repository string, err error) {
	if err := g.forgetAll(tool); err != nil {
		return "", err
	}
	if err := g.clean(ctx, g.e); err != nil {
		return "", err
	}
	return g.other.addr + "/bench/" + g.fresh("first"), g.other.empty()
}

// pushFirst pushes an image that the engine has by a load.
func (g engineGroup) pushFirst(name, title string, host func() string, tools []string, goals []goal) row {
	var image string
	r := g.row(name, title, goals, tools)
	r.before = func(ctx context.Context, tool string) error {
		repository, err := g.fromNothing(ctx, tool)
		if err != nil {
			return err
		}
		image = repository + ":1"
		return g.loaded(ctx, "fleet0", image)
	}
	r.run = func(ctx context.Context, tool string) (sample, error) { return g.fromEngine(ctx, tool, host(), image) }
	return r
}

// pushOneLayer pushes the next image of a fleet to where the same tool pushed
// the one before.
func (g engineGroup) pushOneLayer() row {
	var image string
	r := g.row("push-one", "push, one of fleet's 8 layers new, 6 MB", docker(firstPush), []string{"vicr", "docker"})
	r.before = func(ctx context.Context, tool string) error {
		repository, err := g.fromNothing(ctx, tool)
		if err != nil {
			return err
		}
		if err := g.loaded(ctx, "fleet0", repository+":1"); err != nil {
			return err
		}
		if _, err := g.fromEngine(ctx, tool, g.e.host, repository+":1"); err != nil {
			return err
		}
		image = repository + ":2"
		return g.loaded(ctx, "fleet1", image)
	}
	r.run = func(ctx context.Context, tool string) (sample, error) {
		return g.fromEngine(ctx, tool, g.e.host, image)
	}
	return r
}

// pushTwice pushes what the same tool pushed before.
func (g engineGroup) pushTwice(name, title string, host func() string, tools []string, goals []goal) row {
	image := func(tool string) string { return g.memory.addr + "/bench/" + g.name + "-" + name + "-" + tool + ":1" }
	r := g.row(name, title, goals, tools)
	r.quick = true
	r.before = again(func(ctx context.Context, tool string) error {
		s := g.site(g.memory)
		if _, err := g.toEngine(ctx, "docker", g.e.host, s, "fleet0"); err != nil {
			return err
		}
		if err := g.docker(ctx, g.e, "tag", s.ref("fleet0")+":fleet0", image(tool)); err != nil {
			return err
		}
		_, err := g.fromEngine(ctx, tool, host(), image(tool))
		return err
	})
	r.run = func(ctx context.Context, tool string) (sample, error) {
		return g.fromEngine(ctx, tool, host(), image(tool))
	}
	return r
}

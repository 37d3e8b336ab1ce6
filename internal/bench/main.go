// Command bench measures vicr beside crane, regctl, oras, skopeo and docker, in
// rotation, on images that it makes and registries and an engine that it
// starts, and writes docs/performance.md. It needs what .ci/run installs, Go,
// and for the rows of the engine root. `make bench` calls it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"time"
)

type options struct {
	rounds, engineRounds int
	rows                 *regexp.Regexp
	out                  string
	dir, diskDir         string
}

func main() {
	var o options
	var rows string
	makeImages := flag.String("make-images", "", "make the images in this `folder` and end; used by the program itself")
	flag.IntVar(&o.rounds, "rounds", 7, "rounds of each row")
	flag.IntVar(&o.engineRounds, "engine-rounds", 5, "rounds of each row of the engine")
	flag.StringVar(&rows, "rows", ".", "only rows whose name fits this `pattern`")
	flag.StringVar(&o.out, "out", "", "write the report into this `folder`, with its pictures; else to standard output")
	flag.StringVar(&o.dir, "dir", "/dev/shm/vicr-bench", "a `folder` in memory")
	flag.StringVar(&o.diskDir, "disk", filepath.Join(os.TempDir(), "vicr-bench"), "a `folder` on disk")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := begin(ctx, o, rows, *makeImages); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func begin(ctx context.Context, o options, rows, makeImages string) (err error) {
	if makeImages != "" {
		for _, img := range images() {
			if err := writeLayout(filepath.Join(makeImages, img.name), img); err != nil {
				return err
			}
		}
		return nil
	}
	if o.rows, err = regexp.Compile(rows); err != nil {
		return err
	}
	b := &bench{options: o, log: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	defer b.stop()
	if err := b.prepare(ctx); err != nil {
		return err
	}
	results, err := b.measure(ctx)
	if err != nil {
		return err
	}
	counts, err := b.count(ctx)
	if err != nil {
		return err
	}
	return b.report(results, counts)
}

// A bench is what all rows share.
type bench struct {
	options
	log    func(format string, args ...any)
	bin    string   // folder of programs
	layout string   // folder of layouts
	plain  []string // addresses of registries without TLS

	memory, other, tls, disk *registry
	lag, capped              *lagProxy
	engine                   *engine
	stops                    []func()
	number                   int // of repositories and folders that were used
}

func (b *bench) stop() {
	for i := range b.stops {
		b.stops[len(b.stops)-1-i]()
	}
}

// prepare builds, makes and starts all that is needed.
func (b *bench) prepare(ctx context.Context) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	b.bin, b.layout = filepath.Join(cache, "vicr-bench", "bin"), filepath.Join(cache, "vicr-bench", "images")
	for _, dir := range []string{b.dir, b.diskDir} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		b.stops = append(b.stops, func() { _ = os.RemoveAll(dir) })
	}
	if err := os.MkdirAll(b.bin, 0o755); err != nil {
		return err
	}
	b.log("programs")
	if err := installPeers(ctx, b.bin); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(b.bin, "vicr"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	b.log("images")
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// In a process of its own: what a child of this one takes in memory is not
	// seen below what this one took.
	if out, err := exec.CommandContext(ctx, self, "-make-images", b.layout).CombinedOutput(); err != nil {
		return fmt.Errorf("images: %w: %s", err, out)
	}
	return b.start(ctx)
}

func (b *bench) start(ctx context.Context) (err error) {
	b.log("registries")
	memory := filepath.Join(b.dir, "storage")
	for _, r := range []struct {
		at      **registry
		storage string
		tls     bool
	}{
		{&b.memory, memory, false},
		{&b.other, filepath.Join(b.dir, "other"), false},
		{&b.tls, memory, true},
		{&b.disk, filepath.Join(b.diskDir, "storage"), false},
	} {
		b.number++
		if *r.at, err = startRegistry(ctx, filepath.Join(b.dir, fmt.Sprint("registry", b.number)), r.storage, r.tls); err != nil {
			return err
		}
		b.stops = append(b.stops, (*r.at).stop)
		if !r.tls {
			b.plain = append(b.plain, (*r.at).addr)
		}
	}
	const mbit = 1e6 / 8
	far := link{rtt: 20 * time.Millisecond, rate: 1000 * mbit}
	if b.lag, err = startLag(ctx, b.memory.addr, far); err != nil {
		return err
	}
	far.perConn = 200 * mbit
	if b.capped, err = startLag(ctx, b.memory.addr, far); err != nil {
		return err
	}
	b.stops = append(b.stops, b.lag.close, b.capped.close)
	b.plain = append(b.plain, b.lag.addr(), b.capped.addr())
	for _, tool := range []string{"vicr", "crane", "regctl", "oras", "skopeo", "docker"} {
		if err := b.forget(tool); err != nil {
			return err
		}
	}
	for _, s := range []site{b.site(b.memory), b.site(b.disk)} {
		for _, img := range images() {
			if err := b.seed(ctx, s, img.name); err != nil {
				return err
			}
		}
	}
	if os.Geteuid() != 0 || !b.rows.MatchString("engine") && !b.anyEngineRow() {
		return nil
	}
	b.log("engine")
	if b.engine, err = startEngine(ctx, filepath.Join(b.diskDir, "engine")); err != nil {
		return err
	}
	b.stops = append(b.stops, b.engine.stop)
	return nil
}

// seed brings an image into a registry, by a peer.
func (b *bench) seed(ctx context.Context, s site, name string) error {
	_, err := run(ctx, b.env("crane"), pushLayout("crane", s, filepath.Join(b.layout, name), name, name)...)
	return err
}

func (b *bench) site(r *registry) site { return site{r.addr, r.ca} }

// fresh is a name that was not used before.
func (b *bench) fresh(what string) string {
	b.number++
	return fmt.Sprintf("%s%d", what, b.number)
}

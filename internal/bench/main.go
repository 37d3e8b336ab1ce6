//go:build linux

// Command bench measures vicr beside crane, regctl, oras, skopeo and docker, in
// rotation, on images that it makes and registries and engines that it starts,
// and writes docs/performance.md. It needs what .ci/run installs, Go, for the
// newest engine and for Distribution 3 what `make e2e-tools` builds, and for the
// rows of the engines root. `make bench` calls it.
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
	"syscall"
)

type options struct {
	rounds, engineRounds int
	rows                 *regexp.Regexp
	add                  bool
	out                  string
	profiles             string // folder; empty: none are taken
	dir, diskDir         string
}

func main() {
	var o options
	var rows string
	makeImages := flag.String("make-images", "", "make the images in this `folder` and end; used by the program itself")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each row")
	flag.IntVar(&o.engineRounds, "engine-rounds", 5, "rounds of each row of an engine")
	flag.StringVar(&rows, "rows", ".", "only rows whose GROUP/NAME fits this `pattern`; the groups are small, pull, push, counts, engine, newest, history")
	flag.BoolVar(&o.add, "add", false, "keep in the report what earlier runs measured and this one does not")
	flag.StringVar(&o.out, "out", "", "write the report into this `folder`, with its pictures, after each row; else to standard output")
	flag.StringVar(&o.profiles, "profile", "", "have perf take a profile of the whole machine during each run, into this `folder`, and write no report")
	flag.StringVar(&o.dir, "dir", "/dev/shm/vicr-bench", "a `folder` in memory")
	flag.StringVar(&o.diskDir, "disk", filepath.Join(os.TempDir(), "vicr-bench"), "a `folder` on disk")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := begin(ctx, o, rows, *makeImages); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func begin(ctx context.Context, o options, rows, makeImages string) (err error) {
	if makeImages != "" {
		return writeImages(makeImages)
	}
	if o.rows, err = regexp.Compile(rows); err != nil {
		return err
	}
	if o.profiles != "" {
		o.out = "" // perf takes its part of the time
	}
	b := &bench{options: o, log: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	defer b.stop()
	if err := b.prepare(ctx); err != nil {
		return err
	}
	if err := b.measure(ctx); err != nil {
		return err
	}
	b.log("this program itself took %d MiB, below which it sees no child's memory", ownPeak()/mib)
	if o.out == "" {
		if _, err := os.Stdout.WriteString(b.kept.markdown()); err != nil {
			return err
		}
	}
	return b.kept.failures()
}

// A bench is what all rows share.
type bench struct {
	options
	log    func(format string, args ...any)
	bin    string   // folder of programs
	layout string   // folder of layouts
	keep   string   // file of the report
	plain  []string // addresses of registries without TLS
	kept   report

	memory, other, tls, disk *registry
	keeping                  *registry // of broken uploads too; nil: none is here
	lag, capped              *lagProxy
	gate, keepingGate        *gate
	engine, newest           *engine
	stops                    []func()
	number                   int // of repositories and folders that were used
}

func (b *bench) stop() {
	for i := range b.stops {
		b.stops[len(b.stops)-1-i]()
	}
}

// prepare builds, makes and starts all that is needed.
// How a release is built, but for its version: .goreleaser.yaml.
const (
	releaseTrim   = "-trimpath"
	releaseLinked = "-s -w"
)

func (b *bench) prepare(ctx context.Context) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	own, tools := filepath.Join(cache, "vicr-bench"), filepath.Join(cache, "vicr-e2e", "bin")
	b.bin, b.layout, b.keep = filepath.Join(own, "bin"), filepath.Join(own, "images"), filepath.Join(own, "report.json")
	b.engine = newEngine(filepath.Join(b.diskDir, "engine"), "dockerd", "")
	b.newest = newEngine(filepath.Join(b.diskDir, "newest"), filepath.Join(tools, "dockerd"), filepath.Join(tools, "containerd"))
	if b.add {
		if b.kept, err = readReport(b.keep); err != nil {
			return err
		}
	}
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
	linked := releaseLinked
	if b.profiles != "" {
		linked = "" // perf reads the symbols
	}
	build := exec.CommandContext(ctx, "go", "build", releaseTrim, "-ldflags="+linked, "-o", filepath.Join(b.bin, "vicr"), ".")
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
	if err := b.start(ctx, filepath.Join(tools, "distribution", "registry")); err != nil {
		return err
	}
	if err := b.warm(ctx); err != nil {
		return err
	}
	b.stops = append(b.stops, b.engine.stop, b.newest.stop)
	b.kept.Runs = append(b.kept.Runs, b.describe(ctx))
	return nil
}

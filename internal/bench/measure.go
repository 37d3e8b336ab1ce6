package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A sample is one run of a program.
type sample struct {
	wall time.Duration
	cpu  time.Duration // user and system, of the program alone
	rss  int64         // bytes at its peak; not below that of this harness
}

// run runs argv and says what it took. A program that fails ends the row.
func run(ctx context.Context, env []string, argv ...string) (sample, error) {
	cmd := exec.CommandContext(ctx, find(env, argv[0]), argv[1:]...)
	cmd.Env = env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	begin := time.Now()
	err := cmd.Run()
	s := sample{wall: time.Since(begin)}
	if err != nil {
		return s, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, last(out.String(), 600))
	}
	s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		const kib = 1 << 10
		s.rss = u.Maxrss * kib
	}
	return s, nil
}

// find looks a program up in the PATH that it is started with.
func find(env []string, program string) string {
	for _, e := range env {
		path, ok := strings.CutPrefix(e, "PATH=")
		for _, dir := range filepath.SplitList(path) {
			if full := filepath.Join(dir, program); ok && isFile(full) {
				return full
			}
		}
	}
	return program
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

func last(s string, n int) string { return s[max(0, len(s)-n):] }

// add is one sample after another, as one.
func (s sample) add(t sample) sample {
	return sample{wall: s.wall + t.wall, cpu: s.cpu + t.cpu, rss: max(s.rss, t.rss)}
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// A series is what one tool took in the rounds of a row.
type series struct {
	tool    string
	samples []sample
}

func (s series) of(value func(sample) float64) []float64 {
	all := make([]float64, len(s.samples))
	for i, one := range s.samples {
		all[i] = value(one)
	}
	return all
}

func (s series) wall() float64 {
	return median(s.of(func(s sample) float64 { return s.wall.Seconds() }))
}

func (s series) cpu() float64 {
	return median(s.of(func(s sample) float64 { return s.cpu.Seconds() }))
}

func (s series) rss() float64 {
	const mib = 1 << 20
	return slices.Max(s.of(func(s sample) float64 { return float64(s.rss) / mib }))
}

// ratio is the median over the rounds of what s took beside what t took in the
// same round.
func (s series) ratio(t series) float64 {
	all := make([]float64, min(len(s.samples), len(t.samples)))
	for i := range all {
		all[i] = s.samples[i].wall.Seconds() / t.samples[i].wall.Seconds()
	}
	return median(all)
}

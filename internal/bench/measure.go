//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
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
	Wall time.Duration
	CPU  time.Duration // user and system, of the program alone
	RSS  int64         // bytes at its peak; not below that of this harness
}

// patience is how long one run of a program may take.
const patience = 3 * time.Minute

// run runs argv and says what it took. A program that fails ends the row.
func run(ctx context.Context, env []string, argv ...string) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	full := recorded(ctx, append([]string{find(env, argv[0])}, argv[1:]...))
	cmd := exec.CommandContext(ctx, full[0], full[1:]...)
	cmd.Env = env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	begin := time.Now()
	err := cmd.Run()
	s := sample{Wall: time.Since(begin)}
	if err != nil {
		return s, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, last(out.String(), 600))
	}
	s.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		const kib = 1 << 10
		s.RSS = u.Maxrss * kib
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
	return sample{Wall: s.Wall + t.Wall, CPU: s.CPU + t.CPU, RSS: max(s.RSS, t.RSS)}
}

// A spread is a median and the least and the most beside it.
type spread struct{ median, least, most float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{math.NaN(), math.NaN(), math.NaN()}
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return spread{(sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[0], sorted[n-1]}
}

// A series is what one tool took in the rounds of a row.
type series struct {
	Tool    string
	Samples []sample
}

func (s series) of(value func(sample) float64) spread {
	all := make([]float64, len(s.Samples))
	for i, one := range s.Samples {
		all[i] = value(one)
	}
	return spreadOf(all)
}

func (s series) wall() spread { return s.of(func(s sample) float64 { return s.Wall.Seconds() }) }

func (s series) cpu() float64 {
	return s.of(func(s sample) float64 { return s.CPU.Seconds() }).median
}

// rss is the most of all rounds, in MiB.
func (s series) rss() float64 {
	return s.of(func(s sample) float64 { return float64(s.RSS) / mib }).most
}

// ratio is over the rounds what s took beside what t took in the same round.
func (s series) ratio(t series) spread {
	all := make([]float64, min(len(s.Samples), len(t.Samples)))
	for i := range all {
		all[i] = s.Samples[i].Wall.Seconds() / t.Samples[i].Wall.Seconds()
	}
	return spreadOf(all)
}

// readThrough reads a file, for its pages to be in memory.
func readThrough(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	return err
}

// ownPeak is what this program took itself, in bytes.
func ownPeak() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	const kib = 1 << 10
	return u.Maxrss * kib
}

//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// describe says when and where this run is made, and of what.
func (b *bench) describe(ctx context.Context) string {
	idle := idleShare(time.Second)
	if idle < quiet {
		b.log("the machine is busy: its processors are %.0f %% idle; ratios will be worth little", 100*idle)
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease") // left out when it is not there
	where := fmt.Sprintf("%d processors (%s), %s, Linux %s, %s; processors %.0f %% idle at the start.",
		runtime.NumCPU(), field("/proc/cpuinfo", "model name"), memoryTotal(), strings.TrimSpace(string(kernel)), runtime.Version(), 100*idle)
	var versions []string
	for _, program := range [][]string{
		{"vicr", "version"},
		{"git", "describe", "--always", "--dirty", "--abbrev=12"},
		{"skopeo", "--version"},
		{"docker", "--version"},
		{debianRegistry, "--version"},
		{b.engine.dockerd, "--version"},
		{b.newest.dockerd, "--version"},
		{b.newest.containerd, "--version"},
	} {
		if line := versionOf(ctx, b.env("vicr"), program); line != "" {
			versions = append(versions, line)
		}
	}
	for _, p := range peers() {
		_, version, _ := strings.Cut(p.module, "@")
		versions = append(versions, p.name+" "+version)
	}
	return fmt.Sprintf("Measured %s on %s %s.", time.Now().UTC().Format("2006-01-02 15:04 MST"), where, strings.Join(versions, "; "))
}

func versionOf(ctx context.Context, env, argv []string) string {
	cmd := exec.CommandContext(ctx, find(env, argv[0]), argv[1:]...)
	cmd.Env = env
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

// field is the value of the first line of a file of /proc that has a name.
func field(file, name string) string {
	raw, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(raw)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func memoryTotal() string {
	kib, _ := strconv.Atoi(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"))
	return fmt.Sprintf("%d GiB", (kib+mib/2)/mib)
}

// quiet is how much of the processors should be idle before a run.
const quiet = 0.9

// idleShare is how much of the processors is idle for a while.
func idleShare(d time.Duration) float64 {
	idle, all := ticks()
	time.Sleep(d)
	idleLater, allLater := ticks()
	if allLater == all {
		return 1
	}
	return float64(idleLater-idle) / float64(allLater-all)
}

// ticks are those of all processors since the start, idle and in all.
func ticks() (idle, all int64) {
	raw, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	const idleField, waitField = 4, 5
	for i, f := range strings.Fields(line) {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			continue // its name
		}
		all += n
		if i == idleField || i == waitField {
			idle += n
		}
	}
	return idle, all
}

// warm brings into memory what the rows read from disk, and every tool once.
func (b *bench) warm(ctx context.Context) error {
	for _, dir := range []string{b.bin, b.layout, b.diskDir} {
		err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			return readThrough(name)
		})
		if err != nil {
			return err
		}
	}
	for _, tool := range clients {
		if _, err := b.version(ctx, tool); err != nil {
			return err
		}
	}
	return nil
}

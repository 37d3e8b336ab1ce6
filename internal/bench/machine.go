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
	env := b.env("vicr")
	versions := []string{
		versionOf(ctx, env, "vicr", "version"),
		"at " + versionOf(ctx, env, "git", "describe", "--always", "--dirty", "--abbrev=12"),
		"dockerd: " + versionOf(ctx, env, "dockerd", "--version"),
		"docker: " + versionOf(ctx, env, "docker", "--version"),
		"newest dockerd " + stamp(b.newest.dockerd), "containerd " + stamp(b.newest.containerd),
		versionOf(ctx, env, debianRegistry, "--version"),
		versionOf(ctx, env, "skopeo", "--version"),
	}
	for _, p := range peers() {
		_, version, _ := strings.Cut(p.module, "@")
		versions = append(versions, p.name+" "+version)
	}
	return fmt.Sprintf("Measured %s on %s %s.", time.Now().UTC().Format("2006-01-02 15:04 MST"), where, strings.Join(versions, "; "))
}

// absent is the version of what is not here.
const absent = "not here"

// versionOf is the first line that a program says of its version.
func versionOf(ctx context.Context, env []string, argv ...string) string {
	cmd := exec.CommandContext(ctx, find(env, argv[0]), argv[1:]...)
	cmd.Env = env
	out, err := cmd.Output()
	if err != nil {
		return absent
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

// stamp is the version that a program was built from, which one that was made
// by go install may not know itself.
func stamp(program string) string {
	dir, name := filepath.Split(program)
	raw, err := os.ReadFile(filepath.Join(dir, "."+name))
	if err != nil {
		return absent
	}
	return strings.TrimSpace(string(raw))
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

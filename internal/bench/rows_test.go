//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestEveryRowHasAPlace(t *testing.T) {
	t.Parallel()
	b := &bench{engine: &engine{}, newest: &engine{}}
	seen := map[string]bool{}
	for _, r := range b.everyRow() {
		name := r.Group + "/" + r.Name
		if place(r.Group) < 0 || seen[name] {
			t.Errorf("%s: no such group, or twice", name)
		}
		seen[name] = true
		if len(r.tools) < 2 || r.tools[0] != "vicr" {
			t.Errorf("%s: tools %q", name, r.tools)
		}
		for _, g := range r.Goals {
			if g.Peer != "" && !slices.Contains(r.tools, g.Peer) {
				t.Errorf("%s: its goal names %s, which is not measured", name, g.Peer)
			}
		}
	}
	b.rows = regexp.MustCompile("^(pull|newest)/")
	for _, r := range b.wanted() {
		if r.Group != "pull" && r.Group != "newest" {
			t.Errorf("%s/%s was not wanted", r.Group, r.Name)
		}
	}
}

func TestRoundsRotate(t *testing.T) {
	t.Parallel()
	b := &bench{options: options{rounds: 4}, kept: report{Runs: []string{"one"}}}
	var order []string
	r := row{
		tools:  []string{"vicr", "a", "b"},
		before: func(_ context.Context, tool string) error { order = append(order, tool+"!"); return nil },
		run: func(_ context.Context, tool string) (sample, error) {
			order = append(order, tool)
			return sample{}, nil
		},
	}
	res := b.measureRow(t.Context(), r)
	const want = "vicr! vicr a! a b! b a! a b! b vicr! vicr b! b vicr! vicr a! a vicr! vicr a! a b! b"
	if got := strings.Join(order, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, s := range res.Series {
		if len(s.Samples) != 4 {
			t.Errorf("%s has %d samples", s.Tool, len(s.Samples))
		}
	}
}

func TestARowThatFailsKeepsItsRounds(t *testing.T) {
	t.Parallel()
	b := &bench{options: options{rounds: 3}, kept: report{Runs: []string{"one"}}}
	n := 0
	res := b.measureRow(t.Context(), row{tools: []string{"vicr", "a"}, run: func(context.Context, string) (sample, error) {
		if n++; n == 4 {
			return sample{}, errors.New("broke")
		}
		return sample{Wall: 1}, nil
	}})
	if len(res.Series[0].Samples) != 1 || len(res.Series[1].Samples) != 2 || res.Failed != "round 2, vicr: broke" {
		t.Errorf("%+v", res)
	}
	quick := b.measureRow(t.Context(), row{tools: []string{"vicr"}, quick: true, run: func(context.Context, string) (sample, error) { return sample{}, nil }})
	if got := len(quick.Series[0].Samples); got != 3*quickRounds {
		t.Errorf("a quick row has %d rounds", got)
	}
	noEngine := b.measureRow(t.Context(), row{tools: []string{"vicr"}, engine: &engine{started: true, failed: errors.New("none")}})
	if noEngine.Failed != "none" {
		t.Errorf("%+v", noEngine)
	}
}

func TestRequestsAreCountedFromNowOn(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "log")
	write := func(lines string) error {
		f, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteString(lines)
		return err
	}
	const get = `1.1.1.1 - - [x] "GET /v2/a HTTP/1.1" 200` + "\n"
	if err := write(get); err != nil {
		t.Fatal(err)
	}
	r := &registry{server: &server{log: log}}
	n, err := r.counted(anyRequest, func() error { return write("level=info\n" + get + get) })
	if err != nil || n != 2 {
		t.Errorf("%v, %v", n, err)
	}
	if _, err := r.counted(anyRequest, func() error { return errors.New("broke") }); err == nil {
		t.Error("its failure is lost")
	}
}

func TestSkopeoRemembersInItsOwnHome(t *testing.T) {
	t.Parallel()
	b := &bench{options: options{dir: t.TempDir()}}
	const own = "_CONTAINERS_ROOTLESS_UID=1"
	if !slices.Contains(b.env("skopeo"), own) || slices.Contains(b.env("vicr"), own) {
		t.Error("skopeo as root would remember in /var/lib")
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".dockerd"), []byte("v2.0.0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := stamp(filepath.Join(dir, "dockerd")); got != "v2.0.0" {
		t.Errorf("%q", got)
	}
	if got := stamp(filepath.Join(dir, "none")); got != absent {
		t.Errorf("%q", got)
	}
	if got := versionOf(t.Context(), []string{"PATH=" + dir}, "none", "--version"); got != absent {
		t.Errorf("%q", got)
	}
	if got := versionOf(t.Context(), []string{"PATH=/bin:/usr/bin"}, "sh", "-c", "echo one 1.0; echo two"); got != "one 1.0" {
		t.Errorf("%q", got)
	}
}

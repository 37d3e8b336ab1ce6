//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// A goal is a bound on what vicr takes beside a peer.
type goal struct {
	Peer  string // "": the best of the row
	Limit float64
}

// Facts are what a report says of a row.
type facts struct {
	Group, Name, Title string
	Goals              []goal
	Memory             int // MiB that vicr may take at its peak; 0: as most rows
}

// What vicr may take at its peak, in MiB.
const (
	usualMemory = 48
	copyMemory  = 40
	saveMemory  = 96
)

// A row is one errand that several tools do in turn.
type row struct {
	facts
	engine *engine  // that it needs; nil: none
	tools  []string // vicr first
	quick  bool     // it takes milliseconds, and more rounds for a steady median
	// before is outside the clock, before each run; it may be nil.
	before func(ctx context.Context, tool string) error
	run    func(ctx context.Context, tool string) (sample, error)
}

// quickRounds is how many rounds a quick row has for one of another row.
const quickRounds = 3

// A result is what the rounds of a row gave.
type result struct {
	facts
	Run    int // of the report's runs
	Series []series
	Failed string `json:",omitempty"` // why there is no more
}

// A group of rows has a table and a picture of its own.
type group struct{ name, title string }

func groups() []group {
	return []group{
		{"small", "Start-up and tags"},
		{"pull", "Pull to an OCI layout"},
		{"push", "Push from an OCI layout, and copy"},
		{"counts", "Requests and bytes"},
		{"engine", "With an engine (dockerd 20.10, its own store)"},
		{"newest", "With the newest engine (containerd's store)"},
		{"history", "Push out of the engine (20.10), by how the image came there"},
	}
}

// wanted are the rows that were asked for, by group.
func (b *bench) wanted() []row {
	return slices.DeleteFunc(b.everyRow(), func(r row) bool { return !b.asked(r.facts) })
}

func (b *bench) everyRow() []row {
	all := slices.Concat(b.registryRows(), b.engineRows(), b.historyRows())
	slices.SortStableFunc(all, func(x, y row) int { return place(x.Group) - place(y.Group) })
	return all
}

func place(name string) int {
	return slices.IndexFunc(groups(), func(g group) bool { return g.name == name })
}

func (b *bench) asked(f facts) bool { return b.rows.MatchString(f.Group + "/" + f.Name) }

// measure runs what was asked for, group by group, and writes the report after
// each row: a run that is cut loses the row that it was at. A row that fails is
// said in the report, and the next one is measured.
func (b *bench) measure(ctx context.Context) error {
	rows := b.wanted()
	for _, g := range groups() {
		began := time.Now()
		if g.name == "counts" {
			if err := b.count(ctx); err != nil {
				return err
			}
		}
		for _, r := range rows {
			if r.Group != g.name {
				continue
			}
			res := b.measureRow(ctx, r)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			for _, line := range res.lines() {
				b.log("%s", line)
			}
			if err := b.put(res); err != nil {
				return err
			}
		}
		if took := time.Since(began); took > time.Second {
			b.log("# %s took %s", g.name, took.Round(time.Second))
		}
	}
	return nil
}

// measureRow has every tool do the row once in each round, another one first
// each time.
func (b *bench) measureRow(ctx context.Context, r row) result {
	res := result{facts: r.facts, Run: len(b.kept.Runs) - 1, Series: make([]series, len(r.tools))}
	for i, tool := range r.tools {
		res.Series[i].Tool = tool
	}
	rounds := b.rounds
	if r.engine != nil {
		rounds = b.engineRounds
		if err := r.engine.start(ctx); err != nil {
			res.Failed = err.Error()
			return res
		}
	}
	if r.quick {
		rounds *= quickRounds
	}
	for round := range rounds {
		for i := range r.tools {
			at := (i + round) % len(r.tools)
			if err := b.once(ctx, r, &res.Series[at]); err != nil {
				res.Failed = fmt.Sprintf("round %d, %s: %v", round+1, r.tools[at], err)
				return res
			}
		}
	}
	return res
}

func (b *bench) once(ctx context.Context, r row, s *series) error {
	if r.before != nil {
		if err := r.before(ctx, s.Tool); err != nil {
			return fmt.Errorf("before: %w", err)
		}
	}
	got, err := r.run(b.profiled(ctx, r.facts, s.Tool), s.Tool)
	if err != nil {
		return err
	}
	s.Samples = append(s.Samples, got)
	return nil
}

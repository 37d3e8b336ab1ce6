//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
)

// A report is all that was measured. It is kept as JSON between runs, so that
// a later one can add the rows that an earlier one lacks.
type report struct {
	Runs    []string // when, of what, where
	Results []result
	Counts  []count
}

func readReport(name string) (report, error) {
	var r report
	raw, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(raw, &r)
}

// put adds a row to the report, in the place of an older one, and writes all.
func (b *bench) put(r result) error {
	b.kept.Results = slices.DeleteFunc(b.kept.Results, func(o result) bool { return o.Group == r.Group && o.Name == r.Name })
	b.kept.Results = append(b.kept.Results, r)
	return b.write()
}

func (b *bench) putCount(c count) error {
	b.kept.Counts = slices.DeleteFunc(b.kept.Counts, func(o count) bool { return o.Title == c.Title })
	b.kept.Counts = append(b.kept.Counts, c)
	return b.write()
}

// write writes what is known so far, as JSON for later runs to add to and as the
// page, if it is to be written.
func (b *bench) write() error {
	if b.out == "" {
		return nil
	}
	raw, err := json.MarshalIndent(b.kept, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(b.keep, raw, 0o644); err != nil {
		return err
	}
	return publish(b.out, b.kept)
}

// failures are the rows of the last run that broke off.
func (r report) failures() error {
	var all []error
	last := len(r.Runs) - 1
	for _, o := range r.Results {
		if o.Failed != "" && o.Run == last {
			all = append(all, fmt.Errorf("%s/%s: %s", o.Group, o.Name, o.Failed))
		}
	}
	for _, c := range r.Counts {
		if c.Failed != "" && c.Run == last {
			all = append(all, fmt.Errorf("%s/%s: %s", c.Group, c.Name, c.Failed))
		}
	}
	return errors.Join(all...)
}

// order is where a row stands among all.
func (r result) order() int {
	all := (&bench{engine: &engine{}, newest: &engine{}}).everyRow()
	return slices.IndexFunc(all, func(o row) bool { return o.Group == r.Group && o.Name == r.Name })
}

// of are the results of a group, in the order of its rows.
func (r report) of(group string) []result {
	some := slices.DeleteFunc(slices.Clone(r.Results), func(o result) bool { return o.Group != group })
	slices.SortStableFunc(some, func(x, y result) int { return x.order() - y.order() })
	return some
}

// best is the peer that took least, by the median.
func (r result) best() (series, bool) {
	var found series
	for _, s := range r.Series[1:] {
		if len(s.Samples) > 0 && (found.Tool == "" || s.wall().median < found.wall().median) {
			found = s
		}
	}
	return found, found.Tool != ""
}

func (r result) peer(name string) (series, bool) {
	if name == "" {
		return r.best()
	}
	i := slices.IndexFunc(r.Series, func(s series) bool { return s.Tool == name && len(s.Samples) > 0 })
	if i < 0 {
		return series{}, false
	}
	return r.Series[i], true
}

// lines are for who looks on.
func (r result) lines() []string {
	all := []string{"## " + r.Group + ": " + r.Title}
	for _, s := range r.Series {
		w, ratio := s.wall(), r.Series[0].ratio(s)
		all = append(all, fmt.Sprintf("  %-12s wall %7.3f s [%.3f-%.3f]  cpu %7.3f s  rss %5.0f MiB  ratio %5.2f [%.2f-%.2f]",
			s.Tool, w.median, w.least, w.most, s.cpu(), s.rss(), ratio.median, ratio.least, ratio.most))
	}
	if r.Failed != "" {
		all = append(all, "  failed: "+r.Failed)
	}
	goals, ratios := r.verdict()
	return append(all, "  goal "+strings.ReplaceAll(goals, "<br>", ", ")+": "+strings.ReplaceAll(ratios, "<br>", ", "))
}

// verdict is a goal and what came of it, for a cell of a table.
func (r result) verdict() (goals, ratios string) {
	var want, got []string
	for _, g := range r.Goals {
		p, ok := r.peer(g.Peer)
		name := p.Tool
		if !ok {
			name = g.Peer
			if name == "" {
				name = "the best peer"
			}
		}
		want = append(want, fmt.Sprintf("<= %.2f of %s", g.Limit, name))
		if ratio := r.Series[0].ratio(p); !ok || len(r.Series[0].Samples) == 0 {
			got = append(got, "not measured")
		} else {
			got = append(got, judged(ratio, g.Limit))
		}
	}
	if len(want) > 0 {
		return strings.Join(want, "<br>"), strings.Join(got, "<br>")
	}
	p, ok := r.best()
	if !ok {
		return "none", "not measured"
	}
	ratio := r.Series[0].ratio(p)
	return "none", fmt.Sprintf("%.2f of %s (%.2f-%.2f)", ratio.median, p.Tool, ratio.least, ratio.most)
}

// judged holds a ratio against its limit, both unrounded. One that is printed
// like the limit it misses has a digit more.
func judged(ratio spread, limit float64) string {
	met, format := ratio.median <= limit, "%.2f (%.2f-%.2f), %s"
	if !met && math.Round(100*ratio.median) <= math.Round(100*limit) {
		format = "%.3f (%.2f-%.2f), %s"
	}
	return fmt.Sprintf(format, ratio.median, ratio.least, ratio.most, mark(met))
}

func mark(met bool) string {
	if met {
		return "met"
	}
	return "**missed**"
}

// memory is what vicr took at its peak in a row, beside what it may.
func (r result) memory() string {
	limit := r.Memory
	if limit == 0 {
		limit = usualMemory
	}
	took := r.Series[0].rss()
	if took <= float64(limit) {
		return fmt.Sprintf("%.0f", took)
	}
	return fmt.Sprintf("%.0f, **over %d**", took, limit)
}

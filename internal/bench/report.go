package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// best is the peer that took least, by the median.
func (r result) best() (series, bool) {
	peers := slices.Clone(r.series[1:])
	if len(peers) == 0 {
		return series{}, false
	}
	return slices.MinFunc(peers, func(a, b series) int {
		if a.wall() < b.wall() {
			return -1
		}
		return 1
	}), true
}

func (r result) peer(name string) (series, bool) {
	if name == "" {
		return r.best()
	}
	i := slices.IndexFunc(r.series, func(s series) bool { return s.tool == name })
	if i < 0 {
		return series{}, false
	}
	return r.series[i], true
}

func (r result) lines() []string {
	all := []string{"## " + r.row.title}
	for _, s := range r.series {
		all = append(all, fmt.Sprintf("  %-12s wall %7.3f s  cpu %7.3f s  rss %5.0f MB  ratio %5.2f",
			s.tool, s.wall(), s.cpu(), s.rss(), r.series[0].ratio(s)))
	}
	for _, g := range r.row.goals {
		if p, ok := r.peer(g.peer); ok {
			all = append(all, fmt.Sprintf("  goal %.2f of %s: %.2f", g.limit, p.tool, r.series[0].ratio(p)))
		}
	}
	return all
}

// verdict is a goal and what came of it, for a cell of a table.
func (r result) verdict() (goals, ratios string) {
	var want, got []string
	for _, g := range r.row.goals {
		p, ok := r.peer(g.peer)
		if !ok {
			continue
		}
		ratio := r.series[0].ratio(p)
		mark := "met"
		if ratio > g.limit {
			mark = "**missed**"
		}
		want = append(want, fmt.Sprintf("<= %.2f of %s", g.limit, p.tool))
		got = append(got, fmt.Sprintf("%.2f, %s", ratio, mark))
	}
	if len(want) == 0 {
		if p, ok := r.best(); ok {
			return "none", fmt.Sprintf("%.2f of %s", r.series[0].ratio(p), p.tool)
		}
	}
	return strings.Join(want, "<br>"), strings.Join(got, "<br>")
}

// report writes the tables, as Markdown, between the marks of a page that is
// there, and a picture of each group of rows.
func (b *bench) report(results []result, counts []count) error {
	var out strings.Builder
	fmt.Fprintf(&out, "Measured on %s/%s, %d processors, %s; each row in rotation, medians; ratios are medians over the rounds of vicr's time beside the peer's in the same round.\n\n",
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	fmt.Fprintf(&out, "| row | rounds | vicr | peers | goal | ratio | memory |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range results {
		goals, ratios := r.verdict()
		var others []string
		for _, s := range r.series[1:] {
			others = append(others, fmt.Sprintf("%s %.3f s", s.tool, s.wall()))
		}
		fmt.Fprintf(&out, "| %s | %d | %.3f s | %s | %s | %s | %.0f MB |\n",
			r.row.title, len(r.series[0].samples), r.series[0].wall(), strings.Join(others, ", "), goals, ratios, r.series[0].rss())
	}
	if len(counts) > 0 {
		fmt.Fprintf(&out, "\nRequests for the tiny image, 3 layers and a config, out of the registry's access log:\n\n| errand | %s |\n| --- |%s\n",
			strings.Join(clients, " | "), strings.Repeat(" --- |", len(clients)))
		for _, c := range counts {
			fmt.Fprintf(&out, "| %s |", c.errand)
			for _, tool := range clients {
				fmt.Fprintf(&out, " %d |", c.of[tool])
			}
			out.WriteString("\n")
		}
	}
	if b.out == "" {
		_, err := os.Stdout.WriteString(out.String())
		return err
	}
	return b.publish(out.String(), results)
}

// The report stands between these lines of the page.
const (
	beginMark = "<!-- bench -->"
	endMark   = "<!-- /bench -->"
)

func (b *bench) publish(text string, results []result) error {
	page := filepath.Join(b.out, "performance.md")
	raw, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(raw), beginMark)
	_, after, closed := strings.Cut(rest, endMark)
	if !ok || !closed {
		return fmt.Errorf("%s has no place for the report", page)
	}
	pictures := map[string]func(row) bool{
		"performance-registry.svg": func(r row) bool { return !r.engine },
		"performance-engine.svg":   func(r row) bool { return r.engine },
	}
	for name, wanted := range pictures {
		some := slices.DeleteFunc(slices.Clone(results), func(r result) bool { return !wanted(r.row) })
		if len(some) == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(b.out, name), []byte(picture(some)), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(page, []byte(before+beginMark+"\n"+text+endMark+after), 0o644)
}

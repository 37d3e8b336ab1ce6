//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The report stands between these lines of the page.
const (
	beginMark = "<!-- bench -->"
	endMark   = "<!-- /bench -->"
)

// publish writes the report between the marks of the page in dir, and a
// picture of each group of rows beside it.
func publish(dir string, r report) error {
	page := filepath.Join(dir, "performance.md")
	raw, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(raw), beginMark)
	_, after, closed := strings.Cut(rest, endMark)
	if !ok || !closed {
		return fmt.Errorf("%s has no place for the report", page)
	}
	for _, g := range groups() {
		results := r.of(g.name)
		if len(results) == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, pictureName(g)), []byte(picture(g, results)), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(page, []byte(before+beginMark+"\n"+r.markdown()+endMark+after), 0o644)
}

func pictureName(g group) string { return "performance-" + g.name + ".svg" }

// markdown is the report as tables.
func (r report) markdown() string {
	var out strings.Builder
	for i, run := range r.Runs {
		if len(r.Runs) > 1 {
			fmt.Fprintf(&out, "Run %d: ", i+1)
		}
		fmt.Fprintf(&out, "%s\n\n", run)
	}
	out.WriteString("Each row in rotation; seconds and ratios are medians, with the least and the most in brackets; a ratio is vicr's time beside the peer's in the same round. " +
		"cpu is user and system time of the client alone, memory its peak in MiB in all rounds.\n")
	for _, g := range groups() {
		results := r.of(g.name)
		if g.name == "counts" {
			r.countTable(&out, g)
		} else if len(results) > 0 {
			fmt.Fprintf(&out, "\n### %s\n\n![%s](%s)\n\n", g.title, g.title, pictureName(g))
			table(&out, results, len(r.Runs) > 1)
		}
	}
	return out.String()
}

func table(out *strings.Builder, results []result, runs bool) {
	fmt.Fprintf(out, "| row | rounds | vicr | peers | goal | ratio | cpu | memory |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range results {
		title, rounds := r.Title, fmt.Sprint(len(r.Series[0].Samples))
		if r.Failed != "" {
			title += "<br>**failed**: " + oneLine(r.Failed)
		}
		if runs {
			rounds += fmt.Sprintf(" of run %d", r.Run+1)
		}
		vicr := r.Series[0]
		if len(vicr.Samples) == 0 {
			fmt.Fprintf(out, "| %s | %s | | | | | | |\n", title, rounds)
			continue
		}
		var peers []string
		cpu := []string{fmt.Sprintf("%.3f s", vicr.cpu())}
		for _, s := range r.Series[1:] {
			if len(s.Samples) > 0 {
				peers = append(peers, s.Tool+" "+seconds(s.wall()))
			}
		}
		if p, ok := r.best(); ok {
			cpu = append(cpu, fmt.Sprintf("%s %.3f s", p.Tool, p.cpu()))
		}
		goals, ratios := r.verdict()
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", title, rounds, seconds(vicr.wall()),
			strings.Join(peers, "<br>"), goals, ratios, strings.Join(cpu, "<br>"), r.memory())
	}
}

func seconds(s spread) string {
	n := digits(s.median)
	return fmt.Sprintf("%.*f s (%.*f-%.*f)", n, s.median, n, s.least, n, s.most)
}

// digits are those after the point that are worth printing of so many seconds.
func digits(seconds float64) int {
	switch {
	case seconds < 0.1:
		return 4
	case seconds < 1:
		return 3
	}
	return 2
}

func oneLine(s string) string {
	s = strings.NewReplacer("|", "/", "<", "", ">", "").Replace(strings.Join(strings.Fields(s), " "))
	const most = 200 // bytes
	return s[:min(len(s), most)]
}

// countTable has no picture: most of it are small numbers.
func (r report) countTable(out *strings.Builder, g group) {
	if len(r.Counts) == 0 {
		return
	}
	fmt.Fprintf(out, "\n### %s\n\nRequests are those of the tiny image, 3 layers and a config, and come, as the GETs, out of the registry's access log. "+
		"Bytes are counted by a proxy, both ways, beside the size of the blob.\n\n| errand | %s | goal | |\n| --- |%s --- | --- |\n",
		g.title, strings.Join(clients, " | "), strings.Repeat(" --- |", len(clients)))
	for _, c := range r.Counts {
		title := c.Title
		if c.Failed != "" {
			title += "<br>**failed**: " + oneLine(c.Failed)
		}
		fmt.Fprintf(out, "| %s |", title)
		for _, tool := range clients {
			n, ok := c.Of[tool]
			switch {
			case !ok:
				out.WriteString(" |")
			case c.Unit == "":
				fmt.Fprintf(out, " %.0f |", n)
			default:
				fmt.Fprintf(out, " %.1f %s |", n, c.Unit)
			}
		}
		n, ok := c.Of["vicr"]
		switch {
		case c.Limit == 0:
			out.WriteString(" none | |\n")
		case !ok:
			fmt.Fprintf(out, " <= %.0f%s | not measured |\n", c.Limit, c.Unit)
		default:
			fmt.Fprintf(out, " <= %.0f%s | %s |\n", c.Limit, c.Unit, mark(n <= c.Limit))
		}
	}
}

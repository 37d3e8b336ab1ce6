//go:build linux

package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

func seriesOf(tool string, seconds ...float64) series {
	s := series{Tool: tool}
	for _, x := range seconds {
		d := time.Duration(x * float64(time.Second))
		s.Samples = append(s.Samples, sample{Wall: d, CPU: d / 2, RSS: 20 * mib})
	}
	return s
}

func someReport() report {
	fat := seriesOf("vicr", 1, 2, 30)
	fat.Samples[2].RSS = 60 * mib
	return report{
		Runs: []string{"Measured one day on a machine.", "Measured on the next day."},
		Results: []result{
			{
				facts: facts{Group: "pull", Name: "pull-many", Title: "pull: many <&>", Goals: []goal{{"", 1}}}, Run: 1,
				Series: []series{fat, seriesOf("crane", 2, 4, 40), seriesOf("oras", 1, 1, 1000)},
			},
			{
				facts:  facts{Group: "pull", Name: "pull-tiny", Title: "pull: tiny"},
				Series: []series{seriesOf("vicr", 1), seriesOf("crane", 0.001), seriesOf("oras", 50)},
			},
			{
				facts:  facts{Group: "engine", Name: "push", Title: "push: fleet", Goals: []goal{{"docker", 1.05}, {"skopeo", 0.2}}, Memory: saveMemory},
				Series: []series{fat, seriesOf("docker", 1, 2, 30), {Tool: "skopeo"}}, Failed: "round 1, skopeo: exit status 1:\n| <no>",
			},
			{facts: facts{Group: "newest", Name: "pull", Title: "pull: typical", Goals: docker(1)}, Series: []series{{Tool: "vicr"}, {Tool: "docker"}}, Failed: "no engine"},
		},
		Counts: []count{
			{facts: facts{Title: "requests: push cold"}, Limit: 9, Of: map[string]float64{"vicr": 9, "crane": 19}},
			{facts: facts{Title: "bytes"}, Limit: 11, Unit: "%", Of: map[string]float64{"vicr": 11.5, "oras": 100}},
			{facts: facts{Title: "none"}, Of: map[string]float64{"vicr": 3}},
			{facts: facts{Title: "broken"}, Limit: 1, Failed: "vicr: no"},
		},
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || string(want) != got {
		t.Errorf("%s differs, %v; got:\n%s", file, err, got)
	}
}

func TestReportAndPicture(t *testing.T) {
	t.Parallel()
	r := someReport()
	golden(t, "report.md", r.markdown())
	golden(t, "picture.svg", picture(group{"pull", "Pull & push"}, r.of("pull")))
}

func TestFailedRowsOfTheLastRunAreSaid(t *testing.T) {
	t.Parallel()
	r := someReport()
	if err := r.failures(); err != nil {
		t.Errorf("an earlier run's: %v", err)
	}
	r.Runs = r.Runs[:1]
	err := r.failures()
	if err == nil || !strings.Contains(err.Error(), "newest/pull: no engine") || !strings.Contains(err.Error(), "vicr: no") {
		t.Errorf("%v", err)
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		vicr, peer series
		goals      []goal
		want, got  string
	}{
		"met":             {seriesOf("vicr", 1, 1, 1), seriesOf("a", 2, 2, 2), []goal{{"a", 0.5}}, "<= 0.50 of a", "0.50 (0.50-0.50), met"},
		"by a little":     {seriesOf("vicr", 1.004), seriesOf("a", 1), []goal{{"", 1}}, "<= 1.00 of a", "1.004 (1.00-1.00), **missed**"},
		"missed":          {seriesOf("vicr", 1.006), seriesOf("a", 1), []goal{{"", 1}}, "<= 1.00 of a", "1.01 (1.01-1.01), **missed**"},
		"missed by far":   {seriesOf("vicr", 10), seriesOf("a", 1), []goal{{"a", 9}}, "<= 9.00 of a", "10.00 (10.00-10.00), **missed**"},
		"by round":        {seriesOf("vicr", 1, 2, 3, 50), seriesOf("a", 2, 4, 1, 100), docker(1), "<= 1.00 of docker", "not measured"},
		"no peer":         {seriesOf("vicr", 1), series{Tool: "a"}, []goal{{"", 1}}, "<= 1.00 of the best peer", "not measured"},
		"no vicr":         {series{Tool: "vicr"}, seriesOf("a", 1), []goal{{"a", 1}}, "<= 1.00 of a", "not measured"},
		"no goal":         {seriesOf("vicr", 1, 2, 3, 50), seriesOf("a", 2, 4, 1, 100), nil, "none", "0.50 of a (0.50-3.00)"},
		"no goal, no row": {series{Tool: "vicr"}, series{Tool: "a"}, nil, "none", "not measured"},
	} {
		r := result{facts: facts{Goals: test.goals}, Series: []series{test.vicr, test.peer}}
		if want, got := r.verdict(); want != test.want || got != test.got {
			t.Errorf("%s: %q, %q", name, want, got)
		}
	}
}

func TestReportIsWrittenAfterEachRow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	page := filepath.Join(dir, "performance.md")
	if err := os.WriteFile(page, []byte("before\n"+beginMark+"\nold\n"+endMark+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := &bench{options: options{out: dir}, keep: filepath.Join(dir, "report.json")}
	all := someReport()
	for i, r := range all.Results[:2] {
		if err := b.put(r); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(page)
		if got := strings.Count(string(raw), "| pull: "); err != nil || got != i+1 || strings.Contains(string(raw), "old") {
			t.Errorf("after %d rows: %v\n%s", i+1, err, raw)
		}
		if text := string(raw); !strings.HasPrefix(text, "before\n") || !strings.HasSuffix(text, "\nafter\n") {
			t.Error("what is outside of the marks was changed")
		}
	}
	if svg, err := os.ReadFile(filepath.Join(dir, "performance-pull.svg")); err != nil || !strings.Contains(string(svg), "many &lt;&amp;&gt;") {
		t.Errorf("%v: %s", err, svg)
	}
	// A row that is measured again stands in the place of the older one.
	if err := b.put(all.Results[0]); err != nil || len(b.kept.Results) != 2 {
		t.Errorf("%d rows, %v", len(b.kept.Results), err)
	}
	kept, err := readReport(b.keep)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(b.kept)
	if got, _ := json.Marshal(kept); string(got) != string(want) {
		t.Errorf("kept %s\nwant %s", got, want)
	}
	if none, err := readReport(filepath.Join(dir, "none")); err != nil || len(none.Results) != 0 {
		t.Errorf("%v, %v", none, err)
	}
	if err := os.WriteFile(page, []byte("no marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.put(all.Results[0]); err == nil {
		t.Error("a page without marks was taken")
	}
}

func TestVicrIsBuiltAsAReleaseIs(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../.goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"flags: [" + releaseTrim + "]", `ldflags: ["` + releaseLinked + " -X "} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("no %s in .goreleaser.yaml", want)
		}
	}
}

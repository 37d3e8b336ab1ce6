package main

import (
	"context"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestImagesAreTheSameEachTime(t *testing.T) {
	t.Parallel()
	img := image{"img", layers(1, 2, 100_000)}
	var roots [2]string
	for i := range roots {
		dir := t.TempDir()
		if err := writeLayout(dir, img); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
		if err != nil {
			t.Fatal(err)
		}
		roots[i] = string(raw)
		blobs, err := os.ReadDir(filepath.Join(dir, "blobs", "sha256"))
		if err != nil || len(blobs) != 4 {
			t.Errorf("%d blobs, %v", len(blobs), err)
		}
		for _, b := range blobs {
			f, err := os.Open(filepath.Join(dir, "blobs", "sha256", b.Name()))
			if err != nil {
				t.Fatal(err)
			}
			h, size, err := v1.SHA256(f)
			if err != nil || h.Hex != b.Name() {
				t.Errorf("%s has the digest %s: %v", b.Name(), h, err)
			}
			if size > 40_000 && (size < 50_000 || size > 60_000) {
				t.Errorf("a layer of 100000 bytes has %d compressed", size)
			}
			f.Close()
		}
	}
	if roots[0] != roots[1] {
		t.Errorf("%s\n%s", roots[0], roots[1])
	}
}

func TestALagProxyIsAsSlowAsItsLink(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, size)) }))
	defer server.Close()
	get := func(l link, conns int) time.Duration {
		p, err := startLag(t.Context(), server.Listener.Addr().String(), l)
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		begin := time.Now()
		done := make(chan error, conns)
		for range conns {
			go func() {
				tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, network, p.addr())
				}}
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
				resp, err := tr.RoundTrip(req)
				if err == nil {
					n, _ := io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					if n != size {
						t.Errorf("%d bytes came", n)
					}
				}
				done <- err
			}()
		}
		for range conns {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		return time.Since(begin)
	}
	// Only lower bounds: a machine may be as busy as it likes.
	const rate = 16 << 20
	for name, test := range map[string]struct {
		link  link
		conns int
		least time.Duration
	}{
		"round trips":              {link{rtt: 100 * time.Millisecond}, 1, 200 * time.Millisecond},
		"a rate for each":          {link{perConn: rate}, 1, 200 * time.Millisecond},
		"a rate for all together":  {link{rate: rate}, 2, 400 * time.Millisecond},
		"a rate for each, several": {link{perConn: rate}, 2, 200 * time.Millisecond},
	} {
		if took := get(test.link, test.conns); took < test.least {
			t.Errorf("%s: took %s, want at least %s", name, took, test.least)
		}
	}
}

func TestMediansAndRatios(t *testing.T) {
	t.Parallel()
	of := func(tool string, seconds ...float64) series {
		s := series{tool: tool}
		for _, x := range seconds {
			s.samples = append(s.samples, sample{wall: time.Duration(x * float64(time.Second))})
		}
		return s
	}
	r := result{
		row:    row{title: "a row", goals: []goal{{"", 0.5}, {"b", 0.9}, {"absent", 1}}},
		series: []series{of("vicr", 1, 2, 30), of("a", 2, 4, 40), of("b", 1, 1, 1000)},
	}
	if got := r.series[0].wall(); got != 2 {
		t.Errorf("median %v", got)
	}
	best, _ := r.best()
	if best.tool != "b" {
		t.Errorf("best is %s", best.tool)
	}
	goals, ratios := r.verdict()
	if goals != "<= 0.50 of b<br><= 0.90 of b" || ratios != "1.00, **missed**<br>1.00, **missed**" {
		t.Errorf("%q, %q", goals, ratios)
	}
	if got := r.series[0].ratio(r.series[1]); got != 0.5 {
		t.Errorf("ratio %v", got)
	}
	if !math.IsNaN(median(nil)) || median([]float64{4, 1, 3, 2}) != 2.5 {
		t.Error("median")
	}
}

func TestReportStandsBetweenItsMarks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	page := filepath.Join(dir, "performance.md")
	if err := os.WriteFile(page, []byte("before\n"+beginMark+"\nold\n"+endMark+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	one := []sample{{wall: time.Second, rss: 20 << 20}}
	results := []result{{row: row{title: "a <row>"}, series: []series{{"vicr", one}, {"crane", one}}}}
	b := &bench{options: options{out: dir}}
	if err := b.report(results, []count{{"push", map[string]int{"vicr": 9}}}); err != nil {
		t.Fatal(err)
	}
	raw, _ := os.ReadFile(page)
	text := string(raw)
	for _, want := range []string{"before\n", "| a <row> | 1 | 1.000 s | crane 1.000 s | none | 1.00 of crane | 20 MB |", "| push | 9 |", "\nafter\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "old") {
		t.Error("the old report is still there")
	}
	svg, err := os.ReadFile(filepath.Join(dir, "performance-registry.svg"))
	if err != nil || !strings.Contains(string(svg), "a &lt;row&gt;") {
		t.Errorf("%v: %s", err, svg)
	}
}

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A count is what an errand takes that is counted, not timed.
type count struct {
	facts
	Run    int // of the report's runs
	Unit   string
	Limit  float64 // for vicr; 0: none
	Of     map[string]float64
	Failed string `json:",omitempty"`
}

// count does every errand whose requests or bytes are counted.
func (b *bench) count(ctx context.Context) error {
	counts := append(b.requestCounts(), b.batchCount(), b.cutPull(), b.cutPush())
	for _, c := range counts {
		if !b.asked(c.facts) {
			continue
		}
		if err := c.do(ctx, &c.count); err != nil {
			c.Failed = err.Error()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.log("## %s: %v %s %s", c.Title, c.Of, c.Unit, c.Failed)
		if err := b.putCount(c.count); err != nil {
			return err
		}
	}
	return nil
}

// A counting is a count that is still to be made.
type counting struct {
	count
	do func(ctx context.Context, c *count) error
}

func (b *bench) newCount(name, title, unit string, limit float64, of func(ctx context.Context, tool string) (float64, error)) counting {
	return counting{
		count{facts: facts{Group: "counts", Name: name, Title: title}, Run: len(b.kept.Runs) - 1, Unit: unit, Limit: limit, Of: map[string]float64{}},
		func(ctx context.Context, c *count) error {
			var all error
			for _, tool := range clients {
				n, err := of(ctx, tool)
				if err != nil {
					all = errors.Join(all, fmt.Errorf("%s: %w", tool, err))
					continue
				}
				c.Of[tool] = n
			}
			return all
		},
	}
}

// requestCounts have each tool do each errand once with the tiny image. They
// go by one name, as the second errand is the first one again.
func (b *bench) requestCounts() []counting {
	site := func() site { return b.site(b.memory) }
	dir := filepath.Join(b.dir, "count")
	push := func(tool string) []string {
		return pushLayout(tool, site(), filepath.Join(b.layout, "tiny"), "tiny", "count-"+tool)
	}
	pull := func(tool string) []string { return pullLayout(tool, site(), "tiny", filepath.Join(dir, tool)) }
	var all []counting
	for _, errand := range []struct {
		title string
		limit float64
		cold  bool
		argv  func(tool string) []string
	}{
		{"push cold", 9, true, push},
		{"push again", 1, false, push},
		{"pull cold", 5, true, pull},
		{"pull again", 1, false, pull},
		{"remote tag", 2, true, func(tool string) []string { return retag(tool, site(), "tiny", "count-"+tool) }},
		{"copy, same registry", 0, true, func(tool string) []string { return remoteCopy(tool, site(), site(), "tiny", "counted-"+tool) }},
	} {
		all = append(all, b.newCount("requests", "requests: "+errand.title, "", errand.limit, func(ctx context.Context, tool string) (float64, error) {
			if errand.cold {
				if err := b.forget(tool); err != nil {
					return 0, err
				}
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return 0, err
			}
			return b.memory.counted(anyRequest, func() error {
				_, err := run(ctx, b.env(tool), errand.argv(tool)...)
				return err
			})
		}))
	}
	return all
}

// batchCount counts how often a blob is got where each is needed once.
func (b *bench) batchCount() counting {
	dir := filepath.Join(b.dir, "out")
	const title = "GETs of blobs: pull of %d tags that share 7 of 8 layers, %d blobs in all"
	blobs := 7 + 2*batchSize // shared layers, layers and configs of each tag
	return b.newCount("batch", fmt.Sprintf(title, batchSize, blobs), "", float64(blobs), func(ctx context.Context, tool string) (float64, error) {
		if err := b.forget(tool); err != nil {
			return 0, err
		}
		if err := emptied(dir); err != nil {
			return 0, err
		}
		defer os.RemoveAll(dir)
		return b.memory.counted(`"GET /v2/bench/batch/blobs/`, func() error {
			_, err := b.batch(ctx, tool, dir)
			return err
		})
	})
}

//go:build linux

package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Sizes of a picture, in its own units.
const (
	width        = 760
	left, right  = 120.0, 660.0 // of the axis
	barHeight    = 14
	titleHeight  = 20
	rowGap       = 8
	headerHeight = 56
)

var colours = map[string]string{
	"vicr": "#0b7285", "crane": "#868e96", "regctl": "#b1b8be", "oras": "#e67700",
	"skopeo": "#9c36b5", "docker": "#1c7ed6", "crane+load": "#495057",
}

// picture draws, for each row, how long every tool took beside vicr: a bar to
// the right of the line at 1 took longer. The axis is logarithmic.
func picture(g group, results []result) string {
	least, most := bounds(results)
	x := func(ratio float64) float64 {
		return left + math.Log2(min(max(ratio, least), most)/least)/math.Log2(most/least)*(right-left)
	}
	var body strings.Builder
	y := headerHeight
	for _, r := range results {
		if len(r.Series[0].Samples) == 0 {
			continue
		}
		fmt.Fprintf(&body, `<text x="10" y="%d" font-weight="bold">%s</text>`+"\n", y+titleHeight-6, html.EscapeString(r.Title))
		y += titleHeight
		for _, s := range r.Series {
			if len(s.Samples) > 0 {
				bar(&body, y, s, s.ratio(r.Series[0]).median, x)
				y += barHeight
			}
		}
		y += rowGap
	}
	var lines strings.Builder
	for ratio := least; ratio <= most; ratio *= 2 {
		colour := "#e9ecef"
		if ratio == 1 {
			colour = "#868e96"
		}
		fmt.Fprintf(&lines, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="%s"/><text x="%.1f" y="%d" text-anchor="middle" fill="#495057">%gx</text>`+"\n",
			x(ratio), x(ratio), headerHeight-8, y, colour, x(ratio), headerHeight-12, ratio)
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">
<title>%s</title>
<rect width="%d" height="%d" fill="white"/>
<text x="10" y="20" font-size="14" font-weight="bold">%s: time beside vicr's, longer to the right</text>
%s%s</svg>
`, width, y+4, html.EscapeString(g.title), width, y+4, html.EscapeString(g.title), lines.String(), body.String())
}

func bar(out *strings.Builder, y int, s series, ratio float64, x func(float64) float64) {
	colour := colours[s.Tool]
	from, to := min(x(1), x(ratio)), max(x(1), x(ratio))
	const base = 3 // of text above the end of its line
	fmt.Fprintf(out, `<text x="%.0f" y="%d" text-anchor="end">%s</text>`, left-8, y+barHeight-base, html.EscapeString(s.Tool))
	fmt.Fprintf(out, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`, from, y+1, max(to-from, 2), barHeight-2, colour)
	took := s.wall().median
	fmt.Fprintf(out, `<text x="%.1f" y="%d">%.*f s</text>`+"\n", to+4, y+barHeight-base, digits(took), took)
}

// bounds are powers of two between which the ratios of the rows lie, but for
// those that would make the others too short to see.
func bounds(results []result) (least, most float64) {
	least, most = 0.5, 4
	const nearest, farthest = 1.0 / 8, 128
	for _, r := range results {
		for _, s := range r.Series {
			ratio := s.ratio(r.Series[0]).median
			for ratio < least && least > nearest {
				least /= 2
			}
			for ratio > most && most < farthest {
				most *= 2
			}
		}
	}
	return least, most
}

package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// picture draws, for each row, how long every tool took beside vicr: a bar to
// the right of the line took longer. The axis is logarithmic.
func picture(results []result) string {
	const (
		left, right = 330.0, 900.0
		barHeight   = 13
		gap         = 16
		most        = 64.0 // times
		least       = 0.25
	)
	colours := map[string]string{
		"vicr": "#0b7285", "crane": "#868e96", "regctl": "#adb5bd", "oras": "#f08c00", "skopeo": "#9c36b5", "docker": "#1c7ed6",
	}
	x := func(ratio float64) float64 {
		at := math.Log2(min(max(ratio, least), most)/least) / math.Log2(most/least)
		return left + at*(right-left)
	}
	var body strings.Builder
	y := 40
	for _, r := range results {
		fmt.Fprintf(&body, `<text x="10" y="%d" font-weight="bold">%s</text>`+"\n", y+barHeight-3, html.EscapeString(r.row.title))
		y += barHeight + 5
		for _, s := range r.series {
			ratio := s.ratio(r.series[0])
			colour := colours[s.tool]
			if colour == "" {
				colour = "#495057"
			}
			from, to := min(x(1), x(ratio)), max(x(1), x(ratio))
			fmt.Fprintf(&body, `<text x="%.0f" y="%d" text-anchor="end">%s %.3f s</text>`+"\n", left-8, y+barHeight-3, html.EscapeString(s.tool), s.wall())
			fmt.Fprintf(&body, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", from, y, max(to-from, 2), barHeight-2, colour)
			fmt.Fprintf(&body, `<text x="%.1f" y="%d">%.2f</text>`+"\n", to+4, y+barHeight-3, ratio)
			y += barHeight
		}
		y += gap
	}
	var lines strings.Builder
	for ratio := least; ratio <= most; ratio *= 2 {
		fmt.Fprintf(&lines, `<line x1="%.1f" x2="%.1f" y1="26" y2="%d" stroke="#dee2e6"/><text x="%.1f" y="20" text-anchor="middle">%g</text>`+"\n",
			x(ratio), x(ratio), y, x(ratio), ratio)
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 %d" font-family="sans-serif" font-size="11">
<rect width="960" height="%d" fill="white"/>
<text x="10" y="20">time beside vicr's</text>
%s%s</svg>
`, y+10, y+10, lines.String(), body.String())
}

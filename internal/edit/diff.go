package edit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxDiff      = 40      // lines that are shown
	maxShown     = 120     // runes of a line that are shown
	maxCompared  = 1 << 22 // cells of the table of common lines
	shownContext = 30      // runes kept beside a difference within a long line
)

// Diff is the changed lines alone, "-old" and "+new", for people: at most 40,
// long ones cut to where they differ, control characters escaped. It is empty
// when only line ends differ.
func Diff(before, after []byte) []string {
	a, b := textLines(before), textLines(after)
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	var out []string
	for _, h := range hunks(a, b) {
		out = append(out, h.show()...)
	}
	if len(out) > maxDiff {
		more := len(out) - maxDiff + 1
		out = append(out[:maxDiff-1], fmt.Sprintf("(%d more lines)", more))
	}
	return out
}

func textLines(data []byte) []string {
	var out []string
	for l := range strings.Lines(string(data)) {
		out = append(out, strings.TrimRight(l, "\r\n"))
	}
	return out
}

// A hunk is neighbouring lines that changed.
type hunk struct{ old, new []string }

// hunks finds the longest common lines; files too long for that are one hunk.
func hunks(a, b []string) []hunk {
	if len(a) == 0 && len(b) == 0 {
		return nil
	}
	if (len(a)+1)*(len(b)+1) > maxCompared {
		return []hunk{{a, b}}
	}
	w := len(b) + 1
	common := make([]int32, (len(a)+1)*w)
	for i, la := range slices.Backward(a) {
		for j, lb := range slices.Backward(b) {
			if la == lb {
				common[i*w+j] = common[(i+1)*w+j+1] + 1
			} else {
				common[i*w+j] = max(common[(i+1)*w+j], common[i*w+j+1])
			}
		}
	}
	var out []hunk
	var h hunk
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out, h = append(out, h), hunk{}
			i++
			j++
		case i < len(a) && (j == len(b) || common[(i+1)*w+j] >= common[i*w+j+1]):
			h.old = append(h.old, a[i])
			i++
		default:
			h.new = append(h.new, b[j])
			j++
		}
	}
	return append(out, h)
}

func (h hunk) show() []string {
	if len(h.old) == 1 && len(h.new) == 1 {
		o, n := narrow(h.old[0], h.new[0])
		return []string{"-" + printable(o), "+" + printable(n)}
	}
	var out []string
	for _, l := range h.old {
		out = append(out, "-"+printable(l))
	}
	for _, l := range h.new {
		out = append(out, "+"+printable(l))
	}
	return out
}

// narrow cuts two long lines to where they differ: a file of a single line
// would be shown whole, with everything secret in it.
func narrow(o, n string) (string, string) {
	ro, rn := []rune(o), []rune(n)
	if len(ro) <= maxShown && len(rn) <= maxShown {
		return o, n
	}
	short := min(len(ro), len(rn))
	head := 0
	for head < short && ro[head] == rn[head] {
		head++
	}
	tail := 0
	for tail < short-head && ro[len(ro)-1-tail] == rn[len(rn)-1-tail] {
		tail++
	}
	cut := func(r []rune) string {
		from, to := max(0, head-shownContext), min(len(r), len(r)-tail+shownContext)
		s := string(r[from:to])
		if from > 0 {
			s = "..." + s
		}
		if to < len(r) {
			s += "..."
		}
		return s
	}
	return cut(ro), cut(rn)
}

// printable escapes what a terminal would act on, and cuts what is too long.
func printable(s string) string {
	if utf8.RuneCountInString(s) > 2*maxShown {
		s = string([]rune(s)[:2*maxShown]) + "..."
	}
	var b strings.Builder
	for i, r := range s {
		_, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\t' || unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}

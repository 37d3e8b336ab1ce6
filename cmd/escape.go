package cmd

import (
	"strconv"
	"strings"
	"unicode"
)

// escaped makes text from outside safe for a terminal: control characters,
// bytes that are no UTF-8 and characters that turn the writing direction come
// out as Go escapes. Line breaks inside are escaped too.
func escaped(s string) string {
	if !strings.ContainsFunc(s, unsafeRune) && strings.ToValidUTF8(s, "") == s {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unsafeRune(r) || r == unicode.ReplacementChar {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func unsafeRune(r rune) bool { return !unicode.IsPrint(r) }

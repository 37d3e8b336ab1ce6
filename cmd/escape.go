package cmd

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
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

// allEscaped are the arguments of a format, with those that are text escaped.
func allEscaped(args []any) []any {
	for i, arg := range args {
		switch v := arg.(type) {
		case string:
			args[i] = escaped(v)
		case error:
			args[i] = escaped(v.Error())
		case fmt.Stringer:
			args[i] = escaped(v.String())
		}
	}
	return args
}

// shownText is text of several lines and columns, escaped.
func shownText(data []byte) []byte {
	var b bytes.Buffer
	start := 0
	for i, c := range data {
		if c == '\n' || c == '\t' {
			b.WriteString(escaped(string(data[start:i])))
			b.WriteByte(c)
			start = i + 1
		}
	}
	b.WriteString(escaped(string(data[start:])))
	return b.Bytes()
}

// printableJSON is a JSON document whose strings hold printable characters
// alone: for whoever reads it as JSON it says the same.
func printableJSON(data []byte) []byte {
	var b bytes.Buffer
	for _, r := range string(data) {
		switch {
		case r == '\n' || !unsafeRune(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.Bytes()
}

func unsafeRune(r rune) bool { return !unicode.IsPrint(r) }

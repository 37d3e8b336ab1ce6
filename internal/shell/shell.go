// Package shell writes commands so that a person can paste them: it quotes, and
// runs nothing.
package shell

import "strings"

const (
	everywhere   = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@%+="
	plain        = everywhere + ","
	plainWindows = everywhere + `\` // PowerShell makes two words of a,b
)

// Word makes s one word of the shell that people on goos type into: a POSIX
// shell, and on Windows cmd.exe or PowerShell, where a path can have no quotes.
func Word(goos, s string) string {
	switch {
	case goos == "windows" && s != "" && strings.Trim(s, plainWindows) == "":
		return s
	case goos == "windows":
		return `"` + strings.ReplaceAll(s, `"`, "") + `"`
	case s != "" && strings.Trim(s, plain) == "":
		return s
	}
	return Quote(s)
}

// Line is argv as one line.
func Line(goos string, argv []string) string {
	words := make([]string, len(argv))
	for i, s := range argv {
		words[i] = Word(goos, s)
	}
	return strings.Join(words, " ")
}

// Quote puts s between the quotes of a POSIX shell, needed or not.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

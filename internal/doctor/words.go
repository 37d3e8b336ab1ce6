package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/vicr-cli/vicr/internal/shell"
	"github.com/vicr-cli/vicr/internal/wire"
)

const (
	maxSeen   = 1200 // bytes of a line of the report
	minSecret = 4    // bytes: what is shorter is found in any text
)

// presentable escapes what came from outside, and leaves out what is secret.
func presentable(c Check, secrets []string) Check {
	tidy := func(s string) string {
		for _, secret := range secrets {
			if len(secret) >= minSecret {
				s = strings.ReplaceAll(s, secret, "...")
			}
		}
		return escaped(s)
	}
	c.Seen = tidy(c.Seen)
	remedy := make([]string, len(c.Remedy)) // never nil: a list in JSON
	for i, line := range c.Remedy {
		remedy[i] = tidy(line)
	}
	c.Remedy = remedy
	return c
}

// escaped makes foreign text fit for one line of a terminal.
func escaped(s string) string {
	s, cut := s[:min(len(s), maxSeen)], len(s) > maxSeen
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRuneToASCII(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	if cut {
		b.WriteString("...")
	}
	return b.String()
}

// word makes s one word of a shell.
func word(s string) string { return shell.Word("", s) }

// why is err in the words of people, where Go's would say more about sockets
// than about what is wrong.
func why(err error, limit time.Duration) string {
	var dns *net.DNSError
	var timeout net.Error
	late := errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
	if late && !errors.As(err, &dns) {
		return fmt.Sprintf("no answer within %s", limit)
	}
	if words := wire.Words(err); words != "" {
		return words
	}
	return err.Error()
}

// wireWhy is [why] without the name of the request where the kind says it all.
func wireWhy(err error, limit time.Duration) string {
	var w *wire.Error
	if errors.As(err, &w) && w.Err != nil && w.Kind != wire.ProxyRefused {
		return why(w.Err, limit)
	}
	return why(err, limit)
}

// impatient waits as wire does on its own account, and no longer where a server
// asks for that.
func impatient(ctx context.Context, d time.Duration) error {
	const most = 1700 * time.Millisecond // above the longest wait of wire's between five tries
	if d > most {
		return fmt.Errorf("the server asks to be left alone for %s", d.Round(time.Second))
	}
	return wire.Sleep(ctx, d)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// few joins at most n texts.
func few(all []string, n int) string {
	if len(all) > n {
		return strings.Join(all[:n], ", ") + fmt.Sprintf(" and %d more", len(all)-n)
	}
	return strings.Join(all, ", ")
}

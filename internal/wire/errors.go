package wire

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Kind says in one word why a request failed.
type Kind string

// The kinds of an [Error].
const (
	Unreachable  Kind = "unreachable"   // no connection, or it broke
	TLS          Kind = "tls"           // no TLS that may be trusted; wraps the x509 error and, where it is one, a *pki.CertError
	Silent       Kind = "silent"        // wraps a *TimeoutError
	Policy       Kind = "policy"        // wraps a *PolicyError
	TooLarge     Kind = "too large"     // wraps a *TooLargeError
	NotHTTPS     Kind = "not https"     // the server answered TLS in plain HTTP
	ProxyRefused Kind = "proxy refused" // wraps a *ProxyError if the proxy answered
	RateLimited  Kind = "rate limited"  // wraps a *RateError
	BadAnswer    Kind = "bad answer"    // not what HTTP or the registry protocol allows; of HTTP it wraps an *AnswerError
)

// An Error is how a request failed that got no usable answer. A request that
// ended since its context did has an error that wraps the context's instead.
type Error struct {
	Op   string // the request: method and redacted URL; or what was done
	Host string // host:port that was to be spoken to
	Kind Kind
	Err  error

	Plain bool // it was to be spoken to without TLS
}

func (e *Error) Error() string { return printable(e.Op + ": " + e.Why()) }

// Why is the error without the request.
func (e *Error) Why() string {
	switch e.Kind {
	case NotHTTPS:
		return "the server speaks plain http, not https"
	case ProxyRefused:
		return "the proxy refused: " + e.Err.Error()
	default:
		return e.Err.Error()
	}
}

func (e *Error) Unwrap() error { return e.Err }

// A TimeoutError says that the other side was silent for too long.
type TimeoutError struct {
	Phase string // "connect", "tls handshake", "response headers", "response body"
	Limit time.Duration
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("%s: no progress in %s", e.Phase, e.Limit)
}

// Timeout is true: a TimeoutError is a timeout in the sense of [net.Error].
func (e *TimeoutError) Timeout() bool { return true }

// A PolicyError says that a request, a redirect or a Location was refused
// before a byte of it was sent.
type PolicyError struct {
	URL string // redacted
	Why string
	// Redirected says that the answer to another request led there, by a
	// redirect. Writes: that request was neither GET nor HEAD, and nobody
	// redirects what it writes.
	Redirected, Writes bool
}

func (e *PolicyError) Error() string {
	return fmt.Sprintf("refused to go to %s: %s", strconv.Quote(e.URL), e.Why)
}

// A ProxyError is the proxy's refusal to connect.
type ProxyError struct {
	Proxy  string // host:port
	Status int    // 407, 502, ...; 0: the proxy did not answer
	Err    error  // why it did not
}

func (e *ProxyError) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("%s: %v", e.Proxy, e.Err)
	}
	return fmt.Sprintf("%s answered status %d", e.Proxy, e.Status)
}

func (e *ProxyError) Unwrap() error { return e.Err }

// A RateError says that the server wants fewer requests, for longer than vicr waits.
type RateError struct {
	Status  int           // 429 or 503, mostly
	After   time.Duration // how long the server asked to wait; 0: it did not say
	At      time.Time     // when that is over; zero if it did not say, or a year or more
	Message string        // the beginning of the answer, raw
}

func (e *RateError) Error() string {
	s := fmt.Sprintf("status %d", e.Status)
	switch {
	case e.After > 0 && e.At.IsZero():
		s += ", to be tried again after " + e.Wait()
	case e.After > 0:
		s += fmt.Sprintf(", to be tried again after %s (at %s)", e.Wait(), e.At.UTC().Format(time.RFC3339))
	}
	if e.Message != "" {
		s += ": " + strconv.Quote(e.Message)
	}
	return s
}

// Wait is After in words.
func (e *RateError) Wait() string {
	const day = 24 * time.Hour
	switch {
	case e.After >= longestAfter:
		return "a year or more"
	case e.After >= 3*day:
		return fmt.Sprintf("%d days", (e.After+day/2)/day)
	}
	return e.After.Round(time.Second).String()
}

// A TooLargeError says that an answer is larger than it may be.
type TooLargeError struct {
	Limit int64 // bytes
}

func (e *TooLargeError) Error() string { return fmt.Sprintf("larger than %d bytes", e.Limit) }

// ReadAll reads body to its end, at most limit bytes; more is an [Error] of
// kind TooLarge. The caller closes body.
func ReadAll(body io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, &Error{Op: "read the answer", Kind: TooLarge, Err: &TooLargeError{Limit: limit}}
	}
	return data, nil
}

// KindOf is the kind of the [Error] in err's chain, or "" if there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return ""
}

// printable escapes what may not reach a terminal: server text can be part of
// the errors of the libraries below.
func printable(s string) string {
	clean := func(r rune) bool { return strconv.IsPrint(r) }
	if strings.IndexFunc(s, func(r rune) bool { return !clean(r) || r == '\uFFFD' }) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if clean(r) && r != '\uFFFD' {
			b.WriteString(s[i : i+size])
		} else {
			q := strconv.QuoteToASCII(s[i : i+size])
			b.WriteString(q[1 : len(q)-1])
		}
		i += size
	}
	return b.String()
}

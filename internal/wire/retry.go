package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	minBackoff  = 200 * time.Millisecond
	maxBackoff  = 5 * time.Second
	maxMessage  = 1 << 10         // bytes of a refusal that are kept
	longWait    = 3 * time.Second // is told of
	backoffBase = 2               // each wait is this many times the one before

	longestAfter = 365 * 24 * time.Hour // what a server asks for beyond means: never
)

// send sends h until it has an answer that is final, or no try is left.
func (r *trip) send(h *hop) (*http.Response, error) {
	for {
		r.tries++
		resp, sent, err := r.t.once(h)
		wait, again := time.Duration(0), false
		if err != nil {
			again = r.againAfterError(h, sent, err)
			wait = backoff(r.tries)
		} else {
			wait, again, err = r.judge(h, resp)
			if again || err != nil {
				drain(resp)
			}
			if again && wait >= longWait {
				r.t.config.Waiting(Wait{Host: h.req.URL.Host, Status: resp.StatusCode, For: wait})
			}
		}
		if !again {
			if err != nil {
				return nil, err
			}
			return resp, nil
		}
		if err := r.pause(h, wait); err != nil {
			return nil, err
		}
	}
}

// pause waits and makes h ready to be sent again.
func (r *trip) pause(h *hop, wait time.Duration) error {
	ctx := h.req.Context()
	if err := r.t.config.Sleep(ctx, wait); err != nil {
		return fmt.Errorf("%s: %w", printable(h.op()), err)
	}
	if hasBody(h.req) {
		body, err := h.req.GetBody()
		if err != nil {
			return fmt.Errorf("%s: %w", printable(h.op()), err)
		}
		h.req.Body = body
	}
	return nil
}

// againAfterError says whether h, which failed with err, is sent again: if the
// connection broke, and the server cannot have acted on h or may act twice.
func (r *trip) againAfterError(h *hop, sent bool, err error) bool {
	return r.tries < MaxTries && repeatable(h.req) && connectionBroke(err) &&
		(idempotent(h.req.Method) || !sent)
}

// judge says whether h is sent again after resp, and when; an error if the
// server asks for more patience than vicr has.
func (r *trip) judge(h *hop, resp *http.Response) (wait time.Duration, again bool, err error) {
	status := resp.StatusCode
	if !passing(status) {
		return 0, false, nil
	}
	asked := status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
	after := retryAfter(resp.Header.Get("Retry-After"), r.t.config.Now())
	may := repeatable(h.req) && (idempotent(h.req.Method) || asked)
	switch {
	case asked && after > MaxRetryAfter:
		return 0, false, r.limited(h, resp, after)
	case may && r.tries < MaxTries && after > 0:
		return after, true, nil
	case may && r.tries < MaxTries:
		return backoff(r.tries), true, nil
	case status == http.StatusTooManyRequests:
		return 0, false, r.limited(h, resp, after)
	}
	return 0, false, nil
}

func (r *trip) limited(h *hop, resp *http.Response, after time.Duration) error {
	e := &RateError{Status: resp.StatusCode, After: after}
	if after > 0 && after < longestAfter {
		e.At = r.t.config.Now().Add(after)
	}
	if message, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage)); err == nil {
		e.Message = strings.TrimSpace(string(message))
	}
	return h.fail(RateLimited, e)
}

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

func repeatable(req *http.Request) bool { return !hasBody(req) || req.GetBody != nil }

func idempotent(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// passing are the statuses that may be others the next time.
func passing(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// connectionBroke says whether err is a connection that was closed or reset by
// the other side, as opposed to one that never came about.
func connectionBroke(err error) bool {
	if kind := KindOf(err); kind != Unreachable {
		return false
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || wasReset(err)
}

// retryAfter is how long the server asks to wait, in seconds or until a date
// (RFC 9110 section 10.2.3), at most longestAfter; 0 if it does not say, or not in a
// way that is valid.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseUint(value, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(longestAfter/time.Second))) * time.Second //nolint:gosec // bounded here
	} else if errors.Is(err, strconv.ErrRange) {
		return longestAfter
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(0, at.Sub(now)), longestAfter)
	}
	return 0
}

// RetryAfter is how long resp asks to wait before the next request; 0 if it does
// not say.
func RetryAfter(resp *http.Response) time.Duration {
	return retryAfter(resp.Header.Get("Retry-After"), time.Now())
}

// backoff is the wait after try number n, from 1 on: doubling, the second half
// of it at random so that many clients do not come back at once.
func backoff(n int) time.Duration {
	wait := minBackoff
	for range n - 1 {
		wait = min(wait*backoffBase, maxBackoff)
	}
	return wait/2 + rand.N(wait/2+1) //nolint:gosec // spreads load, guards nothing
}

// Sleep waits for d or until ctx ends, whose error it then returns.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

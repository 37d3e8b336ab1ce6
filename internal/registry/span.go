package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/wire"
)

// A connection that breaks is followed by another as long as bytes come.
const (
	maxDry  = 5        // tries in a row that bring not one byte, or not enough before a silence
	maxPoor = 40       // tries in a row that bring fewer than enough
	enough  = 64 << 10 // bytes
)

// A span is a blob's bytes from at to end, over as many connections as it takes.
type span struct {
	repo  *Repository
	ctx   context.Context // that the blob is read in
	desc  v1.Descriptor
	at    int64
	end   int64
	part  bool // of several: an answer with all of the blob is of no use
	whole bool // asks for all of the blob, and skips what is before at
	tags  *tags

	body   *answer // nil: not open
	gained int64   // since it was opened
	dry    int
	poor   int
}

// An answer is the body of one, and whether its end can be told from a broken
// connection.
type answer struct {
	io.ReadCloser
	ends bool
}

// Read ends in io.EOF after byte end. What a registry sends behind the last byte
// of a blob is given out too: whoever verifies sees that it is too much.
func (s *span) Read(p []byte) (int, error) {
	for {
		if s.at < s.end && int64(len(p)) > s.end-s.at {
			p = p[:s.end-s.at]
		}
		if s.at >= s.end && (s.body == nil || s.part) {
			return 0, io.EOF
		}
		if s.body == nil {
			if err := s.open(); err != nil {
				return 0, err
			}
		}
		n, err := s.body.Read(p)
		if n > 0 {
			s.at += int64(n)
			s.gained += int64(n)
			s.repo.streams.count(n)
			return n, nil // an error comes again
		}
		switch {
		case err == nil:
			continue
		case s.at >= s.end:
			return 0, io.EOF
		case errors.Is(err, io.EOF) && s.body.ends:
			return 0, io.EOF // too early: whoever verifies says so
		case errors.Is(err, io.EOF):
			err = &wire.Error{Op: "get blob", Host: s.repo.base.Host, Kind: wire.Unreachable, Err: io.ErrUnexpectedEOF}
		}
		_ = s.Close() // it broke
		if err := s.pause(err); err != nil {
			return 0, err
		}
	}
}

// Close ends the connection, unless all of the answer was read.
func (s *span) Close() error {
	if s.body == nil {
		return nil
	}
	err := s.body.Close()
	s.body = nil
	s.repo.streams.opened(-1)
	return err
}

// open asks for what is left until it comes, or a try would be of no use.
func (s *span) open() error {
	for {
		body, err := s.request()
		if err == nil {
			s.body, s.gained = body, 0
			s.repo.streams.opened(1)
			return nil
		}
		s.gained = 0
		if err := s.pause(err); err != nil {
			return err
		}
	}
}

// pause waits after a failure; it returns the error if that was the last.
func (s *span) pause(failure error) error {
	if s.ctx.Err() != nil || !mayPass(failure) {
		return failure
	}
	s.dry++
	if s.gained >= enough || s.gained > 0 && wire.KindOf(failure) != wire.Silent {
		s.dry = 0
	}
	s.poor++
	if s.gained >= enough {
		s.poor = 0
	}
	s.gained = 0
	if s.dry >= maxDry || s.poor >= maxPoor {
		return failure
	}
	wait := max(backoff(s.poor), askedWait(failure))
	s.repo.watch(transfer.Event{Stage: transfer.Retrying, Desc: s.desc, Bytes: s.at, Try: s.poor + 1, Wait: wait, Err: failure})
	if wait == 0 {
		return nil
	}
	return s.repo.wait(s.ctx, wait)
}

func askedWait(err error) time.Duration {
	if limited, ok := errors.AsType[*wire.RateError](err); ok {
		return limited.After
	}
	return 0
}

// mayPass says whether a failure may be over the next time: that of a
// connection, or the registry's own.
func mayPass(err error) bool {
	switch wire.KindOf(err) {
	case wire.Unreachable, wire.Silent:
		return true
	case wire.RateLimited:
		return askedWait(err) <= wire.MaxRetryAfter
	}
	refused, ok := errors.AsType[*Error](err)
	return ok && (refused.Status >= http.StatusInternalServerError || refused.Status == http.StatusRequestTimeout)
}

// request asks once for what is left.
func (s *span) request() (*answer, error) {
	header := http.Header{"Accept-Encoding": {"identity"}} // the digest is over the bytes as they are stored
	if !s.whole && (s.at > 0 || s.end < s.desc.Size) {
		// With an end, since go-containerregistry's own registry takes no other.
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", s.at, s.end-1))
	}
	resp, err := s.repo.send(s.ctx, http.MethodGet, s.repo.url("blobs", s.desc.Digest.String()), header)
	if err != nil {
		return nil, err
	}
	if err := s.judge(resp); err != nil {
		_ = resp.Body.Close() // the answer was of no use
		return nil, err
	}
	return &answer{resp.Body, resp.ContentLength >= 0 || len(resp.TransferEncoding) > 0}, nil
}

// judge sees to it that resp begins at s.at, and is of the blob that the other
// answers were of.
func (s *span) judge(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusOK:
		if s.part {
			return &RangeError{Want: s.contentRange(), Got: "status 200"}
		}
		if n := resp.ContentLength; n >= 0 && n != s.desc.Size {
			return &transfer.DigestError{What: "blob", Want: s.desc.Digest, Size: n, Of: s.desc.Size}
		}
		if err := s.tags.see(resp); err != nil {
			return err
		}
		// A registry that knows no ranges sends all of it.
		_, err := io.CopyN(io.Discard, resp.Body, s.at)
		return err
	case http.StatusPartialContent:
		if err := s.tags.see(resp); err != nil {
			return err
		}
		return s.judgeRange(resp)
	case http.StatusRequestedRangeNotSatisfiable:
		return &RangeError{Want: s.contentRange(), Got: "status 416"}
	}
	return s.repo.fail("get blob", resp)
}

func (s *span) contentRange() string {
	return fmt.Sprintf("bytes %d-%d/%d", s.at, s.end-1, s.desc.Size)
}

// judgeRange takes exactly the part that was asked for (RFC 9110 section 14.4).
func (s *span) judgeRange(resp *http.Response) error {
	want := s.contentRange()
	got := strings.TrimSpace(resp.Header.Get("Content-Range"))
	unknownTotal := fmt.Sprintf("bytes %d-%d/*", s.at, s.end-1)
	if (got != want && got != unknownTotal) || len(resp.Header.Values("Content-Range")) != 1 {
		return &RangeError{Want: want, Got: got}
	}
	if n := resp.ContentLength; n >= 0 && n != s.end-s.at {
		return &RangeError{Want: want, Got: fmt.Sprintf("%s with %d bytes", got, n)}
	}
	return nil
}

// tags are the strong entity tags of one blob's answers, by the host that gave
// them: two hosts may have their own.
type tags struct {
	mu   sync.Mutex
	seen map[string]string
}

func (t *tags) see(resp *http.Response) error {
	tag := resp.Header.Get("ETag")
	if tag == "" || strings.HasPrefix(tag, "W/") || resp.Request == nil {
		return nil
	}
	host := resp.Request.URL.Host
	t.mu.Lock()
	defer t.mu.Unlock()
	before, ok := t.seen[host]
	if ok && before != tag {
		return &ChangedError{Before: before, Now: tag}
	}
	if t.seen == nil {
		t.seen = map[string]string{}
	}
	t.seen[host] = tag
	return nil
}

// A ChangedError says that a registry, asked for the rest of a blob, has another
// one there than before. It wraps [transfer.ErrOffset].
type ChangedError struct{ Before, Now string } // entity tags, raw

func (e *ChangedError) Error() string {
	return fmt.Sprintf("the registry went on with entity tag %s after %s", strconv.Quote(bounded(e.Now)), strconv.Quote(bounded(e.Before)))
}

func (e *ChangedError) Unwrap() error { return transfer.ErrOffset }

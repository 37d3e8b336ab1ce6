package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A stream opens one blob for a sink, as often as that asks for it, and
// remembers what went wrong: libraries that a sink hands the reader to may
// return an error of their own instead of the reader's.
type stream struct {
	copier *copier
	desc   v1.Descriptor

	mu    sync.Mutex
	ready io.ReadCloser // opened at 0 already
	last  *verifier     // what was opened last, if at 0
	count int
	far   int64 // the largest offset that was read to
}

func (s *stream) open(ctx context.Context, offset int64) (io.ReadCloser, error) {
	s.mu.Lock()
	ready := s.ready
	if offset == 0 {
		s.ready = nil
	}
	s.last = nil
	s.count++
	first := s.count == 1
	s.mu.Unlock()
	if first && offset > 0 {
		s.copier.event(Resumed, s.desc, offset)
	}

	rc := ready
	if rc == nil || offset != 0 {
		var err error
		if data, ok := s.copier.kept(s.desc); ok && offset <= int64(len(data)) {
			rc = io.NopCloser(bytes.NewReader(data[offset:]))
		} else if rc, err = s.copier.src.Blob(ctx, s.desc, offset); err != nil {
			return nil, err
		}
	}
	rc = &counter{ReadCloser: rc, stream: s, at: offset}
	if offset != 0 {
		return rc, nil
	}
	v, err := newVerifier(rc, s.desc)
	if err != nil {
		return nil, errors.Join(err, rc.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = v
	return v, nil
}

func (s *stream) opened() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count > 0
}

// wrong is the digest error of the reader that was opened last.
func (s *stream) wrong() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		return nil
	}
	return s.last.failure()
}

// drop closes what no sink asked for.
func (s *stream) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.copier.reached(s.desc, s.far)
	if s.ready != nil {
		_ = s.ready.Close() // nothing was read from it
	}
}

// read reports bytes up to offset at, unless a reader before got further.
func (s *stream) read(at int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at > s.far {
		s.far = at
		s.copier.event(Progress, s.desc, at)
	}
}

type counter struct {
	io.ReadCloser
	stream *stream
	at     int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if n > 0 {
		c.at += int64(n)
		c.stream.read(c.at)
	}
	return n, err
}

package relay

import (
	"context"
	"errors"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
)

const (
	maxStalls  = 3 // how often in a row a body may break without a byte in between
	stallPause = 500 * time.Millisecond
)

// open opens a blob at offset. From 0 on it is verified; who goes on behind
// bytes that it has verifies the whole itself, as engines do.
func open(ctx context.Context, src transfer.Source, desc v1.Descriptor, offset int64) (io.ReadCloser, error) {
	s := &stream{ctx: ctx, at: offset, size: desc.Size, open: func(ctx context.Context, at int64) (io.ReadCloser, error) {
		return src.Blob(ctx, desc, at)
	}}
	if err := s.reopen(); err != nil {
		return nil, err
	}
	if offset > 0 {
		return s, nil
	}
	v, err := transfer.Verify(s, desc)
	if err != nil {
		_ = s.Close() // nothing was read of it
	}
	return v, err
}

// A stream reads one blob, and goes on where it stopped when a connection breaks.
type stream struct {
	ctx    context.Context // of the request that it answers
	open   transfer.Opener
	rc     io.ReadCloser // nil: to be opened at at
	at     int64
	size   int64
	stalls int
}

func (s *stream) reopen() error {
	rc, err := s.open(s.ctx, s.at)
	if err == nil {
		s.rc = rc
	}
	return err
}

func (s *stream) Read(p []byte) (int, error) {
	for {
		if s.rc == nil {
			if err := s.reopen(); err != nil {
				return 0, err
			}
		}
		n, err := s.rc.Read(p)
		s.at += int64(n)
		ended := errors.Is(err, io.EOF)
		if err == nil || ended && s.at >= s.size {
			return n, err
		}
		s.drop()
		if n > 0 {
			s.stalls = 0
			return n, nil
		}
		if s.stalls++; s.stalls > maxStalls {
			if ended {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
		if err := pause(s.ctx, time.Duration(s.stalls)*stallPause); err != nil {
			return 0, err
		}
	}
}

// drop lets go of a connection that broke.
func (s *stream) drop() {
	if s.rc != nil {
		_ = s.rc.Close() // it is of no use
		s.rc = nil
	}
}

func (s *stream) Close() error {
	if s.rc == nil {
		return nil
	}
	return s.rc.Close()
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

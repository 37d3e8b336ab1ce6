package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// streamChunk is how much of a blob is sent with one request while its digest is
// not known, in bytes. Two of them are in memory, one filled while the other is
// sent. A part on S3 has 5 MiB and more, without which Distribution copies it.
const streamChunk = 6 << 20

const partBuffers = 2

var _ transfer.Streamer = (*Repository)(nil)

// PutStream uploads a blob whose digest name says when it has ended. What is on
// the way is kept in memory, and sent again as far as the registry lacks it;
// where the registry drops the upload, the stream is lost.
//
// Errors: [*Error], [*transfer.DigestError] if the registry says that it holds
// something else, or if name says another size than came; those of src and of
// the round-tripper. It returns when a read of src that is under way has ended.
func (r *Repository) PutStream(ctx context.Context, src io.Reader, name func() v1.Descriptor) error {
	u, err := r.post(ctx)
	if err != nil {
		return err
	}
	p := &piecewise{sending{r: r, at: u}}
	if err := p.run(ctx, src, name); err != nil {
		r.cancel(ctx, p.at, err)
		return err
	}
	return nil
}

// A piecewise upload is a sending whose source cannot be opened again.
type piecewise struct{ sending }

func (p *piecewise) run(ctx context.Context, src io.Reader, name func() v1.Descriptor) error {
	ctx, stop := context.WithCancel(ctx)
	parts := readParts(ctx, src, p.partSize())
	defer parts.drain()
	defer stop()
	for part := range parts.full {
		if part.err != nil {
			return part.err
		}
		if err := p.sendPart(ctx, part.data); err != nil {
			return err
		}
		parts.free <- part.data[:cap(part.data)]
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	desc := name()
	if desc.Size != p.at.offset {
		return &transfer.DigestError{What: "blob", Want: desc.Digest, Size: p.at.offset, Of: desc.Size}
	}
	return p.close(ctx, desc)
}

// partSize is how large the parts are, in bytes: what the registry asks for, if
// that is more than was chosen.
func (p *piecewise) partSize() int64 {
	size := int64(streamChunk)
	if p.r.chunk > 0 {
		size = min(size, p.r.chunk)
	}
	return max(size, p.at.least)
}

// sendPart sends data, which begins where the upload goes on.
func (p *piecewise) sendPart(ctx context.Context, data []byte) error {
	begin := p.at.offset
	end := begin + int64(len(data))
	return p.patiently(ctx, func() error {
		if p.at.unsure {
			p.desc.Size = end // there is no more of it yet
			if err := p.ask(ctx); err != nil {
				return err
			}
		}
		if p.at == nil && begin == 0 { // all of it is here still
			u, err := p.r.post(ctx)
			if err != nil {
				return err
			}
			p.at = u
		}
		switch {
		case p.at == nil, p.at.offset < begin:
			return errStreamLost
		case p.at.offset == end:
			return nil
		}
		return p.patch(ctx, data[p.at.offset-begin:])
	})
}

func (p *piecewise) patch(ctx context.Context, rest []byte) error {
	// The buffer is filled again when this returns: who reads it still is stopped.
	body := newUpload(ctx, func(context.Context, int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(rest)), nil
	})
	defer body.end()
	size := int64(len(rest))
	open := func() (io.ReadCloser, error) { return body.from(0) }
	p.at.unsure = true
	resp, err := p.r.sendPart(ctx, http.MethodPatch, p.at.at, size, open, sentRange(p.at.offset, size))
	if err != nil {
		return err
	}
	discard(resp)
	return p.took(resp, size)
}

// close finishes the upload. An answer that was lost is looked for.
func (p *piecewise) close(ctx context.Context, desc v1.Descriptor) error {
	lost := false
	return p.patiently(ctx, func() error {
		if lost {
			if has, err := p.r.has(ctx, desc); err != nil || has {
				return err
			}
		}
		lost = true
		return p.r.finish(ctx, p.at, desc, 0, nil)
	})
}

// patiently calls do until it goes well, or that is of no use.
func (p *piecewise) patiently(ctx context.Context, do func() error) error {
	var before error // of errStreamLost: why the upload broke
	for try := 1; ; try++ {
		err := do()
		switch {
		case errors.Is(err, errStreamLost) && before != nil:
			return fmt.Errorf("%w: %w", errStreamLost, before)
		case err == nil || ctx.Err() != nil || !passing(err):
			return err
		}
		before = err
		if p.grew() {
			try = 0
		}
		if try >= patience(err) {
			return err
		}
		if err := p.r.wait(ctx, pauseAfter(try, err)); err != nil {
			return err
		}
	}
}

// errStreamLost says that a blob that cannot be read again has to be.
var errStreamLost = errors.New("the registry dropped an upload of which only the end is left")

// parts are the pieces of a stream, read ahead by one.
type parts struct {
	full chan piece  // closed at the end
	free chan []byte // buffers
}

type piece struct {
	data []byte
	err  error
}

// readParts reads src in pieces of size bytes, until its end or that of ctx. A
// read that waits when ctx ends has to end by itself.
func readParts(ctx context.Context, src io.Reader, size int64) *parts {
	p := &parts{full: make(chan piece), free: make(chan []byte, partBuffers)}
	for range partBuffers {
		p.free <- nil
	}
	go func() {
		defer close(p.full)
		for p.next(ctx, src, size) {
		}
	}()
	return p
}

// next reads one piece, and says whether there may be another.
func (p *parts) next(ctx context.Context, src io.Reader, size int64) bool {
	var buffer []byte
	select {
	case buffer = <-p.free:
	case <-ctx.Done():
		return false
	}
	if buffer == nil {
		buffer = make([]byte, size)
	}
	n, err := io.ReadFull(src, buffer)
	next := piece{data: buffer[:n]}
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		return false
	case !errors.Is(err, io.ErrUnexpectedEOF):
		next = piece{err: fmt.Errorf("read blob: %w", err)}
	}
	select {
	case p.full <- next:
		return err == nil
	case <-ctx.Done():
		return false
	}
}

// drain waits until nothing is read any more.
func (p *parts) drain() {
	for range p.full { //nolint:revive // what is left is not wanted
	}
}

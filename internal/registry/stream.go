package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/wire"
)

const (
	// streamChunk is how much of a blob is sent with one request while its digest
	// is not known, in bytes. A part on S3 has that and more, without which
	// Distribution copies it.
	streamChunk = 5 << 20
	// maxStreamed is how many blobs stream in at the same time: as many as engines
	// send.
	maxStreamed = 5
	// maxStreamChunk is how large the chunks may be that a registry asks for, in
	// bytes: one stream has one in memory at a time, where they are that large.
	maxStreamChunk = 16 << 20
)

var _ transfer.Streamer = (*Repository)(nil)

// PutStream uploads a blob whose digest name says when it has ended. What is on
// the way is kept in memory, and sent again as far as the registry lacks it;
// where the registry drops the upload, the stream is lost.
//
// Errors: [*Error], [*transfer.DigestError] if the registry says that it holds
// something else, or if name says another size than came; a [*wire.Error] if it
// asks for larger chunks than are kept in memory; those of src and of the
// round-tripper. It returns when a read of src that is under way has ended.
func (r *Repository) PutStream(ctx context.Context, src io.Reader, name func() v1.Descriptor) error {
	if err := r.memory.enter(ctx); err != nil {
		return err
	}
	defer r.memory.leave()
	u, err := r.post(ctx)
	if err != nil {
		return err
	}
	if u.least > maxStreamChunk {
		r.cancel(ctx, u, nil)
		return r.tooLarge(u.least)
	}
	p := &piecewise{sending{r: r, at: u}}
	if err := p.run(ctx, src, name); err != nil {
		r.cancel(ctx, p.at, err)
		return err
	}
	return nil
}

// tooLarge is the refusal to keep so many bytes in memory, for each of several
// blobs, because an answer says so.
func (r *Repository) tooLarge(least int64) error {
	err := fmt.Errorf("the registry asks for at least %d bytes in each request, and a layer whose size is not known before is sent with at most %d", least, maxStreamChunk)
	return &wire.Error{Op: opBegin, Host: r.base.Host, Kind: wire.BadAnswer, Err: err}
}

// A piecewise upload is a sending whose source cannot be opened again.
type piecewise struct{ sending }

func (p *piecewise) run(ctx context.Context, src io.Reader, name func() v1.Descriptor) error {
	memory, size := p.r.memory, p.chunkSize()
	if size > streamChunk {
		memory = p.r.large
		if err := memory.enter(ctx); err != nil {
			return err
		}
		defer memory.leave()
	}
	ctx, stop := context.WithCancel(ctx)
	chunks := readChunks(ctx, src, size, memory)
	defer chunks.drain()
	defer stop()
	for chunk := range chunks.full {
		err := chunk.err
		switch {
		case err != nil:
		case chunk.last:
			err = p.end(ctx, chunk.data, name())
		default:
			err = p.sendChunk(ctx, chunk.data)
		}
		chunks.memory.free(chunk.data)
		if err != nil || chunk.last {
			return err
		}
	}
	return ctx.Err()
}

// end sends what is left, and the name: together where that is the whole blob,
// as blobs of that size are sent that are known before.
func (p *piecewise) end(ctx context.Context, rest blocks, desc v1.Descriptor) error {
	if size := p.at.offset + rest.size(); size != desc.Size {
		return &transfer.DigestError{What: "blob", Want: desc.Digest, Size: size, Of: desc.Size}
	}
	if p.at.offset > 0 && rest.size() > 0 {
		if err := p.sendChunk(ctx, rest); err != nil {
			return err
		}
		rest = nil
	}
	return p.close(ctx, desc, rest)
}

// chunkSize is how large the chunks are, in bytes: what the registry asks for, if
// that is more than was chosen.
func (p *piecewise) chunkSize() int64 {
	size := int64(streamChunk)
	if p.r.chunk > 0 {
		size = min(size, p.r.chunk)
	}
	return max(size, p.at.least)
}

// sendChunk sends data, which begins where the upload goes on.
func (p *piecewise) sendChunk(ctx context.Context, data blocks) error {
	begin := p.at.offset
	end := begin + data.size()
	return p.patiently(ctx, func() error {
		if err := p.settle(ctx, begin, end); err != nil || p.at.offset == end {
			return err
		}
		body, open := bodyOf(ctx, data, p.at.offset-begin)
		defer body.end()
		size := end - p.at.offset
		p.at.unsure = true
		resp, err := p.r.sendBody(ctx, http.MethodPatch, p.at.at, size, open, sentRange(p.at.offset, size))
		if err != nil {
			return err
		}
		discard(resp)
		return p.took(resp, size)
	})
}

// settle finds out where the upload goes on, if that is unsure. What is here is
// all of the blob from begin to end.
func (p *piecewise) settle(ctx context.Context, begin, end int64) error {
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
	if p.at == nil || p.at.offset < begin {
		return errStreamLost
	}
	return nil
}

// bodyOf gives out data from an offset on as often as it is asked for, until it is
// ended: the memory is filled again then.
func bodyOf(ctx context.Context, data blocks, offset int64) (*upload, func() (io.ReadCloser, error)) {
	body := newUpload(ctx, func(context.Context, int64) (io.ReadCloser, error) {
		return io.NopCloser(data.from(offset)), nil
	})
	return body, func() (io.ReadCloser, error) { return body.from(0) }
}

// close finishes the upload, with all of the blob if whole is not empty. An
// answer that was lost is looked for.
func (p *piecewise) close(ctx context.Context, desc v1.Descriptor, whole blocks) error {
	lost := false
	return p.patiently(ctx, func() error {
		if lost {
			if has, err := p.r.has(ctx, desc); err != nil || has {
				return err
			}
		}
		lost = true
		if whole.size() == 0 {
			return p.r.finish(ctx, p.at, desc, 0, nil)
		}
		if err := p.settle(ctx, 0, desc.Size); err != nil {
			return err
		}
		body, open := bodyOf(ctx, whole, p.at.offset)
		defer body.end()
		p.at.unsure = true
		return p.r.finish(ctx, p.at, desc, desc.Size-p.at.offset, open)
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

package transfer

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A Pourer is a [Source] that can give out its image in one pass, into a
// [Streamer]: blobs come once, in an order of their own, some before their
// digest is known.
type Pourer interface {
	Source
	// Pour gives p what it can give out only once. After it the source has the
	// rest: what the image is, its manifests and all blobs that p was not given.
	Pour(ctx context.Context, p *Pouring) error
}

// A Pouring is one pass of a [Pourer] into a [Streamer]. Its methods may be
// called at the same time.
type Pouring struct {
	c   *copier
	dst Streamer

	mu      sync.Mutex
	settled map[v1.Hash]bool // blobs that dst has
	held    *v1.Descriptor   // see Holds
}

// pour does the pass if both ends fit, and says whether all is done with it.
func (c *copier) pour(ctx context.Context) (done bool, err error) {
	src, pours := c.src.(Pourer)
	dst, streams := c.dst.(Streamer)
	if !pours || !streams || c.o.Platform != nil {
		return false, nil
	}
	p := &Pouring{c: c, dst: dst, settled: map[v1.Hash]bool{}}
	if err := src.Pour(ctx, p); err != nil {
		return false, err
	}
	if p.held != nil {
		c.res.Resolved, c.res.Root = *p.held, *p.held
		c.event(Existed, *p.held, p.held.Size)
		return true, nil
	}
	c.settled = p.settled
	return false, nil
}

// Holds says whether the sink says that it has all of root under its name
// ([Holder]). Then the pass is over.
func (p *Pouring) Holds(ctx context.Context, root v1.Descriptor) (bool, error) {
	h, ok := p.dst.(Holder)
	if !ok {
		return false, nil
	}
	has, err := h.Holds(ctx, root)
	if err == nil && has {
		p.mu.Lock()
		p.held = &root
		p.mu.Unlock()
	}
	return has, err
}

// errWanted says that a sink lacks the bytes of a blob.
var errWanted = errors.New("the bytes are wanted")

// Has says whether the sink has a blob, or can get it without its bytes.
func (p *Pouring) Has(ctx context.Context, desc v1.Descriptor) (bool, error) {
	var wanted atomic.Bool
	_, err := p.dst.PutBlob(ctx, desc, func(context.Context, int64) (io.ReadCloser, error) {
		wanted.Store(true)
		return nil, errWanted
	})
	switch {
	case wanted.Load() && (err == nil || errors.Is(err, errWanted)):
		return false, nil
	case err != nil:
		return false, err
	}
	p.settle(desc)
	p.c.existed(desc)
	return true, nil
}

func (p *Pouring) settle(desc v1.Descriptor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settled[desc.Digest] = true
}

// errTaken ends the writing of a stream that the sink does not read on.
var errTaken = errors.New("the sink does not read on")

// Stream sends a blob that is made of raw while it is sent: encode reads src to
// its end, writes the blob to w and says what it has written. label stands for
// the blob in events, its size for all of raw. Errors are those of raw, of
// encode and of the sink.
func (p *Pouring) Stream(ctx context.Context, label v1.Descriptor, raw io.Reader, encode func(w io.Writer, src io.Reader) (v1.Descriptor, error)) (v1.Descriptor, error) {
	p.c.event(Started, label, 0)
	var desc v1.Descriptor
	r, w := io.Pipe()
	taken := make(chan error, 1)
	go func() {
		err := p.dst.PutStream(ctx, r, func() v1.Descriptor { return desc })
		_ = r.CloseWithError(errTaken)
		taken <- err
	}()
	made, err := encode(w, &watched{r: raw, p: p, label: label})
	desc = made // read after the end of the pipe was
	_ = w.CloseWithError(err)
	refused := <-taken
	switch {
	case err != nil && (!errors.Is(err, errTaken) || refused == nil):
		return desc, err
	case refused != nil:
		return desc, refused
	}
	p.settle(desc)
	p.c.mu.Lock()
	p.c.res.Bytes += desc.Size
	p.c.mu.Unlock()
	p.c.event(Done, label, label.Size)
	return desc, nil
}

// watched reports how much was read.
type watched struct {
	r     io.Reader
	p     *Pouring
	label v1.Descriptor
	seen  int64
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	if n > 0 {
		w.seen += int64(n)
		w.p.c.event(Progress, w.label, min(w.seen, w.label.Size))
	}
	return n, err
}

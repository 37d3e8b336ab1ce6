package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// Blob opens a blob at offset. While it is read a connection that breaks is
// followed by another, and a large blob is read over several at the same time
// where that is faster ([Repository.Within]). The URLs that a foreign layer
// comes with are never followed. Errors, of Blob and of Read: [*Error], wrapping
// [transfer.ErrNotFound] if there is no such blob; [*RangeError] and
// [*ChangedError], which wrap [transfer.ErrOffset]; [*transfer.DigestError] if
// the registry announces another size; those of the round-tripper.
func (r *Repository) Blob(ctx context.Context, desc v1.Descriptor, offset int64) (io.ReadCloser, error) {
	switch {
	case offset < 0 || offset > desc.Size:
		return nil, fmt.Errorf("offset %d of %d bytes: %w", offset, desc.Size, transfer.ErrOffset)
	case offset > 0 && offset == desc.Size:
		return http.NoBody, nil
	}
	if err := r.streams.acquire(ctx); err != nil {
		return nil, err
	}
	d := newDownload(ctx, r, desc, offset)
	if err := d.direct.open(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// A download gives out a blob from one connection, as long as that is not what
// holds it up; then in parts, fetched at the same time into memory.
type download struct {
	repo *Repository
	ctx  context.Context // until Close
	end  context.CancelFunc
	desc v1.Descriptor
	tags *tags

	at     int64 // what Read gives next
	direct *span // nil: it comes in parts
	stop   int64 // where direct ends: at the first part, or with the blob
	parts  []*part
	next   int64 // where the next part begins
	meter  meter
	trial  *trial // nil: none is under way
	waits  bool   // it could do with one more connection

	group sync.WaitGroup // the parts that are being fetched
	wake  chan struct{}  // something happened to one
	mu    sync.Mutex
	idle  bool // the connection that this download has in any case is not in use
}

func newDownload(ctx context.Context, r *Repository, desc v1.Descriptor, offset int64) *download {
	ctx, end := context.WithCancel(ctx)
	d := &download{repo: r, ctx: ctx, end: end, desc: desc, at: offset, tags: &tags{}, wake: make(chan struct{}, 1)}
	d.goDirect()
	r.streams.enter(d)
	return d
}

// goDirect has one connection give all that is left.
func (d *download) goDirect() {
	d.direct, d.stop = d.span(d.ctx, d.at, d.desc.Size, false), d.desc.Size
	d.setIdle(false)
}

func (d *download) span(ctx context.Context, from, to int64, part bool) *span {
	return &span{repo: d.repo, ctx: ctx, desc: d.desc, at: from, end: to, part: part, tags: d.tags}
}

func (d *download) Read(p []byte) (n int, err error) {
	for n == 0 && err == nil {
		switch {
		case d.direct == nil && d.at >= d.desc.Size:
			return 0, io.EOF
		case d.direct == nil:
			n, err = d.fromParts(p)
		case d.at == d.stop && d.stop < d.desc.Size:
			_ = d.direct.Close() // what it would still bring comes in parts
			d.direct = nil
			d.setIdle(true)
		default:
			n, err = d.readDirect(d.beforeStop(p))
			d.at += int64(n)
			if err == nil {
				d.widen()
			} else if d.skips(err) {
				err = nil
			}
		}
	}
	return n, err
}

// readDirect notes how long the connection is waited for.
func (d *download) readDirect(p []byte) (int, error) {
	s := d.repo.streams
	if s == nil {
		return d.direct.Read(p)
	}
	began := s.now()
	n, err := d.direct.Read(p)
	d.meter.waited += s.now().Sub(began)
	return n, err
}

func (d *download) beforeStop(p []byte) []byte {
	if d.stop < d.desc.Size && int64(len(p)) > d.stop-d.at {
		return p[:d.stop-d.at]
	}
	return p
}

// Close ends all connections and waits until they are.
func (d *download) Close() error {
	d.end()
	var err error
	if d.direct != nil {
		err = d.direct.Close()
	}
	d.endTrial(unknownGain)
	d.dropParts()
	d.repo.streams.leave(d)
	d.repo.streams.release()
	return err
}

package registry

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// lastWords is how long an upload that is interrupted may take to end well, so
// that what was sent stays with the registry.
const lastWords = 700 * time.Millisecond

// An upload opens the blob each time that a request is sent, and remembers how
// reading it failed: net/http may return another error in its place. It may
// also go on reading when the registry has answered already; end ends that.
type upload struct {
	ctx    context.Context // that of one try; GetBody has no parameter for it
	cancel context.CancelFunc
	open   transfer.Opener

	mu      sync.Mutex
	ended   bool
	err     error
	readers []*uploadReader
}

func newUpload(ctx context.Context, open transfer.Opener) *upload {
	ctx, cancel := context.WithCancel(ctx)
	return &upload{ctx: ctx, cancel: cancel, open: open}
}

// from opens the blob at an offset. Where the source cannot begin there, what is
// before it is read and dropped: that is cheaper than to send it.
func (u *upload) from(offset int64) (*uploadReader, error) {
	rc, err := u.open(u.ctx, offset)
	if errors.Is(err, transfer.ErrOffset) && offset > 0 {
		if rc, err = u.open(u.ctx, 0); err == nil {
			if _, err = io.CopyN(io.Discard, rc, offset); err != nil {
				_ = rc.Close() // the first error says more
			}
		}
	}
	if err != nil {
		u.failed(err)
		return nil, err
	}
	r := &uploadReader{upload: u, rc: rc}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.readers = append(u.readers, r)
	return r, nil
}

// sent is how many bytes were read of what was opened last.
func (u *upload) sent() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.readers) == 0 {
		return 0
	}
	return u.readers[len(u.readers)-1].read()
}

// stop lets every reader end where it is, as if the blob ended there.
func (u *upload) stop() {
	u.mu.Lock()
	readers := u.readers
	u.mu.Unlock()
	for _, r := range readers {
		r.stop()
	}
}

// gently is a context for a request of unknown length: when ctx ends, the
// request's body ends first, and the registry has as long as lastWords to say what it took.
func (u *upload) gently(ctx context.Context, lastWords time.Duration) (context.Context, context.CancelFunc) {
	soft, cancel := context.WithCancel(context.WithoutCancel(ctx))
	leave := context.AfterFunc(ctx, func() {
		u.stop()
		time.AfterFunc(lastWords, cancel)
	})
	return soft, func() { leave(); cancel() }
}

// end closes what is still open. Nothing is read from the source afterwards.
func (u *upload) end() {
	u.mu.Lock()
	u.ended = true
	readers := u.readers
	u.mu.Unlock()
	u.cancel()
	for _, r := range readers {
		_ = r.Close() // what was to be read was read, or is not wanted any more
	}
}

func (u *upload) failed(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err == nil && !u.ended {
		u.err = err
	}
}

func (u *upload) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

type uploadReader struct {
	upload *upload

	mu     sync.Mutex
	rc     io.ReadCloser
	closed bool

	count   sync.Mutex // guards what is below, also while a read waits
	bytes   int64
	stopped bool
}

func (r *uploadReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, fs.ErrClosed
	}
	if r.isStopped() {
		return 0, io.EOF
	}
	n, err := r.rc.Read(p)
	r.count.Lock()
	r.bytes += int64(n)
	r.count.Unlock()
	if err != nil && !errors.Is(err, io.EOF) {
		r.upload.failed(err)
	}
	return n, err
}

func (r *uploadReader) read() int64 {
	r.count.Lock()
	defer r.count.Unlock()
	return r.bytes
}

func (r *uploadReader) stop() {
	r.count.Lock()
	defer r.count.Unlock()
	r.stopped = true
}

func (r *uploadReader) isStopped() bool {
	r.count.Lock()
	defer r.count.Unlock()
	return r.stopped
}

func (r *uploadReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	return r.rc.Close()
}

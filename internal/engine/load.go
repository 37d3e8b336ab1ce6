package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"github.com/vicr-cli/vicr/internal/transfer"
)

const copyBuffer = 256 << 10 // bytes

// A load is one call of the engine's load while it is fed.
type load struct {
	image  string
	before string // what the image's name stood for, "" for nothing

	pipe   *io.PipeWriter
	tar    *tar.Writer
	buffer []byte
	cancel context.CancelCauseFunc
	done   chan struct{}
	err    error // of the engine; set when done is closed
}

// startLoad begins a load. It lives longer than ctx: whoever has it ends it.
func (e *Engine) startLoad(ctx context.Context, image string) (*load, error) {
	name, err := taggedName(image)
	if err != nil {
		return nil, err
	}
	l := &load{image: image, done: make(chan struct{}), buffer: make([]byte, copyBuffer)}
	if name != "" {
		if l.before, err = e.imageID(ctx, name); err != nil && !errors.Is(err, transfer.ErrNotFound) {
			return nil, err
		}
	}
	r, w := io.Pipe()
	l.pipe, l.tar = w, tar.NewWriter(w)
	live, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	l.cancel = cancel
	go func() {
		defer close(l.done)
		guarded, stop := e.guard(live)
		defer stop()
		l.err = e.runLoad(guarded, image, r)
		// What is written from now on nobody reads.
		_ = r.CloseWithError(errUnread)
	}()
	return l, nil
}

var errUnread = errors.New("the engine does not read on")

// runLoad posts the tar and reads the answer to its end: 200 is said before
// anything is loaded.
func (e *Engine) runLoad(ctx context.Context, image string, r io.Reader) error {
	res, err := e.api.ImageLoad(ctx, r, client.ImageLoadWithQuiet(true))
	if err != nil {
		err = e.failure(ctx, "load "+image, err)
		var words *ResponseError
		if errors.As(err, &words) {
			return &LoadError{image, words.Message}
		}
		return err
	}
	defer res.Close() //nolint:errcheck // only read
	for m, err := range messages(res) {
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return &LoadError{image, unreadable(err).Error()}
		}
		if text, failed := m.failed(); failed {
			return &LoadError{image, text}
		}
		// The containerd store tells it so, after "Loaded image" (executed on
		// dockerd v2.0.0-beta.24).
		if strings.Contains(strings.ToLower(m.Stream), "error unpacking image") {
			return &LoadError{image, strings.TrimSpace(m.Stream)}
		}
	}
	return nil
}

// file writes one file into the tar. On an error the tar is of no use any more.
func (l *load) file(ctx context.Context, name string, size int64, r io.Reader) (int64, error) {
	stop := context.AfterFunc(ctx, func() { _ = l.pipe.CloseWithError(ctx.Err()) })
	defer stop()
	err := l.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0),
	})
	if err != nil {
		return 0, l.why(ctx, err)
	}
	n, reading, writing := l.copy(r)
	switch {
	case reading != nil:
		return n, reading
	case writing != nil:
		return n, l.why(ctx, writing)
	case n < size:
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}

// copy is [io.Copy] that says which side failed.
func (l *load) copy(r io.Reader) (n int64, reading, writing error) {
	for {
		got, err := r.Read(l.buffer)
		if got > 0 {
			wrote, err := l.tar.Write(l.buffer[:got])
			n += int64(wrote)
			if err != nil {
				return n, nil, err
			}
		}
		if err == io.EOF {
			return n, nil, nil
		}
		if err != nil {
			return n, err, nil
		}
	}
}

// why turns an error of the pipe into that of whoever closed it.
func (l *load) why(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, errUnread) || errors.Is(err, io.ErrClosedPipe) {
		<-l.done
		if l.err != nil {
			return l.err
		}
		return &LoadError{l.image, "it answered before it had the whole image"}
	}
	return err
}

// finish writes the last files and the end of the tar, and waits for the answer.
func (l *load) finish(ctx context.Context, p parcel) error {
	stop := context.AfterFunc(ctx, func() { l.cancel(ctx.Err()) })
	defer stop()
	for _, f := range p.files {
		if _, err := l.file(ctx, f.Name, int64(len(f.Data)), bytes.NewReader(f.Data)); err != nil {
			l.abort(err)
			return err
		}
	}
	if err := l.tar.Close(); err != nil {
		err = l.why(ctx, err)
		l.abort(err)
		return err
	}
	_ = l.pipe.Close()
	<-l.done
	if l.err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return l.err
}

// abort breaks the load off, unless it has ended: the engine sees a body that
// is cut short and loads nothing.
func (l *load) abort(err error) {
	_ = l.pipe.CloseWithError(errClosed)
	l.cancel(err)
	<-l.done
}

var errClosed = errors.New("the load was broken off")

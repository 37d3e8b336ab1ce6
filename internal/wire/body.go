package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// minProgress is how many bytes must come within Silence while somebody waits
// for them: one byte now and then is not progress.
const minProgress = 1 << 10

// A body is the body of an answer that cannot be silent for long. Only the
// time spent in Read counts, not that of a slow reader.
type body struct {
	inner   io.ReadCloser
	hop     *hop
	ctx     context.Context // the attempt's
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	silence time.Duration
	left    time.Duration // until there must have been progress
	got     int           // bytes towards it
}

//nolint:revive // ctx is what the body lives in, not what this call waits for
func newBody(inner io.ReadCloser, h *hop, ctx context.Context, cancel context.CancelCauseFunc, silence time.Duration) *body {
	b := &body{inner: inner, hop: h, ctx: ctx, cancel: cancel, silence: silence, left: silence}
	b.timer = time.AfterFunc(silence, func() {
		cancel(&TimeoutError{Phase: phaseBody, Limit: silence})
	})
	b.timer.Stop()
	return b
}

func (b *body) Read(p []byte) (int, error) {
	start := time.Now()
	b.timer.Reset(b.left)
	n, err := b.inner.Read(p)
	b.timer.Stop()
	b.left = max(1, b.left-time.Since(start))
	if b.got += n; b.got >= minProgress {
		b.got, b.left = 0, b.silence
	}
	switch err { //nolint:errorlint // an io.Reader ends with this very value
	case nil:
		return n, nil
	case io.EOF:
		b.cancel(nil)
		return n, io.EOF
	}
	return n, b.why(err)
}

func (b *body) why(err error) error {
	cause := context.Cause(b.ctx)
	end := b.hop.req.Context().Err()
	b.cancel(nil)
	if timeout, ok := errors.AsType[*TimeoutError](cause); ok {
		return b.hop.fail(Silent, timeout)
	}
	if end != nil {
		return fmt.Errorf("%s: %w", printable(b.hop.op()), end)
	}
	if !isConnection(err) {
		err = answerFault(err) // chunks that are none; whoever can asks again for the rest
	}
	return b.hop.fail(Unreachable, err)
}

func (b *body) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.inner.Close()
}

package transfer

import (
	"context"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A Streamer is a [Sink] that takes a blob before anybody knows its digest: one
// that is compressed while it is sent.
type Streamer interface {
	Sink
	// PutStream takes what r gives until io.EOF, which need not be kept to be
	// sent again: it holds what may be lost on the way itself, in bounded memory.
	// Then it calls name, once, for what that was. Events are the caller's.
	PutStream(ctx context.Context, r io.Reader, name func() v1.Descriptor) error
}

package transfer

import "context"

// firstBlobs is how many connections a source is asked to open while nobody
// knows yet how many blobs there are: a small image has so many.
const firstBlobs = 4

// A Reacher is a [Source] that is far away, and can open connections before it
// is asked for anything over them.
type Reacher interface {
	Source
	// Reach opens up to so many connections without waiting for them. What fails
	// is said by the request that needs it.
	Reach(ctx context.Context, connections int)
}

// A Namer is a [Sink] that can say, without asking anybody, whether something
// has its name already: then the image is likely there, and takes one request.
type Namer interface {
	Named(ctx context.Context) bool
}

// reach has src open what the blobs are going to need, while it is asked what
// there is. dst may be nil.
func reach(ctx context.Context, src Source, dst Sink, jobs int) {
	r, ok := src.(Reacher)
	if !ok {
		return
	}
	if n, ok := dst.(Namer); ok && n.Named(ctx) {
		return
	}
	r.Reach(ctx, min(jobs, firstBlobs))
}

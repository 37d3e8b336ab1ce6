// Package transfer moves one image or index from a source to a sink and says
// how far it is. It knows no registry, no engine and no disk: those are rooms
// that fit the two interfaces declared here.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// MaxManifest is how large a manifest may be, in bytes: the size that the OCI
// distribution spec asks registries to take at least (spec.md, "Pushing Manifests").
const MaxManifest = 4 << 20

// ErrNotFound is wrapped by sources that lack the image, its manifest or a blob.
var ErrNotFound = errors.New("not found")

// ErrOffset is wrapped by sources that have a blob but cannot give it out from
// the offset asked for. Whoever asked begins again at 0.
var ErrOffset = errors.New("cannot go on from there")

// A Source gives out one image or index. Its methods may be called at the same time.
type Source interface {
	// Resolve says what the name stands for now: digest, size and media type of
	// the manifest or index. The error wraps [ErrNotFound] if there is none.
	Resolve(ctx context.Context) (v1.Descriptor, error)
	// Manifest returns the bytes of a manifest or index. [Copy] verifies them.
	Manifest(ctx context.Context, desc v1.Descriptor) ([]byte, error)
	// Blob opens a blob at offset, in bytes. The caller closes it. [Copy]
	// verifies what is read from offset 0; a sink that asks for more verifies itself.
	Blob(ctx context.Context, desc v1.Descriptor, offset int64) (io.ReadCloser, error)
}

// An Opener opens one blob at an offset, in bytes; whoever calls it closes the reader.
type Opener func(ctx context.Context, offset int64) (io.ReadCloser, error)

// A Sink takes one image or index. Its methods may be called at the same time,
// but a manifest is put only after all that it names, and Commit comes last.
type Sink interface {
	// PutBlob makes the sink hold the blob. It calls open only when it lacks
	// bytes, and says how many bytes it took: 0 means it had them all.
	PutBlob(ctx context.Context, desc v1.Descriptor, open Opener) (taken int64, err error)
	// PutManifest makes the sink hold a manifest or index below the root, whose
	// bytes were verified. The root itself comes with Commit alone.
	PutManifest(ctx context.Context, desc v1.Descriptor, raw []byte) error
	// Commit makes the sink hold root, whose bytes are raw and were verified, and
	// gives it the name that the sink was opened for.
	// Nothing is seen under that name before.
	Commit(ctx context.Context, root v1.Descriptor, raw []byte) error
	// Close lets go of what the sink holds. Without Commit before it the name
	// stays as it was.
	Close() error
}

// A Decliner is a [Sink] that does not hold some of the layers that may not be
// distributed, and takes manifests that name them.
type Decliner interface {
	Declines(desc v1.Descriptor) bool
}

// A Holder is a [Sink] that can say, for less than it takes to ask about every
// part, that it has all of root under its name. Then nothing is moved. False
// says nothing.
type Holder interface {
	Holds(ctx context.Context, root v1.Descriptor) (bool, error)
}

// A Keeper is a [Sink] that gives back the manifests and indexes that it has, so
// that the source is not asked for them. [Copy] verifies them. Any error sends it
// to the source.
type Keeper interface {
	Kept(ctx context.Context, desc v1.Descriptor) ([]byte, error)
}

// A DigestError says that bytes are not the ones that were asked for.
type DigestError struct {
	What string // "manifest", "blob"
	Want v1.Hash
	Got  v1.Hash // zero when the size is wrong
	Size int64   // bytes seen, when the size is wrong
	Of   int64   // bytes expected
	Told bool    // Got is what a registry says of what it was sent
}

func (e *DigestError) Error() string {
	if e.Got == (v1.Hash{}) {
		return fmt.Sprintf("wrong bytes: %s %s has %d bytes instead of %d", e.What, e.Want, e.Size, e.Of)
	}
	return fmt.Sprintf("wrong bytes: %s %s came as %s", e.What, e.Want, e.Got)
}

// A ManifestError says that a manifest or index is not what the specs allow, or
// of a format that is not supported. Why holds no raw foreign bytes.
type ManifestError struct {
	Digest v1.Hash
	Why    string
}

func (e *ManifestError) Error() string { return fmt.Sprintf("manifest %s: %s", e.Digest, e.Why) }

// A PlatformError says that an index has no image for the platform asked for.
// It wraps [ErrNotFound].
type PlatformError struct {
	Want v1.Platform
	Have []v1.Platform
}

func (e *PlatformError) Error() string { return fmt.Sprintf("no image for %s", e.Want.String()) }

func (e *PlatformError) Unwrap() error { return ErrNotFound }

// A Stage says what happened to a blob or manifest.
type Stage int

// The stages of an [Event].
const (
	Started Stage = iota
	Progress
	Existed
	Done
	Resumed  // at byte Bytes, up to which the sink had it from an earlier run
	Retrying // the connection broke at byte Bytes
)

// An Event says how far a transfer is. Bytes of one blob only grow.
type Event struct {
	Stage Stage
	Desc  v1.Descriptor
	Bytes int64 // of this blob, so far

	// Of Retrying alone.
	Try  int           // how often it was tried since bytes came, from 1 on
	Wait time.Duration // until it is tried again
	Err  error         // why
}

// Options say what to move and how.
type Options struct {
	Platform *v1.Platform // choose this image out of an index; nil: move all of it
	Jobs     int          // blobs under way at the same time; 0: 4
	OnEvent  func(Event)  // may be nil; called from several goroutines
	// OnBegin is called with what is moved, before a byte of it is; not where the
	// sink has it all. It may be nil.
	OnBegin func(root v1.Descriptor)
	// OnOther is called before a byte is moved with what the image is made for, if
	// that is another one than Platform, as [Other] has it. It may be nil.
	OnOther func(have v1.Platform)
}

// A Result says what was moved.
type Result struct {
	Resolved v1.Descriptor // what the name stood for at the source: possibly the index
	Root     v1.Descriptor // what the sink's name stands for now
	Bytes    int64         // taken by the sink
	Reused   int64         // already there; of an index that a [Holder] has, what it names is not counted
	// Left are the layers that were left out since they may not be distributed.
	Left []v1.Descriptor
}

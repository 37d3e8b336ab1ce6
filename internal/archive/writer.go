package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"sync"

	"github.com/distribution/reference"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/transfer"
)

// An IndexError says that several platforms were to be written into an archive
// of Docker, which holds one of an image.
type IndexError struct{ Digest v1.Hash }

func (e *IndexError) Error() string {
	return fmt.Sprintf("%s is an index of several platforms: an archive of Docker holds one", e.Digest)
}

// A Writer takes images and writes them as one archive when it has all of them.
// Until then what it took is in a scratch file, so blobs come in any order and
// several at a time. Its methods may be called at the same time.
type Writer struct {
	o      Options
	file   string    // "": to the stream
	stream io.Writer // of whoever gets the archive
	want   int       // images

	mu        sync.Mutex
	part      *atomicfile.Ingest      // what becomes the file; nil: to the stream, or written
	scratch   *atomicfile.ScratchFile // nil before the first blob
	next      int64                   // where in it nothing is yet
	blobs     map[v1.Hash]extent
	manifests map[v1.Hash][]byte
	images    []Named
	written   bool
}

// Create makes an archive of that many images in a file, which is replaced as a
// whole once all of them are there. Close it. What killed writers left in that
// folder is removed. The error is a [*atomicfile.NotRegularError] if something else
// than a file is in the way, wraps [atomicfile.ErrBusy] if somebody else is writing
// the same archive, or is one of the file system.
func Create(file string, images int, o Options) (*Writer, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	w := &Writer{o: o, file: abs, want: images, blobs: map[v1.Hash]extent{}, manifests: map[v1.Hash][]byte{}}
	if _, err := w.mode(); err != nil {
		return nil, err
	}
	if w.part, err = openPart(abs); err != nil {
		return nil, err
	}
	return w, nil
}

// Stream is [Create] for an archive that goes to out, once all images are there.
func Stream(out io.Writer, images int, o Options) *Writer {
	return &Writer{o: o, stream: out, want: images, blobs: map[v1.Hash]extent{}, manifests: map[v1.Hash][]byte{}}
}

// mode is what the file that is there may be used for by whom.
func (w *Writer) mode() (fs.FileMode, error) {
	info, err := atomicfile.Machine().Stat(w.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fileMode, nil
	case err != nil:
		return 0, err
	case !info.Mode().IsRegular():
		return 0, &atomicfile.NotRegularError{Path: w.file, Mode: info.Mode()}
	}
	return info.Mode().Perm(), nil
}

// Expect says how many images there will be, before any was committed.
func (w *Writer) Expect(images int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.want = images
}

// Close lets go of the disk. Without all images before it nothing was written.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var err error
	if w.part != nil {
		err = w.part.Discard()
		w.part = nil
	}
	if w.scratch != nil {
		err = errors.Join(err, w.scratch.Close())
		w.scratch = nil
	}
	return err
}

// Sink returns what takes one image, of that full name or, if it is "", of none.
func (w *Writer) Sink(name string) *Sink { return &Sink{w, name} }

// A Sink takes one image.
type Sink struct {
	writer *Writer
	name   string
}

var _ transfer.Sink = (*Sink)(nil)

// PutBlob takes a blob. Errors: [*transfer.DigestError], those of open and of the
// file system.
func (s *Sink) PutBlob(ctx context.Context, desc v1.Descriptor, open transfer.Opener) (int64, error) {
	w := s.writer
	e, out, err := w.reserve(desc)
	if err != nil || out == nil {
		return 0, err
	}
	rc, err := open(ctx, 0)
	if err != nil {
		return 0, err
	}
	verified, err := transfer.Verify(rc, desc)
	if err != nil {
		return 0, errors.Join(err, rc.Close())
	}
	n, err := io.CopyBuffer(out, struct{ io.Reader }{verified}, make([]byte, copyBuffer))
	if err := errors.Join(err, verified.Close()); err != nil {
		return n, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.blobs[desc.Digest] = e
	return n, nil
}

// reserve finds room for a blob; nil if it is there already.
func (w *Writer) reserve(desc v1.Descriptor) (extent, io.Writer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e, ok := w.blobs[desc.Digest]; ok && e.size == desc.Size {
		return e, nil, nil
	}
	if desc.Size < 0 || desc.Size > math.MaxInt64-w.next {
		return extent{}, nil, &transfer.ManifestError{Digest: desc.Digest, Why: "is too large"}
	}
	if w.scratch == nil {
		s, err := newScratch(w.o.Scratch)
		if err != nil {
			return extent{}, nil, err
		}
		w.scratch = s
	}
	e := extent{in: w.scratch, at: w.next, size: desc.Size}
	w.next += desc.Size
	return e, io.NewOffsetWriter(w.scratch, e.at), nil
}

// PutManifest takes a manifest or index below the root.
func (s *Sink) PutManifest(ctx context.Context, desc v1.Descriptor, raw []byte) error {
	s.writer.mu.Lock()
	defer s.writer.mu.Unlock()
	s.writer.manifests[desc.Digest] = slices.Clone(raw)
	return ctx.Err()
}

// Commit takes the root, and writes the archive if this is the last image. The
// error is an [*IndexError] for what Docker's format does not hold, or one of the
// file system.
func (s *Sink) Commit(ctx context.Context, root v1.Descriptor, raw []byte) error {
	w := s.writer
	if w.o.Format == Docker && !root.MediaType.IsImage() {
		return &IndexError{Digest: root.Digest}
	}
	if err := s.PutManifest(ctx, root, raw); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	name := taggedName(w.o.Format, s.name)
	w.images = slices.DeleteFunc(w.images, func(i Named) bool { return name != "" && i.Name == name })
	w.images = append(w.images, Named{name, root, slices.Clone(raw)})
	w.want--
	if w.want > 0 {
		return nil
	}
	if w.written {
		return errors.New("the archive was written")
	}
	w.written = true
	return w.write(ctx)
}

// Close does nothing: what a sink took belongs to the writer.
func (s *Sink) Close() error { return nil }

// taggedName is name without its digest; "" if it has a digest alone, under
// which no engine can be told to keep an image. What is no name in docker's
// grammar stays as it is; docker load takes no name without a tag.
func taggedName(f Format, name string) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	if tagged, ok := named.(reference.Tagged); ok {
		return named.Name() + ":" + tagged.Tag()
	}
	if _, ok := named.(reference.Digested); ok {
		return ""
	}
	if f == Docker {
		return reference.TagNameOnly(named).String()
	}
	return name
}

// sorted lists the images by name, so that the order in which they came is not seen.
func (w *Writer) sorted() []Named {
	all := slices.Clone(w.images)
	slices.SortFunc(all, func(a, b Named) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Root.Digest.String(), b.Root.Digest.String()))
	})
	return slices.CompactFunc(all, func(a, b Named) bool { return a.Name == b.Name && a.Root.Digest == b.Root.Digest })
}

func byDigest[V any](all map[v1.Hash]V) []v1.Hash {
	return slices.SortedFunc(maps.Keys(all), func(a, b v1.Hash) int { return cmp.Compare(a.String(), b.String()) })
}

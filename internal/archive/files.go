package archive

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// The limits of an archive: what is known of its files is in memory.
const (
	maxFiles   = 1 << 16
	maxNames   = 8 << 20 // bytes of all names together
	maxName    = 4096    // bytes of one
	maxJSON    = transfer.MaxManifest
	copyBuffer = 256 << 10 // bytes
)

// An extent is where bytes lie.
type extent struct {
	in       io.ReaderAt // nil: they have passed
	at, size int64
}

func (e extent) from(offset int64) *io.SectionReader {
	return io.NewSectionReader(e.in, e.at+offset, e.size-offset)
}

// files are those of a tar, by their names.
type files struct {
	extents map[string]extent
	links   map[string]string // to names in the archive
	count   int
	names   int // bytes
}

func newFiles() *files { return &files{extents: map[string]extent{}, links: map[string]string{}} }

// A File is one of a tar that is read from front to back. What is not read of it
// is passed over.
type File struct {
	io.Reader
	Name string
	Size int64
	Data []byte // all of it, if the archive holds it: see [Archive.Pass]

	head []byte
}

// index finds the files of a tar of size bytes.
func (a *Archive) index(ctx context.Context, r io.ReaderAt, size int64) error {
	section := io.NewSectionReader(r, 0, size)
	return a.each(ctx, section, func(f *File) (bool, error) {
		at, err := section.Seek(0, io.SeekCurrent) // the reader of a tar reads no byte ahead
		if err == nil && at > size-f.Size {
			err = a.broken(io.ErrUnexpectedEOF)
		}
		a.files.extents[f.Name] = extent{r, at, f.Size}
		return false, err
	})
}

// each hands the files of a tar to take, until it has enough. Errors of take are
// returned as they are, but for those that come of reading the tar.
func (a *Archive) each(ctx context.Context, r io.Reader, take func(*File) (enough bool, err error)) error {
	t := tar.NewReader(r)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF) && a.files.count == 0:
			return a.bad("it is empty, or no tar")
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && a.files.count == 0:
			return &Error{File: a.name, Why: "it is no tar, or damaged", Err: err}
		case err != nil:
			return a.broken(err)
		}
		if isFile, err := a.accept(h); err != nil {
			return err
		} else if !isFile {
			continue
		}
		in := &source{r: t}
		enough, err := take(&File{Reader: in, Name: path.Clean(h.Name), Size: h.Size})
		if err != nil && in.err != nil {
			return a.broken(in.err)
		}
		if err != nil || enough {
			return err
		}
	}
}

// broken says what a failure to read a tar means.
func (a *Archive) broken(err error) error {
	if ours, ok := errors.AsType[*Error](err); ok {
		return ours
	}
	why := "it is damaged"
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		why = "it breaks off in the middle"
	case errors.Is(err, tar.ErrHeader):
		why = "it is no tar, or damaged"
	}
	return &Error{File: a.name, Why: why, Err: err}
}

// accept says whether h is of a file with bytes, and notes what else there is. The
// error is of what no honest archive has.
func (a *Archive) accept(h *tar.Header) (isFile bool, err error) {
	f := a.files
	f.count++
	f.names += len(h.Name) + len(h.Linkname)
	name := path.Clean(h.Name)
	switch {
	case f.count > maxFiles:
		return false, a.unsafe("it has more than %d files", maxFiles)
	case f.names > maxNames:
		return false, a.unsafe("the names of its files have more than %d bytes", maxNames)
	case len(h.Name) > maxName || !local(name):
		return false, a.unsafe("it has a file with the name %.100q", h.Name)
	case h.Typeflag == tar.TypeDir || h.Typeflag == tar.TypeXGlobalHeader:
		return false, nil
	case f.has(name):
		return false, a.unsafe("it has %.200q twice", name)
	case h.Typeflag == tar.TypeSymlink || h.Typeflag == tar.TypeLink:
		return false, a.link(h, name)
	case sparse(h):
		return false, a.unsafe("%.200q in it is sparse", name)
	case h.Typeflag != tar.TypeReg:
		return false, a.unsafe("%.200q in it is neither a file nor a folder", name)
	}
	f.extents[name] = extent{size: h.Size} // in nothing, unless it is kept
	return true, nil
}

// link notes a link. Docker before 25 writes a layer that an image has twice as
// a link to the first (moby image/tarexport/save.go, saveLayer); tar does so with
// files that have two names.
func (a *Archive) link(h *tar.Header, name string) error {
	target := path.Clean(h.Linkname)
	if h.Typeflag == tar.TypeSymlink && !path.IsAbs(target) {
		target = path.Join(path.Dir(name), h.Linkname) //nolint:gosec // a key of a map, opened nowhere
	}
	if len(h.Linkname) > maxName || !local(target) {
		return a.unsafe("%.200q in it is a link to %.100q", name, h.Linkname)
	}
	a.files.links[name] = target
	return nil
}

// local says whether a clean path stays in the archive.
func local(name string) bool {
	return name != ".." && !strings.HasPrefix(name, "../") && !path.IsAbs(name) && !strings.ContainsRune(name, 0)
}

// sparse says whether a file is smaller than its size: a few bytes of archive
// could fill the disk.
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

func (f *files) has(name string) bool {
	_, isFile := f.extents[name]
	_, isLink := f.links[name]
	return isFile || isLink
}

// find looks a name up, through one link.
func (f *files) find(name string) (extent, bool) {
	name = path.Clean(name)
	if to, ok := f.links[name]; ok {
		name = to
	}
	e, ok := f.extents[name]
	return e, ok
}

func (f *files) blob(h v1.Hash) (extent, bool) {
	return f.find(BlobName(h))
}

// document returns a small file whole.
func (a *Archive) document(name string) ([]byte, error) {
	e, ok := a.files.find(name)
	if !ok {
		return nil, a.bad("it has no %.200q", name)
	}
	var raw []byte
	var err error
	if _, packed := a.layers[e]; !packed {
		raw, err = a.small(e)
	}
	if err == nil && raw == nil {
		err = a.bad("%.200q in it is not JSON of at most %d bytes", name, maxJSON)
	}
	return raw, err
}

// small reads a file whole; nil if it is too large for that, or has passed.
func (a *Archive) small(e extent) ([]byte, error) {
	if e.size > maxJSON || e.in == nil {
		return nil, nil
	}
	raw := make([]byte, e.size)
	if _, err := io.ReadFull(e.from(0), raw); err != nil {
		return nil, a.broken(err)
	}
	return raw, nil
}

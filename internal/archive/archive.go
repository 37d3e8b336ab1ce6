// Package archive reads and writes images in one file: OCI layouts in a tar, and
// what docker save writes. A file is read where it lies; what comes as a stream
// or compressed waits in a scratch file, or is handed on as it passes. Names in an
// archive are looked up in it and opened nowhere else. What is written appears
// whole or not at all, and the same images give the same bytes.
package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/transfer"
)

// A Format is how images lie in an archive.
type Format int

// The formats. One of Docker may hold a layout beside Docker's own list, as
// docker save writes it since 25.0; then it is read as that.
const (
	OCI Format = iota
	Docker
)

// Names in archives: an OCI layout (opencontainers/image-spec image-layout.md)
// and Docker's own list (moby image/tarexport/tarexport.go).
const (
	layoutFile   = "oci-layout"
	indexFile    = "index.json"
	manifestFile = "manifest.json"
	blobFolder   = "blobs"

	refName        = "org.opencontainers.image.ref.name"
	containerdName = "io.containerd.image.name" // the full name (containerd images/annotations.go)
)

// Options say how archives are handled.
type Options struct {
	Format  Format
	Scratch string // folder for what has to wait on the disk; made when missing
	// Unpacked says that a stream is of an engine that keeps layers unpacked: Docker's
	// list counts, whatever lies beside it, and layers are compressed as they come.
	Unpacked bool
}

// An Error says that an archive cannot be read, or is not taken.
type Error struct {
	File   string
	Why    string // holds no raw foreign bytes
	Unsafe bool   // made to do harm, or too large for any honest one
	Err    error  // may be nil
}

func (e *Error) Error() string {
	if e.Unsafe {
		return fmt.Sprintf("%q is not taken: %s", e.File, e.Why)
	}
	return fmt.Sprintf("%q is no archive of images that can be read: %s", e.File, e.Why)
}

func (e *Error) Unwrap() error { return e.Err }

// A NameError says that an archive has no image of that name, or none at all.
// It wraps [transfer.ErrNotFound].
type NameError struct {
	File   string
	Format Format // as it was opened
	Absent bool   // there is no such file
	Name   string // "": any
	Names  []string
}

func (e *NameError) Error() string {
	switch {
	case e.Absent:
		return fmt.Sprintf("there is no file %q", e.File)
	case e.Name == "":
		return fmt.Sprintf("no image in %q", e.File)
	}
	return fmt.Sprintf("no image %q in %q: it has %s", e.Name, e.File, quotedAll(e.Names))
}

func (e *NameError) Unwrap() error { return transfer.ErrNotFound }

// An AmbiguousError says that an archive has several images, and which was meant
// is not clear.
type AmbiguousError struct {
	File   string
	Format Format // as it was opened
	Name   string // "": none was given
	Names  []string
}

func (e *AmbiguousError) Error() string {
	what := "several images"
	if e.Name != "" {
		what += ", and not one alone is called " + strconv.Quote(e.Name)
	}
	return fmt.Sprintf("%q has %s: %s", e.File, what, quotedAll(e.Names))
}

func quotedAll(names []string) string {
	const enough = 10
	var all []string
	for i, n := range names {
		if i == enough {
			all = append(all, fmt.Sprintf("and %d more", len(names)-enough))
			break
		}
		all = append(all, strconv.Quote(n))
	}
	return strings.Join(all, ", ")
}

// An Archive is open for reading. Its methods may be called at the same time, but
// Pass and Pack only by one.
type Archive struct {
	o      Options
	name   string // of the file, for people
	free   int64  // bytes that anything may grow to when it is decompressed
	source *os.File
	files  *files

	mu      sync.Mutex
	made    map[string]*Image       // by what they are
	layers  map[extent]layer        // of images in Docker's own format, by where they lie
	scratch *atomicfile.ScratchFile // what came on a stream or was compressed here; nil: nothing yet
	buffer  []byte
}

func fresh(name string, o Options) *Archive {
	return &Archive{
		o: o, name: name, free: bombFree, files: newFiles(), made: map[string]*Image{}, layers: map[extent]layer{}, buffer: make([]byte, copyBuffer),
	}
}

// Open opens the archive in a file. Close it. The error wraps
// [transfer.ErrNotFound] when there is no such file, and is else an [*Error], a
// [*atomicfile.NotRegularError], or one of the file system.
func Open(ctx context.Context, file string, o Options) (_ *Archive, err error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NameError{File: file, Format: o.Format, Absent: true}
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &atomicfile.NotRegularError{Path: file, Mode: info.Mode()}
	}
	f, err := os.Open(file) //nolint:gosec // what the user named
	if err != nil {
		return nil, err
	}
	a := fresh(file, o)
	a.source = f
	defer a.closeUnless(&err)
	head := make([]byte, headSize)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if isTar(head[:n]) {
		return a, a.index(ctx, f, info.Size())
	}
	return a, a.spool(ctx, io.NewSectionReader(f, 0, info.Size()))
}

// Read reads the archive that comes on r to its end; name is what it is called
// for people. It returns early when ctx ends, and then r may still be read from.
// Errors are as those of [Open].
func Read(ctx context.Context, r io.Reader, name string, o Options) (_ *Archive, err error) {
	a := fresh(name, o)
	defer a.closeUnless(&err)
	return a, a.spool(ctx, &impatient{ctx: ctx, r: r})
}

func (a *Archive) closeUnless(err *error) {
	if *err != nil {
		*err = errors.Join(*err, a.Close())
	}
}

// Close frees the disk.
func (a *Archive) Close() error {
	var err error
	if a.scratch != nil {
		err = a.scratch.Close()
		a.scratch = nil
	}
	if a.source != nil {
		err = errors.Join(err, a.source.Close())
		a.source = nil
	}
	return err
}

// kept appends to the scratch file, which lives as long as the archive, and says
// where that lies.
func (a *Archive) kept(write func(w io.Writer) error) (extent, error) {
	if a.scratch == nil {
		s, err := newScratch(a.o.Scratch)
		if err != nil {
			return extent{}, err
		}
		a.scratch = s
	}
	at := a.scratch.Size()
	err := write(a.scratch)
	return extent{in: a.scratch, at: at, size: a.scratch.Size() - at}, err
}

func newScratch(dir string) (*atomicfile.ScratchFile, error) {
	if _, err := atomicfile.Machine().MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return atomicfile.Scratch(dir)
}

func (a *Archive) bad(format string, args ...any) error {
	return &Error{File: a.name, Why: fmt.Sprintf(format, args...)}
}

func (a *Archive) unsafe(format string, args ...any) error {
	return &Error{File: a.name, Why: fmt.Sprintf(format, args...), Unsafe: true}
}

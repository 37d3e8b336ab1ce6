package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/archive"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/transfer"
)

// An archivePlace is a file of images, or standard input or output. It is opened
// by the first call that reads or writes, and closed at the end of the run.
type archivePlace struct {
	app   *app
	place ref.Place
	ctx   context.Context // that of the command: standard input is read in it

	in  *archive.Archive
	out *archive.Writer
}

// openArchive gives the same place for the same words: standard input can be
// read once, and what is written has to hold all images.
func (a *app) openArchive(ctx context.Context, p ref.Place) *archivePlace {
	if known, ok := a.archives[p]; ok {
		return known
	}
	if a.archives == nil {
		a.archives = map[ref.Place]*archivePlace{}
	}
	at := &archivePlace{app: a, place: p, ctx: ctx}
	a.archives[p] = at
	return at
}

// closeArchives frees the disk. What was not written by then is not.
func (a *app) closeArchives() error {
	var err error
	for _, at := range a.archives {
		if at.in != nil {
			err = errors.Join(err, at.in.Close())
		}
		if at.out != nil {
			err = errors.Join(err, at.out.Close())
		}
	}
	return err
}

func (p *archivePlace) options() archive.Options {
	o := archive.Options{Format: archive.OCI, Scratch: filepath.Join(p.app.machine().Dirs.Cache, "scratch")}
	if p.place.Kind == ref.DockerArchive {
		o.Format = archive.Docker
	}
	return o
}

func (p *archivePlace) read() (err error) {
	stdin := p.app.env.Stdin
	switch {
	case p.in != nil:
	case p.place.File != ref.Stream:
		p.in, err = archive.Open(p.ctx, p.place.File, p.options())
		err = p.asFile(err, "input")
	case onTerminal(stdin):
		err = &usageError{text: p.String() + ": standard input is a terminal", hint: "name a file, or put the program that writes the archive and | before vicr"}
	default:
		p.in, err = archive.Read(p.ctx, stdin, "standard input", p.options())
	}
	return err
}

// write begins an archive of n images. When standard output gets it, results go
// to standard error.
func (p *archivePlace) write(n int) (err error) {
	if n > 1 && p.place.Name != "" {
		return usagef("%s: one name cannot be that of %d images", p, n)
	}
	if p.place.File != ref.Stream {
		p.out, err = archive.Create(p.place.File, n, p.options())
		if errors.Is(err, fs.ErrNotExist) {
			text := fmt.Sprintf("%s: there is no folder %q", p, filepath.Dir(p.place.File))
			return &usageError{text: text, hint: "make the folder, or name a file in another one"}
		}
		return p.asFile(err, "output")
	}
	out := p.app.env.Stdout
	if onTerminal(out) {
		return &usageError{text: p.String() + ": standard output is a terminal", hint: "name a file, or put | and the program that reads the archive behind vicr"}
	}
	p.app.env.Stdout = p.app.env.Stderr
	p.out = archive.Stream(out, n, p.options())
	return nil
}

func onTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && isTerminal(f)
}

func (p *archivePlace) find(_ context.Context, img ref.Image) error {
	if err := p.read(); err != nil {
		return err
	}
	return p.chosen(img).Find()
}

// chosen is the image that the place names, else the one called img.
func (p *archivePlace) chosen(img ref.Image) *archive.Source {
	if p.place.Name != "" {
		return p.in.Named(p.place.Name)
	}
	return p.in.Source(img.String())
}

func (p *archivePlace) source(img ref.Image) (transfer.Source, func() error) {
	nothing := func() error { return nil }
	if err := p.read(); err != nil {
		return noSource{err}, nothing
	}
	s := p.chosen(img)
	s.OnSparse = func(have, missing []v1.Platform) {
		p.app.note("of %s there is %s here, and not %s", img, platformList(have), platformList(missing))
	}
	return s, nothing
}

// sink is where an image goes, under its own name unless the place names it. The
// archive is written when it has all.
func (p *archivePlace) sink(img ref.Image) (transfer.Sink, error) {
	if p.out == nil {
		if err := p.write(1); err != nil {
			return nil, err
		}
	}
	if p.place.Name != "" {
		return p.out.Sink(p.place.Name), nil
	}
	return p.out.Sink(img.String()), nil
}

func (p *archivePlace) tag(context.Context, ref.Image, []ref.Image) error {
	return &usageError{
		text: p.String() + ": an archive is written once, and its names with it",
		hint: "write another one, of an image that has the new name: vicr pull --to " + string(p.place.Kind) + ":FILE NAME",
	}
}

func (*archivePlace) platform(ctx context.Context) (v1.Platform, error) {
	return diskPlace{}.platform(ctx)
}

func (p *archivePlace) String() string { return p.place.String() }

// A noSource is an archive that could not be opened.
type noSource struct{ err error }

func (n noSource) Resolve(context.Context) (v1.Descriptor, error) { return v1.Descriptor{}, n.err }

func (n noSource) Manifest(context.Context, v1.Descriptor) ([]byte, error) { return nil, n.err }

func (n noSource) Blob(context.Context, v1.Descriptor, int64) (io.ReadCloser, error) {
	return nil, n.err
}

// gather readies a place for n images that are seen together, if it is one: then
// no result is printed before all of them are there.
func (a *app) gather(at place, n int, whole bool) error {
	p, ok := at.(*archivePlace)
	if !ok {
		return nil
	}
	if whole && p.place.Kind == ref.DockerArchive {
		return &usageError{text: "--all-platforms: an archive of Docker holds one platform of an image", hint: "--to oci-archive:FILE holds all"}
	}
	a.holding = true
	return p.write(n)
}

// whenThere prints a result at once, or, of an archive, when all of it is there.
func (a *app) whenThere(print func() error) error {
	if !a.holding {
		return print()
	}
	a.held = append(a.held, print)
	return nil
}

// release prints what was held back, unless there is no archive that it is true of.
func (a *app) release(at place, err error) error {
	if err != nil {
		if a.holding {
			a.note("%s was not written", at)
		}
		return err
	}
	for _, print := range a.held {
		if err := print(); err != nil {
			return err
		}
	}
	return nil
}

func platformList(all []v1.Platform) string {
	if len(all) == 0 {
		return "nothing to run"
	}
	texts := make([]string, len(all))
	for i, p := range all {
		texts[i] = p.String()
	}
	return strings.Join(texts, ", ")
}

func isUnsafeArchive(err error) bool {
	var e *archive.Error
	return errors.As(err, &e) && e.Unsafe
}

package cmd

import (
	"errors"
	"io/fs"
	"runtime"

	"github.com/vicr-cli/vicr/internal/archive"
	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/shell"
	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/transfer"
)

// A wrongHereError says that wrong bytes came out of a place: no registry is to blame.
type wrongHereError struct {
	hint string
	err  error
}

func (e *wrongHereError) Error() string { return e.err.Error() }
func (e *wrongHereError) Unwrap() error { return e.err }

// wrongHere says of wrong bytes that they came out of at, nil for a registry,
// unless they are what another registry says of what it was sent.
func wrongHere(at place, err error) error {
	wrong, ok := errors.AsType[*transfer.DigestError](err)
	if at == nil || !ok || wrong.Told {
		return err
	}
	return &wrongHereError{damagedHere(at), err}
}

// damagedHere is what mends a place.
func damagedHere(at place) string {
	switch p := at.(type) {
	case *archivePlace:
		if p.place.Kind == ref.DockerArchive {
			return makeArchive
		}
		return "the file is damaged; make it again: vicr pull --to oci-archive:FILE IMAGE"
	case diskPlace:
		if p.layout {
			return "the folder is damaged; make another one: vicr pull --to oci:DIR IMAGE"
		}
		return "vicr store verify shows what is damaged, and what to type"
	}
	return "what the engine has is damaged; remove the image there, and pull it again"
}

func wrongHereHints(err error, _ string) []string {
	var w *wrongHereError
	errors.As(err, &w)
	return []string{w.hint}
}

const makeArchive = "make it again: docker save -o FILE IMAGE, or: vicr pull --to docker-archive:FILE IMAGE"

// A notInEngineError says that the engine lacks an image: no registry was asked.
type notInEngineError struct{ err error }

func (e *notInEngineError) Error() string { return e.err.Error() }
func (e *notInEngineError) Unwrap() error { return e.err }

// A notStoredError says that vicr's store lacks what was to be taken out of it.
type notStoredError struct{ err error }

func (e *notStoredError) Error() string { return e.err.Error() }
func (e *notStoredError) Unwrap() error { return e.err }

func inEngine(err error) error {
	if !errors.Is(err, transfer.ErrNotFound) {
		return err
	}
	return &notInEngineError{err}
}

// asFile says what to name where something else than a file was named as an archive.
func (p *archivePlace) asFile(err error, stream string) error {
	if !is[*atomicfile.NotRegularError](err) {
		return err
	}
	return &usageError{text: p.String() + ": " + err.Error(), hint: "name a file, or - for standard " + stream + ": " + string(p.place.Kind) + ":-"}
}

// archiveHints name an image in an archive of the kind that it is.
func archiveHints(err error, _ string) []string {
	many, ok := errors.AsType[*archive.AmbiguousError](err)
	if !ok {
		return nil
	}
	return []string{"put the name of one behind the file: " + archiveKind(many.Format) + ":FILE:NAME"}
}

func archiveKind(f archive.Format) string {
	if f == archive.Docker {
		return string(ref.DockerArchive)
	}
	return string(ref.OCIArchive)
}

const fromStore = "vicr store gc makes room where vicr's store is, and with --parts takes what broken pulls would go on with"

// fullHints: what a store or a layout has of a blob is kept, and nothing else is.
func fullHints(err error, _ string) []string {
	again := "make room, then run this again"
	if p, ok := errors.AsType[*fs.PathError](err); ok && store.IsPart(p.Path) {
		again += ": what was fetched is kept"
	}
	return []string{again, fromStore}
}

// byHand removes what no command of vicr does.
func byHand(paths []string) string {
	return "remove by hand what is no file there: " + shell.Line(runtime.GOOS, append([]string{"rm", "-r"}, paths...))
}

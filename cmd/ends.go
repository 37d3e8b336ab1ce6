package cmd

import (
	"context"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/transfer"
)

// An end is where copy reads or writes: a registry, or a place.
type end struct {
	img  ref.Image   // the name there; zero: what the place itself names
	at   place       // nil: a registry
	kind ref.Kind    // of the place
	road *road       // to the registry
	pass auth.Scoped // the road, for all that is asked of the registry

	streams *registry.Streams    // that blobs are read over
	watch   func(transfer.Event) // may be nil
}

// openEnds opens both ends; one registry at both has one road, and one token
// that is good for both.
func (a *app) openEnds(ctx context.Context, o copyOptions) (from, to end, err error) {
	if from, err = a.openEnd(ctx, o.src, o.dst.Image, o.srcTLS); err != nil {
		return from, to, err
	}
	if from.road != nil && o.dst.InRegistry() && o.src.Image.Host == o.dst.Image.Host {
		to = end{img: o.dst.Image, road: from.road}
	} else if to, err = a.openEnd(ctx, o.dst, o.src.Image, o.dstTLS); err != nil {
		return from, to, err
	}
	from.streams = registry.NewStreams(o.jobs)
	pull, push := "repository:"+from.img.Repository+":pull", "repository:"+to.img.Repository+":pull,push"
	one := from.road != nil && from.road == to.road &&
		strings.Contains(from.img.Repository, "/") && strings.Contains(to.img.Repository, "/") // else Harbor 1 fails for both
	switch {
	case one:
		from.pass = from.road.auth.For(pull, push)
		to.pass = from.pass
	default:
		if from.road != nil {
			from.pass = from.road.auth.For(pull)
		}
		if to.road != nil {
			to.pass = to.road.auth.For(push)
		}
	}
	return from, to, nil
}

// openEnd opens one end, with the name of the other where it has none.
func (a *app) openEnd(ctx context.Context, e ref.End, other ref.Image, t tlsFlags) (end, error) {
	if e.InRegistry() {
		r, err := a.road(ctx, e.Image.Host, t)
		return end{img: e.Image, road: r}, aboutHost(e.Image.Host, err)
	}
	img := e.Image
	if !e.Named() {
		img = other
	}
	if (e.Place.Kind == ref.Docker || e.Place.Kind == ref.Store) && (img == ref.Image{}) {
		return end{}, usagef("%s: write the name of the image behind it, as in %s:NAME", e, e.Place)
	}
	at, err := a.openPlace(ctx, e.Place)
	if err != nil {
		return end{}, err
	}
	return end{img: img, at: at, kind: e.Place.Kind}, nil
}

func (e end) String() string {
	if e.at != nil {
		return e.at.String()
	}
	return e.img.Host.String()
}

// named is desc as it is found at the end.
func (e end) named(desc v1.Descriptor) string {
	if (e.img == ref.Image{}) {
		return e.String() + "@" + desc.Digest.String()
	}
	return e.img.WithDigest(desc.Digest.String()).String()
}

func (e end) tagged(tag string) end {
	e.img.Tag, e.img.Digest = tag, ""
	return e
}

// about says that err is about the registry here, unless it is known to be
// about the other one.
func (e end) about(err error) error {
	if e.road == nil || is[*hostError](err) {
		return err
	}
	return aboutHost(e.img.Host, err)
}

// why is [road.whyDenied], where there is a registry.
func (e end) why(ctx context.Context, err error) error {
	if e.road == nil {
		return err
	}
	return e.road.whyDenied(ctx, err)
}

// repository is the end's in its registry; with a, what is pushed there is remembered.
func (e end) repository(a *app) *registry.Repository {
	r := registry.Open(e.img, e.pass, e.road.base).Watched(e.watch)
	if e.streams != nil {
		r = r.Within(e.streams)
	}
	if a != nil {
		r = a.remembering(r)
	}
	return r
}

func (e end) source() (transfer.Source, func() error) {
	if e.at != nil {
		return e.at.source(e.img)
	}
	return hostSource{e.repository(nil), e}, func() error { return nil }
}

func (e end) sink(a *app, from end, shared *transfer.Shared) (transfer.Sink, error) {
	if e.at != nil {
		return e.at.sink(e.img)
	}
	return shared.Over(e.repository(a).MountFrom(e.mountFrom(from))), nil
}

// mountFrom is the repository of the same registry that has it all; "" if none has.
func (e end) mountFrom(from end) string {
	if from.road != e.road {
		return ""
	}
	return from.img.Repository
}

// prepare finds out whether the end takes a push of what is at from, nil for a
// registry, before anything is moved.
func (e end) prepare(ctx context.Context, a *app, create createFlag, from place) (auth.Asks, error) {
	if e.at != nil {
		return auth.Asks{}, nil
	}
	asks, err := e.road.asksFor(ctx, create, from)
	if err == nil {
		err = a.mayPush(ctx, e.road, e.img, asks, create)
	}
	return asks, e.about(err)
}

// refused says why the end did not take what was copied from src.
func (e end) refused(src string, err error) error {
	if e.road != nil && !is[*hostError](err) {
		err = &copyError{src: src, dst: e.img.String(), err: e.road.whyNoLogin(err)}
	}
	return e.about(err)
}

// typed is the end as it can be typed, where typed was what its command named.
func (e end) typed(typed ref.End) string {
	if e.at != nil {
		return typed.String()
	}
	return e.img.String()
}

// platform is the one to copy; nil: all. An engine takes its own, and an
// archive of docker's has one image.
func (e end) platform(ctx context.Context, chosen *v1.Platform) (*v1.Platform, error) {
	if chosen != nil || e.kind != ref.Docker && e.kind != ref.DockerArchive {
		return chosen, nil
	}
	p, err := e.at.platform(ctx)
	return &p, err
}

// A hostSource is an image in a registry whose errors say which that is: hints
// name it.
type hostSource struct {
	transfer.Source

	end end
}

func (s hostSource) Resolve(ctx context.Context) (v1.Descriptor, error) {
	desc, err := s.Source.Resolve(ctx)
	if err != nil {
		err = s.end.about(s.end.why(ctx, err))
	}
	return desc, err
}

func (s hostSource) Manifest(ctx context.Context, desc v1.Descriptor) ([]byte, error) {
	raw, err := s.Source.Manifest(ctx, desc)
	return raw, s.end.about(err)
}

func (s hostSource) Blob(ctx context.Context, desc v1.Descriptor, offset int64) (io.ReadCloser, error) {
	rc, err := s.Source.Blob(ctx, desc, offset)
	if err != nil {
		return nil, s.end.about(err)
	}
	return hostReader{rc, s.end}, nil
}

type hostReader struct {
	io.ReadCloser

	end end
}

func (r hostReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // what readers return, and want back, as it is
		err = r.end.about(err)
	}
	return n, err
}

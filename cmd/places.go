package cmd

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/transfer"
)

// placeWords are how a place is written.
const placeWords = "auto, docker, store, oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE"

// A place is where images live outside a registry: an engine, or a store on disk.
type place interface {
	find(context.Context, ref.Image) error // nil if the image is there; next to nothing is read for that
	source(ref.Image) (transfer.Source, func() error)
	sink(ref.Image) (transfer.Sink, error)
	tag(ctx context.Context, src ref.Image, dst []ref.Image) error
	platform(context.Context) (v1.Platform, error)
	String() string
}

// openPlace opens what --to, --from or --in names. For auto it is the engine
// when one is here, else vicr's own store.
func (a *app) openPlace(ctx context.Context, p ref.Place) (place, error) {
	switch p.Kind {
	case ref.Store:
		return a.openStore(), nil
	case ref.OCIArchive, ref.DockerArchive:
		return a.openArchive(ctx, p), nil
	case ref.OCI:
		return diskPlace{store: store.OpenLayout(p.Dir), name: "oci:" + p.Dir, layout: true, layoutTag: p.Tag}, nil
	}
	e, err := a.openEngine(ctx)
	if errors.Is(err, engine.ErrNoEngine) && p.Kind == ref.Auto {
		return a.openStore(), nil
	}
	if err != nil {
		return nil, err
	}
	keepMemory(engineMemory)
	return enginePlace{e}, nil
}

// openSource is [app.openPlace] for reading img: with auto, the store serves
// when the engine lacks the image.
func (a *app) openSource(ctx context.Context, p ref.Place, img ref.Image) (place, error) {
	at, err := a.openPlace(ctx, p)
	e, isEngine := at.(enginePlace)
	if err != nil || p.Kind != ref.Auto || !isEngine {
		return at, err
	}
	has, err := e.Has(ctx, img.String())
	if err != nil || has {
		return at, err
	}
	return a.openStore(), nil
}

func (a *app) openStore() diskPlace {
	dir := filepath.Join(a.dirs().Data, "store")
	return diskPlace{store: store.Open(dir), name: "vicr's store"}
}

// engineFrom is where the address of the engine in use is found.
func (a *app) engineFrom() engine.ResolveOptions {
	return engine.ResolveOptions{
		DockerHost: a.env.Getenv("DOCKER_HOST"),
		Context:    a.env.Getenv("DOCKER_CONTEXT"),
		ConfigDir:  a.dockerDir(),
	}
}

func (a *app) openEngine(ctx context.Context) (*engine.Engine, error) {
	from := a.engineFrom()
	host, configured, err := engine.Resolve(from)
	if err != nil {
		return nil, err
	}
	tls, err := engine.ResolveTLS(from)
	if err != nil {
		return nil, err
	}
	cache := a.dirs().Cache
	e, err := engine.Open(host, engine.Options{
		Configured: configured,
		TLS:        tls,
		Silence:    a.engineSilence(),
		Scratch:    filepath.Join(cache, "scratch"),
		Layers:     memo.OpenLayers(cache),
		Manifests:  memo.OpenManifests(cache),
	})
	if err != nil {
		return nil, err
	}
	if _, err := e.Ping(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

// engineSilence is how long an engine may be silent before its first word; 0 is what
// engines get that nobody said more for: the default of --timeout is for registries.
func (a *app) engineSilence() time.Duration {
	if a.flags.waits && a.flags.timeout > engine.Silence {
		return a.flags.timeout
	}
	return 0
}

type enginePlace struct{ *engine.Engine }

func (p enginePlace) find(ctx context.Context, img ref.Image) error {
	return inEngine(p.Find(ctx, img.String()))
}

func (p enginePlace) source(img ref.Image) (transfer.Source, func() error) {
	s := p.Source(img.String())
	return s, s.Close
}

func (p enginePlace) sink(img ref.Image) (transfer.Sink, error) { return p.Sink(img.String()), nil }

func (p enginePlace) tag(ctx context.Context, src ref.Image, dst []ref.Image) error {
	return inEngine(p.Tag(ctx, src.String(), texts(dst)...))
}

func (p enginePlace) platform(ctx context.Context) (v1.Platform, error) { return p.Platform(ctx) }

func (p enginePlace) String() string { return "docker at " + p.Host() }

// diskPlace is vicr's store, where images have their full names, or an OCI
// layout, where a name is a tag.
type diskPlace struct {
	store     *store.Store
	name      string
	layout    bool
	layoutTag string
}

func (p diskPlace) nameOf(img ref.Image) string {
	if p.layout {
		return p.layoutTag
	}
	return img.String()
}

func (p diskPlace) find(ctx context.Context, img ref.Image) error {
	_, err := p.store.Source(p.nameOf(img)).Resolve(ctx)
	return err
}

func (p diskPlace) source(img ref.Image) (transfer.Source, func() error) {
	return p.store.Source(p.nameOf(img)), func() error { return nil }
}

func (p diskPlace) sink(img ref.Image) (transfer.Sink, error) {
	name := p.nameOf(img)
	if p.layout && name == "" {
		name = img.Tag
	}
	return p.store.Sink(name), nil
}

func (p diskPlace) tag(ctx context.Context, src ref.Image, dst []ref.Image) error {
	if p.layout {
		from := p.layoutTag
		if from == "" {
			from = src.Tag
		}
		names := make([]string, len(dst))
		for i, d := range dst {
			names[i] = d.Tag
		}
		return p.store.Tag(ctx, from, names...)
	}
	return p.store.Tag(ctx, src.String(), texts(dst)...)
}

func (diskPlace) platform(context.Context) (v1.Platform, error) {
	return v1.Platform{OS: "linux", Architecture: runtime.GOARCH, Variant: variant()}, nil
}

func (p diskPlace) String() string { return p.name }

// variant is the one of this machine's architecture that images are built for.
func variant() string {
	switch runtime.GOARCH {
	case "arm64":
		return "v8"
	case "arm":
		return "v7"
	}
	return ""
}

func texts(images []ref.Image) []string {
	all := make([]string, len(images))
	for i, img := range images {
		all[i] = img.String()
	}
	return all
}

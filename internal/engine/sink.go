package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/archive"
	"github.com/vicr-cli/vicr/internal/transfer"
)

// A Sink loads one image into the engine, or as much of it as the engine lacks.
// Blobs go into the engine's load as they come, one after the other: nothing of
// them is kept here.
type Sink struct {
	engine *Engine
	image  string

	turn   chan struct{} // holds one token: whoever has it writes
	load   *load         // nil until the first byte
	failed error         // the load cannot go on
	has    map[v1.Hash]bool
	spared spared
	closed bool
}

// Sink opens img, a full image name, for loading. With a digest and no tag the
// engine keeps the image without a name.
func (e *Engine) Sink(img string) *Sink {
	s := &Sink{engine: e, image: img, turn: make(chan struct{}, 1), has: map[v1.Hash]bool{}}
	s.turn <- struct{}{}
	return s
}

// enter waits for the turn to write, for as long as ctx lasts.
func (s *Sink) enter(ctx context.Context) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.turn:
	}
	leave = func() { s.turn <- struct{}{} }
	switch {
	case s.closed:
		err = errors.New("the sink is closed")
	case s.failed != nil:
		err = s.failed
	}
	if err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// PutBlob sends a blob, as [transfer.Sink] says.
func (s *Sink) PutBlob(ctx context.Context, desc v1.Descriptor, open transfer.Opener) (int64, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	if s.has[desc.Digest] {
		return 0, nil
	}
	rc, err := open(ctx, 0)
	if err != nil {
		return 0, err
	}
	n, err := s.send(ctx, desc, rc)
	if closing := rc.Close(); err == nil {
		err = closing
	}
	return n, err
}

// PutManifest sends a manifest below the root. The error is a [*IndexError] when
// the engine keeps single images alone.
func (s *Sink) PutManifest(ctx context.Context, desc v1.Descriptor, raw []byte) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := s.takesIndexes(ctx); err != nil {
		return err
	}
	return s.sendBytes(ctx, desc, raw)
}

func (s *Sink) takesIndexes(ctx context.Context) error {
	keeps, err := s.engine.keepsManifests(ctx)
	if err == nil && !keeps {
		return &IndexError{s.image}
	}
	return err
}

// sendBytes is send for what is in memory.
func (s *Sink) sendBytes(ctx context.Context, desc v1.Descriptor, raw []byte) error {
	if s.has[desc.Digest] || s.spared.present != "" {
		return nil
	}
	_, err := s.send(ctx, desc, bytes.NewReader(raw))
	return err
}

// send writes one blob into the load, which it begins if need be. After an
// error the load is broken off: half a file cannot be taken back out of a tar.
func (s *Sink) send(ctx context.Context, desc v1.Descriptor, r io.Reader) (int64, error) {
	if s.load == nil {
		load, err := s.engine.startLoad(ctx, s.image)
		if err != nil {
			return 0, err
		}
		s.load = load
	}
	n, err := s.load.file(ctx, archive.BlobName(desc.Digest), desc.Size, r)
	if err != nil {
		s.failed = err
		s.load.abort(err)
		return n, s.blamed(err)
	}
	s.has[desc.Digest] = true
	return n, nil
}

// Commit ends the load, reads the engine's whole answer and looks at what the
// name stands for then. The error is a [*LoadError] if that is not root; the
// name is then put back to what it was. It wraps [transfer.ErrSpared] too if
// something was left out of the load that the engine has no more. An image that
// the engine has already is given the name, and nothing is loaded.
func (s *Sink) Commit(ctx context.Context, root v1.Descriptor, raw []byte) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if root.MediaType.IsIndex() {
		if err := s.takesIndexes(ctx); err != nil {
			return err
		}
	}
	if s.spared.present != "" {
		return s.adopt(ctx)
	}
	if err := s.sendBytes(ctx, root, raw); err != nil {
		return err
	}
	p, err := describe(s.image, root, raw)
	if err != nil {
		return err
	}
	s.failed = errors.New("the sink has its image")
	err = s.load.finish(ctx, p)
	if err == nil {
		err = s.verify(ctx, p)
	}
	var refusal *LoadError
	if errors.As(err, &refusal) {
		return s.blamed(errors.Join(err, s.engine.restore(context.WithoutCancel(ctx), p.name, s.load.before)))
	}
	if err == nil {
		s.remember(root)
	}
	return err
}

// Close breaks off a load that was not committed.
func (s *Sink) Close() error {
	<-s.turn
	defer func() { s.turn <- struct{}{} }()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.load != nil {
		s.load.abort(errClosed)
	}
	return nil
}

// verify looks whether the engine holds the image that was sent, under its name,
// and all that was left out of the load.
func (s *Sink) verify(ctx context.Context, p parcel) error {
	var id string
	var err error
	var whole bool
	for _, name := range p.lookFor() {
		if whole, id, err = s.engine.whole(ctx, name, s.spared); err == nil || !errors.Is(err, transfer.ErrNotFound) {
			break
		}
	}
	switch {
	case errors.Is(err, transfer.ErrNotFound):
		return &LoadError{s.image, "it says that all went well but does not have it"}
	case err != nil:
		return err
	case id != p.root.String() && id != p.config.String():
		return &LoadError{s.image, fmt.Sprintf("its name stands for %s then, not for %s", id, p.config)}
	case !whole:
		return &LoadError{s.image, "it lacks a part of it"}
	}
	return nil
}

// restore gives name back to the image before, or takes it away if there was
// none, where a failed load has moved it.
func (e *Engine) restore(ctx context.Context, name, before string) error {
	if name == "" {
		return nil
	}
	id, err := e.imageID(ctx, name)
	switch {
	case err != nil && !errors.Is(err, transfer.ErrNotFound):
		return err
	case id == before:
		return nil
	case before == "":
		return e.remove(ctx, name)
	}
	return e.Tag(ctx, before, name)
}

// A parcel is what the load's own files say of the image in it.
type parcel struct {
	root   v1.Hash
	config v1.Hash // of an image; zero for an index
	name   string  // NAME:TAG, "" for none
	files  []archive.Document
}

// lookFor lists what the engine is asked for after the load.
func (p parcel) lookFor() []string {
	switch {
	case p.name != "":
		return []string{p.name}
	case p.config != (v1.Hash{}):
		return []string{p.config.String(), p.root.String()}
	}
	return []string{p.root.String()}
}

// describe makes the files that name the blobs of a load: an OCI layout for
// engines with the containerd store, and docker's own manifest.json for those
// without (moby image/tarexport/load.go).
func describe(image string, root v1.Descriptor, raw []byte) (parcel, error) {
	name, err := taggedName(image)
	if err != nil {
		return parcel{}, err
	}
	p := parcel{root: root.Digest, name: name}
	if !root.MediaType.IsIndex() {
		var m v1.Manifest
		if err := json.Unmarshal(raw, &m); err != nil {
			return parcel{}, &LoadError{image, "its manifest cannot be read"}
		}
		p.config = m.Config.Digest
	}
	plain := v1.Descriptor{MediaType: root.MediaType, Size: root.Size, Digest: root.Digest}
	p.files, err = archive.Documents(archive.Docker, archive.Named{Name: name, Root: plain, Raw: raw})
	return p, err
}

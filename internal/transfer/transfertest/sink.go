package transfertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// A Sink keeps in memory what it is given. Calls that come in an order that
// [transfer.Sink] rules out fail.
type Sink struct {
	Content Content // what it holds
	// Read takes a blob's bytes; nil: all of them.
	Read func(desc v1.Descriptor, r io.Reader) ([]byte, error)

	mu        sync.Mutex
	puts      map[v1.Hash]int
	committed *v1.Descriptor
	closed    int
}

// PutBlob keeps a blob.
func (s *Sink) PutBlob(ctx context.Context, desc v1.Descriptor, open transfer.Opener) (int64, error) {
	if has, err := s.enter(desc); has || err != nil {
		return 0, err
	}
	rc, err := open(ctx, 0)
	if err != nil {
		return 0, err
	}
	read := s.Read
	if read == nil {
		read = func(_ v1.Descriptor, r io.Reader) ([]byte, error) { return io.ReadAll(r) }
	}
	data, err := read(desc, rc)
	if err := errors.Join(err, rc.Close()); err != nil {
		return int64(len(data)), err
	}
	s.keep(desc, data)
	return int64(len(data)), nil
}

// PutManifest keeps a manifest if all that it names is here.
func (s *Sink) PutManifest(_ context.Context, desc v1.Descriptor, raw []byte) error {
	if _, err := s.enter(desc); err != nil {
		return err
	}
	if err := s.closedUnder(raw); err != nil {
		return err
	}
	s.keep(desc, raw)
	return nil
}

// Commit keeps the root.
func (s *Sink) Commit(ctx context.Context, root v1.Descriptor, raw []byte) error {
	if err := s.PutManifest(ctx, root, raw); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed = &root
	return nil
}

// Close counts.
func (s *Sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return nil
}

// Committed is the root, nil before Commit.
func (s *Sink) Committed() *v1.Descriptor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.committed
}

// Closed is how often Close was called.
func (s *Sink) Closed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Puts is how often a digest was put.
func (s *Sink) Puts(h v1.Hash) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.puts[h]
}

func (s *Sink) enter(desc v1.Descriptor) (has bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.committed != nil || s.closed > 0 {
		return false, fmt.Errorf("%s was put after Commit or Close", desc.Digest)
	}
	if s.puts == nil {
		s.puts = map[v1.Hash]int{}
	}
	s.puts[desc.Digest]++
	_, has = s.Content[desc.Digest]
	return has, nil
}

func (s *Sink) keep(desc v1.Descriptor, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Content == nil {
		s.Content = Content{}
	}
	s.Content[desc.Digest] = data
}

func (s *Sink) closedUnder(raw []byte) error {
	var doc struct {
		Config            *v1.Descriptor
		Layers, Manifests []v1.Descriptor
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return err
	}
	if doc.Config != nil {
		doc.Layers = append(doc.Layers, *doc.Config)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range append(doc.Layers, doc.Manifests...) {
		if _, ok := s.Content[d.Digest]; !ok && d.MediaType.IsDistributable() {
			return fmt.Errorf("a manifest came before %s, which it names", d.Digest)
		}
	}
	return nil
}

// A StreamSink is a [Sink] that takes blobs before their digests are known.
type StreamSink struct {
	Sink
	// Fault may put something else in place of a stream; nil: nothing.
	Fault func(r io.Reader) (io.Reader, error)

	streamed []v1.Descriptor
}

// PutStream keeps a blob.
func (s *StreamSink) PutStream(_ context.Context, r io.Reader, name func() v1.Descriptor) error {
	if s.Fault != nil {
		var err error
		if r, err = s.Fault(r); err != nil {
			return err
		}
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	desc := name()
	if got := DescriptorOf(desc.Digest.Algorithm, "", data); got.Digest != desc.Digest || got.Size != desc.Size {
		return fmt.Errorf("what is called %s of %d bytes came as %s of %d", desc.Digest, desc.Size, got.Digest, got.Size)
	}
	if _, err := s.enter(desc); err != nil {
		return err
	}
	s.keep(desc, data)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streamed = append(s.streamed, desc)
	return nil
}

// Streamed lists what came by PutStream.
func (s *StreamSink) Streamed() []v1.Descriptor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]v1.Descriptor(nil), s.streamed...)
}

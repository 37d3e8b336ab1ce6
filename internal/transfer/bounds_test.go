package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// A crowded sink takes its time, and knows how many came at once.
type crowded struct {
	transfertest.Sink

	mu        sync.Mutex
	now, most int
}

func (c *crowded) PutBlob(ctx context.Context, desc v1.Descriptor, open transfer.Opener) (int64, error) {
	c.mu.Lock()
	c.now++
	c.most = max(c.most, c.now)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.now--
		c.mu.Unlock()
	}()
	time.Sleep(10 * time.Millisecond) // for others to come
	return c.Sink.PutBlob(ctx, desc, open)
}

func TestNoMoreBlobsAtATimeThanJobs(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	var layers []v1.Descriptor
	for n := range byte(8) {
		layers = append(layers, c.Layer(transfertest.Bytes(n, 100)))
	}
	src := &transfertest.Source{Root: c.Image(transfertest.Amd64(), layers...), Content: c}
	dst := &crowded{}
	if _, err := transfer.Copy(t.Context(), src, dst, transfer.Options{Jobs: 2}); err != nil {
		t.Fatal(err)
	}
	if dst.most != 2 {
		t.Errorf("%d at a time", dst.most)
	}
}

// A digest that is right does not excuse a size that is not.
func TestAManifestOfAnotherSize(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	root := c.Image(transfertest.Amd64(), c.Layer([]byte("x")))
	raw := c[root.Digest]
	root.Size++
	_, _, err := transfer.Named(root, raw)
	if wrong, ok := errors.AsType[*transfer.DigestError](err); !ok || wrong.Of != root.Size || wrong.Size != root.Size-1 {
		t.Errorf("got %v", err)
	}
}

// A keeping sink takes any manifest, and counts how often it is asked for one.
type keeping struct {
	*transfertest.Sink
	asked int
}

func (*keeping) PutManifest(context.Context, v1.Descriptor, []byte) error { return nil }

func (k *keeping) Kept(context.Context, v1.Descriptor) ([]byte, error) {
	k.asked++
	return nil, transfer.ErrNotFound
}

// What is shared keeps few bytes of manifests, however many images there are.
func TestWhatIsSharedIsBounded(t *testing.T) {
	t.Parallel()
	below := &keeping{Sink: &transfertest.Sink{}}
	s := new(transfer.Shared).Over(below)
	k, ok := s.(transfer.Keeper)
	if !ok {
		t.Fatal("it keeps nothing")
	}
	raw := make([]byte, transfer.MaxManifest)
	const images = 6
	for n := range byte(images) {
		raw[0] = n
		desc := transfertest.DescriptorOf("sha256", types.OCIManifestSchema1, raw)
		if err := s.PutManifest(t.Context(), desc, raw); err != nil {
			t.Fatal(err)
		}
		_, _ = k.Kept(t.Context(), desc) // what it lacks is counted
	}
	if below.asked != images-4 {
		t.Errorf("%d of %d are not in memory", below.asked, images)
	}
}

// A wavering source gives wrong bytes first.
type wavering struct {
	*transfertest.Source
	asked int
}

func (w *wavering) Manifest(ctx context.Context, desc v1.Descriptor) ([]byte, error) {
	if w.asked++; w.asked == 1 {
		return []byte("{}"), nil
	}
	return w.Source.Manifest(ctx, desc)
}

func TestAWrongManifestIsNotKept(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	root := c.Image(transfertest.Amd64(), c.Layer([]byte("x")))
	src := transfer.Keep(&wavering{Source: &transfertest.Source{Root: root, Content: c}})
	if raw, err := src.Manifest(t.Context(), root); err != nil || bytes.Equal(raw, c[root.Digest]) {
		t.Fatalf("%q, %v", raw, err)
	}
	if raw, err := src.Manifest(t.Context(), root); err != nil || !bytes.Equal(raw, c[root.Digest]) {
		t.Errorf("%q, %v", raw, err)
	}
}

// A greedy planner wants to read whatever there is.
type greedy struct {
	transfertest.Sink
	layer v1.Descriptor
	err   error
}

func (g *greedy) Plan(ctx context.Context, p transfer.Plan) (func(v1.Descriptor) bool, error) {
	_, g.err = p.Read(ctx, g.layer)
	return nil, errors.New("enough was seen")
}

func TestALargeBlobIsNotReadIntoMemory(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	layer := c.Layer(make([]byte, transfer.MaxManifest+1))
	src := &transfertest.Source{Root: c.Image(transfertest.Amd64(), layer), Content: c}
	g := &greedy{layer: layer}
	_, _ = transfer.Copy(t.Context(), src, g, transfer.Options{})
	if g.err == nil || len(src.Opened()) != 0 {
		t.Errorf("%v, opened %v", g.err, src.Opened())
	}
}

// A sink that refuses a stream at once does not leave who writes it waiting.
func TestAStreamThatIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	layer := c.Layer(transfertest.Bytes(1, 100_000))
	src := &pourer{Source: &transfertest.Source{Root: c.Image(transfertest.Amd64(), layer), Content: c}, layer: layer, label: layer}
	refused := errors.New("refused")
	dst := &streamHolder{}
	dst.Fault = func(io.Reader) (io.Reader, error) { return nil, refused }
	ended := make(chan error, 1)
	go func() {
		_, err := transfer.Copy(context.WithoutCancel(t.Context()), src, dst, transfer.Options{})
		ended <- err
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, refused) {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits for ever")
	}
}

package transfer_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// Images that share layers and manifests are moved into one repository, each
// part of them once; what failed is tried again.
func TestWhatIsSharedIsMovedOnce(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	base := c.Layer(transfertest.Bytes(1, 5000))
	amd := c.Image(transfertest.Amd64(), base, c.Layer(transfertest.Bytes(2, 3000)))
	arm := c.Image(transfertest.Arm64(), base)
	var shared transfer.Shared
	repository := &counting{put: map[v1.Hash]int{}}
	asked := 0
	for i, root := range []v1.Descriptor{c.Index(amd, arm), c.Index(amd, arm), amd, c.Index(arm)} {
		src := &transfertest.Source{Root: root, Content: c}
		repository.Sink = &transfertest.Sink{}
		if i > 0 { // it has what it got
			repository.Content = c
		}
		if _, err := transfer.Copy(t.Context(), src, shared.Over(repository), transfer.Options{}); err != nil {
			t.Fatal(err)
		}
		asked += len(src.Manifests())
	}
	for digest, n := range repository.put {
		if n != 1 {
			t.Errorf("%s was put %d times", digest, n)
		}
	}
	if len(repository.put) != 6 || asked != 4 { // two layers, two configs, two images; these and two indexes
		t.Errorf("%d things were put and %d manifests asked for, want 6 and 4", len(repository.put), asked)
	}
}

// A counting sink counts what is put below the root.
type counting struct {
	*transfertest.Sink
	mu  sync.Mutex
	put map[v1.Hash]int
}

func (c *counting) count(h v1.Hash) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put[h]++
}

func (c *counting) PutBlob(ctx context.Context, desc v1.Descriptor, open transfer.Opener) (int64, error) {
	c.count(desc.Digest)
	return c.Sink.PutBlob(ctx, desc, open)
}

func (c *counting) PutManifest(ctx context.Context, desc v1.Descriptor, raw []byte) error {
	c.count(desc.Digest)
	return c.Sink.PutManifest(ctx, desc, raw)
}

func TestWhatFailedIsNotShared(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	root := c.Image(transfertest.Amd64(), c.Layer(transfertest.Bytes(1, 5000)))
	var shared transfer.Shared
	broken := errors.New("broken")
	first := &transfertest.Source{Root: root, Content: c}
	if _, err := transfer.Copy(t.Context(), first, shared.Over(refusing{&transfertest.Sink{}, broken}), transfer.Options{Jobs: 1}); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	again := &transfertest.Source{Root: root, Content: c}
	if _, err := transfer.Copy(t.Context(), again, shared.Over(&transfertest.Sink{}), transfer.Options{}); err != nil || len(again.Opened()) != 2 {
		t.Errorf("%d blobs, %v", len(again.Opened()), err)
	}
}

// A refusing sink takes no blob.
type refusing struct {
	*transfertest.Sink
	err error
}

func (r refusing) PutBlob(context.Context, v1.Descriptor, transfer.Opener) (int64, error) {
	return 0, r.err
}

// A shared sink is what the sink below it is besides.
func TestASharedSinkIsWhatItWas(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	root := c.Image(transfertest.Amd64(), c.Layer(transfertest.Bytes(1, 5000)))
	var shared transfer.Shared
	asked := 0
	over := shared.Over(knowing{&transfertest.Sink{}, func(v1.Descriptor) (bool, error) { asked++; return true, nil }})
	src := &transfertest.Source{Root: root, Content: c}
	if res, err := transfer.Copy(t.Context(), src, over, transfer.Options{}); err != nil || res.Root.Digest != root.Digest || len(src.Opened()) != 0 || asked != 1 {
		t.Errorf("%+v, %v: asked %d times", res, err, asked)
	}
	var none *transfer.Shared
	if s := transfer.Sink(&transfertest.Sink{}); none.Over(s) != s {
		t.Error("nothing shared is not the sink itself")
	}
}

// Pinned, a name stands for the same ever after; below an index are its images.
func TestPinAndBelow(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	layer := c.Layer(transfertest.Bytes(1, 50))
	amd, arm := c.Image(transfertest.Amd64(), layer), c.Image(transfertest.Arm64(), layer)
	inner := c.Index(arm, amd)
	root := c.Index(amd, inner)
	src := &transfertest.Source{Root: root, Content: c}
	pinned, desc, err := transfer.Pin(t.Context(), src)
	if err != nil || desc.Digest != root.Digest {
		t.Fatal(desc, err)
	}
	src.Root = amd
	if desc, err := pinned.Resolve(t.Context()); err != nil || desc.Digest != root.Digest {
		t.Error(desc, err)
	}
	all, err := transfer.Below(t.Context(), pinned, root)
	var got []v1.Hash
	for _, d := range all {
		got = append(got, d.Digest)
	}
	if want := []v1.Hash{root.Digest, amd.Digest, inner.Digest, arm.Digest}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, want %v, %v", got, want, err)
	}
	if n := len(src.Manifests()); n != 2 {
		t.Errorf("%d manifests were asked for: indexes alone have to be", n)
	}
	if all, err := transfer.Below(t.Context(), src, amd); err != nil || len(all) != 1 {
		t.Error(all, err)
	}
	if _, err := transfer.Below(t.Context(), &transfertest.Source{Content: transfertest.Content{}}, root); !errors.Is(err, transfer.ErrNotFound) {
		t.Error(err)
	}
}

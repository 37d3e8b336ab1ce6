package transfertest

import (
	"context"
	"errors"
	"io"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// A Place holds images under names, and is to pass the suite. Both functions
// are called anew for each transfer.
type Place struct {
	Sink   func(name string) transfer.Sink
	Source func(name string) transfer.Source
	// Resumes says that an interrupted blob goes on where it stopped.
	Resumes bool
}

// TestSink runs the suite; place makes an empty place. Each test of it proves
// one promise of [transfer.Sink] by moving images in and out again.
func TestSink(t *testing.T, place func(t *testing.T) Place) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(suite)
	}{
		{"gives back the image that it took", suite.wholeImage},
		{"gives back the index that it took", suite.wholeIndex},
		{"takes a blob of no bytes and one hashed with sha512", suite.oddBlobs},
		{"takes nothing twice", suite.nothingTwice},
		{"says that it has no such image", suite.missing},
		{"keeps the old image under a name until Commit", suite.oldUntilCommit},
		{"gives a name to another image", suite.renamed},
		{"holds no blob whose bytes were wrong", suite.wrongBytes},
		{"goes on after an interruption", suite.interrupted},
		{"ends when the context ends", suite.cancelled},
		{"takes one image twice at the same time", suite.together},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(suite{t, place(t)})
		})
	}
}

// A suite is one test of the suite in its place.
type suite struct {
	t     *testing.T
	place Place
}

const bigger = 3<<16 + 17 // bytes of a layer: more than one buffer, and odd

func sample(seed byte) *Source {
	c := Content{}
	root := c.Image(Amd64(), c.Layer(Bytes(seed, bigger)), c.Layer(Bytes(seed+1, 100)))
	return &Source{Root: root, Content: c}
}

func (p Place) put(t *testing.T, name string, src *Source) (transfer.Result, error) {
	t.Helper()
	res, err := transfer.Copy(t.Context(), src, p.Sink(name), transfer.Options{})
	if n := src.LeftOpen(); n != 0 {
		t.Errorf("%d readers of the source were left open", n)
	}
	return res, err
}

func (p Place) mustPut(t *testing.T, name string, src *Source) transfer.Result {
	t.Helper()
	res, err := p.put(t, name, src)
	if err != nil {
		t.Fatalf("put %s: %v", name, err)
	}
	if res.Root.Digest != src.Root.Digest {
		t.Fatalf("put %s: the root is %s, not %s", name, res.Root.Digest, src.Root.Digest)
	}
	return res
}

// holds moves what lies under name out again and compares it.
func (p Place) holds(t *testing.T, name string, want *Source) {
	t.Helper()
	out := &Sink{}
	res, err := transfer.Copy(t.Context(), p.Source(name), out, transfer.Options{})
	if err != nil {
		t.Fatalf("get %s: %v", name, err)
	}
	if res.Resolved.Digest != want.Root.Digest || res.Resolved.Size != want.Root.Size || res.Resolved.MediaType != want.Root.MediaType {
		t.Errorf("get %s: resolved to %+v, want %+v", name, res.Resolved, want.Root)
	}
	for h := range want.Content {
		if _, ok := out.Content[h]; !ok {
			t.Errorf("get %s: %s did not come out again", name, h)
		}
	}
}

func (s suite) wholeImage() {
	t, p := s.t, s.place
	src := sample(1)
	res := p.mustPut(t, "one", src)
	var blobs int64
	for h, data := range src.Content {
		if h != src.Root.Digest {
			blobs += int64(len(data))
		}
	}
	if res.Bytes != blobs || res.Reused != 0 {
		t.Errorf("took %d bytes and reused %d, want %d and 0", res.Bytes, res.Reused, blobs)
	}
	p.holds(t, "one", src)
}

func (s suite) wholeIndex() {
	t, p := s.t, s.place
	c := Content{}
	shared := c.Layer(Bytes(9, 5000))
	inner := c.Index(c.Image(Arm64(), shared, c.Layer(Bytes(3, 70))))
	src := &Source{Root: c.Index(c.Image(Amd64(), shared), inner), Content: c}
	p.mustPut(t, "many", src)
	p.holds(t, "many", src)
}

func (s suite) oddBlobs() {
	t, p := s.t, s.place
	c := Content{}
	src := &Source{Root: c.Image(Amd64(), c.Layer(nil), c.AddAs("sha512", types.OCILayer, Bytes(5, bigger))), Content: c}
	p.mustPut(t, "odd", src)
	p.holds(t, "odd", src)
}

func (s suite) nothingTwice() {
	t, p := s.t, s.place
	first := p.mustPut(t, "a", sample(1))
	again := sample(1)
	res := p.mustPut(t, "a", again)
	if res.Bytes != 0 || res.Reused != first.Bytes || len(again.Opened()) != 0 {
		t.Errorf("the second time took %d bytes, reused %d and opened %v", res.Bytes, res.Reused, again.Opened())
	}
	p.holds(t, "a", sample(1))
}

func (s suite) missing() {
	t, p := s.t, s.place
	if _, err := p.Source("none").Resolve(t.Context()); !errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("an empty place says: %v", err)
	}
	p.mustPut(t, "a", sample(1))
	if _, err := p.Source("none").Resolve(t.Context()); !errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("a place with another image says: %v", err)
	}
	gone := v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: sample(7).Root.Digest.Hex}, Size: 1, MediaType: types.OCILayer}
	if rc, err := p.Source("a").Blob(t.Context(), gone, 0); !errors.Is(err, transfer.ErrNotFound) {
		if err == nil {
			_ = rc.Close()
		}
		t.Errorf("a place that lacks a blob says: %v", err)
	}
}

func (s suite) oldUntilCommit() {
	t, p := s.t, s.place
	p.mustPut(t, "a", sample(1))
	broken := sample(20)
	broken.Fault = func(d v1.Descriptor, _ int64, r io.Reader) (io.Reader, error) {
		if d.Size == bigger {
			return nil, errors.New("the source is gone")
		}
		return r, nil
	}
	if _, err := p.put(t, "a", broken); err == nil {
		t.Fatal("a transfer from a source that failed went well")
	}
	p.holds(t, "a", sample(1))
}

func (s suite) renamed() {
	t, p := s.t, s.place
	p.mustPut(t, "a", sample(1))
	p.mustPut(t, "b", sample(1))
	p.mustPut(t, "a", sample(20))
	p.holds(t, "a", sample(20))
	p.holds(t, "b", sample(1))
}

func (s suite) wrongBytes() {
	t, p := s.t, s.place
	for _, test := range []struct {
		name  string
		seed  byte
		fault func(io.Reader) io.Reader
	}{
		{"first byte", 40, func(r io.Reader) io.Reader { return Flip(r, 0) }},
		{"last byte", 42, func(r io.Reader) io.Reader { return Flip(r, bigger-1) }},
		{"one less", 44, func(r io.Reader) io.Reader { return io.LimitReader(r, bigger-1) }},
		{"one more", 46, func(r io.Reader) io.Reader { return io.MultiReader(r, io.LimitReader(zeros{}, 1)) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			p.refuses(t, test.seed, test.fault)
			p.mustPut(t, "wrong", sample(test.seed))
			p.holds(t, "wrong", sample(test.seed))
		})
	}
}

// refuses spoils the large layer of an image on the way, and proves that it is
// neither taken nor to be had afterwards.
func (p Place) refuses(t *testing.T, seed byte, fault func(io.Reader) io.Reader) {
	t.Helper()
	src := sample(seed)
	var bad v1.Descriptor
	src.Fault = func(d v1.Descriptor, _ int64, r io.Reader) (io.Reader, error) {
		if d.Size != bigger {
			return r, nil
		}
		bad = d
		return fault(r), nil
	}
	_, err := p.put(t, "wrong", src)
	if wrong, ok := errors.AsType[*transfer.DigestError](err); !ok || wrong.Want != bad.Digest {
		t.Fatalf("got %v, want a DigestError for %s", err, bad.Digest)
	}
	p.mustPut(t, "other", sample(1)) // so that there is something to ask
	rc, err := p.Source("other").Blob(t.Context(), bad, 0)
	if errors.Is(err, transfer.ErrNotFound) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	// It may be there only if all that was wrong was what came after it.
	got, err := io.ReadAll(rc)
	if err := errors.Join(err, rc.Close()); err != nil || DescriptorOf("sha256", "", got).Digest != bad.Digest {
		t.Errorf("it holds %d wrong bytes under the digest, %v", len(got), err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func (s suite) interrupted() {
	t, p := s.t, s.place
	src := sample(60)
	const after = bigger / 2
	src.Fault = func(d v1.Descriptor, offset int64, r io.Reader) (io.Reader, error) {
		if d.Size == bigger && offset == 0 {
			return Cut(r, after, io.ErrUnexpectedEOF), nil
		}
		return r, nil
	}
	if _, err := p.put(t, "cut", src); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("got %v, want the error of the source", err)
	}
	if !p.Resumes {
		src.Fault = nil
	}
	res := p.mustPut(t, "cut", src)
	p.holds(t, "cut", sample(60))
	if p.Resumes && res.Bytes > bigger-after+1000 {
		t.Errorf("the second run took %d bytes, though %d of the large blob were there", res.Bytes, after)
	}
}

func (s suite) cancelled() {
	t, p := s.t, s.place
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	src := sample(80)
	src.Fault = func(_ v1.Descriptor, _ int64, r io.Reader) (io.Reader, error) {
		cancel()
		return r, nil
	}
	if _, err := transfer.Copy(ctx, src, p.Sink("cancelled"), transfer.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
	if n := src.LeftOpen(); n != 0 {
		t.Errorf("%d readers of the source were left open", n)
	}
	if _, err := p.Source("cancelled").Resolve(t.Context()); !errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("the name was given away: %v", err)
	}
}

func (s suite) together() {
	t, p := s.t, s.place
	var group errgroup.Group
	for _, name := range []string{"a", "b", "c"} {
		group.Go(func() error {
			_, err := transfer.Copy(t.Context(), sample(90), p.Sink(name), transfer.Options{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		p.holds(t, name, sample(90))
	}
}

package transfer_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSuiteOnMemory(t *testing.T) {
	t.Parallel()
	transfertest.TestSink(t, func(*testing.T) transfertest.Place { return memoryPlace() })
}

// memoryPlace gives out a new [transfertest.Sink] each time, filled with what
// the ones before it hold.
func memoryPlace() transfertest.Place {
	var mu sync.Mutex
	named := map[string]*transfertest.Sink{}
	var all []*transfertest.Sink
	return transfertest.Place{
		Sink: func(name string) transfer.Sink {
			mu.Lock()
			defer mu.Unlock()
			s := &transfertest.Sink{Content: transfertest.Content{}}
			for _, before := range all {
				if before.Committed() != nil {
					for h, data := range before.Content {
						s.Content[h] = data
					}
				}
			}
			all = append(all, s)
			return onCommit{s, func() {
				mu.Lock()
				defer mu.Unlock()
				named[name] = s
			}}
		},
		Source: func(name string) transfer.Source {
			mu.Lock()
			defer mu.Unlock()
			s := named[name]
			if s == nil {
				return &transfertest.Source{}
			}
			return &transfertest.Source{Root: *s.Committed(), Content: s.Content}
		},
	}
}

type onCommit struct {
	*transfertest.Sink
	then func()
}

func (o onCommit) Commit(ctx context.Context, root v1.Descriptor, raw []byte) error {
	err := o.Sink.Commit(ctx, root, raw)
	if err == nil {
		o.then()
	}
	return err
}

func layer(c transfertest.Content, seed byte) v1.Descriptor {
	return c.Layer(transfertest.Bytes(seed, 1000+int(seed)))
}

func TestCopyMovesAnyGraphOnceAndBottomUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := transfertest.Content{}
		blobs := []v1.Descriptor{layer(c, 0)}
		for i := range rapid.IntRange(0, 5).Draw(t, "layers") {
			blobs = append(blobs, layer(c, byte(i+1)))
		}
		// Every manifest names any of those made before it, so that the same
		// one can be named by many and lie at several depths.
		made, depth := []v1.Descriptor{}, map[v1.Hash]int{}
		for range rapid.IntRange(1, 12).Draw(t, "manifests") {
			shallow := slices.DeleteFunc(slices.Clone(made), func(d v1.Descriptor) bool { return depth[d.Digest] > 3 })
			var d v1.Descriptor
			if len(shallow) > 0 && rapid.Bool().Draw(t, "index") {
				children := rapid.SliceOfN(rapid.SampledFrom(shallow), 0, 5).Draw(t, "children")
				d = c.Index(children...)
				for _, child := range children {
					depth[d.Digest] = max(depth[d.Digest], depth[child.Digest])
				}
				depth[d.Digest]++
			} else {
				d = c.Image(transfertest.Amd64(), rapid.SliceOfN(rapid.SampledFrom(blobs), 0, 5).Draw(t, "uses")...)
			}
			made = append(made, d)
		}
		src := &transfertest.Source{Root: made[len(made)-1], Content: c}
		dst := &transfertest.Sink{}
		jobs := rapid.IntRange(0, 5).Draw(t, "jobs")
		res, err := transfer.Copy(context.Background(), src, dst, transfer.Options{Jobs: jobs})
		if err != nil {
			t.Fatal(err) // the sink refuses a wrong order
		}
		if dst.Committed() == nil || dst.Committed().Digest != src.Root.Digest || res.Root.Digest != src.Root.Digest {
			t.Fatalf("committed %v, want %s", dst.Committed(), src.Root.Digest)
		}
		for h := range dst.Content {
			if n := dst.Puts(h); n != 1 {
				t.Errorf("%s was put %d times", h, n)
			}
		}
		if dst.Closed() != 1 || src.LeftOpen() != 0 {
			t.Errorf("the sink was closed %d times, %d readers were left open", dst.Closed(), src.LeftOpen())
		}
	})
}

func TestCopyClosesTheSinkWhateverHappens(t *testing.T) {
	t.Parallel()
	dst := &transfertest.Sink{}
	res, err := transfer.Copy(t.Context(), &transfertest.Source{}, dst, transfer.Options{})
	if !errors.Is(err, transfer.ErrNotFound) || dst.Closed() != 1 || dst.Committed() != nil {
		t.Errorf("got %+v, %v; closed %d times", res, err, dst.Closed())
	}
}

func TestCopyTakesThePlatformOutOfAnIndex(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	amd, arm := c.Image(transfertest.Amd64(), layer(c, 1)), c.Image(transfertest.Arm64(), layer(c, 2))
	src := &transfertest.Source{Root: c.Index(amd, arm), Content: c}
	dst := &transfertest.Sink{}
	want := transfertest.Arm64()
	res, err := transfer.Copy(t.Context(), src, dst, transfer.Options{Platform: &want})
	if err != nil {
		t.Fatal(err)
	}
	if res.Resolved.Digest != src.Root.Digest || res.Root.Digest != arm.Digest {
		t.Errorf("resolved %s, root %s; want %s, %s", res.Resolved.Digest, res.Root.Digest, src.Root.Digest, arm.Digest)
	}
	if _, ok := dst.Content[amd.Digest]; ok {
		t.Error("the other platform was moved as well")
	}
	if res.Root.Platform == nil || res.Root.Platform.Architecture != "arm64" {
		t.Errorf("the root forgot its platform: %+v", res.Root)
	}
}

func TestCopyPinnedToAPlatformThatIsNotThere(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	src := &transfertest.Source{Root: c.Index(c.Image(transfertest.Amd64(), layer(c, 1)),
		c.Image(v1.Platform{OS: "unknown", Architecture: "unknown"}, layer(c, 3))), Content: c}
	want := v1.Platform{OS: "linux", Architecture: "s390x"}
	_, err := transfer.Copy(t.Context(), src, &transfertest.Sink{}, transfer.Options{Platform: &want})
	none, ok := errors.AsType[*transfer.PlatformError](err)
	if !ok || !errors.Is(err, transfer.ErrNotFound) {
		t.Fatalf("got %v, want a PlatformError", err)
	}
	if len(none.Have) != 1 || none.Have[0].Architecture != "amd64" {
		t.Errorf("says that there is %v; attestations are no platforms", none.Have)
	}
}

func TestCopyLeavesOutForeignLayersThatTheSourceLacks(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	gone := c.Add(types.DockerForeignLayer, []byte("gone"))
	gone.URLs = []string{"https://evil.example.com/layer"}
	there := c.Add(types.OCIRestrictedLayer, []byte("there"))
	src := &transfertest.Source{Root: c.Image(transfertest.Amd64(), gone, there, layer(c, 1)), Content: c}
	delete(c, gone.Digest)
	dst := &transfertest.Sink{}
	if _, err := transfer.Copy(t.Context(), src, dst, transfer.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, ok := dst.Content[there.Digest]; !ok {
		t.Error("a foreign layer that the source has was left out")
	}
	if dst.Puts(gone.Digest) != 0 {
		t.Error("a foreign layer that the source lacks was put")
	}
	// Again: what is opened to see whether it is there must be closed when the sink has it.
	again := &transfertest.Sink{Content: dst.Content}
	if _, err := transfer.Copy(t.Context(), src, again, transfer.Options{}); err != nil || src.LeftOpen() != 0 {
		t.Errorf("again: %v, %d readers left open", err, src.LeftOpen())
	}
}

func TestCopyMissesABlob(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	gone := layer(c, 1)
	src := &transfertest.Source{Root: c.Image(transfertest.Amd64(), gone), Content: c}
	delete(c, gone.Digest)
	dst := &transfertest.Sink{}
	_, err := transfer.Copy(t.Context(), src, dst, transfer.Options{})
	if !errors.Is(err, transfer.ErrNotFound) || !strings.Contains(err.Error(), gone.Digest.String()) {
		t.Errorf("got %v, want not found and the digest", err)
	}
	if dst.Committed() != nil {
		t.Error("committed without it")
	}
}

func TestCopyEndsTheOthersAtTheFirstError(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	bad, slow := layer(c, 1), layer(c, 2)
	src := &transfertest.Source{Root: c.Image(transfertest.Amd64(), bad, slow), Content: c}
	waiting := make(chan struct{})
	src.Fault = func(d v1.Descriptor, _ int64, r io.Reader) (io.Reader, error) {
		if d.Digest == bad.Digest {
			<-waiting
			return nil, errors.New("boom")
		}
		return r, nil
	}
	dst := &waitingSink{slow: slow.Digest, waiting: waiting}
	_, err := transfer.Copy(t.Context(), src, dst, transfer.Options{})
	if err == nil || !strings.Contains(err.Error(), "boom") || !strings.Contains(err.Error(), bad.Digest.String()) {
		t.Errorf("got %v, want the first error with its digest", err)
	}
}

// waitingSink waits in one blob until its context ends.
type waitingSink struct {
	transfertest.Sink
	slow    v1.Hash
	waiting chan struct{}
}

func (w *waitingSink) PutBlob(ctx context.Context, d v1.Descriptor, open transfer.Opener) (int64, error) {
	if d.Digest == w.slow {
		close(w.waiting)
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return w.Sink.PutBlob(ctx, d, open)
}

func TestCopyBelievesTheBytesAndNotTheSink(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	bad := layer(c, 1)
	src := &transfertest.Source{Root: c.Image(transfertest.Amd64(), bad), Content: c}
	src.Fault = func(d v1.Descriptor, _ int64, r io.Reader) (io.Reader, error) {
		if d.Digest == bad.Digest {
			return transfertest.Flip(r, 10), nil
		}
		return r, nil
	}
	for name, read := range map[string]func(v1.Descriptor, io.Reader) ([]byte, error){
		"a sink that hides the error": func(_ v1.Descriptor, r io.Reader) ([]byte, error) { data, _ := io.ReadAll(r); return data, nil },
		"a sink that renames the error": func(_ v1.Descriptor, r io.Reader) ([]byte, error) {
			data, err := io.ReadAll(r)
			if err != nil {
				err = errors.New("EPIPE")
			}
			return data, err
		},
		"a sink that counts": func(d v1.Descriptor, r io.Reader) ([]byte, error) {
			data := make([]byte, d.Size)
			if _, err := io.ReadFull(r, data); err == nil && d.Digest == bad.Digest {
				t.Error("had all of the wrong bytes")
			}
			return data, nil
		},
	} {
		dst := &transfertest.Sink{Read: read}
		_, err := transfer.Copy(t.Context(), src, dst, transfer.Options{})
		wrong, ok := errors.AsType[*transfer.DigestError](err)
		if !ok || wrong.Want != bad.Digest || wrong.What != "blob" {
			t.Errorf("%s: got %v", name, err)
		}
		if dst.Committed() != nil {
			t.Errorf("%s: committed", name)
		}
	}
}

func TestCopyTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	big, had := c.Layer(transfertest.Bytes(1, 300<<10)), layer(c, 2)
	root := c.Image(transfertest.Amd64(), big, had)
	src := &transfertest.Source{Root: root, Content: c}
	var mu sync.Mutex
	events := map[v1.Hash][]transfer.Event{}
	// The sink reads the large one twice, as after a retry.
	dst := &retryingSink{Sink: transfertest.Sink{Content: transfertest.Content{had.Digest: c[had.Digest]}}, twice: big.Digest}
	res, err := transfer.Copy(t.Context(), src, dst, transfer.Options{OnEvent: func(e transfer.Event) {
		mu.Lock()
		defer mu.Unlock()
		events[e.Desc.Digest] = append(events[e.Desc.Digest], e)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if res.Reused != had.Size {
		t.Errorf("reused %d bytes, want %d", res.Reused, had.Size)
	}
	ends := map[v1.Hash]transfer.Stage{big.Digest: transfer.Done, had.Digest: transfer.Existed, root.Digest: transfer.Done}
	for h, end := range ends {
		list := events[h]
		last := list[len(list)-1]
		if list[0].Stage != transfer.Started || last.Stage != end || last.Bytes != last.Desc.Size {
			t.Errorf("%s: began %+v, ended %+v", h, list[0], last)
		}
		if !slices.IsSortedFunc(list, func(a, b transfer.Event) int { return int(a.Bytes - b.Bytes) }) {
			t.Errorf("%s: the bytes went back", h)
		}
	}
	if len(events[big.Digest]) < 4 {
		t.Errorf("only %d events for a large blob", len(events[big.Digest]))
	}
}

type retryingSink struct {
	transfertest.Sink
	twice v1.Hash
}

func (r *retryingSink) PutBlob(ctx context.Context, d v1.Descriptor, open transfer.Opener) (int64, error) {
	if d.Digest == r.twice {
		rc, err := open(ctx, 0)
		if err != nil {
			return 0, err
		}
		if _, err := io.CopyN(io.Discard, rc, 100<<10); err != nil {
			return 0, err
		}
		if err := rc.Close(); err != nil {
			return 0, err
		}
	}
	return r.Sink.PutBlob(ctx, d, open)
}

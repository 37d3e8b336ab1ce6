package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// A knowing sink says whether it holds an image, and declines foreign layers.
type knowing struct {
	*transfertest.Sink
	holds func(v1.Descriptor) (bool, error)
}

func (k knowing) Holds(_ context.Context, root v1.Descriptor) (bool, error) { return k.holds(root) }

func (knowing) Declines(desc v1.Descriptor) bool { return !desc.MediaType.IsDistributable() }

func TestWhatTheSinkHoldsIsNotMoved(t *testing.T) {
	t.Parallel()
	broken := errors.New("no answer")
	for name, test := range map[string]struct {
		has bool
		err error
	}{"held": {true, nil}, "not held": {false, nil}, "nobody knows": {false, broken}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := transfertest.Content{}
			foreign := c.Add(types.DockerForeignLayer, transfertest.Bytes(2, 10))
			root := c.Image(transfertest.Amd64(), c.Layer(transfertest.Bytes(1, 5000)), foreign)
			src := &transfertest.Source{Root: root, Content: c}
			sink := &transfertest.Sink{}
			existed := 0
			res, err := transfer.Copy(t.Context(), src, knowing{sink, func(asked v1.Descriptor) (bool, error) {
				if asked.Digest != root.Digest {
					t.Errorf("asked about %s", asked.Digest)
				}
				return test.has, test.err
			}}, transfer.Options{OnEvent: func(e transfer.Event) {
				if e.Stage == transfer.Existed {
					existed++
				}
			}, Jobs: 1})
			if !errors.Is(err, test.err) || sink.Closed() != 1 {
				t.Fatalf("got %v, closed %d times", err, sink.Closed())
			}
			if moved := len(src.Opened()) > 0 || sink.Committed() != nil; moved != (!test.has && test.err == nil) {
				t.Errorf("opened %v, committed %v", src.Opened(), sink.Committed())
			}
			if test.has && (res.Root.Digest != root.Digest || res.Resolved.Digest != root.Digest || res.Bytes != 0 || res.Reused <= 5000 || len(res.Left) != 1 || existed != 3) {
				t.Errorf("got %+v, %d existed", res, existed)
			}
		})
	}
}

// An index that the sink holds is not taken apart: what it names is not asked for.
func TestAnIndexThatIsHeldIsNotWalked(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	layer := c.Layer(transfertest.Bytes(1, 5000))
	root := c.Index(c.Image(transfertest.Amd64(), layer), c.Image(transfertest.Arm64(), layer))
	for has, want := range map[bool]int{true: 1, false: 3} {
		src := &transfertest.Source{Root: root, Content: c}
		asked := 0
		res, err := transfer.Copy(t.Context(), src, knowing{&transfertest.Sink{}, func(v1.Descriptor) (bool, error) { asked++; return has, nil }}, transfer.Options{})
		if err != nil || res.Root.Digest != root.Digest || asked != 1 {
			t.Errorf("%+v, %v: asked %d times", res, err, asked)
		}
		if n := len(src.Manifests()); n != want {
			t.Errorf("held %t: %d manifests were asked for, want %d", has, n, want)
		}
	}
}

// A keeper gives back what manifests it has.
type keeper struct {
	*transfertest.Sink
	spoil bool
}

func (k keeper) Kept(_ context.Context, desc v1.Descriptor) ([]byte, error) {
	raw, ok := k.Content[desc.Digest]
	if !ok {
		return nil, transfer.ErrNotFound
	}
	if k.spoil {
		raw = bytes.ToUpper(raw)
	}
	return raw, nil
}

// Manifests that the sink has are not asked for again; wrong bytes are not taken
// from there either.
func TestWhatTheSinkKeepsIsNotAskedFor(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	layer := c.Layer(transfertest.Bytes(1, 5000))
	src := &transfertest.Source{Root: c.Index(c.Image(transfertest.Amd64(), layer), c.Image(transfertest.Arm64(), layer)), Content: c}
	want := transfertest.Arm64()
	has := transfertest.Content{}
	asked := 0
	for _, test := range []struct {
		name  string
		spoil bool
		asks  int
	}{{"first", false, 2}, {"again", false, 1}, {"spoilt", true, 2}} {
		sink := &transfertest.Sink{Content: maps.Clone(has)}
		res, err := transfer.Copy(t.Context(), src, keeper{sink, test.spoil}, transfer.Options{Platform: &want})
		if err != nil || res.Root.Platform == nil || res.Root.Platform.Architecture != "arm64" {
			t.Fatalf("%s: %+v, %v", test.name, res.Root, err)
		}
		if n := len(src.Manifests()) - asked; n != test.asks { // of the index the sink has nothing
			t.Errorf("%s: %d manifests were asked for, want %d", test.name, n, test.asks)
		}
		asked, has = len(src.Manifests()), sink.Content
	}
}

package transfer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// A planner spares one layer, and may fail for that reason.
type planner struct {
	transfertest.Sink
	spare v1.Hash
	fails int // how often what was spared is gone
	plans []bool
	read  []byte
	roots int
}

func (p *planner) Plan(ctx context.Context, plan transfer.Plan) (func(v1.Descriptor) bool, error) {
	p.plans = append(p.plans, plan.Whole)
	p.roots = len(plan.Manifests)
	m := plan.Manifests[plan.Root.Digest]
	if m == nil {
		return nil, errors.New("no root")
	}
	blobs, err := namedIn(m)
	if err != nil {
		return nil, err
	}
	for range 2 {
		var err error
		if p.read, err = plan.Read(ctx, blobs[0]); err != nil {
			return nil, err
		}
	}
	if plan.Whole {
		p.Sink = transfertest.Sink{}
		return nil, nil
	}
	return func(d v1.Descriptor) bool { return d.Digest == p.spare }, nil
}

func (p *planner) Commit(ctx context.Context, root v1.Descriptor, raw []byte) error {
	if p.fails > 0 {
		p.fails--
		return fmt.Errorf("it is away: %w", transfer.ErrSpared)
	}
	if len(p.plans) == 1 {
		p.Content[p.spare] = []byte("had")
	}
	return p.Sink.Commit(ctx, root, raw)
}

func namedIn(raw []byte) ([]v1.Descriptor, error) {
	var m v1.Manifest
	err := json.Unmarshal(raw, &m)
	return append([]v1.Descriptor{m.Config}, m.Layers...), err
}

func TestPlannerIsSentWhatItDoesNotSpare(t *testing.T) {
	t.Parallel()
	for _, fails := range []int{0, 1, 2} {
		c := transfertest.Content{}
		base, top := c.Layer(transfertest.Bytes(1, 1000)), c.Layer(transfertest.Bytes(2, 2000))
		src := &transfertest.Source{Root: c.Image(transfertest.Amd64(), base, top), Content: c}
		dst := &planner{spare: base.Digest, fails: fails}
		last, spared := map[v1.Hash]int64{}, 0
		res, err := transfer.Copy(t.Context(), src, dst, transfer.Options{Jobs: 1, OnEvent: func(e transfer.Event) {
			if e.Stage == transfer.Progress && e.Bytes < last[e.Desc.Digest] {
				t.Errorf("%s: %d bytes after %d", e.Desc.Digest, e.Bytes, last[e.Desc.Digest])
			}
			last[e.Desc.Digest] = e.Bytes
			if e.Stage == transfer.Existed {
				spared++
			}
		}})
		opened := map[v1.Hash]int{}
		for _, o := range src.Opened() {
			opened[o.Digest]++
		}
		if fails == 2 {
			if !errors.Is(err, transfer.ErrSpared) || len(dst.plans) != 2 || dst.Committed() != nil {
				t.Errorf("%v after %d plans", err, len(dst.plans))
			}
			continue
		}
		if err != nil || len(dst.plans) != 1+fails || dst.roots != 1 || len(dst.read) == 0 {
			t.Fatalf("%v, %v", err, dst)
		}
		if opened[base.Digest] != fails || opened[top.Digest] != 1+fails || len(src.Opened()) != 2+2*fails {
			t.Errorf("%d: opened %v", fails, src.Opened())
		}
		reused := base.Size
		if fails > 0 {
			reused = 0
		}
		if res.Reused != reused || spared != 1 || res.Bytes+res.Reused != 3000+int64(len(dst.read)) {
			t.Errorf("%d: %v, %d spared", fails, res, spared)
		}
	}
}

func TestPlanOfASmallBlobThatIsWrong(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	src := &transfertest.Source{Root: c.Image(transfertest.Amd64(), c.Layer([]byte("x"))), Content: c}
	src.Fault = func(_ v1.Descriptor, _ int64, r io.Reader) (io.Reader, error) { return transfertest.Flip(r, 2), nil }
	_, err := transfer.Copy(t.Context(), src, &planner{}, transfer.Options{})
	if _, ok := errors.AsType[*transfer.DigestError](err); !ok {
		t.Errorf("got %v", err)
	}
}

// A pourer gives out one layer in one pass, and the rest as any source does.
type pourer struct {
	*transfertest.Source
	layer v1.Descriptor
	label v1.Descriptor
	holds bool
	has   bool
}

func (p *pourer) Pour(ctx context.Context, to *transfer.Pouring) error {
	if has, err := to.Holds(ctx, p.Root); has || err != nil {
		return err
	}
	var err error
	if p.has, err = to.Has(ctx, p.layer); p.has || err != nil {
		return err
	}
	data := p.Content[p.layer.Digest]
	delete(p.Content, p.layer.Digest)
	desc, err := to.Stream(ctx, p.label, &limited{data: data}, func(w io.Writer, src io.Reader) (v1.Descriptor, error) {
		_, err := io.Copy(w, src)
		return p.layer, err
	})
	if err == nil && desc.Digest != p.layer.Digest {
		return errors.New("another blob was streamed")
	}
	return err
}

// limited gives a few bytes at a time.
type limited struct{ data []byte }

func (l *limited) Read(b []byte) (int, error) {
	if len(l.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), 100)], l.data)
	l.data = l.data[n:]
	return n, nil
}

type streamHolder struct {
	transfertest.StreamSink
	holds bool
}

func (s *streamHolder) Holds(context.Context, v1.Descriptor) (bool, error) { return s.holds, nil }

func TestPourerIntoAStreamer(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"streamed", "there", "held", "to a sink that takes no streams", "for one platform"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := transfertest.Content{}
			layer, other := c.Layer(transfertest.Bytes(1, 1000)), c.Layer(transfertest.Bytes(2, 500))
			label := v1.Descriptor{Size: 1000, Digest: v1.Hash{Algorithm: "sha256", Hex: "label"}}
			src := &pourer{Source: &transfertest.Source{Root: c.Image(transfertest.Amd64(), layer, other), Content: c}, layer: layer, label: label}
			dst := &streamHolder{holds: what == "held"}
			if what == "there" {
				dst.Content = transfertest.Content{layer.Digest: c[layer.Digest]}
			}
			var events []transfer.Event
			o := transfer.Options{Jobs: 1, OnEvent: func(e transfer.Event) {
				if e.Desc.Digest == label.Digest {
					events = append(events, e)
				}
			}}
			var sink transfer.Sink = dst
			switch what {
			case "to a sink that takes no streams":
				sink = &dst.Sink
			case "for one platform":
				p := transfertest.Amd64()
				o.Platform = &p
			}
			res, err := transfer.Copy(t.Context(), src, sink, o)
			if err != nil || res.Root.Digest != src.Root.Digest {
				t.Fatalf("%v, %v", res, err)
			}
			streamed := len(dst.Streamed())
			switch what {
			case "streamed":
				last := events[len(events)-1]
				if streamed != 1 || len(events) < 3 || events[0].Stage != transfer.Started || last.Stage != transfer.Done || last.Bytes != 1000 {
					t.Errorf("%d streamed, events %v", streamed, events)
				}
				if dst.Puts(layer.Digest) != 2 { // asked for, and streamed
					t.Errorf("it was put %d times", dst.Puts(layer.Digest))
				}
			case "held":
				if streamed != 0 || len(dst.Content) != 0 || dst.Committed() != nil {
					t.Errorf("%d streamed", streamed)
				}
			default:
				if streamed != 0 || src.has != (what == "there") {
					t.Errorf("%d streamed", streamed)
				}
			}
			if what == "there" && res.Reused != layer.Size {
				t.Errorf("%d bytes were there", res.Reused)
			}
		})
	}
}

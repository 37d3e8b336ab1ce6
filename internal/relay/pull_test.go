package relay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/relay"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

type descriptor = v1.Descriptor

// A source is an index of two images, of which one has two layers.
type source struct {
	*transfertest.Source
	ctx           context.Context
	layers        []v1.Descriptor
	child, config v1.Descriptor
	foreign       v1.Descriptor // in the registry, and not in the image
}

func image(t *testing.T) *source {
	t.Helper()
	c := transfertest.Content{}
	layers := []v1.Descriptor{c.Layer(transfertest.Bytes(1, 300<<10)), c.Layer(transfertest.Bytes(2, 10))}
	child := c.Image(transfertest.Amd64(), layers...)
	root := c.Index(child, c.Image(transfertest.Arm64(), layers[1]))
	return &source{
		Source: &transfertest.Source{Root: root, Content: c}, layers: layers, child: child,
		config: c.Config(transfertest.Amd64()), foreign: c.Layer([]byte("of somebody else")),
	}
}

// open lets an image through as demo/app:1.
func open(t *testing.T, s *relay.Relay, src *source) error {
	t.Helper()
	_, err := s.Pull("demo/app", "1", src, src.Root, src.Content[src.Root.Digest])
	return err
}

func TestAnImageIsGivenOut(t *testing.T) {
	t.Parallel()
	s, src := listen(t), image(t)
	p, err := s.Pull("demo/app", "1", src, src.Root, src.Content[src.Root.Digest])
	must(t, err)
	c := client{t: t, relay: s}
	c.want(http.StatusOK, http.MethodGet, "/v2/", nil)
	for _, name := range []string{"1", src.Root.Digest.String()} {
		for _, method := range []string{http.MethodHead, http.MethodGet} {
			a := c.want(http.StatusOK, method, "/v2/demo/app/manifests/"+name, nil)
			if a.header.Get("Docker-Content-Digest") != src.Root.Digest.String() || a.header.Get("Content-Type") != string(src.Root.MediaType) ||
				a.header.Get("Content-Length") != strconv.FormatInt(src.Root.Size, 10) {
				t.Errorf("%s %s: %q", method, name, a.header)
			}
			if method == http.MethodGet && !bytes.Equal(a.body, src.Content[src.Root.Digest]) {
				t.Errorf("%s: other bytes", name)
			}
		}
	}
	if ids := p.IDs(); !slices.Equal(ids, []string{src.Root.Digest.String()}) {
		t.Errorf("before the image is asked for, the engine may have %q", ids)
	}
	c.want(http.StatusNotFound, http.MethodGet, "/v2/demo/app/blobs/"+src.layers[0].Digest.String(), nil) // nothing names it yet
	for range 2 {
		a := c.want(http.StatusOK, http.MethodGet, "/v2/demo/app/manifests/"+src.child.Digest.String(), nil)
		if !bytes.Equal(a.body, src.Content[src.child.Digest]) {
			t.Error("other bytes of the image's manifest")
		}
	}
	if asked := src.Manifests(); len(asked) != 1 {
		t.Errorf("the registry was asked for %v", asked)
	}
	for _, desc := range append(src.layers, src.config) {
		a := c.want(http.StatusOK, http.MethodHead, "/v2/demo/app/blobs/"+desc.Digest.String(), nil)
		if a.header.Get("Content-Length") != strconv.FormatInt(desc.Size, 10) {
			t.Errorf("HEAD says %q", a.header)
		}
		if a := c.want(http.StatusOK, http.MethodGet, "/v2/demo/app/blobs/"+desc.Digest.String(), nil); !bytes.Equal(a.body, src.Content[desc.Digest]) {
			t.Errorf("%s: other bytes", desc.Digest)
		}
	}
	want := []string{src.Root.Digest.String(), src.child.Digest.String(), src.config.Digest.String()}
	slices.Sort(want)
	if ids := p.IDs(); !slices.Equal(ids, want) {
		t.Errorf("the engine may have %q, want %q", ids, want)
	}
	if got, want := p.Served(), src.layers[0].Size+src.layers[1].Size+src.config.Size; got != want {
		t.Errorf("%d bytes served, want %d", got, want)
	}
	if s.Err() != nil || src.LeftOpen() != 0 {
		t.Errorf("%v, %d readers left open", s.Err(), src.LeftOpen())
	}
}

// One repository, one tag, what they name, and nothing that changes anything.
func TestNothingElseIsGivenOut(t *testing.T) {
	t.Parallel()
	s, src := listen(t), image(t)
	must(t, open(t, s, src))
	c := client{t: t, relay: s}
	layer := src.layers[0].Digest.String()
	c.want(http.StatusOK, http.MethodGet, "/v2/demo/app/manifests/"+src.child.Digest.String(), nil)
	for _, path := range []string{
		"/v2/demo/app/manifests/2", "/v2/demo/app/manifests/" + layer, "/v2/demo/other/manifests/1", "/v2/demo/app2/manifests/1",
		"/v2/demo/app/blobs/" + src.foreign.Digest.String(), "/v2/demo/app/blobs/x", "/v2/demo/app/tags/list", "/v2/demo/app/",
		"/v2/demo/app", "/v2/_catalog", "/demo/app/manifests/1", "/v2/demo/app/../app/manifests/3", "/v2/demo/app/blobs/sha256:" + layer,
	} {
		c.want(http.StatusNotFound, http.MethodGet, path, nil)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		for _, path := range []string{"manifests/1", "blobs/" + layer, "blobs/uploads/"} {
			c.want(http.StatusMethodNotAllowed, method, "/v2/demo/app/"+path, nil)
		}
	}
	if len(src.Opened()) > 0 || s.Err() != nil {
		t.Errorf("the registry was asked for %v, %v", src.Opened(), s.Err())
	}
}

func TestWrongBytesAreNotGivenOut(t *testing.T) {
	t.Parallel()
	s, src := listen(t), image(t)
	must(t, open(t, s, src))
	src.Fault = func(d descriptor, _ int64, r io.Reader) (io.Reader, error) {
		return transfertest.Flip(r, d.Size/2), nil
	}
	c := client{t: t, relay: s}
	c.want(http.StatusOK, http.MethodGet, "/v2/demo/app/manifests/"+src.child.Digest.String(), nil)
	a := c.ask(http.MethodGet, "/v2/demo/app/blobs/"+src.layers[0].Digest.String(), nil)
	if a.err == nil || int64(len(a.body)) >= src.layers[0].Size {
		t.Errorf("the engine got %d bytes, %v", len(a.body), a.err)
	}
	if wrong, ok := errors.AsType[*transfer.DigestError](s.Err()); !ok || wrong.Want != src.layers[0].Digest {
		t.Errorf("the relay says %v", s.Err())
	}

	s, src = listen(t), image(t)
	if _, err := s.Pull("demo/app", "1", src, src.Root, []byte("{}")); err == nil {
		t.Error("it gives out another root")
	}
	must(t, open(t, s, src))
	src.Content[src.child.Digest] = append(src.Content[src.child.Digest], ' ')
	client{t: t, relay: s}.want(http.StatusForbidden, http.MethodGet, "/v2/demo/app/manifests/"+src.child.Digest.String(), nil)
	if _, ok := errors.AsType[*transfer.DigestError](s.Err()); !ok {
		t.Errorf("the relay says %v", s.Err())
	}
}

// What breaks off is never taken for whole.
func TestABrokenBlobIsAFailure(t *testing.T) {
	t.Parallel()
	s, src := listen(t), image(t)
	must(t, open(t, s, src))
	broken := errors.New("reset by peer")
	src.Fault = func(d descriptor, _ int64, r io.Reader) (io.Reader, error) {
		return transfertest.Cut(r, d.Size/4, broken), nil
	}
	c := client{t: t, relay: s}
	c.want(http.StatusOK, http.MethodGet, "/v2/demo/app/manifests/"+src.child.Digest.String(), nil)
	a := c.ask(http.MethodGet, "/v2/demo/app/blobs/"+src.layers[0].Digest.String(), nil)
	if a.err == nil || !errors.Is(s.Err(), broken) {
		t.Errorf("the engine got %d bytes, %v; the relay says %v", len(a.body), a.err, s.Err())
	}
}

func TestWhatTheRegistrySaysIsKept(t *testing.T) {
	t.Parallel()
	s, src := listen(t), image(t)
	var told atomic.Int32
	s.OnFailure(func(error) { told.Add(1) })
	must(t, open(t, s, src))
	refusal := errors.New("over quota")
	src.Fault = func(descriptor, int64, io.Reader) (io.Reader, error) { return nil, fmt.Errorf("blob: %w", refusal) }
	c := client{t: t, relay: s}
	c.want(http.StatusOK, http.MethodGet, "/v2/demo/app/manifests/"+src.child.Digest.String(), nil)
	for _, l := range src.layers {
		if a := c.want(http.StatusForbidden, http.MethodGet, "/v2/demo/app/blobs/"+l.Digest.String(), nil); bytes.Contains(a.body, []byte("quota")) {
			t.Errorf("the engine was told %s", a.body)
		}
	}
	if !errors.Is(s.Err(), refusal) || told.Load() != 1 {
		t.Errorf("the relay says %v, %d times", s.Err(), told.Load())
	}
}

func TestTheRestOfABlob(t *testing.T) {
	t.Parallel()
	s, src := listen(t), image(t)
	must(t, open(t, s, src))
	client{t: t, relay: s}.want(http.StatusOK, http.MethodGet, "/v2/demo/app/manifests/"+src.child.Digest.String(), nil)
	data := src.Content[src.layers[0].Digest]
	size := len(data)
	for asked, from := range map[string]int{
		"bytes=100-": 100, fmt.Sprintf("bytes=%d-%d", size-1, size-1): size - 1, "bytes=0-": 0, "bytes=-5": 0,
		"bytes=5-10": 0, fmt.Sprintf("bytes=%d-", size): 0, "bytes=1-,3-": 0, "lines=1-": 0, "bytes=x-": 0, "bytes=99999999999999999999-": 0,
	} {
		c := client{t: t, relay: s, header: http.Header{"Range": {asked}}}
		status := http.StatusPartialContent
		if from == 0 {
			status = http.StatusOK
		}
		a := c.want(status, http.MethodGet, "/v2/demo/app/blobs/"+src.layers[0].Digest.String(), nil)
		if !bytes.Equal(a.body, data[from:]) {
			t.Errorf("%s: %d bytes", asked, len(a.body))
		}
		if want := fmt.Sprintf("bytes %d-%d/%d", from, size-1, size); from > 0 && a.header.Get("Content-Range") != want {
			t.Errorf("%s: %q, want %q", asked, a.header.Get("Content-Range"), want)
		}
	}
}

package relay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/relay"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// A target is a repository in memory, and those beside it.
type target struct {
	transfer.Sink

	mu      sync.Mutex
	has     transfertest.Content
	others  map[string]transfertest.Content
	tagged  v1.Descriptor
	asked   []string
	refusal error // of everything that writes
}

func (r *target) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, fmt.Sprintf(format, args...))
}

func (r *target) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.asked
	r.asked = nil
	return asked
}

func (r *target) keep(h v1.Hash, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.has[h] = data
}

func (r *target) kept(h v1.Hash) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	data, ok := r.has[h]
	return data, ok
}

func (r *target) BlobSize(_ context.Context, h v1.Hash) (int64, error) {
	r.note("size %s", h.Hex[:4])
	data, ok := r.kept(h)
	if !ok {
		return 0, transfer.ErrNotFound
	}
	return int64(len(data)), nil
}

func (r *target) MountBlob(_ context.Context, h v1.Hash, from string) (bool, error) {
	r.note("mount %s %s", h.Hex[:4], from)
	data, ok := r.others[from][h]
	if ok {
		r.keep(h, data)
	}
	return ok, nil
}

func (r *target) PutStream(_ context.Context, src io.Reader, name func() v1.Descriptor) error {
	r.note("upload")
	if r.refusal != nil {
		return r.refusal
	}
	data, err := io.ReadAll(src)
	if err != nil {
		return err
	}
	r.keep(name().Digest, data)
	return nil
}

func (r *target) PutManifest(_ context.Context, desc v1.Descriptor, raw []byte) error {
	r.note("manifest %s", desc.Digest.Hex[:4])
	r.keep(desc.Digest, raw)
	return r.refusal
}

func (r *target) Commit(ctx context.Context, desc v1.Descriptor, raw []byte) error {
	r.tagged = desc
	return r.PutManifest(ctx, desc, raw)
}

// pushed opens a relay for a push to demo/app:1. known says where blobs are.
func pushed(t *testing.T, known map[v1.Hash][]string) (client, *relay.Push, *target) {
	t.Helper()
	s := listen(t)
	dst := &target{has: transfertest.Content{}, others: map[string]transfertest.Content{}}
	return client{t: t, relay: s}, s.Push("demo/app", "1", dst, func(h v1.Hash) []string { return known[h] }), dst
}

func digestQuery(d v1.Descriptor) string {
	return "?" + url.Values{"digest": {d.Digest.String()}}.Encode()
}

// upload sends a blob as dockerd does: chunked, and named at the end.
func (c client) upload(data []byte, desc v1.Descriptor) answer {
	c.t.Helper()
	at := c.want(http.StatusAccepted, http.MethodPost, "/v2/demo/app/blobs/uploads/", nil).header.Get("Location")
	half := len(data) / 2
	for _, part := range [][]byte{data[:half], data[half:]} {
		if at = c.want(http.StatusAccepted, http.MethodPatch, at, io.MultiReader(bytes.NewReader(part))).header.Get("Location"); at == "" {
			return answer{}
		}
	}
	return c.ask(http.MethodPut, at+digestQuery(desc), nil)
}

func TestAnImageIsTaken(t *testing.T) {
	t.Parallel()
	c, p, dst := pushed(t, nil)
	src := image(t)
	large, small := src.layers[0], src.layers[1]
	c.want(http.StatusNotFound, http.MethodHead, "/v2/demo/app/blobs/"+large.Digest.String(), nil)
	if a := c.upload(src.Content[large.Digest], large); a.status != http.StatusCreated || a.header.Get("Docker-Content-Digest") != large.Digest.String() {
		t.Errorf("%d %q", a.status, a.header)
	}
	// containerd sends all of it with its name.
	at := c.want(http.StatusAccepted, http.MethodPost, "/v2/demo/app/blobs/uploads/", nil).header.Get("Location")
	c.want(http.StatusCreated, http.MethodPut, at+digestQuery(small), bytes.NewReader(src.Content[small.Digest]))
	c.want(http.StatusNotFound, http.MethodPut, at+digestQuery(small), nil) // it has ended
	dst.take()
	if a := c.want(http.StatusOK, http.MethodHead, "/v2/demo/app/blobs/"+large.Digest.String(), nil); a.header.Get("Content-Length") != strconv.FormatInt(large.Size, 10) {
		t.Errorf("HEAD says %q", a.header)
	}
	if asked := dst.take(); len(asked) > 0 {
		t.Errorf("what was just sent was asked for: %q", asked)
	}

	c.header = http.Header{"Content-Type": {string(src.child.MediaType)}}
	for _, name := range []string{"1", src.child.Digest.String()} {
		c.want(http.StatusNotFound, http.MethodHead, "/v2/demo/app/manifests/"+name, nil) // or the engine would not put it
	}
	if p.Root().Digest != (v1.Hash{}) {
		t.Error("nothing was put yet")
	}
	c.want(http.StatusCreated, http.MethodPut, "/v2/demo/app/manifests/"+src.child.Digest.String(), bytes.NewReader(src.Content[src.child.Digest]))
	c.header = http.Header{"Content-Type": {string(src.Root.MediaType)}}
	a := c.want(http.StatusCreated, http.MethodPut, "/v2/demo/app/manifests/1", bytes.NewReader(src.Content[src.Root.Digest]))
	if a.header.Get("Docker-Content-Digest") != src.Root.Digest.String() || p.Root().Digest != src.Root.Digest || dst.tagged.Digest != src.Root.Digest {
		t.Errorf("the tag stands for %s, the relay says %s", dst.tagged.Digest, p.Root().Digest)
	}
	for _, d := range []v1.Descriptor{large, small, src.child, src.Root} {
		if got, _ := dst.kept(d.Digest); !bytes.Equal(got, src.Content[d.Digest]) {
			t.Errorf("%s: other bytes", d.Digest)
		}
	}
	if p.Sent() != large.Size+small.Size || len(p.Blobs()) != 3 {
		t.Errorf("%d bytes sent, %d blobs", p.Sent(), len(p.Blobs()))
	}
}

// A blob that the registry has elsewhere is mounted when the engine only asks.
func TestABlobIsMountedFromWhereItIsKnown(t *testing.T) {
	t.Parallel()
	src := image(t)
	blob := src.layers[0]
	for name, tt := range map[string]struct {
		known []string
		has   []string // repositories
		want  int
		asked []string
	}{
		"nothing is known":        {nil, nil, 404, []string{"size"}},
		"it is here, says nobody": {nil, []string{"demo/app"}, 200, []string{"size"}},
		"it is here":              {[]string{"demo/app", "a/a"}, []string{"demo/app"}, 200, []string{"size"}},
		"it is there":             {[]string{"a/a"}, []string{"a/a"}, 200, []string{"mount a/a", "size"}},
		"it is there no more":     {[]string{"a/a", "b/b"}, []string{"b/b"}, 200, []string{"mount a/a", "mount b/b", "size"}},
		"it was here":             {[]string{"demo/app", "a/a"}, []string{"a/a"}, 200, []string{"size", "mount a/a", "size"}},
		"it is nowhere":           {[]string{"a/a"}, nil, 404, []string{"mount a/a", "size"}},
		"it is here all the same": {[]string{"a/a"}, []string{"demo/app"}, 200, []string{"mount a/a", "size"}},
		"it was in many":          {[]string{"a/a", "b/b", "c/c", "d/d"}, []string{"d/d"}, 404, []string{"mount a/a", "mount b/b", "mount c/c", "size"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _, dst := pushed(t, map[v1.Hash][]string{blob.Digest: tt.known})
			for _, repo := range tt.has {
				if repo == "demo/app" {
					dst.keep(blob.Digest, src.Content[blob.Digest])
				} else {
					dst.others[repo] = src.Content
				}
			}
			a := c.want(tt.want, http.MethodHead, "/v2/demo/app/blobs/"+blob.Digest.String(), nil)
			if tt.want == http.StatusOK && a.header.Get("Content-Length") != strconv.FormatInt(blob.Size, 10) {
				t.Errorf("HEAD says %q", a.header)
			}
			asked := dst.take()
			for i := range asked {
				asked[i] = strings.Replace(asked[i], " "+blob.Digest.Hex[:4], "", 1)
			}
			if !slices.Equal(asked, tt.asked) {
				t.Errorf("the registry was asked %q, want %q", asked, tt.asked)
			}
			status := http.StatusAccepted
			if tt.want == http.StatusOK {
				status = http.StatusCreated
			}
			c.want(status, http.MethodPost, "/v2/demo/app/blobs/uploads/?"+url.Values{"mount": {blob.Digest.String()}, "from": {"some/where"}}.Encode(), nil)
			for _, one := range dst.take() {
				if strings.Contains(one, "some/where") {
					t.Errorf("the engine's own word went on: %q", one)
				}
			}
		})
	}
}

func TestNothingElseIsTaken(t *testing.T) {
	t.Parallel()
	c, p, dst := pushed(t, nil)
	src := image(t)
	layer := src.layers[0].Digest.String()
	for _, one := range []struct {
		status       int
		method, path string
	}{
		{404, "PUT", "/v2/demo/other/manifests/1"},
		{404, "POST", "/v2/demo/other/blobs/uploads/"},
		{404, "PATCH", "/v2/demo/app/blobs/uploads/x"},
		{405, "DELETE", "/v2/demo/app/manifests/1"},
		{405, "GET", "/v2/demo/app/blobs/" + layer},
		{405, "DELETE", "/v2/demo/app/blobs/" + layer},
		{405, "GET", "/v2/demo/app/tags/list"},
		{404, "GET", "/v2/_catalog"},
		{404, "HEAD", "/v2/demo/app/blobs/x"},
		{405, "PUT", "/v2/demo/app/blobs/uploads/"},
	} {
		c.want(one.status, one.method, one.path, nil)
	}
	c.header = http.Header{"Content-Type": {string(src.child.MediaType)}}
	c.want(http.StatusNotFound, http.MethodPut, "/v2/demo/app/manifests/2", bytes.NewReader(src.Content[src.child.Digest]))
	c.want(http.StatusNotFound, http.MethodPut, "/v2/demo/app/manifests/"+src.Root.Digest.String(), bytes.NewReader(src.Content[src.child.Digest]))
	c.want(http.StatusRequestEntityTooLarge, http.MethodPut, "/v2/demo/app/manifests/1", strings.NewReader(strings.Repeat(" ", transfer.MaxManifest+1)))
	if asked := dst.take(); len(asked) > 0 || p.Root().Digest != (v1.Hash{}) || c.relay.Err() != nil {
		t.Errorf("the registry was asked %q, %v", asked, c.relay.Err())
	}
}

func TestBytesWithAnotherNameAreNotTaken(t *testing.T) {
	t.Parallel()
	c, _, dst := pushed(t, nil)
	src := image(t)
	if a := c.upload([]byte("not that"), src.layers[0]); a.status != http.StatusBadRequest {
		t.Errorf("it is taken: %d", a.status)
	}
	if _, ok := dst.kept(src.layers[0].Digest); ok || c.relay.Err() != nil {
		t.Errorf("the registry has it, %v", c.relay.Err())
	}
	if a := c.upload(nil, v1.Descriptor{Digest: v1.Hash{Algorithm: "md5", Hex: "x"}}); a.status != http.StatusBadRequest {
		t.Errorf("another algorithm: %d", a.status)
	}
}

// Old engines try schema 1 when another manifest was refused.
func TestSchemaOneIsNotTaken(t *testing.T) {
	t.Parallel()
	c, _, dst := pushed(t, nil)
	raw, err := json.Marshal(map[string]any{"schemaVersion": 1, "fsLayers": []any{}})
	must(t, err)
	c.header = http.Header{"Content-Type": {string(types.DockerManifestSchema1Signed)}}
	c.want(http.StatusForbidden, http.MethodPut, "/v2/demo/app/manifests/1", bytes.NewReader(raw))
	if _, ok := errors.AsType[*transfer.ManifestError](c.relay.Err()); !ok || len(dst.take()) > 0 {
		t.Errorf("the relay says %v", c.relay.Err())
	}
}

func TestARefusedPushIsKept(t *testing.T) {
	t.Parallel()
	src := image(t)
	for _, what := range []string{"blob", "manifest"} {
		c, p, dst := pushed(t, nil)
		dst.refusal = errors.New("immutable")
		if what == "blob" {
			at := c.want(http.StatusAccepted, http.MethodPost, "/v2/demo/app/blobs/uploads/", nil).header.Get("Location")
			a := c.ask(http.MethodPut, at+digestQuery(src.layers[0]), bytes.NewReader(src.Content[src.layers[0].Digest]))
			if a.status != http.StatusForbidden && a.err == nil {
				t.Errorf("the engine was told %d", a.status)
			}
		} else {
			c.header = http.Header{"Content-Type": {string(src.child.MediaType)}}
			c.want(http.StatusForbidden, http.MethodPut, "/v2/demo/app/manifests/1", bytes.NewReader(src.Content[src.child.Digest]))
		}
		if !errors.Is(c.relay.Err(), dst.refusal) || p.Root().Digest != (v1.Hash{}) {
			t.Errorf("%s: the relay says %v", what, c.relay.Err())
		}
	}
}

// An upload that the engine gives up ends at the registry too.
func TestUploadsEnd(t *testing.T) {
	t.Parallel()
	c, _, dst := pushed(t, nil)
	at := c.want(http.StatusAccepted, http.MethodPost, "/v2/demo/app/blobs/uploads/", nil).header.Get("Location")
	c.want(http.StatusAccepted, http.MethodPatch, at, strings.NewReader("begun"))
	c.want(http.StatusNoContent, http.MethodDelete, at, nil)
	c.want(http.StatusNotFound, http.MethodPatch, at, strings.NewReader("more"))
	for range 64 {
		c.want(http.StatusAccepted, http.MethodPost, "/v2/demo/app/blobs/uploads/", nil)
	}
	c.want(http.StatusTooManyRequests, http.MethodPost, "/v2/demo/app/blobs/uploads/", nil)
	if asked := dst.take(); len(asked) > 1 || c.relay.Err() != nil {
		t.Errorf("for uploads without a byte the registry was asked %q, %v", asked, c.relay.Err())
	}
	begun := time.Now()
	must(t, c.relay.Close())
	if time.Since(begun) > time.Second {
		t.Errorf("Close took %s", time.Since(begun))
	}
}

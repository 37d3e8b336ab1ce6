package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/wire"
)

type manifest struct {
	desc v1.Descriptor
	raw  []byte
}

// Resolve gets the manifest or index that the tag or digest stands for, with
// one request; [Repository.Manifest] gives it out again without another.
// Errors: [*Error] (wrapping [transfer.ErrNotFound] if there is none),
// [*transfer.DigestError] if it is not what the digest or the registry's own
// header says, those of the round-tripper.
func (r *Repository) Resolve(ctx context.Context) (v1.Descriptor, error) {
	m, err := r.get(ctx, r.img.Reference(), r.img.Digest)
	if err != nil {
		return v1.Descriptor{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = m
	return m.desc, nil
}

// Manifest gets a manifest or index by its digest, at most [transfer.MaxManifest] bytes.
func (r *Repository) Manifest(ctx context.Context, desc v1.Descriptor) ([]byte, error) {
	r.mu.Lock()
	last := r.last
	r.mu.Unlock()
	if last.desc.Digest == desc.Digest && last.raw != nil {
		return last.raw, nil
	}
	m, err := r.get(ctx, desc.Digest.String(), desc.Digest.String())
	return m.raw, err
}

// get asks for a manifest by tag or digest; digest is "" for a tag.
func (r *Repository) get(ctx context.Context, reference, digest string) (manifest, error) {
	g := &guard{r: r}
	if digest != "" {
		want, err := v1.NewHash(digest)
		if err != nil {
			return manifest{}, fmt.Errorf("get manifest: %s: %w", r.img, err)
		}
		g.want = want
	}
	host, err := name.NewRegistry(r.base.Host)
	if err != nil {
		return manifest{}, fmt.Errorf("get manifest: %s: %w", r.img, err)
	}
	ready, err := transport.NewWithContext(ctx, host, authn.Anonymous, g, nil)
	if err != nil {
		return manifest{}, err
	}
	repo := host.Repo(r.img.Repository)
	var at name.Reference = repo.Tag(reference)
	if digest != "" {
		at = repo.Digest(digest)
	}
	got, err := remote.Get(at, remote.WithContext(ctx), remote.WithTransport(ready))
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err // says what was asked for better than the URL
	}
	if err != nil {
		return manifest{}, err
	}
	d := got.Descriptor
	return manifest{v1.Descriptor{MediaType: d.MediaType, Size: d.Size, Digest: d.Digest}, got.Manifest}, nil
}

// A guard stands between go-containerregistry's client and the round-tripper.
// It answers the client's ping itself, so that neither its choice of scheme nor
// its authentication is ever used, lets no redirect or refusal through to it,
// and hands it manifests that are bounded and verified already.
type guard struct {
	r    *Repository
	want v1.Hash // zero: asked for by tag
}

func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Path == "/v2/" {
		return &http.Response{
			StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{}, Body: http.NoBody, Request: req,
		}, nil
	}
	out := req.Clone(req.Context())
	out.URL.Scheme, out.URL.Host, out.Host = g.r.base.Scheme, g.r.base.Host, ""
	out.Header.Del("User-Agent")
	resp, err := g.r.do(out)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, g.r.fail("get manifest", resp)
	}
	raw, err := g.read(resp)
	if closing := resp.Body.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, err
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
	return resp, nil
}

func (g *guard) read(resp *http.Response) ([]byte, error) {
	if mediaType, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil {
		resp.Header.Set("Content-Type", mediaType)
	}
	raw, err := wire.ReadAll(resp.Body, transfer.MaxManifest)
	if err != nil {
		return nil, fmt.Errorf("get manifest: %s: %w", g.r.img, err)
	}
	algorithm := "sha256"
	if g.want != (v1.Hash{}) {
		algorithm = g.want.Algorithm
	}
	got, err := digestOf(algorithm, raw)
	if err != nil {
		return nil, err
	}
	if g.want != (v1.Hash{}) {
		if got != g.want {
			return nil, &transfer.DigestError{What: "manifest", Want: g.want, Got: got}
		}
		return raw, nil
	}
	// The digest of a signed schema 1 manifest is not over all of its bytes.
	// Copy refuses those with better words.
	if types.MediaType(resp.Header.Get("Content-Type")).IsSchema1() {
		return raw, nil
	}
	if err := checkDigest("manifest", got, resp); err != nil {
		if wrong, ok := errors.AsType[*transfer.DigestError](err); ok {
			wrong.Want, wrong.Got = wrong.Got, wrong.Want // the header is the claim, the bytes are the fact
		}
		return nil, err
	}
	return raw, nil
}

func digestOf(algorithm string, data []byte) (v1.Hash, error) {
	h, err := v1.Hasher(algorithm)
	if err != nil {
		return v1.Hash{}, err
	}
	h.Write(data)
	return v1.Hash{Algorithm: algorithm, Hex: fmt.Sprintf("%x", h.Sum(nil))}, nil
}

// PutManifest puts a manifest or index under its digest.
func (r *Repository) PutManifest(ctx context.Context, desc v1.Descriptor, raw []byte) error {
	return r.put(ctx, desc.Digest.String(), desc, raw)
}

// Commit puts the root under the tag, or under its digest if the image was
// named by that alone. It fails with a [*transfer.DigestError] if the image was
// named by another digest.
func (r *Repository) Commit(ctx context.Context, root v1.Descriptor, raw []byte) error {
	if r.img.Digest != "" && r.img.Digest != root.Digest.String() {
		want, err := v1.NewHash(r.img.Digest)
		if err != nil {
			return fmt.Errorf("push manifest: %s: %w", r.img, err)
		}
		return &transfer.DigestError{What: "manifest", Want: want, Got: root.Digest}
	}
	if err := r.put(ctx, r.nameFor(root), root, raw); err != nil {
		return err
	}
	_ = r.pushes.Add(r.img.String(), root.Digest.String()) // what is not remembered costs a few requests
	return nil
}

// nameFor is what the registry is to know root by: the tag, if there is one.
func (r *Repository) nameFor(root v1.Descriptor) string {
	if r.img.Tag != "" {
		return r.img.Tag
	}
	return root.Digest.String()
}

// put puts a manifest. When the answer is lost or the registry fails, it is asked
// what it has before it is sent the manifest again: tags may be immutable, and
// each push is an event for who watches the registry.
func (r *Repository) put(ctx context.Context, reference string, desc v1.Descriptor, raw []byte) error {
	for try := 1; ; try++ {
		err := r.putOnce(ctx, reference, desc, raw)
		if err == nil || ctx.Err() != nil || !passing(err) || try >= patience(err) {
			return err
		}
		if err := r.wait(ctx, pauseAfter(try, err)); err != nil {
			return err
		}
		if has, err := r.hasManifest(ctx, reference, desc); err == nil && has {
			return nil
		}
	}
}

// hasManifest says whether a tag or digest stands for desc in the registry,
// which says so with a header. Errors are those of the round-tripper.
func (r *Repository) hasManifest(ctx context.Context, reference string, desc v1.Descriptor) (bool, error) {
	header := http.Header{"Accept": {string(desc.MediaType)}}
	resp, err := r.send(ctx, http.MethodHead, r.url("manifests", reference), header)
	if err != nil {
		return false, err
	}
	_ = resp.Body.Close() // HEAD has none
	return resp.StatusCode == http.StatusOK && resp.Header.Get("Docker-Content-Digest") == desc.Digest.String(), nil
}

// putOnce is not go-containerregistry's: that sleeps without the context, hides
// the digest that the registry answers with, and writes a second tag when the
// manifest has a subject.
func (r *Repository) putOnce(ctx context.Context, reference string, desc v1.Descriptor, raw []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, r.url("manifests", reference).String(), bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", string(desc.MediaType))
	resp, err := r.do(req)
	if err != nil {
		return err
	}
	if !done(resp.StatusCode) {
		return r.fail("push manifest", resp).ofManifest(desc.MediaType)
	}
	discard(resp)
	r.sawSubject(resp)
	return checkDigest("manifest", desc.Digest, resp)
}

// done says whether a status means that a manifest or blob was taken. The spec
// has 201; registries are known that answer with the others
// (go-containerregistry, pkg/v1/remote/write.go).
func done(status int) bool {
	switch status {
	case http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent:
		return true
	}
	return false
}

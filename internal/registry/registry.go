// Package registry holds images in a registry that speaks the Distribution
// API. It is handed the round-tripper that authenticates and the base URL, and
// opens no connection of its own.
package registry

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/wire"
)

// A Repository is one image's place in a registry: a [transfer.Source] of what
// its tag or digest stands for, and a [transfer.Sink] that gives its tag away.
// It is safe for use by several goroutines.
type Repository struct {
	img  ref.Image
	rt   http.RoundTripper
	base *url.URL
	wait func(context.Context, time.Duration) error

	cancelTime time.Duration // how long cancel may take
	lastWords  time.Duration // see gently

	chunk int64  // see InChunks
	from  string // see MountFrom

	pushes   *memo.Pushes   // see Remembering; nil: none
	sessions *memo.Sessions // see KeepingUploads; nil: none
	blobs    *memo.Blobs    // see MountingKnown; nil: none

	streams *Streams             // see Within; nil: no limit, and one connection a blob
	watch   func(transfer.Event) // see Watched
	memory  *chunkMemory         // see PutStream
	large   *chunkMemory         // for chunks that the registry wants larger

	mu     sync.Mutex
	last   manifest // what Resolve got: Manifest need not ask again
	mounts mounting
	donors map[string]*donor // by name
	noFrom bool              // nothing is to be had from there: see notMountable
	told   *string           // see subjectTold
}

var (
	_ transfer.Source = (*Repository)(nil)
	_ transfer.Sink   = (*Repository)(nil)
)

// Open returns the place of img in the registry at base (scheme and host).
// rt authenticates, and decides what may be spoken to, as [wire.Transport]
// does. Nothing is asked yet.
func Open(img ref.Image, rt http.RoundTripper, base *url.URL) *Repository {
	return &Repository{
		img: img, rt: rt, base: base, wait: wire.Sleep, cancelTime: cancelTime, lastWords: lastWords,
		watch: func(transfer.Event) {}, memory: newChunkMemory(maxStreamed, streamChunk),
		large: newChunkMemory(1, maxStreamChunk),
	}
}

// Ping asks for the root of the API, by the road that pull and push take.
func (r *Repository) Ping(ctx context.Context) error {
	resp, err := r.send(ctx, http.MethodGet, r.root("/v2/"), nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return r.fail("ping", resp)
	}
	discard(resp)
	return nil
}

// Close does nothing: a repository holds nothing open.
func (r *Repository) Close() error { return nil }

func (r *Repository) root(path string) *url.URL {
	u := *r.base
	u.Path, u.RawPath, u.RawQuery = path, "", ""
	return &u
}

// url is that of a thing in the repository. Neither the repository's name nor
// a parsed digest or tag holds a character that needs escaping.
func (r *Repository) url(kind, name string) *url.URL {
	return r.root("/v2/" + r.img.Repository + "/" + kind + "/" + name)
}

// send sends a request without a body. Redirects of GET and HEAD are rt's.
func (r *Repository) send(ctx context.Context, method string, u *url.URL, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	return r.do(req)
}

// discard closes an answer whose body does not matter, so that its connection
// can be used again.
func discard(resp *http.Response) {
	_, _ = wire.ReadAll(resp.Body, wire.MaxError)
	_ = resp.Body.Close()
}

// checkDigest holds what the registry says it has against what it was to have.
// A registry that says nothing is believed: the header is not required.
func checkDigest(what string, want v1.Hash, resp *http.Response) error {
	said := resp.Header.Get("Docker-Content-Digest")
	if said == "" || said == want.String() {
		return nil
	}
	got, err := v1.NewHash(said)
	if err != nil || got.Algorithm != want.Algorithm {
		return nil //nolint:nilerr // an algorithm that we do not know says nothing about these bytes
	}
	return &transfer.DigestError{What: what, Want: want, Got: got, Told: true}
}

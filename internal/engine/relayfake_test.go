package engine_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// A puller is a fake engine that pulls and pushes as dockerd does, over plain
// HTTP and with the password that it is told.
type puller struct {
	says map[string]any // the descriptor that it tells of an image; nil: none, as before 28.0
	*fake
	deaf    bool          // in another network
	stalled chan struct{} // closed when it begins to wait for ever; nil: it does not

	digests map[string][]string // image ID -> names with a digest
	mixedUp string              // image ID that it gives the name to instead
	tail    func(*http.Request) // what it does at the end of a push
	listed  chan struct{}       // closed when its images are asked for; nil: nobody waits for that
}

func newPuller(t *testing.T) *puller {
	t.Helper()
	p := &puller{fake: newFake(t, false)}
	s := serve(t, p)
	p.host, p.wait = "unix://"+s.Listener.Addr().String(), s.Close
	return p
}

func (p *puller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v"+p.api)
	name, pushing := strings.CutSuffix(strings.TrimPrefix(path, "/images/"), "/push")
	inspected, inspecting := strings.CutSuffix(strings.TrimPrefix(path, "/images/"), "/json")
	switch {
	case path == "/images/create" && p.insteadOf(w, r, path), pushing && p.insteadOf(w, r, "push"):
	case strings.HasPrefix(path, "/distribution/"):
		p.note(r.Method + " " + path)
		if !p.deaf {
			at := strings.TrimSuffix(strings.TrimPrefix(path, "/distribution/"), "/json")
			addr, repo, _ := strings.Cut(at, "/")
			_, _ = p.ask(r.Context(), "", http.MethodHead, "http://"+addr+"/v2/"+repo+"/manifests/latest", nil, nil)
		}
		refuse(w, http.StatusInternalServerError, "no basic auth credentials")
	case path == "/images/create":
		p.note(r.Method + " " + path)
		p.answer(w, p.pull(w, r, r.FormValue("fromImage"), r.FormValue("tag")))
	case pushing:
		p.note(r.Method + " /images/push")
		_ = http.NewResponseController(w).Flush() // it says at once what it is going to do
		p.answer(w, p.push(r, name+":"+r.FormValue("tag")))
	case path == "/images/json":
		p.list(w)
	case inspecting && strings.HasPrefix(path, "/images/"):
		p.note(r.Method + " " + path)
		p.inspect(w, inspected)
	default:
		p.fake.ServeHTTP(w, r)
	}
}

// insteadOf says whether a test has answered the call.
func (p *puller) insteadOf(w http.ResponseWriter, r *http.Request, path string) bool {
	h := p.instead[path]
	return h != nil && h(w, r)
}

func (p *puller) note(call string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, call)
}

func (p *puller) answer(w io.Writer, err error) {
	if err != nil {
		fmt.Fprintf(w, `{"errorDetail":{"message":%q},"error":%q}`, err, err)
	}
}

func (p *puller) inspect(w http.ResponseWriter, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	id := p.id(name)
	if id == "" {
		refuse(w, http.StatusNotFound, "No such image: "+name)
		return
	}
	var tags []string
	for tag, of := range p.names {
		if of == id {
			tags = append(tags, tag)
		}
	}
	if p.keeps {
		_ = json.NewEncoder(w).Encode(p.inspectKept(id, tags))
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"Id": id, "Descriptor": p.says, "RepoTags": tags, "RepoDigests": p.digests[id], "Os": "linux", "Architecture": "amd64", "RootFS": map[string]any{"Layers": diffIDs(p.images[id][mustHash(id)])}})
}

func (p *puller) list(w http.ResponseWriter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	all := []map[string]any{}
	for id := range p.images {
		digests := p.digests[id]
		if p.keeps {
			digests = p.digested(id)
		}
		all = append(all, map[string]any{"Id": id, "RepoDigests": digests})
	}
	if p.listed != nil {
		close(p.listed)
		p.listed = nil
	}
	_ = json.NewEncoder(w).Encode(all)
}

func mustHash(s string) v1.Hash {
	h, err := v1.NewHash(s)
	if err != nil {
		panic(err)
	}
	return h
}

// ask sends one request to the relay; auth is X-Registry-Auth.
func (p *puller) ask(ctx context.Context, auth, method, at string, body []byte, header http.Header) (*http.Response, []byte) {
	req, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	var as struct{ Username, Password, ServerAddress string }
	if raw, err := base64.URLEncoding.DecodeString(auth); err == nil && auth != "" {
		if json.Unmarshal(raw, &as) != nil || as.ServerAddress != req.URL.Host {
			panic("a password for another registry")
		}
		req.SetBasicAuth(as.Username, as.Password)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return &http.Response{StatusCode: 0, Header: http.Header{}}, []byte(err.Error())
	}
	raw, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return &http.Response{StatusCode: 0, Header: http.Header{}}, []byte(err.Error())
	}
	return resp, raw
}

func (p *puller) pull(w io.Writer, r *http.Request, name, tag string) error {
	host, repo, _ := strings.Cut(name, "/")
	base := "http://" + host + "/v2/" + repo + "/"
	auth, c := r.Header.Get("X-Registry-Auth"), transfertest.Content{}
	get := func(path string) ([]byte, error) {
		resp, raw := p.ask(r.Context(), auth, http.MethodGet, base+path, nil, nil)
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("denied: %d", resp.StatusCode)
		}
		return raw, nil
	}
	raw, err := get("manifests/" + tag)
	if err != nil {
		return err
	}
	top := raw
	var index v1.IndexManifest
	if json.Unmarshal(raw, &index) == nil && len(index.Manifests) > 0 {
		if raw, err = get("manifests/" + chosen(index, r.FormValue("platform")).Digest.String()); err != nil {
			return err
		}
	}
	if p.stalled != nil {
		close(p.stalled)
		<-r.Context().Done()
		return r.Context().Err()
	}
	var m v1.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return err
	}
	for _, d := range append(m.Layers, m.Config) {
		if c[d.Digest], err = get("blobs/" + d.Digest.String()); err != nil {
			return err
		}
		short := d.Digest.Hex[:12]
		if d.Digest == m.Config.Digest {
			continue
		}
		fmt.Fprintf(w, `{"status":"Downloading","progressDetail":{"current":1,"total":%d},"id":%q}{"status":"Pull complete","id":%q}`, d.Size, short, short)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	id := m.Config.Digest.String()
	desc := transfertest.DescriptorOf("sha256", m.MediaType, raw)
	c[desc.Digest] = raw
	if p.keeps {
		desc = transfertest.DescriptorOf("sha256", mediaTypeIn(top), top)
		c[desc.Digest], id = top, desc.Digest.String()
		for h, data := range p.images[id] { // of another platform
			c[h] = data
		}
	}
	p.images[id], p.roots[id], p.names[name+":"+tag] = c, desc, id
	if p.mixedUp != "" {
		delete(p.images, id)
		p.images[p.mixedUp], p.names[name+":"+tag] = c, p.mixedUp
	}
	return nil
}

// chosen is what an engine pulls out of an index.
func chosen(index v1.IndexManifest, platform string) v1.Descriptor {
	for _, d := range index.Manifests {
		if d.Platform != nil && strings.HasPrefix(platform+"/", d.Platform.OS+"/"+d.Platform.Architecture+"/") {
			return d
		}
	}
	return index.Manifests[0]
}

func (p *puller) push(r *http.Request, name string) error {
	p.mu.Lock()
	id := p.names[name]
	root, c := p.roots[id], p.images[id]
	p.mu.Unlock()
	host, rest, _ := strings.Cut(name, "/")
	repo, tag, _ := strings.Cut(rest, ":")
	base, auth := "http://"+host+"/v2/"+repo+"/", r.Header.Get("X-Registry-Auth")
	ask := func(status int, method, at string, body []byte, header http.Header) (*http.Response, error) {
		resp, _ := p.ask(r.Context(), auth, method, at, body, header)
		if resp.StatusCode != status {
			return nil, fmt.Errorf("denied: %d", resp.StatusCode)
		}
		return resp, nil
	}
	var m v1.Manifest
	if err := json.Unmarshal(c[root.Digest], &m); err != nil {
		return err
	}
	if p.stalled != nil {
		close(p.stalled)
		<-r.Context().Done()
		return r.Context().Err()
	}
	for _, d := range append(m.Layers, m.Config) {
		if _, err := ask(http.StatusOK, http.MethodHead, base+"blobs/"+d.Digest.String(), nil, nil); err == nil {
			continue
		}
		resp, err := ask(http.StatusAccepted, http.MethodPost, base+"blobs/uploads/", nil, nil)
		if err == nil {
			resp, err = ask(http.StatusAccepted, http.MethodPatch, "http://"+host+resp.Header.Get("Location"), c[d.Digest], nil)
		}
		if err == nil {
			_, err = ask(http.StatusCreated, http.MethodPut, "http://"+host+resp.Header.Get("Location")+"?"+url.Values{"digest": {d.Digest.String()}}.Encode(), nil, nil)
		}
		if err != nil {
			return err
		}
	}
	_, err := ask(http.StatusCreated, http.MethodPut, base+"manifests/"+tag, c[root.Digest], http.Header{"Content-Type": {string(root.MediaType)}})
	if err == nil && p.tail != nil {
		p.tail(r)
	}
	return err
}

// A remote is a repository of a registry: what is pulled from, and pushed to.
type remote struct {
	*transfertest.Source
	mu      sync.Mutex
	asked   []string
	others  map[string]transfertest.Content
	refusal error
}

func (r *remote) note(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, what)
}

func (r *remote) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.asked
	r.asked = nil
	return asked
}

func (r *remote) Resolve(ctx context.Context) (v1.Descriptor, error) {
	r.note("get")
	return r.Source.Resolve(ctx)
}

func (r *remote) Blob(ctx context.Context, d v1.Descriptor, offset int64) (io.ReadCloser, error) {
	r.note("blob")
	return r.Source.Blob(ctx, d, offset)
}

func (r *remote) Head(ctx context.Context) (v1.Descriptor, error) {
	r.note("head")
	return r.Source.Resolve(ctx)
}

func (r *remote) BlobSize(_ context.Context, h v1.Hash) (int64, error) {
	r.note("size")
	r.mu.Lock()
	defer r.mu.Unlock()
	data, ok := r.Content[h]
	if !ok {
		return 0, transfer.ErrNotFound
	}
	return int64(len(data)), nil
}

func (r *remote) MountBlob(_ context.Context, h v1.Hash, from string) (bool, error) {
	r.note("mount " + from)
	r.mu.Lock()
	defer r.mu.Unlock()
	data, ok := r.others[from][h]
	if ok {
		r.Content[h] = data
	}
	return ok, nil
}

func (r *remote) PutBlob(context.Context, v1.Descriptor, transfer.Opener) (int64, error) {
	return 0, errors.New("not by a relay")
}

func (r *remote) PutStream(_ context.Context, src io.Reader, name func() v1.Descriptor) error {
	r.note("upload")
	data, err := io.ReadAll(src)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.Content[name().Digest] = data
	}
	return errors.Join(err, r.refusal)
}

func (r *remote) PutManifest(_ context.Context, d v1.Descriptor, raw []byte) error {
	r.note("put")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Content[d.Digest] = raw
	return r.refusal
}

func (r *remote) Commit(ctx context.Context, d v1.Descriptor, raw []byte) error {
	r.Root = d
	return r.PutManifest(ctx, d, raw)
}

func (r *remote) Close() error { return nil }

// A rig is an engine, its relay, and an image.
type rig struct {
	*puller
	engine *engine.Engine
	relay  *engine.Relay
	names  string // folder
	blobs  *memo.Blobs
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return rigOf(t, newPuller(t))
}

func rigOf(t *testing.T, p *puller) *rig {
	t.Helper()
	r := &rig{puller: p, names: filepath.Join(t.TempDir(), "relay"), blobs: memo.OpenBlobs(t.TempDir())}
	r.engine = r.open(t, engine.Options{})
	_, err := r.engine.Ping(t.Context())
	must(t, err)
	r.relay = r.engine.Relay(engine.RelayOptions{Names: r.names, Blobs: r.blobs, Manifests: memo.OpenManifests(t.TempDir())})
	return r
}

func parse(t *testing.T, name string) ref.Image {
	t.Helper()
	img, err := ref.ParseImage(name)
	must(t, err)
	return img
}

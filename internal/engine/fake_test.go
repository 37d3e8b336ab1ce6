package engine_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"
	"go.uber.org/goleak"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fake is an engine that loads, names and saves images as dockerd does. With
// keeps it is one with the containerd store, else like dockerd 20.10.
type fake struct {
	keeps bool
	// api is the version that it speaks; from 1.48 on it says what is available.
	api    string
	podman bool // with keeps not set: one that takes blobs by their digests, as podman 4.3.1
	// Each may answer in place of the fake; false leaves it to the fake.
	instead map[string]func(w http.ResponseWriter, r *http.Request) bool

	host string
	done chan struct{} // closed when the test ends
	wait func()        // ends the server and waits for what it does

	mu     sync.Mutex
	names  map[string]string               // name -> image ID
	images map[string]transfertest.Content // image ID -> what it is made of
	roots  map[string]v1.Descriptor        // image ID -> manifest
	calls  []string                        // method and path
	files  map[string][]byte               // of the last load
	broken int                             // loads whose body was cut
}

func newFake(tb testing.TB, keeps bool) *fake {
	tb.Helper()
	f := &fake{
		keeps: keeps, api: "1.41", names: map[string]string{}, images: map[string]transfertest.Content{}, roots: map[string]v1.Descriptor{},
		instead: map[string]func(http.ResponseWriter, *http.Request) bool{},
		done:    make(chan struct{}),
	}
	s := serve(tb, f)
	f.host = "unix://" + s.Listener.Addr().String()
	f.wait = s.Close
	tb.Cleanup(func() { close(f.done) })
	return f
}

// stall answers nothing and reads nothing.
func (f *fake) stall(http.ResponseWriter, *http.Request) bool {
	<-f.done
	return true
}

// serve answers on a socket of the test.
func serve(tb testing.TB, h http.Handler) *httptest.Server {
	tb.Helper()
	l := listen(tb)
	s := httptest.NewUnstartedServer(h)
	must(tb, s.Listener.Close())
	s.Listener = l
	s.Start()
	tb.Cleanup(s.Close)
	return s
}

func listen(tb testing.TB) net.Listener {
	tb.Helper()
	// A socket's path has 104 bytes at most, fewer than the folders of some tests.
	dir, err := os.MkdirTemp("", "vicr") //nolint:usetesting // see above
	must(tb, err)
	tb.Cleanup(func() { must(tb, os.RemoveAll(dir)) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	must(tb, err)
	return l
}

func (f *fake) open(tb testing.TB, o engine.Options) *engine.Engine {
	tb.Helper()
	o.Configured = true
	if o.Scratch == "" {
		o.Scratch = filepath.Join(tb.TempDir(), "scratch")
	}
	e, err := engine.Open(f.host, o)
	must(tb, err)
	tb.Cleanup(func() { must(tb, e.Close()) })
	return e
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := r.URL.Path
	if rest, ok := strings.CutPrefix(p, "/v"+f.api); ok {
		p = rest
	}
	f.mu.Lock()
	f.calls = append(f.calls, r.Method+" "+p)
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Api-Version", f.api)
	w.Header().Set("Ostype", "linux")
	if h := f.instead[p]; h != nil && h(w, r) {
		return
	}
	switch {
	case p == "/_ping":
		fmt.Fprint(w, "OK")
	case p == "/version":
		name := "Engine"
		if f.podman {
			name = "Podman Engine"
		}
		fmt.Fprintf(w, `{"Version":"library-import","ApiVersion":%q,"Os":"linux","Arch":"amd64","Components":[{"Name":%q}]}`, f.api, name)
	case p == "/info" && f.keeps:
		fmt.Fprint(w, `{"Driver":"overlayfs","DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]]}`)
	case p == "/info":
		fmt.Fprint(w, `{"Driver":"overlay2","DriverStatus":[["Backing Filesystem","extfs"]]}`)
	case p == "/images/load":
		f.load(w, r)
	case p == "/images/json":
		f.list(w)
	case p == "/images/get":
		f.save(w, r.FormValue("names"))
	case strings.HasPrefix(p, "/images/"):
		f.image(w, r, strings.TrimPrefix(p, "/images/"))
	default:
		refuse(w, http.StatusNotFound, "page not found")
	}
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
}

// id finds an image by name or ID. The lock is held.
func (f *fake) id(name string) string {
	if _, ok := f.images[name]; ok {
		return name
	}
	return f.names[name]
}

func (f *fake) image(w http.ResponseWriter, r *http.Request, rest string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := strings.TrimSuffix(strings.TrimSuffix(rest, "/json"), "/tag")
	id := f.id(name)
	switch {
	case id == "":
		refuse(w, http.StatusNotFound, "No such image: "+name)
	case strings.HasSuffix(rest, "/json"):
		_ = json.NewEncoder(w).Encode(f.inspect(id))
	case strings.HasSuffix(rest, "/tag"):
		f.names[r.FormValue("repo")+":"+r.FormValue("tag")] = id
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodDelete:
		delete(f.names, name)
		fmt.Fprint(w, `[]`)
	}
}

func (f *fake) list(w http.ResponseWriter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []map[string]string{}
	for id := range f.images {
		all = append(all, map[string]string{"Id": id})
	}
	_ = json.NewEncoder(w).Encode(all)
}

// inspect is what it says of an image. The lock is held.
func (f *fake) inspect(id string) map[string]any {
	c, root := f.images[id], f.roots[id]
	var m v1.Manifest
	_ = json.Unmarshal(c[root.Digest], &m)
	ids := diffIDs(c[m.Config.Digest])
	answer := map[string]any{"Id": id, "RootFS": map[string]any{"Type": "layers", "Layers": ids}}
	if f.keeps {
		var there []map[string]any
		for _, d := range imagesBelow(c, root) {
			there = append(there, map[string]any{"ID": d.Digest.String(), "Descriptor": d, "Available": f.available(d), "Kind": kindOf(d)})
		}
		answer["Manifests"] = there
	}
	return answer
}

// imagesBelow are the manifests that can be reached from root.
func imagesBelow(c transfertest.Content, root v1.Descriptor) (all []v1.Descriptor) {
	if !root.MediaType.IsIndex() {
		return []v1.Descriptor{root}
	}
	var index v1.IndexManifest
	_ = json.Unmarshal(c[root.Digest], &index)
	for _, d := range index.Manifests {
		all = append(all, imagesBelow(c, d)...)
	}
	return all
}

func kindOf(d v1.Descriptor) string {
	if d.Annotations["vnd.docker.reference.type"] != "" {
		return "attestation"
	}
	return "image"
}

// blob is what any image holds under a digest. The lock is held.
func (f *fake) blob(h v1.Hash) []byte {
	for _, c := range f.images {
		if data := c[h]; data != nil {
			return data
		}
	}
	return nil
}

func (f *fake) available(manifest v1.Descriptor) bool {
	raw := f.blob(manifest.Digest)
	var m v1.Manifest
	if raw == nil || json.Unmarshal(raw, &m) != nil {
		return false
	}
	for _, d := range append(m.Layers, m.Config) {
		if f.blob(d.Digest) == nil {
			return false
		}
	}
	return true
}

// chains are the layers of all images, each with those below it. The lock is held.
func (f *fake) chains() map[string]bool {
	all := map[string]bool{}
	for id := range f.images {
		layers := f.inspect(id)["RootFS"].(map[string]any)["Layers"].([]string)
		for i := range layers {
			all[strings.Join(layers[:i+1], " ")] = true
		}
	}
	return all
}

func (f *fake) load(w http.ResponseWriter, r *http.Request) {
	files := map[string][]byte{}
	t := tar.NewReader(r.Body)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			files[h.Name], err = io.ReadAll(t)
		}
		if err != nil {
			f.mu.Lock()
			f.broken++
			f.mu.Unlock()
			refuse(w, http.StatusInternalServerError, "unexpected EOF")
			return
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files = files
	if why := f.keep(files); why != "" {
		fmt.Fprintf(w, `{"errorDetail":{"message":%q},"error":%q}`, why, why)
		return
	}
	fmt.Fprint(w, `{"stream":"Loaded image\n"}`)
	for id, root := range f.roots {
		if f.keeps && root.MediaType.IsImage() && f.images[id][root.Digest] != nil && !f.available(root) {
			fmt.Fprint(w, `{"stream":"Error unpacking image x: content digest sha256:0: not found"}`)
		}
	}
}

// keep takes the files of a load, and says why not. The lock is held.
func (f *fake) keep(files map[string][]byte) (why string) {
	c := transfertest.Content{}
	for name, data := range files {
		if parts := strings.Split(name, "/"); parts[0] == "blobs" {
			c[v1.Hash{Algorithm: parts[1], Hex: parts[2]}] = data
		}
	}
	var index v1.IndexManifest
	if json.Unmarshal(files["index.json"], &index) != nil || len(index.Manifests) != 1 || files["oci-layout"] == nil {
		return "no OCI layout"
	}
	root := index.Manifests[0]
	id, tags := root.Digest.String(), []string{}
	if name := root.Annotations["io.containerd.image.name"]; name != "" {
		tags = append(tags, name)
	}
	if !f.keeps {
		var items []struct {
			Config           string
			RepoTags, Layers []string
		}
		if json.Unmarshal(files["manifest.json"], &items) != nil || len(items) != 1 {
			return "no manifest.json"
		}
		config := files[items[0].Config]
		id, tags = transfertest.DescriptorOf("sha256", "", config).Digest.String(), items[0].RepoTags
		chains, ids := f.chains(), diffIDs(config)
		for i, l := range items[0].Layers {
			if f.podman && f.blob(hashIn(l)) != nil || !f.podman && chains[strings.Join(ids[:i+1], " ")] {
				continue // the file is not looked at
			}
			if files[l] == nil {
				return "open /var/lib/docker/tmp/docker-import-1/" + l + ": no such file or directory"
			}
			if got := diffID(files[l]); got != diffIDs(config)[i] {
				return fmt.Sprintf("invalid diffID for layer %d: expected %q, got %q", i, diffIDs(config)[i], got)
			}
		}
	}
	for _, h := range f.named(c[root.Digest]) {
		if data := f.blob(h); c[h] == nil && data != nil {
			c[h] = data // it was left out
		}
	}
	f.images[id], f.roots[id] = c, root
	for _, tag := range tags {
		f.names[tag] = id
	}
	return ""
}

// named are the blobs of a manifest.
func (*fake) named(raw []byte) []v1.Hash {
	var m v1.Manifest
	_ = json.Unmarshal(raw, &m)
	var all []v1.Hash
	for _, d := range append(m.Layers, m.Config) {
		all = append(all, d.Digest)
	}
	return all
}

func hashIn(file string) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: file[strings.LastIndex(file, "/")+1:]}
}

func diffID(layer []byte) string {
	z, err := gzip.NewReader(bytes.NewReader(layer))
	if err != nil {
		return err.Error()
	}
	h, _, err := v1.SHA256(z)
	if err != nil {
		return err.Error()
	}
	return h.String()
}

func diffIDs(config []byte) []string {
	var c struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	_ = json.Unmarshal(config, &c)
	return c.RootFS.DiffIDs
}

package testkit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const madeBlock = 64 << 10 // bytes

// A Made is a registry to pull from whose layers are made while they are asked
// for: of any size, and none of it in memory.
type Made struct {
	mu        sync.Mutex
	layers    map[string]madeLayer // by digest
	small     map[string][]byte    // configs and manifests, by digest
	tags      map[string]string    // digest of the manifest
	asked     []Request
	given     atomic.Int64
	nextLayer uint64
}

type madeLayer struct {
	seed uint64
	size int64
}

// NewMade returns one that has nothing.
func NewMade() *Made {
	return &Made{layers: map[string]madeLayer{}, small: map[string][]byte{}, tags: map[string]string{}}
}

// Layer makes a layer of so many bytes, none like another.
func (m *Made) Layer(size int64) v1.Descriptor {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nextLayer++
	l := madeLayer{seed: m.nextLayer, size: size}
	h := sha256.New()
	if _, err := io.Copy(h, l.open()); err != nil {
		panic(err) // cannot be
	}
	d := v1.Descriptor{MediaType: types.OCILayer, Size: size, Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}}
	m.layers[d.Digest.String()] = l
	return d
}

// Tag makes an image of layers for linux on this architecture, the same in all repositories.
func (m *Made) Tag(tag string, layers ...v1.Descriptor) v1.Descriptor {
	m.mu.Lock()
	defer m.mu.Unlock()
	diffs := make([]v1.Hash, len(layers))
	for i, l := range layers {
		diffs[i] = l.Digest
	}
	config := m.keep(types.OCIConfigJSON, v1.ConfigFile{
		OS: "linux", Architecture: runtime.GOARCH, RootFS: v1.RootFS{Type: "layers", DiffIDs: diffs}, Author: tag,
	})
	root := m.keep(types.OCIManifestSchema1, v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: layers})
	m.tags[tag] = root.Digest.String()
	return root
}

func (m *Made) keep(kind types.MediaType, doc any) v1.Descriptor {
	raw, err := json.Marshal(doc)
	if err != nil {
		panic(err) // cannot be
	}
	sum := sha256.Sum256(raw)
	d := v1.Descriptor{MediaType: kind, Size: int64(len(raw)), Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}}
	m.small[d.Digest.String()] = raw
	return d
}

// Given is how many bytes of blobs were given out.
func (m *Made) Given() int64 { return m.given.Load() }

// Asked lists the requests for blobs so far.
func (m *Made) Asked() []Request {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Request(nil), m.asked...)
}

// ServeHTTP answers GET and HEAD.
func (m *Made) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, name := r.URL.Path, r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	m.mu.Lock()
	if digest, ok := m.tags[name]; ok && strings.Contains(path, "/manifests/") {
		name = digest
	}
	small, isSmall := m.small[name]
	layer, isLayer := m.layers[name]
	if strings.Contains(path, "/blobs/") {
		m.asked = append(m.asked, Request{Method: r.Method, URL: *r.URL, Header: r.Header.Clone(), At: time.Now()})
	}
	m.mu.Unlock()
	switch {
	case path == "/v2/":
	case isLayer && strings.Contains(path, "/blobs/"):
		http.ServeContent(w, r, "", time.Time{}, &givenReader{layer.open(), m})
	case isSmall:
		if strings.Contains(path, "/manifests/") {
			w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
			w.Header().Set("Docker-Content-Digest", name)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(small))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

type givenReader struct {
	io.ReadSeeker
	m *Made
}

func (g *givenReader) Read(p []byte) (int, error) {
	n, err := g.ReadSeeker.Read(p)
	g.m.given.Add(int64(n))
	return n, err
}

// open reads the layer: one block over and over, each with its number in it.
func (l madeLayer) open() io.ReadSeeker {
	r := &madeReader{size: l.size, block: make([]byte, madeBlock)}
	_, _ = rand.NewChaCha8([32]byte{byte(l.seed), byte(l.seed >> 8), byte(l.seed >> 16)}).Read(r.block) // never fails
	return r
}

type madeReader struct {
	size, at int64
	block    []byte
}

func (r *madeReader) Read(p []byte) (int, error) {
	if r.at >= r.size {
		return 0, io.EOF
	}
	in := r.at % madeBlock
	binary.LittleEndian.PutUint64(r.block, uint64(r.at/madeBlock))
	n := copy(p[:min(int64(len(p)), r.size-r.at)], r.block[in:])
	r.at += int64(n)
	return n, nil
}

func (r *madeReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
		r.at = offset
	case io.SeekCurrent:
		r.at += offset
	case io.SeekEnd:
		r.at = r.size + offset
	}
	return r.at, nil
}

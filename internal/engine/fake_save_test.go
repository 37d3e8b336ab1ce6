package engine_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"

	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

func (f *fake) save(w http.ResponseWriter, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := f.id(name)
	if id == "" {
		refuse(w, http.StatusNotFound, "reference does not exist")
		return
	}
	w.Header().Set("Content-Type", "application/x-tar")
	t := tar.NewWriter(w)
	defer t.Close()
	if f.keeps {
		saveLayout(t, name, f.roots[id], f.images[id])
	} else {
		saveDocker(t, name, f.roots[id], f.images[id])
	}
}

// legacy is the folder of a layer and the document in it, as dockerd 20.10 makes
// them. parent is the folder of the layer below it and chain its chain ID.
func legacy(diffID string, top bool, parent, chain *string) (dir string, doc []byte) {
	if *chain == "" {
		*chain = diffID
	} else {
		*chain = sum(*chain + " " + diffID)
	}
	m := map[string]any{"created": "1970-01-01T00:00:00Z", "container_config": map[string]any{"Hostname": "", "Cmd": []string{"<&>"}}}
	if top {
		m["os"] = "linux"
	}
	m["layer_id"] = *chain
	if *parent != "" {
		m["parent"] = "sha256:" + *parent
	}
	raw, _ := json.Marshal(m)
	dir = strings.TrimPrefix(sum(string(raw)), "sha256:")
	delete(m, "layer_id")
	m["id"], m["os"] = dir, "linux"
	if *parent != "" {
		m["parent"] = *parent
	}
	raw, _ = json.Marshal(m)
	*parent = dir
	return dir, raw
}

func sum(s string) string { return transfertest.DescriptorOf("sha256", "", []byte(s)).Digest.String() }

func put(t *tar.Writer, name string, data []byte) {
	_ = t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o644})
	_, _ = t.Write(data)
}

func putJSON(t *tar.Writer, name string, document any) {
	data, _ := json.Marshal(document)
	put(t, name, data)
}

// saveLayout writes what the containerd store gives out: an index of index.json
// names all platforms, also those that are not there.
func saveLayout(t *tar.Writer, name string, root v1.Descriptor, c transfertest.Content) {
	for _, h := range slices.SortedFunc(maps.Keys(c), func(a, b v1.Hash) int { return strings.Compare(a.Hex, b.Hex) }) {
		put(t, "blobs/"+h.Algorithm+"/"+h.Hex, c[h])
	}
	root.Annotations = map[string]string{"io.containerd.image.name": name}
	putJSON(t, "index.json", v1.IndexManifest{SchemaVersion: 2, Manifests: []v1.Descriptor{root}})
	putJSON(t, "oci-layout", map[string]string{"imageLayoutVersion": "1.0.0"})
}

// saveDocker writes what dockerd 20.10 gives out: a folder for each layer, a
// link for one that was there before, manifest.json last.
func saveDocker(t *tar.Writer, name string, root v1.Descriptor, c transfertest.Content) {
	var m v1.Manifest
	_ = json.Unmarshal(c[root.Digest], &m)
	config := m.Config.Digest.Hex + ".json"
	var layers []string
	first := map[v1.Hash]string{}
	ids := diffIDs(c[m.Config.Digest])
	parent, chain := "", ""
	for i, l := range m.Layers {
		dir, doc := legacy(ids[i], i == len(m.Layers)-1, &parent, &chain)
		_ = t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755})
		put(t, dir+"/VERSION", []byte("1.0"))
		put(t, dir+"/json", doc)
		if to := first[l.Digest]; to != "" {
			_ = t.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: dir + "/layer.tar", Linkname: "../" + to + "/layer.tar"})
		} else {
			z, _ := gzip.NewReader(bytes.NewReader(c[l.Digest]))
			plain, _ := io.ReadAll(z)
			put(t, dir+"/layer.tar", plain)
			first[l.Digest] = dir
		}
		layers = append(layers, dir+"/layer.tar")
	}
	put(t, config, c[m.Config.Digest])
	putJSON(t, "manifest.json", []map[string]any{{"Config": config, "RepoTags": []string{name}, "Layers": layers}})
	put(t, "repositories", []byte(`{}`))
}

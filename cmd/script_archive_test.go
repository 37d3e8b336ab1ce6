package cmd_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"github.com/rogpeppe/go-internal/testscript"
)

// savedBy writes an archive as docker save does: as docker 24, with layers as
// plain tars and a list; or as docker 29, with an index that names two platforms
// of which linux/amd64 alone was pulled. NAME is a short one, as docker has it.
func savedBy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: savedby docker24|docker29|evil FILE NAME...")
	}
	var files map[string][]byte
	switch args[0] {
	case "docker24":
		files = docker24(args[2:])
	case "docker29":
		files = docker29(args[2], "amd64")
	case "evil":
		files = docker24(args[2:])
		files["../../escaped"] = []byte("x")
	default:
		ts.Fatalf("no docker called %q", args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), tarOf(files), 0o600))
}

// spoil flips a bit of the largest blob in a layout.
func spoil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: spoil LAYOUT")
	}
	blobs, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "blobs", "sha256", "*"))
	ts.Check(err)
	var largest string
	var data []byte
	for _, path := range blobs {
		got, err := os.ReadFile(path)
		ts.Check(err)
		if len(got) > len(data) {
			largest, data = path, got
		}
	}
	data[len(data)/2] ^= 1
	ts.Check(os.WriteFile(largest, data, 0o600))
}

func tarOf(files map[string][]byte) []byte {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(files[name])), Mode: 0o644})
		_, _ = w.Write(files[name])
	}
	_ = w.Close()
	return b.Bytes()
}

func sha(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

func mustJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

func savedLayer(text, arch string) (layer, config []byte) {
	layer = tarOf(map[string][]byte{"hello": []byte(text)})
	return layer, mustJSON(map[string]any{
		"architecture": arch, "os": "linux", "config": map[string]any{},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + sha(layer)}},
	})
}

func docker24(names []string) map[string][]byte {
	files := map[string][]byte{}
	var list []any
	for i, name := range names {
		layer, config := savedLayer(name, "amd64")
		dir := fmt.Sprintf("%064d", i)
		files[dir+"/layer.tar"] = layer
		files[sha(config)+".json"] = config
		list = append(list, map[string]any{"Config": sha(config) + ".json", "RepoTags": []string{name}, "Layers": []string{dir + "/layer.tar"}})
	}
	files["manifest.json"] = mustJSON(list)
	return files
}

// docker29 has an index of linux/amd64 and linux/arm64 with those images that were pulled.
func docker29(name string, pulled ...string) map[string][]byte {
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	add := func(mediaType string, data []byte) map[string]any {
		files["blobs/sha256/"+sha(data)] = data
		return map[string]any{"mediaType": mediaType, "size": len(data), "digest": "sha256:" + sha(data)}
	}
	const oci = "application/vnd.oci.image."
	var images []any
	for _, arch := range []string{"amd64", "arm64"} {
		layer, config := savedLayer(name, arch)
		image := map[string]any{"mediaType": oci + "manifest.v1+json", "size": 7, "digest": "sha256:" + sha([]byte(arch))}
		if slices.Contains(pulled, arch) {
			image = add(oci+"manifest.v1+json", mustJSON(map[string]any{
				"schemaVersion": 2, "mediaType": oci + "manifest.v1+json",
				"config": add(oci+"config.v1+json", config), "layers": []any{add(oci+"layer.v1.tar", layer)},
			}))
		}
		image["platform"] = map[string]any{"os": "linux", "architecture": arch}
		images = append(images, image)
	}
	index := add(oci+"index.v1+json", mustJSON(map[string]any{"schemaVersion": 2, "mediaType": oci + "index.v1+json", "manifests": images}))
	index["annotations"] = map[string]any{"io.containerd.image.name": "docker.io/library/" + name, "org.opencontainers.image.ref.name": "1"}
	files["index.json"] = mustJSON(map[string]any{"schemaVersion": 2, "manifests": []any{index}})
	return files
}

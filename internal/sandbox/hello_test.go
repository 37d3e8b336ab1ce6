package sandbox

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// helloDigest pins every byte of the image, on every machine.
const helloDigest = "sha256:071604a730c445e6f1a974b22f5ec9211504d0f0fa930053434096b99e865a26"

func TestHelloIndexIsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	index, err := HelloIndex()
	if err != nil {
		t.Fatal(err)
	}
	if digest, err := index.Digest(); err != nil || digest.String() != helloDigest {
		t.Errorf("digest %s, %v", digest, err)
	}
	wantWhole(t, index)
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Manifests) != 2 || list.Manifests[0].Platform.String() != "linux/amd64" || list.Manifests[1].Platform.String() != "linux/arm64" {
		t.Errorf("platforms %+v", list.Manifests)
	}
}

// wantWhole reads everything that an index names, and compares it with the
// digests in manifests and configs.
func wantWhole(t *testing.T, index v1.ImageIndex) {
	t.Helper()
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list.Manifests {
		image, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := image.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := image.RawConfigFile()
		if err != nil || digestOf(raw) != manifest.Config.Digest.String() {
			t.Errorf("config of %s: %v", d.Digest, err)
		}
		layers, err := image.Layers()
		if err != nil || len(layers) != len(manifest.Layers) || len(layers) != len(config.RootFS.DiffIDs) {
			t.Fatalf("%d layers of %s: %v", len(layers), d.Digest, err)
		}
		for i, l := range layers {
			wantBytes(t, l.Compressed, manifest.Layers[i].Digest)
			wantBytes(t, l.Uncompressed, config.RootFS.DiffIDs[i])
		}
	}
}

func wantBytes(t *testing.T, open func() (io.ReadCloser, error), want v1.Hash) {
	t.Helper()
	r, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if raw, err := io.ReadAll(r); err != nil || digestOf(raw) != want.String() {
		t.Errorf("%d bytes are not %s: %v", len(raw), want, err)
	}
}

// files are what the layers of one image lay down.
func files(t *testing.T, d v1.Descriptor) map[string][]byte {
	t.Helper()
	index, err := HelloIndex()
	if err != nil {
		t.Fatal(err)
	}
	image, err := index.Image(d.Digest)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]byte{}
	for _, l := range layers {
		plain, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for r := tar.NewReader(plain); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if got[h.Name], err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	return got
}

func TestHelloPrintsItsText(t *testing.T) {
	t.Parallel()
	index, err := HelloIndex()
	if err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list.Manifests {
		got := files(t, d)
		if len(got) != 2 || string(got["hello.txt"]) != helloText {
			t.Errorf("%s: files %q", d.Platform, got)
		}
		checkProgram(t, d.Platform.Architecture, got["hello"])
		if runtime.GOOS != "linux" || runtime.GOARCH != d.Platform.Architecture {
			continue
		}
		program := filepath.Join(t.TempDir(), "hello")
		if err := os.WriteFile(program, got["hello"], 0o700); err != nil { //nolint:gosec // it is to be run
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), program).CombinedOutput() //nolint:gosec // the file written above
		if err != nil || string(out) != helloText {
			t.Errorf("%s: printed %q, %v", d.Platform, out, err)
		}
	}
}

// checkProgram reads the headers as a loader does.
func checkProgram(t *testing.T, architecture string, program []byte) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[architecture]
	if f.Machine != want || f.Type != elf.ET_EXEC || f.ByteOrder != binary.LittleEndian || len(f.Progs) != 1 {
		t.Fatalf("%s: header %+v", architecture, f.FileHeader)
	}
	p := f.Progs[0]
	if p.Type != elf.PT_LOAD || p.Flags != elf.PF_R|elf.PF_X || p.Off != 0 || p.Filesz != uint64(len(program)) || p.Vaddr%p.Align != 0 {
		t.Errorf("%s: segment %+v", architecture, p.ProgHeader)
	}
	if f.Entry < p.Vaddr || f.Entry >= p.Vaddr+p.Filesz {
		t.Errorf("%s: entry %#x outside of the segment", architecture, f.Entry)
	}
}

package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// holding is an archive of these blobs, and descriptors of them.
func holding(blobs ...[]byte) (*Archive, []v1.Descriptor) {
	a := fresh("x.tar", Options{})
	var all []v1.Descriptor
	for _, data := range blobs {
		d := v1.Descriptor{MediaType: types.OCIManifestSchema1, Size: int64(len(data)), Digest: sum(data)}
		a.files.extents[BlobName(d.Digest)] = inMemory(data)
		all = append(all, d)
	}
	return a, all
}

func walkOf(t *testing.T, a *Archive) *walk {
	t.Helper()
	return &walk{ctx: t.Context(), archive: a, image: a.NewImage(), seen: map[v1.Hash]bool{}}
}

// The manifests of an image are held in memory: all of them count together.
func TestAllManifestsOfAnImageAreBounded(t *testing.T) {
	t.Parallel()
	a, children := holding([]byte(`{"schemaVersion":2}`), []byte(`{"schemaVersion":2,"x":1}`))
	raw, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, Manifests: children})
	if err != nil {
		t.Fatal(err)
	}
	root := v1.Descriptor{MediaType: types.OCIImageIndex, Size: int64(len(raw)), Digest: sum(raw)}
	a.files.extents[BlobName(root.Digest)] = inMemory(raw)
	all := root.Size + children[0].Size + children[1].Size
	for room, fits := range map[int64]bool{all: true, all - 1: false} {
		w := walkOf(t, a)
		w.bytes = maxManifests - room
		_, err := w.visit(root, 0)
		var bad *Error
		if refused := errors.As(err, &bad) && bad.Unsafe; refused == fits || (err == nil) != fits {
			t.Errorf("with %d bytes left for %d: %v", room, all, err)
		}
	}
}

func TestIndexesLieBelowFewOthers(t *testing.T) {
	t.Parallel()
	a, below := holding([]byte(`{"schemaVersion":2}`))
	for depth := 1; depth <= maxDepth+1; depth++ {
		raw, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, Manifests: below})
		if err != nil {
			t.Fatal(err)
		}
		below = []v1.Descriptor{{MediaType: types.OCIImageIndex, Size: int64(len(raw)), Digest: sum(raw)}}
		a.files.extents[BlobName(below[0].Digest)] = inMemory(raw)
		_, err = walkOf(t, a).visit(below[0], 0)
		if refused := err != nil && strings.Contains(err.Error(), "lies below"); refused != (depth > maxDepth) {
			t.Errorf("%d indexes: %v", depth, err)
		}
	}
}

// zstdFrame is data in one block of a frame whose window is 1<<log bytes (RFC 8878,
// 3.1.1).
func zstdFrame(log int, data []byte) []byte {
	head := len(data)<<3 | 1 // raw, and the last
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, byte(log-10) << 3, byte(head), byte(head >> 8), byte(head >> 16)}
	return append(frame, data...)
}

// What is compressed says how much memory its reader has to have.
func TestMemoryForZstdIsBounded(t *testing.T) {
	t.Parallel()
	for log, fits := range map[int]bool{27: true, 28: false} {
		a := fresh("x.tar", Options{})
		var got []byte
		err := a.unpacked(bytes.NewReader(zstdFrame(log, []byte("plain"))), func(plain io.Reader) (err error) {
			got, err = io.ReadAll(plain)
			return err
		})
		var bad *Error
		if fits && (err != nil || string(got) != "plain") || !fits && (!errors.As(err, &bad) || len(got) > 0) {
			t.Errorf("a window of 1<<%d: %q, %v", log, got, err)
		}
	}
}

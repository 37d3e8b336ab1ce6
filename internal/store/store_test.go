package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout" //nolint:depguard // here as one of the other tools, and it only reads
	"github.com/google/go-containerregistry/pkg/v1/types"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSuite(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(string) *store.Store{"store": store.Open, "layout": store.OpenLayout} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			transfertest.TestSink(t, func(t *testing.T) transfertest.Place {
				t.Helper()
				dir := filepath.Join(t.TempDir(), "made", "when needed")
				return transfertest.Place{
					Sink:    func(name string) transfer.Sink { return open(dir).Sink(name) },
					Source:  func(name string) transfer.Source { return open(dir).Source(name) },
					Resumes: true,
				}
			})
		})
	}
}

// sample is an image of one layer.
func sample(seed byte) *transfertest.Source {
	c := transfertest.Content{}
	return &transfertest.Source{Root: c.Image(transfertest.Amd64(), c.Layer(transfertest.Bytes(seed, 5000))), Content: c}
}

func layerOf(src *transfertest.Source) v1.Descriptor {
	for h, data := range src.Content {
		if len(data) == 5000 {
			return v1.Descriptor{MediaType: types.OCILayer, Digest: h, Size: 5000}
		}
	}
	panic("no layer")
}

func put(t *testing.T, s *store.Store, name string, src transfer.Source) {
	t.Helper()
	if _, err := transfer.Copy(t.Context(), src, s.Sink(name), transfer.Options{}); err != nil {
		t.Fatal(err)
	}
}

func digestOf(t *testing.T, s *store.Store, name string) string {
	t.Helper()
	d, err := s.Source(name).Resolve(t.Context())
	if err != nil {
		t.Fatalf("%q: %v", name, err)
	}
	return d.Digest.String()
}

func TestOtherToolsReadWhatIsWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	src := sample(1)
	put(t, store.OpenLayout(dir), "v1", src)
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	image, err := index.Image(src.Root.Digest)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := image.LayerByDigest(layerOf(src).Digest)
	if err != nil {
		t.Fatal(err)
	}
	if size, err := layer.Size(); err != nil || size != 5000 {
		t.Errorf("the layer has %d bytes, %v", size, err)
	}
	version, err := os.ReadFile(filepath.Join(dir, "oci-layout"))
	if err != nil || string(version) != `{"imageLayoutVersion":"1.0.0"}` {
		t.Errorf("oci-layout: %s, %v", version, err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	want := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":%d,"digest":"%s","annotations":{"org.opencontainers.image.ref.name":"v1"}}]}`,
		src.Root.Size, src.Root.Digest)
	if err != nil || string(raw) != want {
		t.Errorf("index.json: %s, %v\nwant %s", raw, err, want)
	}
}

func TestFolderHoldsBlobsByDigestAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	src := sample(1)
	put(t, store.Open(dir), "registry.example.com/demo/app:1", src)
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files = append(files, filepath.ToSlash(name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"index.json", "ingest/lock", "ingest/turn", "ingest/use", "oci-layout"}
	for h, data := range src.Content {
		want = append(want, "blobs/sha256/"+h.Hex)
		got, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", h.Hex))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %v", h, err)
		}
	}
	slices.Sort(files)
	slices.Sort(want)
	if !slices.Equal(files, want) {
		t.Errorf("got %q\nwant %q", files, want)
	}
}

func TestNamesAreGivenOnceEach(t *testing.T) {
	t.Parallel()
	images := []*transfertest.Source{sample(1), sample(2), sample(3)}
	dir, round := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		s := store.Open(filepath.Join(dir, fmt.Sprint(round)))
		want := map[string]string{}
		name := rapid.SampledFrom([]string{"h/a:1", "h/a:2", "h/b@sha256:00", "x"})
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			if n := name.Draw(t, "name"); rapid.Bool().Draw(t, "put") {
				src := rapid.SampledFrom(images).Draw(t, "image")
				if _, err := transfer.Copy(context.Background(), src, s.Sink(n), transfer.Options{}); err != nil {
					t.Fatal(err)
				}
				want[n] = src.Root.Digest.String()
			} else {
				to := rapid.SliceOfN(name, 1, 3).Draw(t, "to")
				err := s.Tag(context.Background(), n, to...)
				if want[n] == "" {
					if !errors.Is(err, transfer.ErrNotFound) {
						t.Fatalf("tagging what is not there: %v", err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range to {
					want[m] = want[n]
				}
			}
		}
		list, err := s.List(context.Background())
		if err != nil || len(list) != len(want) {
			t.Fatalf("listed %v, %v; want %v", list, err, want)
		}
		for _, n := range list {
			if n.Desc.Digest.String() != want[n.Name] {
				t.Fatalf("%s is %s, want %s", n.Name, n.Desc.Digest, want[n.Name])
			}
		}
	})
}

func TestTagInParallelLosesNoName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, store.Open(dir), "a", sample(1))
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			if err := store.Open(dir).Tag(t.Context(), "a", fmt.Sprint("b", i)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if list, err := store.Open(dir).List(t.Context()); err != nil || len(list) != 21 {
		t.Errorf("%d names, %v; want 21", len(list), err)
	}
}

func TestTagMakesNoStore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "none")
	if err := store.Open(dir).Tag(t.Context(), "a", "b"); !errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if list, err := store.Open(dir).List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("listed %v, %v", list, err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder was made: %v", err)
	}
}

func TestBitRotIsFoundWhenRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	src := sample(1)
	put(t, store.Open(dir), "a", src)
	for h, data := range src.Content {
		path := filepath.Join(dir, "blobs", "sha256", h.Hex)
		rotten := bytes.Clone(data)
		rotten[len(rotten)/2] ^= 4
		if err := os.WriteFile(path, rotten, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := transfer.Copy(t.Context(), store.Open(dir).Source("a"), &transfertest.Sink{}, transfer.Options{})
		if wrong, ok := errors.AsType[*transfer.DigestError](err); !ok || wrong.Want != h {
			t.Errorf("%s: got %v", h, err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDigestIsProvenBeforeAPathIsMadeOfIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	evil := v1.Descriptor{Digest: v1.Hash{Algorithm: "sha256", Hex: "../../../etc/passwd"}, Size: 1}
	s := store.Open(dir)
	if rc, err := s.Source("a").Blob(t.Context(), evil, 0); err == nil {
		_ = rc.Close()
		t.Error("it was opened")
	}
	open := func(context.Context, int64) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }
	if _, err := s.Sink("a").PutBlob(t.Context(), evil, open); err == nil {
		t.Error("it was taken")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("something was made: %v, %v", left, err)
	}
}

func TestIndexIsLockedByOneAtATime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, store.Open(dir), "a", sample(1))
	// A process that another test starts has this one's files until it runs its program.
	lock, err := atomicfile.Lock(t.Context(), filepath.Join(dir, "ingest", "lock"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.Open(dir).Tag(ctx, "a", "b"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	if list, err := store.Open(dir).List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("listed %v, %v", list, err)
	}
}

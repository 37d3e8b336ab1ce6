package memo_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/memo"
)

func hash(i int) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%064x", i)} }

func TestRepositoriesOfABlob(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "yet")
	b := memo.OpenBlobs(dir)
	if got := b.Repositories("h:5000", hash(1)); got != nil {
		t.Errorf("it knows %q, which nobody told", got)
	}
	for _, repository := range []string{"a/x", "a/y", "a/x"} {
		if err := b.Add("h:5000", repository, hash(1), hash(2)); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range []*memo.Blobs{b, memo.OpenBlobs(dir)} {
		if got := b.Repositories("h:5000", hash(2)); !slices.Equal(got, []string{"a/x", "a/y"}) {
			t.Errorf("got %q, want the last seen first", got)
		}
		if got := b.Repositories("h", hash(1)); got != nil {
			t.Errorf("another registry has %q", got)
		}
	}
}

func TestBlobsOfALayerAndManifestsOfAnImage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	gz := v1.Descriptor{MediaType: types.DockerLayer, Size: 7, Digest: hash(2)}
	zst := v1.Descriptor{MediaType: types.OCILayerZStd, Size: 5, Digest: hash(3)}
	l := memo.OpenLayers(dir)
	for _, d := range []v1.Descriptor{gz, zst} {
		if err := l.Add(map[v1.Hash]v1.Descriptor{hash(1): d}); err != nil {
			t.Fatal(err)
		}
	}
	same := func(a, b v1.Descriptor) bool {
		return a.Digest == b.Digest && a.Size == b.Size && a.MediaType == b.MediaType
	}
	if got := memo.OpenLayers(dir).Blobs(hash(1)); !slices.EqualFunc(got, []v1.Descriptor{zst, gz}, same) {
		t.Errorf("got %v", got)
	}
	if err := memo.OpenManifests(dir).Add("sha256:id", gz); err != nil {
		t.Fatal(err)
	}
	if got := memo.OpenManifests(dir).Of("sha256:id"); !slices.EqualFunc(got, []v1.Descriptor{gz}, same) {
		t.Errorf("got %v", got)
	}
	if err := memo.OpenManifests(dir).AddAll(map[string]v1.Descriptor{"sha256:id": zst, "sha256:other": gz}); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string][]v1.Descriptor{"sha256:id": {zst, gz}, "sha256:other": {gz}} {
		if got := memo.OpenManifests(dir).Of(id); !slices.EqualFunc(got, want, same) {
			t.Errorf("%s: got %v", id, got)
		}
	}
}

func TestTablesAreBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var all strings.Builder
	for i := range 30_000 {
		fmt.Fprintf(&all, "h/%s a/x\n", hash(i))
	}
	if err := os.WriteFile(filepath.Join(dir, "blobs"), []byte(all.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	b := memo.OpenBlobs(dir)
	if err := b.Add("h", "a/new", hash(1<<20)); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "blobs"))
	if err != nil || strings.Count(string(raw), "\n") != 20_000 {
		t.Errorf("%d facts, %v", strings.Count(string(raw), "\n"), err)
	}
	if b.Repositories("h", hash(1<<20)) == nil || b.Repositories("h", hash(0)) != nil {
		t.Error("it does not keep the newest")
	}
}

// What cannot be used is left out, whoever wrote it.
func TestFactsThatAreNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := strings.Join([]string{
		"sha256:id", "", " ", "sha256:id x,1,t", "sha256:id " + hash(1).String() + ",-1,t",
		"sha256:id " + hash(1).String() + ",1,", "sha256:id " + hash(1).String() + ",1,t u",
	}, "\n")
	if err := os.WriteFile(filepath.Join(dir, "manifests"), []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := memo.OpenManifests(dir).Of("sha256:id"); got != nil {
		t.Errorf("got %v", got)
	}
	b := memo.OpenBlobs(dir)
	if err := b.Add("h", "a b\nc", hash(1)); err != nil || b.Repositories("h", hash(1)) != nil {
		t.Errorf("a name with a space was kept: %v", err)
	}
	var none *memo.Blobs
	if none.Repositories("h", hash(1)) != nil || none.Add("h", "a", hash(1)) != nil {
		t.Error("nobody's memo is not empty")
	}
	if memo.OpenBlobs("") != nil || memo.OpenPushes("") != nil || memo.OpenLayers("") != nil || memo.OpenManifests("") != nil {
		t.Error("it remembers where there is no folder")
	}
	var noLayers *memo.Layers
	var noManifests *memo.Manifests
	if noLayers.Blobs(hash(1)) != nil || noLayers.Add(nil) != nil || noManifests.Of("x") != nil || noManifests.Add("x", v1.Descriptor{}) != nil || noManifests.AddAll(nil) != nil {
		t.Error("nobody's memo is not empty")
	}
}

func TestFactsAreAddedFromSeveralGoroutines(t *testing.T) {
	t.Parallel()
	b := memo.OpenBlobs(t.TempDir())
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if err := b.Add("h", "a/x", hash(i)); err != nil {
				t.Error(err)
			}
			_ = b.Repositories("h", hash(i))
		})
	}
	wg.Wait()
	for i := range 20 {
		if b.Repositories("h", hash(i)) == nil {
			t.Errorf("%d was lost", i)
		}
	}
}

package store_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"pgregory.net/rapid"

	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// files lists the blobs of a store.
func files(tb testing.TB, dir string) []string {
	tb.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "blobs", "*", "*"))
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

func TestImagesAreListedWithWhatTheirManifestsSay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := store.Open(dir)
	c := transfertest.Content{}
	layer := c.Layer(transfertest.Bytes(9, 5000))
	amd, arm := c.Image(transfertest.Amd64(), layer), c.Image(transfertest.Arm64(), layer)
	put(t, s, "b:1", &transfertest.Source{Root: c.Index(amd, arm), Content: c})
	put(t, s, "a:1", sample(1))
	list, err := s.Images(t.Context())
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	if a := list[0]; a.Name != "a:1" || len(a.Platforms) != 1 || a.Platforms[0].String() != "linux/amd64" || a.Size < 5000 || a.Damaged || time.Since(a.Stored) > time.Hour {
		t.Errorf("%+v", a)
	}
	var total int64
	for _, data := range c {
		total += int64(len(data))
	}
	if b := list[1]; len(b.Platforms) != 2 || b.Size != total || b.Damaged {
		t.Errorf("%+v, of %d bytes", b, total)
	}
	must(t, os.Remove(filepath.Join(dir, "blobs", "sha256", layer.Digest.Hex)))
	if list, err = s.Images(t.Context()); err != nil || list[0].Damaged || !list[1].Damaged {
		t.Errorf("%+v, %v", list, err)
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func TestANameIsTakenAway(t *testing.T) {
	t.Parallel()
	one, two := sample(1), sample(2)
	d1, d2 := one.Root.Digest.String(), two.Root.Digest.String()
	for name, test := range map[string]struct {
		want []string // what is left; nil: there is no such image
	}{
		"r.example/a:1":         {[]string{"r.example/a:2", "r.example/b:1", "r.example/c@" + d1}},
		"r.example/a:1@" + d1:   {[]string{"r.example/a:2", "r.example/b:1", "r.example/c@" + d1}},
		"r.example/a@" + d1:     {[]string{"r.example/a:2", "r.example/b:1", "r.example/c@" + d1}},
		"r.example/c@" + d1:     {[]string{"r.example/a:1", "r.example/a:2", "r.example/b:1"}},
		d1:                      {[]string{"r.example/a:2"}},
		"r.example/a:1@" + d2:   {nil},
		"r.example/a:3":         {nil},
		"r.example/a":           {nil},
		"r.example/b:2@" + d1:   {nil},
		"sha256:" + zeros(64):   {nil},
		"other.example/a@" + d1: {nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := store.Open(t.TempDir())
			put(t, s, "r.example/a:1", one)
			put(t, s, "r.example/b:1", one)
			put(t, s, "r.example/a:2", two)
			put(t, s, "r.example/c@"+d1, one)
			removed, err := s.Remove(t.Context(), name)
			if test.want == nil {
				if !errors.Is(err, transfer.ErrNotFound) || len(removed) > 0 {
					t.Errorf("removed %v, %v", removed, err)
				}
				return
			}
			must(t, err)
			list, err := s.List(t.Context())
			must(t, err)
			var left []string
			for _, n := range list {
				left = append(left, n.Name)
			}
			if !slices.Equal(left, test.want) || len(removed)+len(left) != 4 {
				t.Errorf("left are %q, removed %v", left, removed)
			}
		})
	}
}

func zeros(n int) string { return strings.Repeat("0", n) }

func TestRemoveMakesNoStore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "none")
	s := store.Open(dir)
	if _, err := s.Remove(t.Context(), "a"); !errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if all, err := s.Collect(t.Context(), store.Collecting{Now: time.Now()}); err != nil || len(all) > 0 {
		t.Errorf("%v, %v", all, err)
	}
	if v, err := s.Verify(t.Context(), nil); err != nil || v.Blobs != 0 {
		t.Errorf("%v, %v", v, err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Error("a store was made")
	}
}

// Whichever bit of whichever blob is flipped, it is found, and so is who needs it.
func TestVerifyFindsEveryFlippedBit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := store.Open(dir)
	images := map[string]*transfertest.Source{"a": sample(1), "b": sample(2)}
	for name, src := range images {
		put(t, s, name, src)
	}
	if v, err := s.Verify(t.Context(), nil); err != nil || v.Blobs != len(files(t, dir)) || v.Images != 2 {
		t.Fatalf("%+v, %v", v, err)
	}
	all := files(t, dir)
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.SampledFrom(all).Draw(t, "blob")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bit := rapid.IntRange(0, 8*len(data)-1).Draw(t, "bit")
		spoilt := slices.Clone(data)
		spoilt[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(path, spoilt, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = s.Verify(t.Context(), nil)
		if werr := os.WriteFile(path, data, 0o600); werr != nil {
			t.Fatal(werr)
		}
		bad, ok := errors.AsType[*store.DamagedError](err)
		if !ok {
			t.Fatalf("bit %d of %s: %v", bit, path, err)
		}
		found := slices.ContainsFunc(bad.Faults, func(f store.Fault) bool {
			return f.Digest.Hex == filepath.Base(path) && f.Why == "wrong bytes" && len(f.Images) > 0
		})
		for _, name := range bad.Images() {
			if _, needs := images[name].Content[v1.Hash{Algorithm: "sha256", Hex: filepath.Base(path)}]; !needs {
				t.Errorf("%s is said to be hurt", name)
			}
		}
		if !found {
			t.Errorf("bit %d of %s: %+v", bit, path, bad.Faults)
		}
	})
}

func TestVerifyTellsWhatIsWrongWithABlob(t *testing.T) {
	t.Parallel()
	for why, spoil := range map[string]func(path string) error{
		"missing":     os.Remove,
		"wrong size":  func(path string) error { return os.Truncate(path, 100) },
		"wrong bytes": func(path string) error { return os.WriteFile(path, transfertest.Bytes(7, 5000), 0o600) },
	} {
		t.Run(why, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := store.Open(dir)
			put(t, s, "a", sample(1))
			must(t, s.Tag(t.Context(), "a", "b"))
			put(t, s, "c", sample(2))
			layer := layerOf(sample(1))
			must(t, spoil(filepath.Join(dir, "blobs", "sha256", layer.Digest.Hex)))
			_, err := s.Verify(t.Context(), nil)
			bad, ok := errors.AsType[*store.DamagedError](err)
			if !ok || len(bad.Faults) != 1 || bad.Faults[0].Why != why || bad.Faults[0].Digest != layer.Digest || !slices.Equal(bad.Images(), []string{"a", "b"}) {
				t.Errorf("%+v", err)
			}
			// Pulled again after the names were taken away, it is whole.
			for _, name := range []string{"a", "b"} {
				_, err := s.Remove(t.Context(), name)
				must(t, err)
			}
			_, err = s.Collect(t.Context(), store.Collecting{Now: time.Now()})
			must(t, err)
			put(t, s, "a", sample(1))
			if _, err := s.Verify(t.Context(), nil); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCollectRemovesWhatNoImageNeeds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := store.Open(dir)
	put(t, s, "a", sample(1))
	put(t, s, "b", sample(2))
	put(t, s, "again", sample(1))
	before := len(files(t, dir))
	if all, err := s.Collect(t.Context(), store.Collecting{Now: time.Now()}); err != nil || len(all) > 0 {
		t.Fatalf("all is needed: %v, %v", all, err)
	}
	_, err := s.Remove(t.Context(), "a")
	must(t, err)
	if all, err := s.Collect(t.Context(), store.Collecting{Now: time.Now()}); err != nil || len(all) > 0 {
		t.Fatalf("it has another name: %v, %v", all, err)
	}
	_, err = s.Remove(t.Context(), "again")
	must(t, err)
	would, err := s.Collect(t.Context(), store.Collecting{Now: time.Now(), Dry: true})
	if err != nil || len(files(t, dir)) != before {
		t.Fatalf("a dry run removed something: %v", err)
	}
	all, err := s.Collect(t.Context(), store.Collecting{Now: time.Now()})
	if err != nil || !slices.Equal(all, would) || len(all) != 2 { // the config is shared
		t.Errorf("removed %v, said %v, %v", all, would, err)
	}
	if n := len(files(t, dir)); n != before-2 {
		t.Errorf("%d blobs are left of %d", n, before)
	}
	if got := digestOf(t, s, "b"); got != sample(2).Root.Digest.String() {
		t.Errorf("b is %s", got)
	}
	if _, err := s.Verify(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// A part of a blob is kept for as long as somebody may go on with it.
func TestCollectLeavesYoungPartsAndTakesOldOnes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := store.Open(dir)
	put(t, s, "a", sample(1))
	src := sample(3)
	src.Fault = func(d v1.Descriptor, _ int64, r io.Reader) (io.Reader, error) {
		if d.Size == 5000 {
			return transfertest.Cut(r, 2000, io.ErrUnexpectedEOF), nil
		}
		return r, nil
	}
	if _, err := transfer.Copy(t.Context(), src, s.Sink("c"), transfer.Options{}); err == nil {
		t.Fatal("it was not cut")
	}
	part := filepath.Join(dir, "ingest", "sha256-"+layerOf(src).Digest.Hex)
	has := func() bool { _, err := os.Stat(part); return err == nil }
	if _, err := s.Collect(t.Context(), store.Collecting{Now: time.Now()}); err != nil || !has() {
		t.Fatalf("a young part was taken (%v)", err)
	}
	all, err := s.Collect(t.Context(), store.Collecting{Now: time.Now().Add(8 * 24 * time.Hour)})
	if err != nil || has() || len(all) != 1 || !all[0].Part || all[0].Size != 2000 {
		t.Errorf("%v, %v", all, err)
	}
}

// What a damaged manifest names is not known: nothing is removed.
func TestCollectRemovesNothingFromADamagedStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := store.Open(dir)
	src := sample(1)
	put(t, s, "a", src)
	must(t, os.WriteFile(filepath.Join(dir, "blobs", "sha256", src.Root.Digest.Hex), []byte("{}"), 0o600))
	before := files(t, dir)
	_, err := s.Collect(t.Context(), store.Collecting{Now: time.Now()})
	if bad, ok := errors.AsType[*store.DamagedError](err); !ok || !slices.Equal(bad.Images(), []string{"a"}) {
		t.Errorf("got %v", err)
	}
	if !slices.Equal(files(t, dir), before) {
		t.Error("something was removed")
	}
}

func TestHundredsOfImagesAndLayersAreListedFast(t *testing.T) {
	t.Parallel()
	const images, layers = 300, 500
	c := transfertest.Content{}
	var many []v1.Descriptor
	for n := range layers {
		many = append(many, c.Layer(fmt.Appendf(nil, "layer %d", n)))
	}
	all := []*transfertest.Source{{Root: c.Image(transfertest.Amd64(), many...), Content: c}}
	names := []map[string]string{{refName: "r.example/many:1"}}
	for n := range images {
		c := transfertest.Content{}
		all = append(all, &transfertest.Source{Root: c.Image(transfertest.Amd64(), c.Layer(fmt.Append(nil, n))), Content: c})
		names = append(names, map[string]string{refName: fmt.Sprintf("r.example/app:%d", n)})
	}
	s := store.Open(foreign(t, all, names...))
	begin := time.Now()
	list, err := s.Images(t.Context())
	if err != nil || len(list) != images+1 {
		t.Fatalf("%d images, %v", len(list), err)
	}
	if took := time.Since(begin); took > 2*time.Second { // some 30 ms on an idle machine
		t.Errorf("that took %s", took)
	}
}

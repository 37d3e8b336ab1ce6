package store_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

const (
	refName        = "org.opencontainers.image.ref.name"
	containerdName = "io.containerd.image.name"
)

// foreign writes a layout as another tool would, with the images in this order.
func foreign(t *testing.T, images []*transfertest.Source, annotations ...map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	index := v1.IndexManifest{SchemaVersion: 2}
	write := func(name string, data []byte) {
		t.Helper()
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, src := range images {
		for h, data := range src.Content {
			write("blobs/sha256/"+h.Hex, data)
		}
		d := src.Root
		d.Annotations = annotations[i]
		index.Manifests = append(index.Manifests, d)
	}
	raw, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	write("index.json", raw)
	write("oci-layout", []byte(`{"imageLayoutVersion": "1.0.0"}`))
	return dir
}

func TestLayoutsOfOtherToolsAreRead(t *testing.T) {
	t.Parallel()
	one, two := sample(1), sample(2)
	skopeo := map[string]string{refName: "1.0"}
	full := map[string]string{refName: "registry.example.com:5000/demo/app:1.0"}
	save := func(name string) map[string]string {
		return map[string]string{containerdName: "docker.io/library/" + name + ":latest", refName: "latest"}
	}
	for name, test := range map[string]struct {
		open   func(string) *store.Store
		images []*transfertest.Source
		notes  []map[string]string
		ask    string
		want   *transfertest.Source // nil: none
		many   bool                 // not one but several
	}{
		"skopeo, by tag":                     {store.OpenLayout, []*transfertest.Source{one, two}, []map[string]string{skopeo, nil}, "1.0", one, false},
		"skopeo, the only one":               {store.OpenLayout, []*transfertest.Source{one}, []map[string]string{skopeo}, "", one, false},
		"skopeo, another tag":                {store.OpenLayout, []*transfertest.Source{one}, []map[string]string{skopeo}, "2.0", nil, false},
		"crane, which gives no names":        {store.OpenLayout, []*transfertest.Source{one}, []map[string]string{nil}, "", one, false},
		"crane, a name all the same":         {store.OpenLayout, []*transfertest.Source{one}, []map[string]string{nil}, "latest", nil, false},
		"crane, two without names":           {store.OpenLayout, []*transfertest.Source{one, two}, []map[string]string{nil, nil}, "", nil, true},
		"one image twice":                    {store.OpenLayout, []*transfertest.Source{one, one}, []map[string]string{skopeo, nil}, "", one, false},
		"a full name, by tag":                {store.OpenLayout, []*transfertest.Source{one, two}, []map[string]string{full, nil}, "1.0", one, false},
		"the exact name before the tag":      {store.OpenLayout, []*transfertest.Source{two, one}, []map[string]string{full, skopeo}, "1.0", one, false},
		"docker save, by tag":                {store.OpenLayout, []*transfertest.Source{one}, []map[string]string{save("app")}, "latest", one, false},
		"docker save, two with one tag":      {store.OpenLayout, []*transfertest.Source{one, two}, []map[string]string{save("a"), save("b")}, "latest", nil, true},
		"docker save, by full name":          {store.OpenLayout, []*transfertest.Source{one, two}, []map[string]string{save("a"), save("b")}, "docker.io/library/b:latest", two, false},
		"docker save in place of the store":  {store.Open, []*transfertest.Source{one, two}, []map[string]string{save("a"), save("b")}, "docker.io/library/a:latest", one, false},
		"the store takes no tag for a name":  {store.Open, []*transfertest.Source{one}, []map[string]string{full}, "1.0", nil, false},
		"the store has no only image":        {store.Open, []*transfertest.Source{one}, []map[string]string{full}, "", nil, false},
		"pinned to a digest that is here":    {store.Open, []*transfertest.Source{one, two}, []map[string]string{full, nil}, "h/x@" + two.Root.Digest.String(), two, false},
		"pinned to a digest that is not":     {store.Open, []*transfertest.Source{one}, []map[string]string{full}, "h/x@" + two.Root.Digest.String(), nil, false},
		"a port is not a tag":                {store.OpenLayout, []*transfertest.Source{one}, []map[string]string{{refName: "h:5000/app"}}, "5000/app", nil, false},
		"an empty layout has no only image":  {store.OpenLayout, nil, nil, "", nil, false},
		"what stands behind @ is not a tag":  {store.OpenLayout, []*transfertest.Source{one}, []map[string]string{{refName: "h/app@sha256:00"}}, "00", nil, false},
		"several names of one image, by any": {store.OpenLayout, []*transfertest.Source{one, one}, []map[string]string{{refName: "a"}, {refName: "b"}}, "b", one, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := foreign(t, test.images, test.notes...)
			out := &transfertest.Sink{}
			res, err := transfer.Copy(t.Context(), test.open(dir).Source(test.ask), out, transfer.Options{})
			many, ambiguous := errors.AsType[*store.AmbiguousError](err)
			switch {
			case test.many:
				if !ambiguous || len(many.Names) != len(test.images) {
					t.Errorf("got %v, want that there are several", err)
				}
			case test.want == nil:
				missing, ok := errors.AsType[*store.NameError](err)
				if !ok || !errors.Is(err, transfer.ErrNotFound) || len(missing.Names) != len(test.images) {
					t.Errorf("got %v, want that there is none", err)
				}
			case err != nil || res.Root.Digest != test.want.Root.Digest:
				t.Errorf("got %s, %v; want %s", res.Root.Digest, err, test.want.Root.Digest)
			}
		})
	}
}

func TestLayoutsOfOtherToolsAreAddedTo(t *testing.T) {
	t.Parallel()
	one, two := sample(1), sample(2)
	note := map[string]string{refName: "old", "com.example.note": "kept"}
	dir := foreign(t, []*transfertest.Source{one}, note)
	s := store.OpenLayout(dir)
	put(t, s, "new", two)
	if err := s.Tag(t.Context(), "old", "older"); err != nil {
		t.Fatal(err)
	}
	if got := digestOf(t, s, "old"); got != one.Root.Digest.String() {
		t.Errorf("old is %s now", got)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil || strings.Count(string(raw), `"com.example.note":"kept"`) != 2 {
		t.Errorf("the other tool's note is lost: %s, %v", raw, err)
	}
	if err := s.Tag(t.Context(), "new", "old"); err != nil {
		t.Fatal(err)
	}
	if got := digestOf(t, s, "old"); got != two.Root.Digest.String() {
		t.Errorf("old is %s now", got)
	}
}

func TestNameThatSeveralImagesHaveIsNotTakenFromThem(t *testing.T) {
	t.Parallel()
	dir := foreign(t, []*transfertest.Source{sample(1), sample(2)}, map[string]string{refName: "latest"}, map[string]string{refName: "latest"})
	before, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = transfer.Copy(t.Context(), sample(3), store.OpenLayout(dir).Sink("latest"), transfer.Options{})
	if _, ok := errors.AsType[*store.AmbiguousError](err); !ok {
		t.Errorf("got %v", err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "index.json")); err != nil || !slices.Equal(before, after) {
		t.Errorf("index.json was changed: %v", err)
	}
}

func TestFoldersThatAreNoLayoutAreRefused(t *testing.T) {
	t.Parallel()
	entry := func(s string) string { return `{"schemaVersion":2,"manifests":[` + s + `]}` }
	for name, files := range map[string]map[string]string{
		"another version":    {"oci-layout": `{"imageLayoutVersion":"2.0.0"}`, "index.json": entry("")},
		"no version":         {"oci-layout": `{}`, "index.json": entry("")},
		"index that is none": {"index.json": "<html>\x1b[2J"},
		"path for a digest":  {"index.json": entry(`{"digest":"sha256:../../x","size":1}`)},
		"no digest":          {"index.json": entry(`{"size":1}`)},
		"negative size":      {"index.json": entry(`{"digest":"sha256:` + strings.Repeat("a", 64) + `","size":-1}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, data := range files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(data), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s := store.OpenLayout(dir)
			_, resolving := s.Source("a").Resolve(t.Context())
			_, copying := transfer.Copy(t.Context(), sample(1), s.Sink("a"), transfer.Options{})
			for _, err := range []error{resolving, copying} {
				if _, ok := errors.AsType[*store.LayoutError](err); !ok {
					t.Errorf("got %v", err)
				} else if strings.ContainsRune(err.Error(), 0x1b) {
					t.Errorf("raw bytes in %q", err)
				}
			}
			if got, err := os.ReadFile(filepath.Join(dir, "index.json")); err != nil || string(got) != files["index.json"] {
				t.Errorf("index.json was changed to %q, %v", got, err)
			}
		})
	}
}

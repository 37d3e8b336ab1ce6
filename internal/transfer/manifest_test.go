package transfer_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

const digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// copyDocument moves a root of that media type and those bytes.
func copyDocument(t *testing.T, mediaType types.MediaType, raw string) error {
	t.Helper()
	c := transfertest.Content{}
	src := &transfertest.Source{Root: c.Add(mediaType, []byte(raw)), Content: c}
	dst := &transfertest.Sink{}
	_, err := transfer.Copy(t.Context(), src, dst, transfer.Options{})
	if err != nil && dst.Committed() != nil {
		t.Error("committed in spite of the error")
	}
	if opened := src.Opened(); len(opened) > 0 && err != nil {
		t.Errorf("opened %v of a manifest that is refused", opened)
	}
	return err
}

func TestManifestsThatAreRefused(t *testing.T) {
	t.Parallel()
	desc := func(digest string, size any) string {
		return fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%v}`, digest, size)
	}
	image := func(config string) string { return `{"schemaVersion":2,"config":` + config + `,"layers":[]}` }
	for name, test := range map[string]struct {
		mediaType types.MediaType
		raw       string
		why       string
	}{
		"image and index, called image (CVE-2021-41190)": {types.OCIManifestSchema1, `{"config":` + desc(digestA, 1) + `,"layers":[],"manifests":[]}`, "image and an index at once"},
		"image and index, called index (CVE-2021-41190)": {types.OCIImageIndex, `{"layers":[],"manifests":[]}`, "image and an index at once"},
		"other spelling of a field":                      {types.OCIImageIndex, `{"Layers":[],"manifests":[]}`, "image and an index at once"},
		"index that says it is an image":                 {types.OCIImageIndex, `{"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[]}`, "says of itself"},
		"image that says it is Docker's":                 {types.OCIManifestSchema1, `{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":` + desc(digestA, 1) + `,"layers":[]}`, "says of itself"},
		"no media type anywhere":                         {"", image(desc(digestA, 1)), "media type"},
		"unknown media type":                             {"text/html", `{}`, "media type"},
		"image without config":                           {types.OCIManifestSchema1, `{"layers":[]}`, "no config"},
		"index without manifests":                        {types.OCIImageIndex, `{}`, "no manifests"},
		"schema 1 by its type":                           {types.DockerManifestSchema1, `{"schemaVersion":1}`, "schema 1"},
		"schema 1, signed":                               {types.DockerManifestSchema1Signed, `{"schemaVersion":1}`, "schema 1"},
		"schema 1 in disguise":                           {types.DockerManifestSchema2, `{"schemaVersion":1,"fsLayers":[]}`, "schema 1"},
		"not JSON":                                       {types.OCIManifestSchema1, "<html>\x1b[2J", "cannot be read"},
		"no object":                                      {types.OCIManifestSchema1, "[]", "cannot be read: it is not a JSON object"},
		"no list of layers":                              {types.OCIManifestSchema1, `{"schemaVersion":2,"layers":"x"}`, `cannot be read: "layers" in it is of another kind`},
		"something after the JSON":                       {types.OCIManifestSchema1, image(desc(digestA, 1)) + "{}", "cannot be read"},
		"path for a digest":                              {types.OCIManifestSchema1, image(desc("sha256:../../../../etc/passwd", 1)), "cannot be read"},
		"upper-case digest":                              {types.OCIManifestSchema1, image(desc("sha256:"+strings.Repeat("A", 64), 1)), "cannot be read"},
		"short digest":                                   {types.OCIManifestSchema1, image(desc("sha256:aa", 1)), "cannot be read"},
		"sha1 digest":                                    {types.OCIManifestSchema1, image(desc("sha1:"+strings.Repeat("a", 40), 1)), "cannot be read"},
		"md5 digest":                                     {types.OCIManifestSchema1, image(desc("md5:"+strings.Repeat("a", 32), 1)), "cannot be read"},
		"no digest":                                      {types.OCIManifestSchema1, image(`{"size":1}`), "usable digest"},
		"negative size":                                  {types.OCIManifestSchema1, image(desc(digestA, -1)), "size of -1"},
		"size of 2^63":                                   {types.OCIManifestSchema1, image(desc(digestA, "9223372036854775808")), "cannot be read"},
		"one blob with two sizes":                        {types.OCIManifestSchema1, `{"config":` + desc(digestA, 1) + `,"layers":[` + desc(digestA, 2) + `]}`, "two sizes"},
		"data that are not the bytes":                    {types.OCIManifestSchema1, image(`{"digest":"` + digestA + `","size":1,"data":"eA=="}`), "data"},
		"child larger than a manifest may be":            {types.OCIImageIndex, fmt.Sprintf(`{"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`, types.OCIManifestSchema1, digestA, transfer.MaxManifest+1), "4194305 bytes"},
		"child in schema 1":                              {types.OCIImageIndex, fmt.Sprintf(`{"manifests":[{"mediaType":%q,"digest":%q,"size":1}]}`, types.DockerManifestSchema1, digestA), "schema 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := copyDocument(t, test.mediaType, test.raw)
			bad, ok := errors.AsType[*transfer.ManifestError](err)
			if !ok || !strings.Contains(bad.Why, test.why) {
				t.Fatalf("got %v, want a ManifestError with %q", err, test.why)
			}
			if strings.ContainsRune(err.Error(), 0x1b) {
				t.Errorf("the error has the server's bytes raw: %q", err)
			}
		})
	}
}

func TestManifestLargerThanAllowedIsNotAskedFor(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	padded := func(size int) *transfertest.Source {
		config := c.Config(transfertest.Amd64())
		raw := fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[]}`, config.MediaType, config.Digest, config.Size)
		return &transfertest.Source{Root: c.Add(types.OCIManifestSchema1, []byte(raw+strings.Repeat(" ", size-len(raw)))), Content: c}
	}
	for size, ok := range map[int]bool{transfer.MaxManifest: true, transfer.MaxManifest + 1: false} {
		src := padded(size)
		_, err := transfer.Copy(t.Context(), src, &transfertest.Sink{}, transfer.Options{})
		if (err == nil) != ok {
			t.Errorf("%d bytes: %v", size, err)
		}
		if asked := len(src.Manifests()); !ok && asked != 0 {
			t.Errorf("%d bytes: was asked for %d times", size, asked)
		}
	}
}

func TestManifestBytesAreHeldAgainstTheDigest(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func([]byte) []byte{
		"a space less":  func(raw []byte) []byte { return raw[:len(raw)-1] },
		"a space more":  func(raw []byte) []byte { return append(raw, ' ') },
		"another image": func(raw []byte) []byte { raw[len(raw)-1] = '\t'; return raw },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := transfertest.Content{}
			child := c.Image(transfertest.Amd64(), layer(c, 1))
			padded := c.Add(types.OCIManifestSchema1, append(c[child.Digest], ' '))
			for _, root := range []v1.Descriptor{padded, c.Index(padded)} {
				content := transfertest.Content{}
				for h, data := range c {
					content[h] = data
				}
				content[padded.Digest] = spoil(append([]byte(nil), c[padded.Digest]...))
				dst := &transfertest.Sink{}
				_, err := transfer.Copy(t.Context(), &transfertest.Source{Root: root, Content: content}, dst, transfer.Options{})
				wrong, ok := errors.AsType[*transfer.DigestError](err)
				if !ok || wrong.Want != padded.Digest || wrong.What != "manifest" {
					t.Errorf("got %v, want a DigestError for the manifest", err)
				}
				if dst.Committed() != nil {
					t.Error("committed")
				}
			}
		})
	}
}

func TestIndexDepthAndChildrenAreBounded(t *testing.T) {
	t.Parallel()
	nested := func(indexes int) *transfertest.Source {
		c := transfertest.Content{}
		root := c.Image(transfertest.Amd64(), layer(c, 1))
		for range indexes {
			root.Platform = nil
			root = c.Index(root)
		}
		return &transfertest.Source{Root: root, Content: c}
	}
	wide := func(children int) *transfertest.Source {
		c := transfertest.Content{}
		shared := c.Config(transfertest.Amd64())
		list := make([]v1.Descriptor, children)
		for i := range list {
			list[i] = c.AddJSON(types.OCIManifestSchema1, map[string]any{"schemaVersion": 2, "config": shared, "annotations": map[string]string{"n": fmt.Sprint(i)}})
		}
		return &transfertest.Source{Root: c.Index(list...), Content: c}
	}
	grown := func() *transfertest.Source { // no index is too wide, all together are
		c := transfertest.Content{}
		a, b := wide(4000), wide(100)
		for h, data := range a.Content {
			c[h] = data
		}
		more := make([]v1.Descriptor, 100)
		for i := range more {
			more[i] = c.AddJSON(types.OCIManifestSchema1, map[string]any{"schemaVersion": 2, "config": b.Root, "layers": []v1.Descriptor{}, "annotations": map[string]string{"m": fmt.Sprint(i)}})
		}
		return &transfertest.Source{Root: c.Index(a.Root, c.Index(more...)), Content: c}
	}
	for name, test := range map[string]struct {
		src *transfertest.Source
		ok  bool
	}{
		"4 indexes deep": {nested(4), true},
		"5 indexes deep": {nested(5), false},
		"4096 children":  {wide(4096), true},
		"4097 children":  {wide(4097), false},
		"4102 manifests": {grown(), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, p := range []*v1.Platform{nil, {OS: "linux", Architecture: "riscv64"}} {
				_, err := transfer.Copy(t.Context(), test.src, &transfertest.Sink{}, transfer.Options{Platform: p})
				_, refused := errors.AsType[*transfer.ManifestError](err)
				if p == nil && (err == nil) != test.ok {
					t.Errorf("got %v", err)
				}
				if err != nil && !refused && !errors.Is(err, transfer.ErrNotFound) {
					t.Errorf("got %v, want a ManifestError", err)
				}
			}
		})
	}
}

func TestBlobsThatAnIndexNamesAreMoved(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	other := c.Add("application/vnd.example.thing", []byte("thing"))
	src := &transfertest.Source{Root: c.Index(c.Image(transfertest.Amd64()), other), Content: c}
	dst := &transfertest.Sink{}
	if _, err := transfer.Copy(t.Context(), src, dst, transfer.Options{}); err != nil {
		t.Fatal(err)
	}
	if string(dst.Content[other.Digest]) != "thing" {
		t.Error("it was left out")
	}
}

// Whatever the bytes are, Copy either moves them or says in a typed error, free
// of control characters, why not.
func FuzzManifest(f *testing.F) {
	c := transfertest.Content{}
	image := c.Image(transfertest.Amd64(), c.Layer([]byte("x")))
	f.Add(string(types.OCIManifestSchema1), c[image.Digest])
	f.Add(string(types.OCIImageIndex), c[c.Index(image).Digest])
	f.Add("", []byte(`{"mediaType":"\u001b]0;x\u0007","manifests":null}`))
	f.Add(string(types.DockerManifestList), []byte(`{"manifests":[{"digest":"sha256:../..","size":-1}]}`))
	f.Add(string(types.OCIManifestSchema1), []byte(`{"config":{"digest":"sha512:\u202e"},"layers":[null]}`))
	f.Fuzz(func(t *testing.T, mediaType string, raw []byte) {
		src := &transfertest.Source{Content: transfertest.Content{}}
		src.Root = src.Content.Add(types.MediaType(mediaType), raw)
		dst := &transfertest.Sink{}
		_, err := transfer.Copy(t.Context(), src, dst, transfer.Options{})
		if err == nil {
			if !json.Valid(raw) {
				t.Errorf("moved what is not JSON: %q", raw)
			}
			return
		}
		_, refused := errors.AsType[*transfer.ManifestError](err)
		if !refused && !errors.Is(err, transfer.ErrNotFound) {
			t.Errorf("an untyped error: %v", err)
		}
		if i := strings.IndexFunc(err.Error(), func(r rune) bool { return r < ' ' || (r >= 0x7f && r < 0xa0) || (r >= 0x202a && r <= 0x202e) }); i >= 0 {
			t.Errorf("control characters in %q", err.Error())
		}
	})
}

package transfer_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// imageOf makes an image with a config of one's own.
func imageOf(c transfertest.Content, mediaType types.MediaType, config string, layers ...v1.Descriptor) v1.Descriptor {
	return c.AddJSON(types.OCIManifestSchema1, map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIManifestSchema1, "config": c.Add(mediaType, []byte(config)), "layers": layers,
	})
}

const told = `{"os":"linux","architecture":"amd64","created":"2026-01-02T03:04:05Z","author":"\u001b[2Jme",
	"config":{"Env":["TOKEN=s3cret"],"Labels":{"a":"b"}},"rootfs":{"type":"layers","diff_ids":[]},
	"history":[{"created_by":"ENV TOKEN=s3cret"},{"created_by":"RUN |1 TOKEN=s3cret /bin/sh -c make # buildkit"},{"created_by":"COPY x /","empty_layer":true}]}`

func TestAnImageIsDescribed(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	layer := c.Layer(transfertest.Bytes(1, 5000))
	root := imageOf(c, types.OCIConfigJSON, told, layer)
	src := &transfertest.Source{Root: root, Content: c}
	d, err := transfer.Describe(t.Context(), src, nil, transfertest.Arm64()) // an image that is in no index is for anybody
	if err != nil || d.Image == nil || d.Manifests != nil || d.Root.Digest != root.Digest {
		t.Fatalf("%+v, %v", d, err)
	}
	i := d.Image
	if i.Size != 5000+int64(len(told)) || len(i.Layers) != 1 || i.Platform.String() != "linux/amd64" || i.Created.Year() != 2026 ||
		i.Labels["a"] != "b" || i.Author != "\x1b[2Jme" || len(i.History) != 3 || !i.History[2].Empty || i.Cut {
		t.Errorf("%+v", i)
	}
	for _, h := range i.History {
		if strings.Contains(h.By, "s3cret") {
			t.Errorf("%q tells a secret", h.By)
		}
	}
	if opened := src.Opened(); len(opened) != 1 || src.LeftOpen() != 0 {
		t.Errorf("opened %+v: a layer was fetched, or something was left open", opened)
	}
	desc, raw, err := transfer.RawConfig(t.Context(), src, transfertest.Amd64())
	if err != nil || string(raw) != told || desc.Size != int64(len(told)) {
		t.Errorf("config %q, %v", raw, err)
	}
	if _, raw, err = transfer.RawManifest(t.Context(), src, nil); err != nil || string(raw) != string(c[root.Digest]) {
		t.Errorf("manifest %q, %v", raw, err)
	}
}

func TestAnIndexIsDescribed(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	amd, arm := c.Image(transfertest.Amd64(), c.Layer([]byte("a"))), c.Image(transfertest.Arm64(), c.Layer([]byte("b")))
	src := &transfertest.Source{Root: c.Index(amd, arm), Content: c}
	plan9 := v1.Platform{OS: "plan9", Architecture: "arm"}
	arm64 := transfertest.Arm64()
	for _, tc := range []struct {
		want     *v1.Platform
		fallback v1.Platform
		digest   string
		err      bool
	}{
		{nil, transfertest.Amd64(), amd.Digest.String(), false},
		{&arm64, transfertest.Amd64(), arm.Digest.String(), false},
		{nil, plan9, "", false},
		{&plan9, transfertest.Amd64(), "", true},
	} {
		d, err := transfer.Describe(t.Context(), src, tc.want, tc.fallback)
		got := ""
		if d.Image != nil {
			got = d.Image.Desc.Digest.String()
		}
		if none := (*transfer.PlatformError)(nil); errors.As(err, &none) != tc.err || got != tc.digest || err == nil && len(d.Manifests) != 2 {
			t.Errorf("%v: %+v, %v", tc, d, err)
		}
	}
	if desc, raw, err := transfer.RawManifest(t.Context(), src, &arm64); err != nil || desc.Digest != arm.Digest || string(raw) != string(c[arm.Digest]) {
		t.Errorf("%v, %q, %v", desc, raw, err)
	}
}

func TestWhatIsWrongIsNotDescribed(t *testing.T) {
	t.Parallel()
	flip := func(c transfertest.Content, d v1.Descriptor) {
		c[d.Digest] = append([]byte{}, c[d.Digest]...)
		c[d.Digest][1] ^= 1
	}
	for name, tc := range map[string]struct {
		source func(c transfertest.Content) v1.Descriptor
		err    any
	}{
		"another manifest": {func(c transfertest.Content) v1.Descriptor {
			d := imageOf(c, types.OCIConfigJSON, told)
			flip(c, d)
			return d
		}, new(*transfer.DigestError)},
		"another config": {func(c transfertest.Content) v1.Descriptor {
			d := imageOf(c, types.OCIConfigJSON, told)
			flip(c, transfertest.DescriptorOf("sha256", "", []byte(told)))
			return d
		}, new(*transfer.DigestError)},
		"a config that is none": {func(c transfertest.Content) v1.Descriptor {
			return imageOf(c, types.OCIConfigJSON, `{"history":7}`)
		}, new(*transfer.ManifestError)},
		"a config of 1 GiB": {func(c transfertest.Content) v1.Descriptor {
			config := c.Add(types.OCIConfigJSON, []byte("{}"))
			config.Size = 1 << 30
			return c.AddJSON(types.OCIManifestSchema1, map[string]any{"schemaVersion": 2, "mediaType": types.OCIManifestSchema1, "config": config, "layers": []any{}})
		}, new(*transfer.ManifestError)},
	} {
		c := transfertest.Content{}
		src := &transfertest.Source{Root: tc.source(c), Content: c}
		if d, err := transfer.Describe(t.Context(), src, nil, transfertest.Amd64()); !errors.As(err, tc.err) || d.Image != nil {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
		if name == "a config that is none" {
			continue // its bytes are the right ones
		}
		if _, _, err := transfer.RawConfig(t.Context(), src, transfertest.Amd64()); !errors.As(err, tc.err) {
			t.Errorf("%s: raw: %v", name, err)
		}
	}
	c := transfertest.Content{}
	d := imageOf(c, types.OCIConfigJSON, told)
	flip(c, d)
	_, _, err := transfer.RawManifest(t.Context(), &transfertest.Source{Root: d, Content: c}, nil)
	if wrong := (*transfer.DigestError)(nil); !errors.As(err, &wrong) {
		t.Errorf("raw manifest: %v", err)
	}
	if errors.Is(err, io.EOF) {
		t.Error("the end of a file is no reason")
	}
}

// A chart, or a signature, is no image to run: its config is not read as one.
func TestArtifactsAreDescribedWithoutTheirConfig(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	src := &transfertest.Source{Root: imageOf(c, "application/vnd.cncf.helm.config.v1+json", `{"history":7}`, c.Layer([]byte("chart"))), Content: c}
	d, err := transfer.Describe(t.Context(), src, nil, transfertest.Amd64())
	if err != nil || d.Image == nil || len(d.Image.Layers) != 1 || len(src.Opened()) != 0 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	long := strings.Repeat("x", 10_000)
	config := `{"os":"linux","architecture":"amd64","history":[` + strings.Repeat(`{"created_by":"`+long[:20]+`"},`, 1200) + `{"created_by":"` + long + `"}]}`
	src := &transfertest.Source{Root: imageOf(c, types.OCIConfigJSON, config), Content: c}
	d, err := transfer.Describe(t.Context(), src, nil, transfertest.Amd64())
	if err != nil || len(d.Image.History) != 1000 || !d.Image.Cut {
		t.Errorf("%d steps, %v", len(d.Image.History), err)
	}
	short := &transfertest.Source{Root: imageOf(c, types.OCIConfigJSON, `{"history":[{"created_by":"`+long+`"}]}`), Content: c}
	if d, err = transfer.Describe(t.Context(), short, nil, transfertest.Amd64()); err != nil || len(d.Image.History[0].By) > 3000 {
		t.Errorf("%v", err)
	}
}

func TestHistoryTellsNoValues(t *testing.T) {
	t.Parallel()
	for by, want := range map[string]string{
		"ENV TOKEN=s3cret":                           "ENV TOKEN=...",
		"ENV TOKEN s3cret":                           "ENV TOKEN=...",
		"ARG TOKEN=s3cret":                           "ARG TOKEN=...",
		"ARG TOKEN":                                  "ARG TOKEN",
		"/bin/sh -c #(nop)  ENV TOKEN=s3cret":        "/bin/sh -c #(nop)  ENV TOKEN=...",
		"/bin/sh -c #(nop) ARG TOKEN=s3cret":         "/bin/sh -c #(nop) ARG TOKEN=...",
		"powershell -c #(nop)  ENV TOKEN=s3cret":     "powershell -c #(nop)  ENV TOKEN=...",
		"|2 A=s3cret B=t /bin/sh -c make":            "|... /bin/sh -c make",
		"RUN |1 A=s3cret /bin/sh -c make # buildkit": "RUN |... /bin/sh -c make # buildkit",
		"RUN |1 A=s3cret make":                       "RUN |...",
		"RUN /bin/sh -c make":                        "RUN /bin/sh -c make",
		"COPY ENV=1 /":                               "COPY ENV=1 /",
	} {
		c := transfertest.Content{}
		src := &transfertest.Source{Root: imageOf(c, types.OCIConfigJSON, `{"history":[{"created_by":"`+by+`"}]}`), Content: c}
		d, err := transfer.Describe(t.Context(), src, nil, transfertest.Amd64())
		if err != nil || d.Image.History[0].By != want {
			t.Errorf("%q: %+v, %v, want %q", by, d.Image, err, want)
		}
	}
}

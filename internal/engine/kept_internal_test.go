package engine

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

func described(d v1.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: string(d.MediaType), Digest: digest.Digest(d.Digest.String()), Size: d.Size}
}

// What an engine would send is its to say, unless what it has leaves no doubt.
func TestWhatAnEngineSends(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	one, two := c.Image(transfertest.Amd64()), c.Image(transfertest.Arm64())
	proof := c.Image(transfertest.Amd64(), c.Layer([]byte("proof")))
	index := c.Index(one, two)
	summary := func(d v1.Descriptor, kind image.ManifestKind, there bool) image.ManifestSummary {
		return image.ManifestSummary{Descriptor: described(d), Kind: kind, Available: there}
	}
	const img, attestation = image.ManifestKindImage, image.ManifestKindAttestation
	for what, test := range map[string]struct {
		root  v1.Descriptor
		below []image.ManifestSummary
		want  v1.Descriptor
	}{
		"an image":                        {one, nil, one},
		"an index of unknown content":     {index, nil, v1.Descriptor{}},
		"all of an index":                 {index, []image.ManifestSummary{summary(one, img, true), summary(two, img, true)}, index},
		"one of an index":                 {index, []image.ManifestSummary{summary(one, img, false), summary(two, img, true)}, two},
		"one of an index, with its proof": {index, []image.ManifestSummary{summary(one, img, false), summary(two, img, true), summary(proof, attestation, true)}, two},
		"two of three":                    {index, []image.ManifestSummary{summary(one, img, true), summary(two, img, true), summary(proof, img, false)}, v1.Descriptor{}},
		"none":                            {index, []image.ManifestSummary{summary(one, img, false)}, v1.Descriptor{}},
		"nothing that is known":           {c.Layer([]byte("x")), nil, v1.Descriptor{}},
	} {
		d := described(test.root)
		got := sends(&image.InspectResponse{ID: test.root.Digest.String(), Descriptor: &d, Manifests: test.below})
		if got.Digest != test.want.Digest {
			t.Errorf("%s: %+v", what, got)
		}
	}
	d := described(one)
	if got := sends(&image.InspectResponse{ID: two.Digest.String(), Descriptor: &d}); got.Digest != (v1.Hash{}) {
		t.Errorf("of an engine that calls it after its config: %+v", got)
	}
}

// A registry that has something else under a digest has not what the engine would send.
func TestSomethingElseIsNotTheWhole(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	root, other := c.Image(transfertest.Amd64()), c.Image(transfertest.Arm64())
	renamed := root
	renamed.MediaType = types.DockerManifestSchema2
	deep := c.Index(c.Index(root))
	foreign := c.Image(transfertest.Amd64(), c.Add(types.OCIRestrictedLayer, []byte("x")))
	for what, test := range map[string]struct {
		has, want v1.Descriptor
		whole     bool
	}{
		"the same":                    {root, root, true},
		"another":                     {other, root, false},
		"another type":                {renamed, root, false},
		"an index in an index":        {deep, deep, false},
		"what may not be distributed": {foreign, foreign, false},
	} {
		if k := wholeIn(t.Context(), &transfertest.Source{Root: test.has, Content: c}, test.want); (k != nil) != test.whole {
			t.Errorf("%s: %+v", what, k)
		}
	}
}

package engine_test

import (
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// What an engine says that it will push is told before a byte is sent; one that
// says nothing is not guessed about.
func TestWhatWillBePushedIsToldBefore(t *testing.T) {
	t.Parallel()
	r, src := newRig(t), inIndex(t)
	_, err := r.pull(t, src, nil)
	must(t, err)
	const copied = "reg.test:5000/other/app:2"
	must(t, r.engine.Tag(t.Context(), relayed, copied))
	for _, says := range []bool{false, true} {
		r.says = nil
		want := []types.MediaType{}
		if says {
			r.says = map[string]any{"mediaType": types.OCIManifestSchema1, "digest": src.Root.Digest.String(), "size": 7}
			want = append(want, types.OCIManifestSchema1)
		}
		dst := &remote{Source: &transfertest.Source{Content: transfertest.Content{}}}
		told := []types.MediaType{}
		_, err := r.relay.Push(t.Context(), parse(t, copied), dst, nil, func(root v1.Descriptor) {
			told = append(told, root.MediaType)
			if asked := dst.take(); slices.ContainsFunc(asked, func(one string) bool { return one != "head" }) {
				t.Errorf("told after %q", asked)
			}
		}, nil)
		must(t, err)
		if !slices.Equal(told, want) || !slices.Contains(dst.take(), "upload") {
			t.Errorf("told %q, want %q", told, want)
		}
	}
}

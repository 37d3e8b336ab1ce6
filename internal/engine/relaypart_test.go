package engine_test

import (
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// An engine that keeps manifests answers for a platform of which it has no more than
// that the index names it: with all of a part, and nothing in it.
func TestAPartThatIsOnlyNamedIsPulled(t *testing.T) {
	t.Parallel()
	p := newPuller(t)
	p.keeps, p.api = true, "1.49"
	r, src := rigOf(t, p), inIndex(t)
	parts := imagesBelow(src.Content, src.Root)
	for n, platform := range []v1.Platform{transfertest.Arm64(), transfertest.Amd64()} {
		want := parts[1-n].Digest
		for again := range 2 {
			var stages []transfer.Stage
			res, err := r.relay.Pull(t.Context(), parse(t, relayed), transfer.Keep(src), src, platform, func(e transfer.Event) { stages = append(stages, e.Stage) })
			must(t, err)
			if res.Root.Digest != want || (res.Bytes == 0) != (again == 1) || slices.Contains(stages, transfer.Existed) != (again == 1) {
				t.Errorf("%s, time %d: %+v, %v", platform, again, res, stages)
			}
			r.mu.Lock()
			there := r.available(parts[1-n])
			r.mu.Unlock()
			if !there {
				t.Errorf("%s, time %d: the engine has it not", platform, again)
			}
		}
	}
	// Each is known to be there, by one request.
	src.take()
	res, err := r.relay.Pull(t.Context(), parse(t, relayed), transfer.Keep(src), src, transfertest.Arm64(), nil)
	must(t, err)
	if asked := src.take(); !slices.Equal(asked, []string{"head"}) || res.Root.Digest != parts[1].Digest {
		t.Errorf("asked %q, %+v", asked, res)
	}
}

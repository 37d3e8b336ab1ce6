package engine_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// An image out of an index that was loaded costs one request the next time,
// whatever the engine calls it.
func TestAnIndexThatWasLoadedIsPulledAgain(t *testing.T) {
	t.Parallel()
	for what, keeps := range map[string]bool{"layers": false, "the containerd store": true} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f, src := newFake(t, keeps), inIndex(t)
			e := f.open(t, engine.Options{})
			_, err := e.Ping(t.Context())
			must(t, err)
			relay := e.Relay(engine.RelayOptions{Names: filepath.Join(t.TempDir(), "relay"), Manifests: memo.OpenManifests(t.TempDir())})
			platform := transfertest.Amd64()
			pull := func() (transfer.Result, error) {
				return relay.Pull(t.Context(), parse(t, relayed), transfer.Keep(src), src, platform, nil)
			}
			if _, err := pull(); !errors.Is(err, engine.ErrNoRelay) {
				t.Fatal(err)
			}
			moved, err := transfer.Copy(t.Context(), src.Source, e.Sink(relayed), transfer.Options{Platform: &platform})
			must(t, err)
			relay.Loaded(t.Context(), parse(t, relayed), platform, moved)
			src.take()
			again, err := pull()
			must(t, err)
			if asked := src.take(); !slices.Equal(asked, []string{"head"}) || again.Root.Digest != moved.Root.Digest || again.Resolved.Digest != moved.Resolved.Digest {
				t.Errorf("the registry was asked %q, %+v", asked, again)
			}
		})
	}
}

//go:build e2e && linux

package cmd_test

import (
	"slices"
	"strings"
	"testing"
)

// A copy between a registry and an engine goes as a pull and a push do, also
// where the names differ.
func TestRealCopyByTheRelay(t *testing.T) {
	t.Parallel()
	eachRelayEngine(t, func(t *testing.T, w *relayWorld, _ namedEngine) {
		t.Helper()
		base, mine, copied := registryHost+"/library/app:1", "mine.example/app:2", registryHost+"/demo/copied:3"
		w.run(t, "copy", base, "docker:"+mine)
		if tags := w.inspect(t, mine).RepoTags; !slices.Equal(tags, []string{mine}) {
			t.Errorf("the engine knows it as %q", tags)
		}
		w.requests()
		w.run(t, "copy", "docker:"+mine, copied)
		if sent := tally(w.requests(), "PUT", "/blobs/"); sent != 0 {
			t.Errorf("%d blobs were sent of what is mounted", sent)
		}
		if got, want := w.layersAt(t, copied), w.layersAt(t, base); !slices.Equal(got, want) {
			t.Errorf("the layers are %q, want %q", got, want)
		}
		calls := w.calls(w.engine)
		for _, road := range []string{"/images/load", "/images/get"} {
			if strings.Contains(calls, road) {
				t.Errorf("the engine was asked for %s", road)
			}
		}
		w.tidy(t)
	})
}

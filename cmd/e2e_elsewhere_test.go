//go:build e2e && linux

package cmd_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/testkit"
)

// An engine that is elsewhere does not hear the nonce.
func TestRealRelayIsNotForAnEngineElsewhere(t *testing.T) {
	t.Parallel()
	eachRelayEngine(t, func(t *testing.T, w *relayWorld, e namedEngine) {
		t.Helper()
		w.engine.Stop()
		d := e.engine(t)
		program := d.Program
		if program == "" {
			program = testkit.Need(t, "dockerd", "docker.io")
		}
		d.Program = filepath.Join(w.Dir, "dockerd-elsewhere")
		script := "#!/bin/sh\nexec unshare --net sh -c 'ip link set lo up; exec \"$@\"' sh " + program + " \"$@\"\n"
		if err := os.WriteFile(d.Program, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		d.Args = append(d.Args, "-D")
		elsewhere := w.StartDockerd(t, d)
		base, copied := registryHost+"/library/app:1", registryHost+"/demo/copied:1"
		built := registryHost + "/demo/built:1"
		seen := 0 // bytes of the log
		roads := func(name string, want ...string) (asked []string) {
			t.Helper()
			asked = w.requests()
			log := w.calls(elsewhere)
			log, seen = log[seen:], len(log)
			var got []string
			for _, call := range []string{"/distribution/127.0.0.1:", "/images/load", "/images/get", "/images/create", "/push"} {
				if strings.Contains(log, call) {
					got = append(got, call)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: the engine was asked for %q, want %q", name, got, want)
			}
			return asked
		}
		w.requests()
		w.pinned(t, w.run(t, "pull", base), base)
		asked := roads("pull", "/distribution/127.0.0.1:", "/images/load")
		layers := w.layersAt(t, base)
		for _, digest := range layers {
			if tally(asked, "GET", "/library/app/blobs/"+digest) != 1 {
				t.Errorf("%s was not pulled once: %q", digest, asked)
			}
		}
		w.run(t, "tag", base, copied)
		w.requests()
		w.pinned(t, w.run(t, "push", copied), copied)
		// Of the image that was loaded all is known: nothing is asked of the engine.
		asked = roads("push of what was pulled")
		if tally(asked, "PUT", "/blobs/") > 0 || tally(asked, "POST", "mount=", "201") != len(layers)+1 {
			t.Errorf("layers and config were not mounted: %q", asked)
		}
		w.build(t, base, built, 50)
		w.pinned(t, w.run(t, "push", built), built)
		asked = roads("push of what was built", "/distribution/127.0.0.1:", "/images/get")
		if sent := tally(asked, "PUT", "/demo/built/blobs/", "201"); sent != 2 {
			t.Errorf("%d blobs were sent, want the new layer and the config: %q", sent, asked)
		}
		w.tidy(t)
	})
}

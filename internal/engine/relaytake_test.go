package engine_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// An engine that keeps manifests is not asked what it has pulled: the name is given
// to what has the digest, which it has or has not.
func TestAnEngineThatKeepsManifestsPulls(t *testing.T) {
	t.Parallel()
	for what, mixedUp := range map[string]string{"what it was given": "", "another image": "sha256:" + strings.Repeat("0", 64)} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r, src := newKeepingRig(t), inIndex(t)
			r.mixedUp = mixedUp
			res, err := r.pull(t, src, nil)
			if mixedUp != "" {
				if _, ok := errors.AsType[*engine.ResponseError](err); !ok {
					t.Errorf("got %v", err)
				}
				must(t, r.relay.Tidy(t.Context()))
				r.tidy(t)
				return
			}
			must(t, err)
			r.tidy(t, relayed)
			r.mu.Lock()
			looked := slices.ContainsFunc(r.calls, func(call string) bool { return strings.HasPrefix(call, "GET /images/127.0.0.1:") })
			id := r.puller.names[relayed]
			r.mu.Unlock()
			if looked || id != src.Root.Digest.String() || res.Resolved.Digest != src.Root.Digest {
				t.Errorf("looked: %v, it has %s, %+v", looked, id, res)
			}
			for _, digest := range []string{res.Root.Digest.String(), id} {
				if at := r.blobs.Repositories("reg.test:5000", mustHash(digest)); !slices.Equal(at, []string{"demo/app"}) {
					t.Errorf("%s is known in %q", digest, at)
				}
			}
		})
	}
}

// One that keeps layers alone has it under the digest of its config, whatever its API.
func TestANewEngineThatKeepsLayersPulls(t *testing.T) {
	t.Parallel()
	p := newPuller(t)
	p.api = "1.48"
	r, src := rigOf(t, p), inIndex(t)
	_, err := r.relay.Pull(t.Context(), parse(t, relayed), src, src, transfertest.Amd64(), nil)
	must(t, err)
	r.tidy(t, relayed)
}

package engine_test

import (
	"testing"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// In the engine an image may have another name than in the registry.
func TestTheRelayUnderAnotherName(t *testing.T) {
	t.Parallel()
	const mine = "docker.io/library/mine:2"
	r, src := newRig(t), inIndex(t)
	o := engine.RelayOptions{Names: r.names, Blobs: r.blobs, Manifests: memo.OpenManifests(t.TempDir()), Name: mine}
	relay := r.engine.Relay(o)
	_, err := relay.Pull(t.Context(), parse(t, relayed), transfer.Keep(src), src, transfertest.Amd64(), nil)
	must(t, err)
	r.tidy(t, mine)
	dst := &remote{Source: &transfertest.Source{Content: transfertest.Content{}}}
	res, err := relay.Push(t.Context(), parse(t, "other.test/else/where:3"), dst, nil, nil, nil)
	must(t, err)
	if res.Bytes == 0 || dst.Root.Digest != res.Root.Digest {
		t.Errorf("%+v", res)
	}
	r.tidy(t, mine)
}

package registry

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// opened are downloads that were opened one after the other, within as many
// connections as are free.
func opened(t *testing.T, free, count int) (*Streams, []*download) {
	t.Helper()
	s := NewStreams(free)
	r := &Repository{streams: s}
	all := make([]*download, count)
	for i := range all {
		all[i] = newDownload(t.Context(), r, v1.Descriptor{Size: 100 * partSize}, 0)
	}
	return s, all
}

func TestConnectionsGoToTheBlobThatWasOpenedFirst(t *testing.T) {
	t.Parallel()
	s, all := opened(t, 1, 3)
	first, second, third := all[0], all[1], all[2]
	if !third.tryMore() {
		t.Fatal("there is one, and nobody else waits")
	}
	if first.tryMore() || second.tryMore() {
		t.Fatal("there is no other")
	}
	s.release()
	if third.tryMore() || second.tryMore() {
		t.Error("the first blob waits for it")
	}
	if !first.tryMore() {
		t.Error("the first blob does not get it")
	}
	s.release() // now nobody waits but the others
	if third.tryMore() || !second.tryMore() {
		t.Error("the second blob waits for it")
	}
}

func TestABlobThatHasAllItNeedsKeepsNothingFromOthers(t *testing.T) {
	t.Parallel()
	for name, done := range map[string]func(*download){
		"closed":                  func(d *download) { s := d.repo.streams; s.leave(d) },
		"all of it is on its way": func(d *download) { d.next = d.desc.Size; d.spread() },
		"little is left":          func(d *download) { d.at = d.desc.Size - 1; d.widen() },
	} {
		s, all := opened(t, 1, 2)
		if !s.try() || all[0].tryMore() {
			t.Fatal("there is one connection")
		}
		s.release()
		if all[1].tryMore() {
			t.Fatal("the first blob waits for it")
		}
		if done(all[0]); !all[1].tryMore() {
			t.Errorf("%s: and the second blob does not get it", name)
		}
	}
}

package engine_test

import (
	"strings"
	"testing"
)

// newKeepingRig has an engine with the containerd store, which tells what it has.
func newKeepingRig(t *testing.T) *rig {
	t.Helper()
	p := newPuller(t)
	p.keeps, p.api = true, "1.48"
	return rigOf(t, p)
}

// inspectKept is what an engine with the containerd store says of an image. The lock is held.
func (p *puller) inspectKept(id string, tags []string) map[string]any {
	answer := p.fake.inspect(id)
	answer["Descriptor"], answer["RepoTags"], answer["RepoDigests"] = p.roots[id], tags, p.digested(id)
	return answer
}

// digested are an image's names, each with the image's own digest. The lock is held.
func (p *puller) digested(id string) (names []string) {
	for tag, of := range p.names {
		if of == id {
			names = append(names, tag[:strings.LastIndex(tag, ":")]+"@"+id)
		}
	}
	return names
}

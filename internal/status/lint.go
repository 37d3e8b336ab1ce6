package status

import (
	"slices"
	"strings"

	"github.com/vicr-cli/vicr/internal/trust"
)

// lint takes over what package trust knows to be wrong beside the files. What
// breaks the registry for a tool counts; the rest is told, as it may be meant so.
func (c *checker) lint(r *registry) {
	for _, n := range trust.Lint(c.m, r.host) {
		if !r.has(string(n.Tool)) || slices.Contains(r.recorded, n.Path) {
			continue
		}
		_, name := c.split(n.Path)
		if _, err := c.m.ReadDir(n.Path); err == nil && strings.HasSuffix(name, "_") {
			continue // shadows knows more of it: whether the CA is in there too
		}
		f := Finding{Kind: KindNote, Path: n.Path, Text: n.Text, Remedy: c.sudo(n.Path) + "ls -la " + c.quote(c.real(n.Path))}
		if c.breaks(n.Tool, n.Path, name) {
			f.Kind, f.Remedy = KindStray, c.away(n.Path)
		}
		r.add(string(n.Tool), f)
	}
}

// breaks says whether a tool cannot use a registry because of one file in its
// folder: half a pair of certificate and key, or, but for Podman, a CA that is none.
func (c *checker) breaks(t trust.Tool, path, name string) bool {
	if c.toolOf(path) != string(t) {
		return false // some configuration
	}
	switch {
	case strings.HasSuffix(name, ".cert"), strings.HasSuffix(name, ".key"):
		return true
	case strings.HasSuffix(name, ".crt"):
		// One that vicr would write has been compared already.
		return t != trust.ToolPodman && name != "ca.crt"
	}
	return false
}

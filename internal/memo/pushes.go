// Package memo remembers small facts between runs. They are bounded and safe to
// delete: one that is missing or wrong costs a request, never correctness.
package memo

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

const (
	maxPushes = 1000
	maxFile   = 1 << 20 // bytes; a thousand names with their digests have a fifth of that
	dirMode   = 0o700
	fileMode  = 0o600
)

// Pushes remembers which images were pushed, by their names and digests. A nil
// one remembers nothing. Two that are written at the same time may lose each
// other's facts.
type Pushes struct{ path string }

// OpenPushes returns what is remembered in a folder, which may be missing.
// Nothing is read yet.
func OpenPushes(dir string) *Pushes { return &Pushes{filepath.Join(dir, "pushes")} }

// Has says whether what has that digest was pushed under that name.
func (p *Pushes) Has(image, digest string) bool {
	return p != nil && slices.Contains(p.read(), image+" "+digest)
}

// Add remembers a push. Errors are those of the file system.
func (p *Pushes) Add(image, digest string) error {
	fact := image + " " + digest
	if p == nil || strings.Count(fact, " ") != 1 || strings.ContainsRune(fact, '\n') {
		return nil
	}
	facts := p.read()
	if n := len(facts); n > 0 && facts[n-1] == fact {
		return nil
	}
	// A name has one digest at a time; the oldest facts come first and go first.
	facts = slices.DeleteFunc(facts, func(f string) bool { return strings.HasPrefix(f, image+" ") })
	facts = append(facts, fact)
	facts = facts[max(0, len(facts)-maxPushes):]
	tree := atomicfile.Machine()
	if _, err := tree.MkdirAll(filepath.Dir(p.path), dirMode); err != nil {
		return err
	}
	return tree.Write(p.path, []byte(strings.Join(facts, "\n")+"\n"), fileMode)
}

// read returns the facts, one a line; none if they cannot be read.
func (p *Pushes) read() []string {
	raw, _, err := atomicfile.Machine().Read(p.path, maxFile)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(strings.Split(string(raw), "\n"), func(f string) bool { return f == "" })
}

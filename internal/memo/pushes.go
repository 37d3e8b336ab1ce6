// Package memo remembers small facts between runs. They are bounded and safe to
// delete: one that is missing or wrong costs a request, never correctness.
package memo

const (
	maxPushes = 1000
	dirMode   = 0o700
	fileMode  = 0o600
)

// Pushes remembers which images were pushed, by their names and digests. A nil
// one remembers nothing. Two that are written at the same time may lose each
// other's facts.
type Pushes struct{ table *table }

// OpenPushes is [OpenBlobs] for pushes.
func OpenPushes(dir string) *Pushes {
	if dir == "" {
		return nil
	}
	t := newTable(dir, "pushes", maxPushes)
	t.one = true
	return &Pushes{t}
}

// Has says whether what has that digest was the last to be pushed under that name.
func (p *Pushes) Has(image, digest string) bool {
	if p == nil {
		return false
	}
	last := p.table.values(image)
	return len(last) > 0 && last[0] == digest
}

// Add remembers a push. Errors are those of the file system.
func (p *Pushes) Add(image, digest string) error {
	if p == nil {
		return nil
	}
	return p.table.add([]fact{{image, digest}})
}

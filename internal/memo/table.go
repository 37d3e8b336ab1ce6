package memo

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

// A fact is a line of a table: neither holds a space or a line's end.
type fact struct{ key, value string }

func (f fact) String() string { return f.key + " " + f.value }

func (f fact) legal() bool {
	return f.key != "" && f.value != "" && !strings.ContainsAny(f.key+f.value, " \n")
}

// A table is a file of facts, one a line, the newest last. It is read once.
// A nil one is empty.
type table struct {
	path  string
	most  int // facts
	bytes int64
	one   bool // a key has one value at a time

	once  sync.Once
	mu    sync.Mutex
	index map[string][]string // values of a key, the newest last
}

func newTable(dir, name string, most int) *table {
	const factBytes = 400 // a name and two digests, with room
	return &table{path: filepath.Join(dir, name), most: most, bytes: int64(most) * factBytes}
}

// values are those of a key, the newest first.
func (t *table) values(key string) []string {
	if t == nil {
		return nil
	}
	t.once.Do(t.load)
	t.mu.Lock()
	defer t.mu.Unlock()
	all := slices.Clone(t.index[key])
	slices.Reverse(all)
	return all
}

// add remembers facts; known ones become the newest. It reads the file again
// first: somebody else may have added to it.
func (t *table) add(facts []fact) error {
	facts = slices.DeleteFunc(slices.Clone(facts), func(f fact) bool { return !f.legal() })
	if t == nil || len(facts) == 0 {
		return nil
	}
	t.once.Do(t.load)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.read()
	tree, dir := atomicfile.Machine(), filepath.Dir(t.path)
	// What a killed run left. Who writes there at this moment loses a fact.
	if _, err := tree.Sweep(dir); err != nil {
		return err
	}
	if n := len(now) - len(facts); n >= 0 && slices.Equal(now[n:], facts) {
		return nil
	}
	given, keys := map[fact]bool{}, map[string]bool{}
	for _, f := range facts {
		given[f], keys[f.key] = true, t.one
	}
	now = slices.DeleteFunc(now, func(f fact) bool { return given[f] || keys[f.key] })
	now = append(now, facts...)
	now = now[max(0, len(now)-t.most):]
	t.keep(now)
	var text strings.Builder
	for _, f := range now {
		text.WriteString(f.String() + "\n")
	}
	if _, err := tree.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	return tree.Write(t.path, []byte(text.String()), fileMode)
}

func (t *table) load() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keep(t.read())
}

func (t *table) keep(facts []fact) {
	t.index = map[string][]string{}
	for _, f := range facts {
		t.index[f.key] = append(t.index[f.key], f.value)
	}
}

// read returns the facts of the file; none if it cannot be read.
func (t *table) read() []fact {
	raw, _, err := atomicfile.Machine().Read(t.path, t.bytes)
	if err != nil {
		return nil
	}
	var facts []fact
	for line := range strings.Lines(string(raw)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if f := (fact{key, value}); f.legal() {
			facts = append(facts, f)
		}
	}
	return facts
}

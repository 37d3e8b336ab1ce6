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

// A table is a file of facts, one a line, the newest last. It is read when it
// is first asked. A nil one is empty.
type table struct {
	path  string
	most  int // facts
	bytes int64
	one   bool // a key has one value at a time

	mu    sync.Mutex
	index map[string][]string // values of a key, the newest last; nil: not read
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
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.index == nil {
		t.keep(parse(t.read()))
	}
	all := slices.Clone(t.index[key])
	slices.Reverse(all)
	return all
}

// add remembers facts; known ones become the newest, once there is a reason to
// write. It reads the file again first: somebody else may have added to it.
func (t *table) add(facts []fact) error {
	facts = slices.DeleteFunc(slices.Clone(facts), func(f fact) bool { return !f.legal() })
	if t == nil || len(facts) == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	text := t.read()
	tree, dir := atomicfile.Machine(), filepath.Dir(t.path)
	// What a killed run left. Who writes there at this moment loses a fact.
	if _, err := tree.Sweep(dir); err != nil {
		return err
	}
	if t.knows(text, facts) {
		t.index = nil // it may know more than before
		return nil
	}
	now := parse(text)
	given, keys := map[fact]bool{}, map[string]bool{}
	for _, f := range facts {
		given[f], keys[f.key] = true, t.one
	}
	now = slices.DeleteFunc(now, func(f fact) bool { return given[f] || keys[f.key] })
	now = append(now, facts...)
	now = now[max(0, len(now)-t.most):]
	t.keep(now)
	var next strings.Builder
	for _, f := range now {
		next.WriteString(f.String() + "\n")
	}
	if _, err := tree.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	return tree.Write(t.path, []byte(next.String()), fileMode)
}

// knows says whether each of the facts is the newest of its key, and none of
// them among the older half of what a table may hold: so that the ones that are
// in use do not leave it. A repetition finds them at the end.
func (t *table) knows(text string, facts []fact) bool {
	want := map[string]string{}
	for _, f := range facts {
		want[f.key] = f.value
	}
	if len(want) < len(facts) { // one key, two values
		return false
	}
	text = strings.TrimSuffix(text, "\n")
	for range t.most / 2 {
		if len(want) == 0 || text == "" {
			break
		}
		cut := strings.LastIndexByte(text, '\n') + 1
		key, value, _ := strings.Cut(text[cut:], " ")
		if wanted, ok := want[key]; ok && wanted != value {
			return false
		}
		delete(want, key)
		text = text[:max(0, cut-1)]
	}
	return len(want) == 0
}

func (t *table) keep(facts []fact) {
	t.index = map[string][]string{}
	for _, f := range facts {
		t.index[f.key] = append(t.index[f.key], f.value)
	}
}

// read returns the file; nothing if it cannot be read.
func (t *table) read() string {
	raw, _, err := atomicfile.Machine().Read(t.path, t.bytes)
	if err != nil {
		return ""
	}
	return string(raw)
}

func parse(text string) []fact {
	var facts []fact
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if f := (fact{key, value}); f.legal() {
			facts = append(facts, f)
		}
	}
	return facts
}

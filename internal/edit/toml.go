package edit

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// maxNesting is how deep brackets may lie in a file that is handed to a
// recursive parser; real ones have a handful.
const maxNesting = 200

// tomlDoc is a TOML file: what it means, and where its lines are.
type tomlDoc struct {
	data   []byte
	tree   map[string]any
	tables []tomlTable // the first is the top of the file
}

type tomlTable struct {
	path   []string
	array  bool // [[...]]
	offset int  // of the line of the header
	body   int  // of the line after it
	lines  []tomlLine
}

type tomlLine struct {
	key              []string
	offset           int // where the key begins
	valueFrom, valTo int // the value, when it is a string
}

func parseTOML(data []byte) (tomlDoc, error) {
	d := tomlDoc{data: data, tree: map[string]any{}}
	if line := tooDeep(data); line > 0 {
		return d, &SyntaxError{TOML, line, "brackets lie too deep"}
	}
	if err := toml.Unmarshal(data, &d.tree); err != nil {
		line := 0
		var de *toml.DecodeError
		if errors.As(err, &de) {
			line, _ = de.Position()
		}
		return d, &SyntaxError{TOML, line, "this is no TOML"} // its text would quote the file
	}
	d.tables = []tomlTable{{}}
	var p unstable.Parser
	p.Reset(data)
	for p.NextExpression() {
		d.expression(&p, p.Expression())
	}
	if p.Error() != nil {
		return d, &SyntaxError{TOML, 0, "this is no TOML"}
	}
	return d, nil
}

func (d *tomlDoc) expression(p *unstable.Parser, e *unstable.Node) {
	switch e.Kind {
	case unstable.Table, unstable.ArrayTable:
		path, at, end := tomlKey(e)
		start := lineStart(d.data, at)
		d.tables = append(d.tables, tomlTable{path: path, array: e.Kind == unstable.ArrayTable, offset: start, body: lineEnd(d.data, end)})
	case unstable.KeyValue:
		key, at, _ := tomlKey(e)
		l := tomlLine{key: key, offset: at}
		if v := e.Value(); v.Kind == unstable.String {
			l.valueFrom = int(v.Raw.Offset)
			l.valTo = l.valueFrom + len(p.Raw(v.Raw))
		}
		t := &d.tables[len(d.tables)-1]
		t.lines = append(t.lines, l)
	default:
	}
}

func tomlKey(e *unstable.Node) (path []string, from, to int) {
	from = -1
	for it := e.Key(); it.Next(); {
		n := it.Node()
		path = append(path, string(n.Data))
		if from < 0 {
			from = int(n.Raw.Offset)
		}
		to = int(n.Raw.Offset + n.Raw.Length)
	}
	return path, from, to
}

// tooDeep is the line where more brackets are open than any configuration has;
// quotes are not looked at. 0: nowhere.
func tooDeep(data []byte) int {
	depth := 0
	for i, c := range data {
		switch c {
		case '[', '{':
			if depth++; depth > maxNesting {
				return lineAt(data, i)
			}
		case ']', '}':
			depth = max(depth-1, 0)
		default:
		}
	}
	return 0
}

// table is the one with the header of this path.
func (d *tomlDoc) table(path []string) *tomlTable {
	for i := range d.tables {
		if slices.Equal(d.tables[i].path, path) {
			return &d.tables[i]
		}
	}
	return nil
}

// under is what the file says at a path; nil: nothing.
func under(tree map[string]any, path []string) any {
	var v any = tree
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

// lineOf is where a path is first spoken of, as well as that can be told.
func (d *tomlDoc) lineOf(path []string) int {
	for _, t := range d.tables {
		if len(t.path) >= len(path) && slices.Equal(t.path[:len(path)], path) {
			return lineAt(d.data, t.offset)
		}
		for _, l := range t.lines {
			whole := slices.Concat(t.path, l.key)
			if n := min(len(whole), len(path)); slices.Equal(whole[:n], path[:n]) {
				return lineAt(d.data, l.offset)
			}
		}
	}
	return 0
}

// sameExcept says whether two files mean the same apart from what lies at path.
func sameExcept(before, after []byte, path []string) bool {
	a, errA := parseTOML(before)
	b, errB := parseTOML(after)
	if errA != nil || errB != nil {
		return false
	}
	strip(a.tree, path)
	strip(b.tree, path)
	return reflect.DeepEqual(a.tree, b.tree)
}

// strip takes away what is at path, and the tables that are empty then.
func strip(m map[string]any, path []string) {
	if len(path) == 1 {
		delete(m, path[0])
		return
	}
	if sub, ok := m[path[0]].(map[string]any); ok {
		strip(sub, path[1:])
		if len(sub) == 0 {
			delete(m, path[0])
		}
	}
}

// A tomlEditor keeps one whole table.
type tomlEditor struct {
	Edit
	path []string
	want any
}

func newTOMLEditor(e Edit) (editor, error) {
	ed := tomlEditor{Edit: e, path: []string{e.Key, e.Value}}
	d, err := parseTOML([]byte(ed.block("\n")))
	if err != nil || len(d.tables) != 2 || !strings.HasSuffix(e.Body, "\n") || !slices.Equal(d.tables[1].path, ed.path) {
		return nil, e.wrong("this edit is no TOML table")
	}
	ed.want = under(d.tree, ed.path)
	return ed, nil
}

func (e tomlEditor) block(eol string) string {
	return strings.ReplaceAll("["+e.Key+`."`+e.Value+"\"]\n"+e.Body, "\n", eol)
}

func (e tomlEditor) has(data []byte) (bool, error) {
	d, err := parseTOML(data)
	return err == nil && reflect.DeepEqual(under(d.tree, e.path), e.want), err
}

func (e tomlEditor) add(data []byte) ([]byte, error) {
	d, err := parseTOML(data)
	if err != nil {
		return nil, err
	}
	if there := under(d.tree, e.path); there != nil || d.table(e.path) != nil {
		if reflect.DeepEqual(there, e.want) {
			return data, nil
		}
		return nil, &SyntaxError{TOML, d.lineOf(e.path), "this registry has a table already, and it says something else"}
	}
	eol := eolOf(data)
	out := appendBlock(data, e.block(eol))
	if !sameExcept(data, out, e.path) {
		return nil, &SyntaxError{TOML, d.lineOf(e.path[:1]), "no table can be added to what is written here"}
	}
	return out, nil
}

// appendBlock puts a table at the end, after an empty line.
func appendBlock(data []byte, block string) []byte {
	if len(data) == 0 {
		return []byte(block)
	}
	return appendLines(data, eolOf(data)+block)
}

func (e tomlEditor) drop(data []byte, _ bool) ([]byte, error) {
	d, err := parseTOML(data)
	if err != nil {
		return nil, err
	}
	there := under(d.tree, e.path)
	if there == nil {
		return data, nil
	}
	t := d.table(e.path)
	if t == nil || !reflect.DeepEqual(there, e.want) {
		return nil, &SyntaxError{TOML, d.lineOf(e.path), "somebody has changed the table of this registry"}
	}
	out := cutBlock(data, t.offset, e.block(eolOf(data)))
	if out == nil || !sameExcept(data, out, e.path) {
		return nil, &SyntaxError{TOML, lineAt(data, t.offset), "somebody has rewritten the table of this registry"}
	}
	return out, nil
}

// cutBlock is the inverse of appendBlock; nil when the block is not at offset.
func cutBlock(data []byte, offset int, block string) []byte {
	eol := eolOf(data)
	to := offset + len(block)
	if !bytes.HasPrefix(data[offset:], []byte(block)) {
		block = strings.TrimSuffix(block, eol)
		to = offset + len(block)
		if string(data[offset:]) != block {
			return nil
		}
	}
	before := data[:offset]
	if bytes.HasSuffix(before, []byte(eol)) {
		shorter := before[:len(before)-len(eol)]
		if len(shorter) == 0 || bytes.HasSuffix(shorter, []byte(eol)) {
			offset = len(shorter)
		}
	}
	return cutLines(data, offset, to)
}

package edit

import (
	"reflect"
	"slices"
	"strings"
)

// wasEmpty follows a value that took the place of an empty string; so drop can
// put that back. The string itself stands behind it.
const wasEmpty = " # was "

// A setEditor keeps one name of a table.
type setEditor struct {
	Edit
	table []string
	path  []string // table and name
	want  any
}

func newSetEditor(e Edit) (editor, error) {
	ed := setEditor{Edit: e}
	d, err := parseTOML([]byte(ed.block("\n")))
	if err != nil || strings.ContainsAny(e.Body, "\r\n") || strings.ContainsAny(e.Key, "\r\n#") {
		return nil, e.wrong("this edit sets nothing in TOML")
	}
	t := d.tables[len(d.tables)-1]
	if len(t.lines) != 1 || t.array || (e.Key == "") != (len(t.path) == 0) {
		return nil, e.wrong("this edit sets nothing in TOML")
	}
	ed.table = t.path
	ed.path = slices.Concat(t.path, []string{e.Value})
	ed.want = under(d.tree, ed.path)
	if ed.want == nil {
		return nil, e.wrong("this edit sets nothing in TOML")
	}
	return ed, nil
}

func (e setEditor) line() string { return e.Value + " = " + e.Body }

// block is the table when the file has none. Its line is indented, and that of
// a table that was there already and empty is not: so drop tells them apart.
func (e setEditor) block(eol string) string {
	if e.Key == "" {
		return e.line() + eol
	}
	return "[" + e.Key + "]" + eol + newIndent + e.line() + eol
}

func (e setEditor) wrongAt(d tomlDoc, path []string, why string) error {
	return &SyntaxError{Set, d.lineOf(path), why}
}

func (e setEditor) parse(data []byte) (tomlDoc, error) {
	d, err := parseTOML(data)
	return d, asSyntax(Set, err)
}

func (e setEditor) has(data []byte) (bool, error) {
	d, err := e.parse(data)
	return err == nil && reflect.DeepEqual(under(d.tree, e.path), e.want), err
}

// find is the line of the table that sets the name; nil: none.
func (e setEditor) find(t *tomlTable) *tomlLine {
	if t == nil {
		return nil
	}
	for i := range t.lines {
		if slices.Equal(t.lines[i].key, []string{e.Value}) {
			return &t.lines[i]
		}
	}
	return nil
}

func (e setEditor) add(data []byte) ([]byte, error) {
	d, err := e.parse(data)
	if err != nil {
		return nil, err
	}
	there, t := under(d.tree, e.path), d.table(e.table)
	l := e.find(t)
	var out []byte
	switch {
	case reflect.DeepEqual(there, e.want):
		return data, nil
	case there != nil && there != "":
		return nil, e.wrongAt(d, e.path, "this is set already, to something else")
	case there != nil && (l == nil || l.valTo-l.valueFrom != len(`""`)):
		return nil, e.wrongAt(d, e.path, "this is set already, in a way that cannot be edited")
	case there != nil:
		out = splice(data, l.valTo, l.valTo, wasEmpty+string(data[l.valueFrom:l.valTo]))
		out = splice(out, l.valueFrom, l.valTo, e.Body)
	case t == nil:
		out = appendBlock(data, e.block(eolOf(data)))
	case t.array:
		return nil, e.wrongAt(d, e.table, "this is a list of tables")
	default:
		out = insertLines(data, t.body, e.indent(data, t)+e.line()+eolOf(data))
	}
	if !sameExcept(data, out, e.path) {
		return nil, e.wrongAt(d, e.table, "nothing can be added to what is written here")
	}
	return out, nil
}

// indent is that of the table's first line; without one, of its header.
func (e setEditor) indent(data []byte, t *tomlTable) string {
	at := t.offset
	if len(t.lines) > 0 {
		at = lineStart(data, t.lines[0].offset)
	} else if len(t.path) == 0 {
		return ""
	}
	to := at
	for to < len(data) && isBlank(data[to]) {
		to++
	}
	return string(data[at:to])
}

func (e setEditor) drop(data []byte, _ bool) ([]byte, error) {
	d, err := e.parse(data)
	if err != nil {
		return nil, err
	}
	there, t := under(d.tree, e.path), d.table(e.table)
	if there == nil || there == "" {
		return data, nil
	}
	l := e.find(t)
	if l == nil || !reflect.DeepEqual(there, e.want) {
		return nil, e.wrongAt(d, e.path, "somebody has changed this since")
	}
	out := e.dropLine(data, t, l)
	if out == nil || !sameExcept(data, out, e.path) {
		return nil, e.wrongAt(d, e.path, "somebody has rewritten this since")
	}
	return out, nil
}

func (e setEditor) dropLine(data []byte, t *tomlTable, l *tomlLine) []byte {
	from := lineStart(data, l.offset)
	rest := string(data[l.offset:])
	for _, empty := range []string{`""`, `''`} {
		if at := strings.Index(rest, e.Body+wasEmpty+empty); at >= 0 && at < strings.IndexByte(rest+"\n", '\n') {
			return splice(data, l.offset+at, l.offset+at+len(e.Body+wasEmpty+empty), empty)
		}
	}
	eol := eolOf(data)
	if len(t.lines) == 1 && e.Key != "" {
		if out := cutBlock(data, t.offset, e.block(eol)); out != nil {
			return out
		}
	}
	to := lineEnd(data, l.offset)
	if strings.TrimSpace(string(data[from:to])) != e.line() {
		return nil // also a comment would go
	}
	return cutLines(data, from, to)
}

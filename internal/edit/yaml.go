package edit

import (
	"bytes"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// A yamlEditor keeps the entries of one host in some maps of the top level.
type yamlEditor struct {
	Edit
	want *yamlNode // the map name -> host -> entry
}

func newYAMLEditor(e Edit) (editor, error) {
	d, err := parseYAML([]byte(e.Body))
	if err != nil || len(d.tree.kids) == 0 {
		return nil, e.wrong("this edit is no YAML map")
	}
	for i, section := range d.tree.kids {
		if section.kind != 'm' || !slices.Equal(section.keys, []string{e.Value}) || !plainWord(d.tree.keys[i]) {
			return nil, e.wrong("this edit is not about one registry")
		}
	}
	return yamlEditor{e, d.tree}, nil
}

func (e yamlEditor) entry(section string) *yamlNode { return e.want.child(section).child(e.Value) }

func (e yamlEditor) has(data []byte) (bool, error) {
	d, err := parseYAML(data)
	if err != nil {
		return false, err
	}
	for _, section := range e.want.keys {
		there := d.tree.child(section).child(e.Value)
		if there == nil || !there.equal(e.entry(section)) {
			return false, nil
		}
	}
	return true, nil
}

func (e yamlEditor) add(data []byte) ([]byte, error) {
	out := data
	for _, section := range e.want.keys {
		d, err := parseYAML(out)
		if err != nil {
			return nil, err
		}
		lf, err := e.addTo(d, section)
		if err != nil {
			return nil, err
		}
		out = d.finish(out, lf)
	}
	return out, e.prove(data, out)
}

// drop goes the other way round, so that the end of the file comes back too.
func (e yamlEditor) drop(data []byte, _ bool) ([]byte, error) {
	out := data
	for _, section := range slices.Backward(e.want.keys) {
		d, err := parseYAML(out)
		if err != nil {
			return nil, err
		}
		lf, err := e.dropFrom(d, section)
		if err != nil {
			return nil, err
		}
		out = d.finish(out, lf)
	}
	return out, e.prove(data, out)
}

// finish gives the line ends back; the very same bytes when nothing changed.
func (d *yamlDoc) finish(data, lf []byte) []byte {
	switch {
	case bytes.Equal(lf, d.data):
		return data
	case d.crlf:
		return bytes.ReplaceAll(lf, []byte("\n"), []byte("\r\n"))
	}
	return lf
}

// prove compares all but the host's entries.
func (e yamlEditor) prove(before, after []byte) error {
	a, errA := parseYAML(before)
	b, errB := parseYAML(after)
	if errA != nil || errB != nil || !e.others(a.tree).equal(e.others(b.tree)) {
		return e.wrong("the file is written in a way that cannot be edited safely")
	}
	return nil
}

func (e yamlEditor) others(tree *yamlNode) *yamlNode {
	out := tree.without("")
	for _, section := range e.want.keys {
		s := tree.child(section)
		if s == nil {
			continue
		}
		if s.kind == 'm' {
			s = s.without(e.Value)
		}
		out = out.without(section)
		if !s.empty() {
			out.keys, out.kids = append(out.keys, section), append(out.kids, s)
		}
	}
	return out
}

// find is the entry of a map with this key; nil: none.
func find(m *ast.MappingNode, key string) *ast.MappingValueNode {
	if m == nil {
		return nil
	}
	for _, v := range m.Values {
		if s, ok := v.Key.(*ast.StringNode); ok && s.Value == key {
			return v
		}
	}
	return nil
}

// at is the offset of a key in the text, or of what stands at a position.
func (d *yamlDoc) at(n ast.Node) (offset, line int, err error) {
	t := n.GetToken()
	line = t.Position.Line
	for range line - 1 {
		offset = lineEnd(d.data, offset)
	}
	rest := string(d.data[offset:lineEnd(d.data, offset)])
	column := 1
	for i := range rest {
		if column == t.Position.Column {
			offset += i
			origin := strings.TrimSpace(t.Origin)
			if origin == "" || strings.HasPrefix(string(d.data[offset:]), origin) {
				return offset, line, nil
			}
			break
		}
		column++
	}
	return 0, 0, d.fail(line, "this is written in a way that cannot be edited safely")
}

// unit is how much deeper the file indents each level.
func (d *yamlDoc) unit() string {
	if d.root != nil {
		for _, v := range d.root.Values {
			m, ok := v.Value.(*ast.MappingNode)
			if !ok || m.IsFlowStyle || len(m.Values) == 0 {
				continue
			}
			if n := m.Values[0].Key.GetToken().Position.Column - v.Key.GetToken().Position.Column; n > 0 && n <= 16 {
				return strings.Repeat(" ", n)
			}
		}
	}
	return newIndent
}

func (d *yamlDoc) indentOf(n ast.Node) string {
	return strings.Repeat(" ", max(n.GetToken().Position.Column-1, 0))
}

// lines are the entry in block style; the quote tells an entry of a map that
// was there, empty, from one whose map came with it.
func (e yamlEditor) lines(section, indent, unit, quote string) string {
	return indent + quote + e.Value + quote + ":" + e.entry(section).block(indent+unit, unit)
}

func (e yamlEditor) inFlow(section string) string {
	return quoted(e.Value) + ": " + e.entry(section).flow()
}

func (e yamlEditor) addTo(d yamlDoc, section string) ([]byte, error) {
	s := find(d.root, section)
	if s == nil {
		indent := ""
		if d.root != nil && len(d.root.Values) > 0 {
			indent = d.indentOf(d.root.Values[0].Key)
		}
		unit := d.unit()
		return appendLines(d.data, indent+section+":\n"+e.lines(section, indent+unit, unit, `"`)), nil
	}
	at, line, err := d.at(s.Key)
	if err != nil {
		return nil, err
	}
	next := lineEnd(d.data, at)
	switch v := s.Value.(type) {
	case *ast.NullNode:
		return e.addToNull(d, section, s, v)
	case *ast.MappingNode:
		if there := find(v, e.Value); there != nil {
			if treeOf(there.Value).equal(e.entry(section)) {
				return d.data, nil
			}
			return nil, d.fail(there.Key.GetToken().Position.Line, "this registry has an entry already, and it says something else")
		}
		if !v.IsFlowStyle {
			return insertLines(d.data, next, e.lines(section, d.indentOf(v.Values[0].Key), d.unit(), `"`)), nil
		}
		at, _, err := d.at(v)
		if err != nil {
			return nil, err
		}
		text := e.inFlow(section)
		if len(v.Values) > 0 {
			text += ", "
		}
		return splice(d.data, at+1, at+1, text), nil
	default:
		return nil, d.fail(line, "this is no map that can be added to")
	}
}

// addToNull fills a key that has no value, or an explicit null.
func (e yamlEditor) addToNull(d yamlDoc, section string, s *ast.MappingValueNode, null *ast.NullNode) ([]byte, error) {
	at, line, err := d.at(s.Key)
	if err != nil {
		return nil, err
	}
	next := lineEnd(d.data, at)
	unit := d.unit()
	lines := e.lines(section, d.indentOf(s.Key)+unit, unit, "'")
	out := insertLines(d.data, next, lines)
	colon := at + bytes.IndexByte(d.data[at:next], ':') + 1
	value, _, _ := strings.Cut(string(d.data[colon:next])+"#", "#")
	word := strings.TrimSpace(value)
	if word == "" {
		return out, nil
	}
	if !slices.Contains([]string{"null", "~", "Null", "NULL"}, word) || null.GetToken().Position.Line != line {
		return nil, d.fail(line, "this is no map that can be added to")
	}
	return splice(out, colon, colon+strings.Index(value, word)+len(word), ""), nil
}

func (e yamlEditor) dropFrom(d yamlDoc, section string) ([]byte, error) {
	s := find(d.root, section)
	if s == nil {
		return d.data, nil
	}
	m, ok := s.Value.(*ast.MappingNode)
	if !ok {
		return d.data, nil
	}
	entry := find(m, e.Value)
	if entry == nil {
		return d.data, nil
	}
	at, line, err := d.at(entry.Key)
	if err != nil {
		return nil, err
	}
	if !treeOf(entry.Value).equal(e.entry(section)) {
		return nil, d.fail(line, "somebody has changed the entry of this registry")
	}
	if m.IsFlowStyle {
		return e.dropFlow(d, section, at, line)
	}
	from, to := lineStart(d.data, at), d.endOf(at)
	if len(bytes.TrimSpace(d.data[from:at])) > 0 {
		return nil, d.fail(line, "this is written in a way that cannot be edited safely")
	}
	key, _, err := d.at(s.Key)
	if err != nil {
		return nil, err
	}
	head := lineStart(d.data, key)
	alone := string(d.data[head:from]) == d.indentOf(s.Key)+section+":\n"
	if len(m.Values) == 1 && d.data[at] == '"' && alone {
		from = head
	}
	return cutLines(d.data, from, to), nil
}

// endOf is where the lines of the entry at an offset end: the following ones
// that are deeper, and empty ones between.
func (d *yamlDoc) endOf(at int) int {
	indent := at - lineStart(d.data, at)
	end := lineEnd(d.data, at)
	for next := end; next < len(d.data); {
		line := d.data[next:lineEnd(d.data, next)]
		text := bytes.TrimLeft(line, " ")
		next += len(line)
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		if len(line)-len(text) <= indent {
			break
		}
		end = next
	}
	return end
}

func (e yamlEditor) dropFlow(d yamlDoc, section string, at, line int) ([]byte, error) {
	text := e.inFlow(section)
	rest := string(d.data[at:])
	switch {
	case strings.HasPrefix(rest, text+", "):
		return splice(d.data, at, at+len(text)+2, ""), nil
	case strings.HasPrefix(rest, text) && bytes.HasSuffix(d.data[:at], []byte(", ")):
		return splice(d.data, at-2, at+len(text), ""), nil
	case strings.HasPrefix(rest, text):
		return splice(d.data, at, at+len(text), ""), nil
	}
	return nil, d.fail(line, "somebody has rewritten the entry of this registry")
}

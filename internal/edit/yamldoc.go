package edit

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

const (
	// maxYAML is the longest YAML file that is parsed, in bytes: the parser's
	// time grows with the square, 0.3 s for this.
	maxYAML = 128 << 10
	// maxDashes is how many lists may begin in one line.
	maxDashes = 50
)

// A yamlNode is what a file means: two files that mean the same have the same.
type yamlNode struct {
	kind byte   // 'm'ap, 's'equence, 'v'alue, 'x': an anchor, alias or tag
	text string // of a value or an x, with its type
	keys []string
	kids []*yamlNode
}

// yamlDoc is a file of one document whose top level is a block map, or nothing.
type yamlDoc struct {
	data []byte // with "\n" alone
	crlf bool
	root *ast.MappingNode
	tree *yamlNode
}

func (d *yamlDoc) fail(line int, why string) error { return &SyntaxError{YAML, line, why} }

func parseYAML(data []byte) (d yamlDoc, err error) {
	d = yamlDoc{data: data, tree: &yamlNode{kind: 'm'}}
	// The parser counts lines wrongly where they end in CR LF.
	if n := bytes.Count(data, []byte("\r")); n > 0 {
		if n != bytes.Count(data, []byte("\r\n")) || n != bytes.Count(data, []byte("\n")) {
			return d, d.fail(lineAt(data, bytes.IndexByte(data, '\r')), "the lines end in more than one way")
		}
		d.crlf, d.data = true, bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	}
	if err := d.refuse(); err != nil {
		return d, err
	}
	defer func() {
		if recover() != nil { // a fault of the parser's is not to end the program
			err = d.fail(0, "this is no YAML that can be read")
		}
	}()
	f, err := parser.ParseBytes(d.data, 0)
	if err != nil {
		line := 0
		var ye yaml.Error
		if errors.As(err, &ye) && ye.GetToken() != nil && ye.GetToken().Position != nil {
			line = ye.GetToken().Position.Line
		}
		return d, d.fail(line, "this is no YAML that can be read") // its text would quote the file
	}
	return d, d.read(f)
}

func (d *yamlDoc) refuse() error {
	if len(d.data) > maxYAML {
		return d.fail(0, "the file is larger than 128 KiB")
	}
	if line := tooDeep(d.data); line > 0 {
		return d.fail(line, "brackets lie too deep")
	}
	at := 0
	for l := range bytes.Lines(d.data) {
		dashes := 0
		for i := 0; i+1 < len(l) && (isBlank(l[i]) || isBlank(l[i+1])); i++ {
			if !isBlank(l[i]) {
				dashes++
			}
		}
		if dashes > maxDashes {
			return d.fail(lineAt(d.data, at), "lists lie too deep")
		}
		at += len(l)
	}
	return nil
}

func (d *yamlDoc) read(f *ast.File) error {
	if len(f.Docs) == 0 {
		return nil
	}
	doc := f.Docs[0]
	switch {
	case len(f.Docs) > 1:
		return d.fail(0, "the file holds more than one document")
	case doc.End != nil:
		return d.fail(doc.End.Position.Line, "the end of the document is marked: nothing can follow")
	case doc.Body == nil:
		return nil
	}
	root, ok := doc.Body.(*ast.MappingNode)
	if !ok || root.IsFlowStyle {
		return d.fail(doc.Body.GetToken().Position.Line, "the top level is no map in lines of its own")
	}
	d.root, d.tree = root, treeOf(root)
	return nil
}

func treeOf(n ast.Node) *yamlNode {
	switch v := n.(type) {
	case *ast.MappingNode:
		m := &yamlNode{kind: 'm'}
		for _, e := range v.Values {
			m.keys = append(m.keys, keyText(e))
			m.kids = append(m.kids, treeOf(e.Value))
		}
		return m
	case *ast.SequenceNode:
		s := &yamlNode{kind: 's'}
		for _, e := range v.Values {
			s.kids = append(s.kids, treeOf(e))
		}
		return s
	case *ast.StringNode:
		return &yamlNode{kind: 'v', text: "string " + v.Value}
	case *ast.LiteralNode:
		return &yamlNode{kind: 'v', text: "string " + v.Value.Value}
	case *ast.NullNode, nil:
		return &yamlNode{kind: 'v', text: "null"}
	case *ast.AnchorNode:
		return &yamlNode{kind: 'x', text: "&" + v.Name.String(), kids: []*yamlNode{treeOf(v.Value)}}
	case *ast.TagNode:
		return &yamlNode{kind: 'x', text: v.Start.Value, kids: []*yamlNode{treeOf(v.Value)}}
	default:
		return &yamlNode{kind: 'v', text: v.Type().String() + " " + v.String()}
	}
}

func keyText(e *ast.MappingValueNode) string {
	if s, ok := e.Key.(*ast.StringNode); ok {
		return s.Value
	}
	return e.Key.Type().String() + " " + e.Key.String() // never equal to a plain word
}

// equal does not look at the order of keys.
func (n *yamlNode) equal(m *yamlNode) bool {
	if n.kind != m.kind || n.text != m.text || len(n.kids) != len(m.kids) {
		return false
	}
	for i, kid := range n.kids {
		other := m.kids[i]
		if n.kind == 'm' {
			if other = m.child(n.keys[i]); other == nil {
				return false
			}
		}
		if !kid.equal(other) {
			return false
		}
	}
	return true
}

func (n *yamlNode) child(key string) *yamlNode {
	if n == nil || n.kind != 'm' {
		return nil
	}
	if i := slices.Index(n.keys, key); i >= 0 {
		return n.kids[i]
	}
	return nil
}

func (n *yamlNode) empty() bool {
	return n.kind == 'm' && len(n.kids) == 0 || n.kind == 'v' && n.text == "null"
}

// without is the map without a key.
func (n *yamlNode) without(key string) *yamlNode {
	out := &yamlNode{kind: n.kind, text: n.text}
	for i, k := range n.keys {
		if k != key {
			out.keys, out.kids = append(out.keys, k), append(out.kids, n.kids[i])
		}
	}
	return out
}

// block writes what stands behind a key and its colon: lines of their own for
// what has parts, each with this indentation.
func (n *yamlNode) block(indent, unit string) string {
	if len(n.kids) == 0 || n.kind != 'm' && n.kind != 's' {
		return " " + n.flow() + "\n"
	}
	var b strings.Builder
	b.WriteByte('\n')
	for i, kid := range n.kids {
		if n.kind == 's' {
			b.WriteString(indent + "- " + kid.flow() + "\n")
			continue
		}
		b.WriteString(indent + yamlScalar(n.keys[i]) + ":" + kid.block(indent+unit, unit))
	}
	return b.String()
}

// flow writes a node in one line.
func (n *yamlNode) flow() string {
	parts := make([]string, 0, len(n.kids))
	for i, kid := range n.kids {
		if n.kind == 'm' {
			parts = append(parts, quoted(n.keys[i])+": "+kid.flow())
			continue
		}
		parts = append(parts, kid.flow())
	}
	switch n.kind {
	case 'm':
		return "{" + strings.Join(parts, ", ") + "}"
	case 's':
		return "[" + strings.Join(parts, ", ") + "]"
	}
	kind, text, _ := strings.Cut(n.text, " ")
	if kind == "string" {
		return yamlScalar(text)
	}
	if kind == "null" {
		return kind
	}
	return text
}

// yamlScalar is a string as YAML: bare where every reader takes it as one.
func yamlScalar(s string) string {
	if s == "" || strings.IndexByte("/_abcdefghijklmnopqrstuvwxyz", s[0]) < 0 || !plainWord(s) || strings.ContainsAny(s, ":[]%") {
		return quoted(s)
	}
	switch s {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		return quoted(s)
	}
	return s
}

package edit

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

const newIndent = "  " // of a file that has no style yet

type jsonEditor struct{ Edit }

// jsonDoc is a daemon.json that dockerd would read.
type jsonDoc struct {
	data   []byte
	root   hujson.Value
	obj    *hujson.Object
	member *hujson.ObjectMember // the key; nil: not there
	last   bool                 // it is the last member
	list   *hujson.Array        // its value
}

func jsonWrong(data []byte, offset int, why string) error {
	return &SyntaxError{JSON, lineAt(data, offset), why}
}

// parseJSON accepts what every dockerd accepts and no more. With duplicates
// they are for the caller to judge, and the last one counts.
func parseJSON(data []byte, key string, duplicates bool) (jsonDoc, error) {
	d := jsonDoc{data: data}
	// First encoding/json, as dockerd does: it also limits the depth.
	var raw json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return d, jsonFault(data, err)
	}
	root, err := hujson.Parse(data)
	if err != nil {
		return d, &SyntaxError{JSON, 0, "this is no JSON"} // its text would quote the file
	}
	d.root = root
	obj, ok := root.Value.(*hujson.Object)
	if !ok {
		return d, jsonWrong(data, root.StartOffset, "this is no JSON object")
	}
	d.obj = obj
	seen := make(map[string]bool, len(obj.Members))
	for i := range obj.Members {
		m := &obj.Members[i]
		name := literal(m.Name)
		if seen[name] && !duplicates {
			return d, jsonWrong(data, m.Name.StartOffset, "this key is there twice")
		}
		seen[name] = true
		if name == key {
			d.member, d.last = m, i == len(obj.Members)-1
		}
	}
	if d.member == nil {
		return d, nil
	}
	return d, d.readList()
}

func (d *jsonDoc) readList() error {
	list, ok := d.member.Value.Value.(*hujson.Array)
	if !ok {
		return jsonWrong(d.data, d.member.Value.StartOffset, "this key is no list of strings: dockerd does not read it")
	}
	for _, e := range list.Elements {
		if e.Value.Kind() != '"' {
			return jsonWrong(d.data, e.StartOffset, "this entry of the list is no string: dockerd does not read it")
		}
	}
	d.list = list
	return nil
}

func literal(v hujson.Value) string {
	if l, ok := v.Value.(hujson.Literal); ok {
		return l.String()
	}
	return ""
}

// jsonFault says in words of our own what encoding/json found: its text may
// quote the file.
func jsonFault(data []byte, err error) error {
	var se *json.SyntaxError
	if !errors.As(err, &se) {
		return &SyntaxError{JSON, 0, "this is no JSON"}
	}
	at := max(int(se.Offset)-1, 0)
	if at >= len(data)-1 && strings.HasPrefix(se.Error(), "unexpected end") {
		return jsonWrong(data, len(data), "the JSON ends too early")
	}
	before := bytes.TrimRight(data[:min(at, len(data))], " \t\r\n")
	switch c := data[min(at, len(data)-1)]; {
	case c == '/' || c == '#':
		return jsonWrong(data, at, "dockerd reads no comments in JSON")
	case (c == '}' || c == ']') && bytes.HasSuffix(before, []byte(",")):
		return jsonWrong(data, len(before)-1, "a comma follows the last entry: dockerd does not read that")
	}
	return jsonWrong(data, at, "this is no JSON")
}

// emptyFile says whether a file has nothing in it.
func emptyFile(data []byte) bool { return len(bytes.TrimSpace(data)) == 0 }

// values are the entries of the list; nil when the key is not there.
func (d jsonDoc) values() []string {
	if d.member == nil {
		return nil
	}
	out := make([]string, 0, len(d.list.Elements))
	for _, e := range d.list.Elements {
		out = append(out, literal(e))
	}
	return out
}

// JSONList is the list of strings that a daemon.json has under key; nil when
// the key is absent. The error is a [SyntaxError].
func JSONList(data []byte, key string) ([]string, error) {
	if err := check(JSON, data); err != nil {
		return nil, err
	}
	if emptyFile(data) {
		return nil, nil
	}
	d, err := parseJSON(data, key, false)
	if err != nil {
		return nil, err
	}
	return d.values(), nil
}

// means says whether dockerd takes the entry as the edit's value. It strips
// these two schemes with a warning.
func (e jsonEditor) means(entry string) bool {
	if e.Remove {
		entry = strings.TrimPrefix(strings.TrimPrefix(entry, "https://"), "http://")
	}
	return entry == e.Value
}

func (e jsonEditor) has(data []byte) (bool, error) {
	list, err := JSONList(data, e.Key)
	return slices.ContainsFunc(list, e.means), err
}

func (e jsonEditor) add(data []byte) ([]byte, error) {
	if emptyFile(data) {
		return []byte("{\n" + newIndent + member(e.Key, e.Value, "\n", newIndent, newIndent, ": ") + "\n}\n"), nil
	}
	d, err := parseJSON(data, e.Key, false)
	if err != nil {
		return nil, err
	}
	text := quoted(e.Value)
	switch {
	case slices.Contains(d.values(), e.Value):
		return data, nil
	case d.member == nil:
		return d.addMember(e.Key, e.Value), nil
	case len(d.list.Elements) > 0:
		last := d.list.Elements[len(d.list.Elements)-1]
		return splice(data, last.EndOffset, last.EndOffset, ","+d.listSep()+text), nil
	}
	// White space tells this from a list that addMember made, so that drop
	// leaves an empty list here.
	at := d.member.Value.StartOffset + 1
	if d.style().nl == "" {
		text = " " + text + " "
	}
	return splice(data, at, at, text), nil
}

// quoted is a plain word as JSON.
func quoted(s string) string { return string(hujson.String(s)) }

// jsonStyle is how the members of the top level are laid out.
type jsonStyle struct {
	nl     string // the line end; "": all on one line
	indent string // of a member
	unit   string // of one level more
	sep    string // between members
	colon  string
}

func (d jsonDoc) style() jsonStyle {
	s := jsonStyle{indent: newIndent, unit: newIndent, colon: ": "}
	if len(d.obj.Members) == 0 {
		s.nl, s.sep = lineBreak(d.obj.AfterExtra)
		s.unit = newIndent + newIndent // so {} in two lines does not become what a new file is
		s.indent = s.sep + s.unit
		if s.nl == "" && len(d.obj.AfterExtra) > 0 {
			s.sep = " "
		}
		return s
	}
	last := d.obj.Members[len(d.obj.Members)-1]
	if !bytes.ContainsAny(last.Value.BeforeExtra, "\r\n") && !bytes.ContainsAny(last.Name.AfterExtra, "\r\n") {
		s.colon = string(last.Name.AfterExtra) + ":" + string(last.Value.BeforeExtra)
	}
	s.nl, s.indent = lineBreak(last.Name.BeforeExtra)
	s.unit = s.indent
	if _, closing := lineBreak(d.obj.AfterExtra); strings.HasPrefix(s.indent, closing) {
		s.unit = s.indent[len(closing):]
	}
	switch {
	case s.nl != "":
	case len(d.obj.Members) > 1:
		s.sep = string(last.Name.BeforeExtra)
	case len(last.Value.BeforeExtra) > 0:
		s.sep = " "
	}
	return s
}

// lineBreak splits white space into its line end and what follows the last one.
func lineBreak(extra hujson.Extra) (nl, indent string) {
	i := bytes.LastIndexByte(extra, '\n')
	if i < 0 {
		return "", ""
	}
	if i > 0 && extra[i-1] == '\r' {
		return "\r\n", string(extra[i+1:])
	}
	return "\n", string(extra[i+1:])
}

// member is a new key with a list of the one value, or of none.
func member(key, value, nl, indent, unit, colon string) string {
	list := "[" + value + "]"
	switch {
	case value != "" && nl != "":
		list = "[" + nl + indent + unit + quoted(value) + nl + indent + "]"
	case value != "":
		list = "[" + quoted(value) + "]"
	}
	return quoted(key) + colon + list
}

func (d jsonDoc) addMember(key, value string) []byte {
	s := d.style()
	text := member(key, value, s.nl, s.indent, s.unit, s.colon)
	if s.nl != "" {
		s.sep = s.nl + s.indent
	}
	at := d.root.StartOffset + 1
	if n := len(d.obj.Members); n > 0 {
		at = d.obj.Members[n-1].Value.EndOffset
		text = "," + s.sep + text
	} else {
		text = s.sep + text
	}
	return splice(d.data, at, at, text)
}

// listSep is the white space between two entries of the list.
func (d jsonDoc) listSep() string {
	last := d.list.Elements[len(d.list.Elements)-1]
	if nl, indent := lineBreak(last.BeforeExtra); nl != "" {
		return nl + indent
	}
	switch {
	case len(d.list.Elements) > 1:
		return string(last.BeforeExtra)
	case len(d.member.Value.BeforeExtra) > 0:
		return " "
	}
	return ""
}

// withEmptyKey has the key, with an empty list where it was not there.
func withEmptyKey(final []byte, key string) ([]byte, error) {
	if emptyFile(final) {
		return []byte("{\n" + newIndent + member(key, "", "\n", newIndent, newIndent, ": ") + "\n}\n"), nil
	}
	d, err := parseJSON(final, key, false)
	if err != nil || d.member != nil {
		return final, err
	}
	return d.addMember(key, ""), nil
}

func (e jsonEditor) drop(data []byte, undo bool) ([]byte, error) {
	for {
		if emptyFile(data) {
			return data, nil
		}
		d, err := parseJSON(data, e.Key, false)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(d.values(), e.means)
		if i < 0 {
			return data, nil
		}
		data = e.dropEntry(d, i, undo)
	}
}

func (e jsonEditor) dropEntry(d jsonDoc, i int, undo bool) []byte {
	all := d.list.Elements
	switch {
	case i > 0:
		return splice(d.data, all[i-1].EndOffset, all[i].EndOffset, "")
	case len(all) > 1:
		return splice(d.data, all[0].StartOffset, all[1].StartOffset, "")
	case !undo:
		return splice(d.data, d.member.Value.StartOffset, d.member.Value.EndOffset, "[]")
	}
	// Of what may have been before, it is what Apply makes these bytes of.
	for _, was := range d.before() {
		if now, err := e.add(was); err == nil && bytes.Equal(now, d.data) {
			return was
		}
	}
	return d.before()[1]
}

// before are the forms that a file may have had before its list got its only
// entry, the likely one, when somebody has edited since, second.
func (d jsonDoc) before() [][]byte {
	v, a := d.member.Value, string(d.list.AfterExtra)
	emptied := func(space string) []byte { return splice(d.data, v.StartOffset, v.EndOffset, "["+space+"]") }
	return [][]byte{nil, d.withoutMember(), emptied(a), emptied(strings.TrimPrefix(a, " "))}
}

func (d jsonDoc) withoutMember() []byte {
	all := d.obj.Members
	i := slices.IndexFunc(all, func(m hujson.ObjectMember) bool { return m.Name.StartOffset == d.member.Name.StartOffset })
	switch {
	case i > 0:
		return splice(d.data, all[i-1].Value.EndOffset, all[i].Value.EndOffset, "")
	case len(all) > 1:
		return splice(d.data, all[0].Name.StartOffset, all[1].Name.StartOffset, "")
	}
	return splice(d.data, d.root.StartOffset+1, all[0].Value.EndOffset, "")
}

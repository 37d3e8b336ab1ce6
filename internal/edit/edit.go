// Package edit changes one thing in a configuration file and keeps everything
// else as it is, to the byte: formatting, order, comments, unknown keys, line
// ends. It works on bytes alone and opens nothing.
package edit

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// A Format is a kind of file that can be edited.
type Format string

// The formats. Each says which fields of an [Edit] it uses.
const (
	JSON  Format = "json"  // daemon.json: Key, a list of strings at the top level, has Value, or has not with Remove
	Shell Format = "shell" // /etc/default/docker: the words of the variable Key have --insecure-registry Value, or have not
	YAML  Format = "yaml"  // registries.yaml of k3s: the entries named Value of mirrors and configs are those of Body, a YAML text
	TOML  Format = "toml"  // buildkitd.toml: the table named by Key and Value holds Body, lines that end in "\n"
	Set   Format = "set"   // containerd's config.toml: in the table Key ("": the top of the file) the name Value is set to Body
)

// maxSize is the longest file that is edited, in bytes. Real ones have a few KiB.
const maxSize = 1 << 20

// An Edit is one change of one file, as plain data. It can be taken back.
type Edit struct {
	Format Format `json:"format"`
	Key    string `json:"key,omitempty"`
	Value  string `json:"value,omitempty"`
	Body   string `json:"body,omitempty"`
	Remove bool   `json:"remove,omitempty"` // the opposite: it is not there afterwards
}

// A SyntaxError says where a file cannot be edited, and why. It shows none of
// the file's content: that may be somebody's secret.
type SyntaxError struct {
	Format Format
	Line   int // 1-based; 0 when it is about the whole file
	Why    string
}

func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return e.Why
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Why)
}

// An editor knows one format. All three may be handed any bytes.
type editor interface {
	has(data []byte) (bool, error)
	add(data []byte) ([]byte, error)
	// drop with undo takes back an add: also what add had made around it.
	drop(data []byte, undo bool) ([]byte, error)
}

// Apply makes the edit; the error is a [SyntaxError]. No data at all is a new
// file. When there is nothing to change, the very same bytes come back.
func (e Edit) Apply(data []byte) ([]byte, error) {
	if e.Remove {
		return e.drop(data, false)
	}
	return e.add(data)
}

// Revert is the inverse edit alone, for a file that others may have changed
// since; everything else stays. Where a file did not hold the edit, Revert
// after Apply gives its bytes; what cannot be told from the bytes alone is the
// white space of a file that had nothing else, and where in its list a removed
// entry stood. The error is a [SyntaxError], also when somebody has changed
// what Apply wrote.
func (e Edit) Revert(data []byte) ([]byte, error) {
	if e.Remove {
		return e.add(data)
	}
	return e.drop(data, true)
}

// Has says whether the file holds what the edit makes; with Remove, whether it
// does not hold it.
func (e Edit) Has(data []byte) (bool, error) {
	ed, err := e.editor(data)
	if err != nil {
		return false, err
	}
	has, err := ed.has(data)
	return err == nil && has != e.Remove, err
}

// Interim is what a running dockerd has to read so that it forgets what the
// final file no longer says: it keeps its list when the key vanishes, so the
// key is there, empty. Where that is not needed it is final itself.
func (e Edit) Interim(final []byte) ([]byte, error) {
	if e.Format != JSON {
		return final, nil
	}
	if err := check(e.Format, final); err != nil {
		return nil, err
	}
	return withEmptyKey(final, e.Key)
}

func (e Edit) add(data []byte) ([]byte, error) {
	ed, err := e.editor(data)
	if err != nil {
		return nil, err
	}
	out, err := ed.add(data)
	if err != nil {
		return nil, err
	}
	if has, err := ed.has(out); err != nil || !has {
		return nil, e.wrong("the file is written in a way that cannot be edited safely")
	}
	return out, nil
}

func (e Edit) drop(data []byte, undo bool) ([]byte, error) {
	ed, err := e.editor(data)
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return data, nil
	}
	out, err := ed.drop(data, undo)
	if err != nil {
		return nil, err
	}
	if has, err := ed.has(out); err != nil || has {
		return nil, e.wrong("the file is written in a way that cannot be edited safely")
	}
	return out, nil
}

func (e Edit) editor(data []byte) (editor, error) {
	if err := check(e.Format, data); err != nil {
		return nil, err
	}
	if !plainWord(e.Value) {
		return nil, e.wrong("this edit has a value that no configuration file takes")
	}
	switch e.Format {
	case JSON:
		return jsonEditor{e}, nil
	case Shell:
		if !isName(e.Key) {
			return nil, e.wrong("this edit names no shell variable")
		}
		return shellEditor{e}, nil
	case YAML:
		return newYAMLEditor(e)
	case TOML:
		return newTOMLEditor(e)
	case Set:
		return newSetEditor(e)
	default:
		return nil, e.wrong("files of this format are not edited")
	}
}

func (e Edit) wrong(why string) *SyntaxError { return &SyntaxError{Format: e.Format, Why: why} }

// check refuses what no format is edited with.
func check(f Format, data []byte) error {
	switch {
	case len(data) > maxSize:
		return &SyntaxError{f, 0, "the file is larger than 1 MiB"}
	case bytes.HasPrefix(data, []byte(bom)):
		why := "the file begins with a byte order mark"
		if f == JSON {
			why += ": Docker 20.10 does not start with it"
		}
		return &SyntaxError{f, 1, why}
	}
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return &SyntaxError{f, lineAt(data, i), "the file holds a zero byte: it is no text"}
	}
	return nil
}

const bom = "\xef\xbb\xbf"

// plainWord says whether s is made of what names, addresses, networks and key
// names are made of, none of which any format has to escape.
func plainWord(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte(".:-_/[]%", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// lineAt is the 1-based line of an offset.
func lineAt(data []byte, offset int) int {
	return 1 + bytes.Count(data[:min(max(offset, 0), len(data))], []byte("\n"))
}

// splice puts text in the place of data[from:to], in new bytes.
func splice(data []byte, from, to int, text string) []byte {
	out := make([]byte, 0, len(data)-(to-from)+len(text))
	out = append(out, data[:from]...)
	out = append(out, text...)
	return append(out, data[to:]...)
}

// eolOf is how the lines of a file end.
func eolOf(data []byte) string {
	if i := bytes.IndexByte(data, '\n'); i > 0 && data[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// lineStart is the offset where the line of an offset begins, lineEnd where
// the next one does.
func lineStart(data []byte, offset int) int {
	return bytes.LastIndexByte(data[:offset], '\n') + 1
}

func lineEnd(data []byte, offset int) int {
	if i := bytes.IndexByte(data[offset:], '\n'); i >= 0 {
		return offset + i + 1
	}
	return len(data)
}

// appendLines puts whole lines at the end of a file. A file whose last line has
// no end keeps that: so cutLines can bring it back.
func appendLines(data []byte, lines string) []byte {
	return insertLines(data, len(data), lines)
}

// insertLines puts whole lines where a line begins, or at the end of a file.
func insertLines(data []byte, at int, lines string) []byte {
	if at == len(data) && at > 0 && data[at-1] != '\n' {
		eol := eolOf(data)
		return splice(data, at, at, eol+strings.TrimSuffix(lines, eol))
	}
	return splice(data, at, at, lines)
}

// cutLines is the inverse of insertLines.
func cutLines(data []byte, from, to int) []byte {
	if to == len(data) && from > 0 && data[to-1] != '\n' {
		from--
		if from > 0 && data[from-1] == '\r' {
			from--
		}
	}
	return splice(data, from, to, "")
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// asSyntax gives err its format and is what every editor ends with.
func asSyntax(f Format, err error) error {
	var se *SyntaxError
	if errors.As(err, &se) {
		se.Format = f
		return se
	}
	return err
}

// Package edit changes one thing in a configuration file and keeps everything
// else as it is, to the byte: formatting, order, comments, unknown keys, line
// ends. It works on bytes alone and opens nothing.
package edit

import "fmt"

// A Format is a kind of file that can be edited.
type Format string

// The formats. Each says which fields of an [Edit] it uses.
const (
	JSON  Format = "json"  // daemon.json: Key, a list of strings at the top level, has Value, or has not with Remove
	Shell Format = "shell" // /etc/default/docker: the words of the variable Key have --insecure-registry Value, or have not
	YAML  Format = "yaml"  // registries.yaml of k3s: the entries of mirrors and configs named Value are Tables
	TOML  Format = "toml"  // buildkitd.toml: the table named by Key and Value holds Body
	Set   Format = "set"   // containerd's config.toml: in the table Key the name Value is set to Body
)

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

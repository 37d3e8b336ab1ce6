package auth

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/docker/cli/cli/config/types"
	"github.com/tailscale/hujson"
)

const (
	authsKey     = "auths"
	docsIndent   = "\n\t" // as docker writes config.json
	colonPadding = " "
)

// entryKeys are the keys of an entry that hold credentials; others, such as
// the e-mail address of old clients, are left alone.
var entryKeys = [...]string{"auth", "username", "password", "identitytoken", "registrytoken"}

// An editor changes single entries of a config.json: order, formatting and
// keys that it does not know stay as they are.
type editor struct {
	path   string
	root   hujson.Value
	before []byte
}

func newEditor(path string, data []byte) (*editor, error) {
	if err := checkJSON(path, data); err != nil {
		return nil, err
	}
	if isBlank(data) {
		data = []byte("{}")
	}
	root, err := hujson.Parse(data)
	if err != nil {
		return nil, &ConfigError{Path: path, Why: "it is not valid JSON"}
	}
	return &editor{path: path, root: root, before: data}, nil
}

// bytes is the document as it is to be written, and whether it changed.
func (e *editor) bytes() ([]byte, bool, error) {
	data := e.root.Pack()
	if !json.Valid(data) {
		return nil, false, &ConfigError{Path: e.path, Why: "it cannot be changed without harm"}
	}
	return data, !bytes.Equal(data, e.before), nil
}

// auths is the object with the entries; nil if there is none and create is false.
func (e *editor) auths(create bool) (*hujson.Object, error) {
	root, ok := e.root.Value.(*hujson.Object)
	if !ok {
		return nil, &ConfigError{Path: e.path, Why: "it is not a JSON object"}
	}
	at := -1
	for i, m := range root.Members {
		if !strings.EqualFold(nameOf(m), authsKey) {
			continue
		}
		if at >= 0 {
			return nil, &ConfigError{Path: e.path, Why: "it has the key auths more than once"}
		}
		at = i
	}
	switch {
	case at >= 0:
		value := &root.Members[at].Value
		if obj, ok := value.Value.(*hujson.Object); ok {
			return obj, nil
		}
		if value.Value.Kind() != 'n' {
			return nil, &ConfigError{Path: e.path, Why: "its key auths is not an object"}
		}
		if !create {
			return nil, nil //nolint:nilnil // there are none, and nothing is wrong
		}
		obj := &hujson.Object{}
		value.Value = obj
		return obj, nil
	case !create:
		return nil, nil //nolint:nilnil // there are none, and nothing is wrong
	}
	obj := &hujson.Object{}
	outer := hujson.Extra("\n")
	if len(root.Members) > 0 {
		outer = root.AfterExtra
	}
	add(root, authsKey, obj, e.indent(1), outer)
	return obj, nil
}

// set makes a the entry under key.
func (e *editor) set(key string, a types.AuthConfig) error {
	auths, err := e.auths(true)
	if err != nil {
		return err
	}
	entry := e.entry(auths, key)
	values := [...]string{a.Auth, a.Username, a.Password, a.IdentityToken, a.RegistryToken}
	for i, name := range entryKeys {
		if values[i] == "" {
			remove(entry, func(n string) bool { return strings.EqualFold(n, name) })
		}
	}
	for i, name := range entryKeys {
		if values[i] != "" {
			e.put(entry, name, values[i])
		}
	}
	return nil
}

// put gives the member name of an entry a value. Of several that encoding/json
// takes for the same, and of which the last would count, the first stays.
func (e *editor) put(entry *hujson.Object, name, value string) {
	same := func(m hujson.ObjectMember) bool { return strings.EqualFold(nameOf(m), name) }
	at := slices.IndexFunc(entry.Members, same)
	if at < 0 {
		add(entry, name, hujson.String(value), e.indent(3), e.indent(2))
		return
	}
	for i := len(entry.Members) - 1; i > at; i-- {
		if same(entry.Members[i]) {
			removeAt(entry, i)
		}
	}
	entry.Members[at].Name.Value = hujson.String(name)
	entry.Members[at].Value.Value = hujson.String(value)
}

// entry is the object under key, which is made if there is none; of several
// under the same key, the last stays.
func (e *editor) entry(auths *hujson.Object, key string) *hujson.Object {
	var last hujson.ValueTrimmed
	for _, m := range auths.Members {
		if nameOf(m) == key {
			last = m.Value.Value
		}
	}
	entry, ok := last.(*hujson.Object)
	if !ok {
		entry = &hujson.Object{}
	}
	seen := false
	for i := 0; i < len(auths.Members); {
		switch {
		case nameOf(auths.Members[i]) != key:
			i++
		case !seen:
			auths.Members[i].Value.Value = entry
			seen = true
			i++
		default:
			removeAt(auths, i)
		}
	}
	if !seen {
		add(auths, key, entry, e.indent(2), e.indent(1))
	}
	return entry
}

// drop removes the entries that match, and says whether there were any.
func (e *editor) drop(match func(key string) bool) (bool, error) {
	auths, err := e.auths(false)
	if err != nil || auths == nil {
		return false, err
	}
	return remove(auths, match), nil
}

// indent is the white space before a member depth levels deep, in the style of
// the document.
func (e *editor) indent(depth int) hujson.Extra {
	style := hujson.Extra(docsIndent)
	if root, ok := e.root.Value.(*hujson.Object); ok && len(root.Members) > 0 {
		style = root.Members[0].Name.BeforeExtra
	}
	at := bytes.LastIndexByte(style, '\n')
	if at < 0 {
		return nil
	}
	unit := style[at+1:]
	if at > 0 && style[at-1] == '\r' {
		return slices.Concat(hujson.Extra("\r\n"), bytes.Repeat(unit, depth))
	}
	return slices.Concat(hujson.Extra("\n"), bytes.Repeat(unit, depth))
}

func nameOf(m hujson.ObjectMember) string {
	name, _ := m.Name.Value.(hujson.Literal)
	return name.String()
}

// add appends a member to obj: formatted like its neighbours, else with inner
// before it and outer before the closing brace.
func add(obj *hujson.Object, name string, value hujson.ValueTrimmed, inner, outer hujson.Extra) {
	padding := hujson.Extra(colonPadding)
	if inner == nil {
		padding = nil
	}
	if n := len(obj.Members); n > 0 {
		last := obj.Members[n-1]
		inner, padding = last.Name.BeforeExtra, last.Value.BeforeExtra
	} else {
		obj.AfterExtra = slices.Clone(outer)
	}
	obj.Members = append(obj.Members, hujson.ObjectMember{
		Name:  hujson.Value{BeforeExtra: slices.Clone(inner), Value: hujson.String(name)},
		Value: hujson.Value{BeforeExtra: slices.Clone(padding), Value: value},
	})
}

func remove(obj *hujson.Object, match func(name string) bool) bool {
	found := false
	for i := len(obj.Members) - 1; i >= 0; i-- {
		if match(nameOf(obj.Members[i])) {
			removeAt(obj, i)
			found = true
		}
	}
	return found
}

func removeAt(obj *hujson.Object, i int) {
	obj.Members = slices.Delete(obj.Members, i, i+1)
	if n := len(obj.Members); n > 0 {
		obj.Members[n-1].Value.AfterExtra = nil // else hujson writes a trailing comma
	} else {
		obj.AfterExtra = nil
	}
}

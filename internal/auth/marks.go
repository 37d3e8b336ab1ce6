package auth

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/ref"
)

// A Mark is what the user agreed to for one registry at login.
type Mark struct {
	Realm string `json:"realm,omitempty"` // the token service on another host that credentials may go to
	Clear bool   `json:"clear,omitempty"` // credentials may go over a connection that others can read
}

// Marks are the marks of all registries, by host without the usual port.
type Marks map[string]Mark

// Of returns the mark of h; the zero Mark if there is none.
func (m Marks) Of(h ref.Host) Mark { return m[h.Canonical().String()] }

// LoadMarks reads the marks in the file at path, which need not exist. The
// error is a [*ConfigError].
func LoadMarks(path string) (Marks, error) {
	data, err := read(atomicfile.Machine(), path)
	if err != nil {
		return nil, err
	}
	if err := checkJSON(path, data); err != nil {
		return nil, err
	}
	m := Marks{}
	if isBlank(data) {
		return m, nil
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, &ConfigError{Path: path, Why: "its parts are not of the kinds that vicr writes"}
	}
	return m, nil
}

// SaveMark records mark for h in the file at path; the zero Mark forgets h.
// The realm is kept as an origin. Errors are [*RealmError] if there is no
// origin in it, [*ConfigError], and those of package atomicfile.
func SaveMark(ctx context.Context, path string, h ref.Host, mark Mark) (err error) {
	if mark.Realm != "" {
		origin, why := originOfRealm(mark.Realm)
		if why != "" {
			return &RealmError{Host: h.String(), Realm: mark.Realm, Why: why}
		}
		mark.Realm = origin
	}
	tree := atomicfile.Machine()
	if mark == (Mark{}) {
		if m, err := LoadMarks(path); err == nil && m.Of(h) == mark && tidy(tree, path) {
			return nil // no folder is made to forget what is not there
		}
	}
	if _, err := tree.MkdirAll(filepath.Dir(path), secretDir); err != nil {
		return err
	}
	lock, err := atomicfile.Lock(ctx, path+lockSuffix, lockWait)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Remove()) }()
	if _, err := tree.Sweep(filepath.Dir(path)); err != nil {
		return err
	}
	m, err := LoadMarks(path)
	if err != nil || m.Of(h) == mark {
		return err
	}
	m[h.Canonical().String()] = mark
	if mark == (Mark{}) {
		delete(m, h.Canonical().String())
	}
	if len(m) == 0 {
		return tree.Remove(path)
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return tree.Write(path, append(data, '\n'), secretFile)
}

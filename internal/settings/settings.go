// Package settings keeps what the user chose as the defaults of flags, in one
// file: a JSON object from the names of flags to their values, both text.
package settings

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

const (
	maxBytes   = 64 << 10
	lockSuffix = ".lock"
	lockWait   = 10 * time.Second
	dirMode    = 0o700
	fileMode   = 0o600
)

// Settings are values by the names of flags, without dashes.
type Settings map[string]string

// A FileError says that the file of settings is none.
type FileError struct {
	Path string
	Why  string
}

func (e *FileError) Error() string { return fmt.Sprintf("%q: %s", e.Path, e.Why) }

// Load reads the settings in the file at path, which need not exist. The error
// is a [*FileError], or one of package atomicfile.
func Load(path string) (Settings, error) {
	raw, _, err := atomicfile.Machine().Read(path, maxBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return Settings{}, nil
	}
	if err != nil {
		return nil, err
	}
	var s Settings
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return nil, &FileError{Path: path, Why: `not what vicr writes, an object of text such as {"jobs": "4"}`}
	}
	return s, nil
}

// Set records value for name in the file at path; "" takes the name out, and
// the file goes with the last one. Errors are as those of [Load].
func Set(ctx context.Context, path, name, value string) (err error) {
	tree, dir := atomicfile.Machine(), filepath.Dir(path)
	if _, err := tree.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	lock, err := atomicfile.Lock(ctx, path+lockSuffix, lockWait)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Remove()) }()
	if _, err := tree.Sweep(dir); err != nil {
		return err
	}
	s, err := Load(path)
	if err != nil || s[name] == value {
		return err
	}
	s[name] = value
	if value == "" {
		delete(s, name)
	}
	if len(s) == 0 {
		return tree.Remove(path)
	}
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return tree.Write(path, append(raw, '\n'), fileMode)
}

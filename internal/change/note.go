package change

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
)

// While the journal's own file is not there yet, or no more, an empty file lies
// beside the outermost folder that was made for it. It says that all from there
// down to the journal goes with it when it is empty: after a crash nobody else knows.
const noteName = ".vicr-journal"

// note says that folders, outermost first, are the journal's. A note further
// out, left by a killed run, stays and says it too.
func (j *Journal) note(ctx context.Context, folders []string) error {
	if noted, err := j.noted(); err != nil || len(noted) > 0 || len(folders) == 0 {
		return err
	}
	l, err := j.tree.Lock(ctx, filepath.Join(filepath.Dir(folders[0]), noteName), j.wait)
	if err != nil {
		return err
	}
	return l.Unlock()
}

// noted are the folders above the journal's that the outermost note speaks of,
// outermost first.
func (j *Journal) noted() (folders []string, err error) {
	var between []string
	for f := filepath.Dir(j.dir); f != filepath.Dir(f); f = filepath.Dir(f) {
		between = append(between, f)
		path := filepath.Join(filepath.Dir(f), noteName)
		info, err := j.tree.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := j.safe(path, info); err != nil {
			return nil, err
		}
		folders = slices.Clone(between)
	}
	slices.Reverse(folders)
	return folders, nil
}

// dropNotes is for when the journal's file says it, or the folders are gone.
func (j *Journal) dropNotes() error {
	var errs []error
	for f := filepath.Dir(j.dir); f != filepath.Dir(f); f = filepath.Dir(f) {
		errs = append(errs, j.tree.Remove(filepath.Join(filepath.Dir(f), noteName)))
	}
	return errors.Join(errs...)
}

package change

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

// A session is one run that holds the journal's lock. End it.
type session struct {
	*Journal
	lock  *atomicfile.HeldLock
	state content

	// How far this run got with the open change.
	reached int  // records whose file it may have changed
	acted   bool // it began an effect
}

// begin takes the lock and reads the journal anew. Its folder is made if need be.
func (j *Journal) begin(ctx context.Context) (*session, error) {
	// What others could have written is refused before anything is made in it.
	if _, err := j.load(); err != nil {
		return nil, err
	}
	made, lock, err := j.acquire(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{Journal: j, lock: lock}
	if s.state, err = j.load(); err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	noted, err := j.noted()
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	if len(s.state.Folders) == 0 {
		s.state.Folders = append(noted, slices.DeleteFunc(made, func(f string) bool { return slices.Contains(noted, f) })...)
	}
	return s, nil
}

func (j *Journal) acquire(ctx context.Context) (made []string, lock *atomicfile.HeldLock, err error) {
	const tries = 100
	for try := 1; ; try++ {
		var above []string
		missing, err := j.tree.Missing(filepath.Dir(j.dir))
		if err == nil {
			err = j.note(ctx, missing)
		}
		if err == nil {
			above, err = j.tree.MkdirAll(filepath.Dir(j.dir), newDirMode)
		}
		made = append(made, above...)
		if err == nil {
			var own []string
			own, err = j.tree.MkdirAll(j.dir, journalDir)
			made = append(made, own...)
		}
		if err == nil {
			lock, err = j.tree.Lock(ctx, j.path(lockName), j.wait)
		}
		// A run that dropped the last entry removed the folder under our feet.
		if errors.Is(err, fs.ErrNotExist) && try < tries {
			continue
		}
		if err != nil {
			return nil, nil, errors.Join(err, j.letGo(made))
		}
		return made, lock, nil
	}
}

// removeFolders removes those that are empty, innermost first.
func (j *Journal) removeFolders(folders []string) error {
	var errs []error
	for _, f := range slices.Backward(folders) {
		if err := j.tree.RemoveDir(f); err != nil && !errors.Is(err, atomicfile.ErrNotEmpty) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// save makes the journal's file say what the session knows.
func (s *session) save() error {
	s.state.Format = journalFormat
	data, err := json.MarshalIndent(s.state, "", "  ")
	if err != nil {
		return err
	}
	if err := s.tree.Write(s.path(journalName), append(data, '\n'), journalMode); err != nil {
		return err
	}
	return s.dropNotes()
}

// end drops what nothing refers to any more, and the lock. A journal without
// entries goes as a whole: what is in its file is needed up to the last.
func (s *session) end() error {
	if err := s.clean(); err != nil {
		return errors.Join(err, s.lock.Unlock())
	}
	if len(s.state.Entries) > 0 || s.state.Open != nil {
		return s.lock.Unlock()
	}
	folders := s.state.Folders
	if !slices.Contains(folders, s.dir) {
		folders = append(slices.Clone(folders), s.dir)
	}
	err := s.note(context.Background(), folders[:len(folders)-1])
	if err == nil {
		err = errors.Join(s.tree.RemoveDir(s.path(backupName)), s.tree.Remove(s.path(journalName)))
	}
	if err != nil {
		return errors.Join(err, s.lock.Unlock())
	}
	if err := s.lock.Remove(); err != nil {
		return err
	}
	return s.letGo(folders)
}

// letGo removes the journal's folders, and then what says that they are its: as
// long as they are there and the journal's file does not say it, the note must.
func (j *Journal) letGo(folders []string) error {
	if err := j.removeFolders(folders); err != nil {
		return err
	}
	if _, err := j.tree.Stat(j.dir); err == nil {
		return nil
	}
	return j.dropNotes()
}

func (s *session) clean() error {
	if _, err := s.tree.Sweep(s.dir); err != nil {
		return err
	}
	if _, err := s.tree.Sweep(s.path(backupName)); err != nil {
		return err
	}
	left, err := s.leftovers(&s.state)
	if err != nil {
		return err
	}
	for _, path := range left {
		if err := s.tree.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// backUp keeps the bytes of a version, so that they can be brought back.
func (s *session) backUp(v *Version, data []byte) error {
	if v == nil {
		return nil
	}
	if _, err := s.tree.MkdirAll(s.path(backupName), journalDir); err != nil {
		return err
	}
	path := s.path(backupName, v.SHA256)
	if is, _, err := look(s.tree, path); err == nil && sameBytes(is, v) {
		return nil
	}
	return s.tree.Write(path, data, journalMode)
}

// backup reads them again; other bytes than those that were kept are an error.
func (s *session) backup(v *Version) ([]byte, error) {
	path := s.path(backupName, v.SHA256)
	is, data, err := look(s.tree, path)
	if err != nil {
		return nil, err
	}
	if !sameBytes(is, v) {
		return nil, &JournalError{Path: s.tree.Real(path), Why: fmt.Sprintf("it does not hold the %d bytes that were kept", v.Size)}
	}
	return data, nil
}

// replace writes one of the machine's files. Owner and attributes are those of
// was; nil keeps what the file has.
func (s *session) replace(path string, data []byte, mode fs.FileMode, was *Version, ready func() error) error {
	at, err := s.at(path)
	if err != nil {
		return err
	}
	r := atomicfile.Replacement{Mode: mode, Ready: ready}
	if was != nil {
		r.Owner, r.Attrs = was.Owner, was.Attrs
		if r.Attrs == nil {
			r.Attrs = map[string][]byte{}
		}
	}
	return s.tree.Replace(at, data, r)
}

// remove removes one of the machine's files, and never a link.
func (s *session) remove(path string) error {
	if err := s.tree.CheckParents(path); err != nil {
		return err
	}
	return s.tree.Remove(path)
}

// at is where one of the machine's files lies, in folders that are nobody else's.
func (s *session) at(path string) (string, error) {
	if err := s.tree.CheckParents(path); err != nil {
		return "", err
	}
	return s.tree.Follow(path)
}

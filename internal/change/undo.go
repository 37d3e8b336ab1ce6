package change

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

// An Undo is what taking back the changes for a registry does.
type Undo struct {
	Host    string
	Lines   []string // what is done, a line each; empty when nothing is
	Changed []string // files that somebody changed since: left alone unless forced

	// Forgotten are files that the journal is not believed for: a forced undo
	// drops them from it and leaves them as they are.
	Forgotten []string
}

// UndoPlan says what [Journal.Undo] would do. It only reads, and
// is empty when nothing is recorded for the host. Errors are those of
// [Journal.Entries], or a [*DoubtError] unless force.
func (j *Journal) UndoPlan(ctx context.Context, host string, force bool) (Undo, error) {
	u := Undo{Host: host}
	if err := ctx.Err(); err != nil {
		return u, err
	}
	c, err := j.load()
	if err != nil {
		return u, err
	}
	if force {
		u.Lines, u.Forgotten = j.forget(&c, host)
	} else if err := j.doubtIn(&c, host); err != nil {
		return u, err
	}
	if o := c.Open; o != nil && o.Subject.Host == host {
		if o.Undo {
			u.Lines = append(u.Lines, "finish an undo that was interrupted")
		} else {
			u.Lines = append(u.Lines, "roll back a change that was interrupted")
		}
	}
	if i := c.entry(host); i >= 0 {
		goals, err := j.aim(&c, i, force)
		if err != nil {
			return u, err
		}
		u.plan(j.tree, goals, c.Entries[i].Effects)
	}
	return u, nil
}

// plan adds what will be done.
func (u *Undo) plan(t *atomicfile.Tree, goals []goal, effects []Step) {
	for _, g := range goals {
		var folders []string
		for _, f := range g.record.Folders {
			if info, err := t.Stat(f); err == nil && info.IsDir() {
				folders = append(folders, f)
			}
		}
		u.note(g.record, g.todo, folders, " if it is empty")
	}
	for _, step := range effects {
		if slices.ContainsFunc(goals, func(g goal) bool { return g.record.Tool == step.Tool && g.todo != leave }) {
			u.Lines = append(u.Lines, step.undoLine())
		}
	}
	if len(u.Lines)+len(u.Changed) == 0 {
		u.Lines = append(u.Lines, forget(u.Host))
	}
}

func forget(host string) string { return "forget " + host }

// note adds what is done about one file and the folders that were made for it.
func (u *Undo) note(r Record, todo verdict, folders []string, condition string) {
	switch {
	case todo == leave:
		u.Changed = append(u.Changed, r.Path)
		return
	case todo == restore && r.Reverted:
		u.Lines = append(u.Lines, "take back the edit of "+r.Path)
	case todo == restore && r.Before == nil:
		u.Lines = append(u.Lines, "remove "+r.Path)
	case todo == restore:
		u.Lines = append(u.Lines, fmt.Sprintf("restore %s (%d bytes, mode %04o)", r.Path, r.Before.Size, r.Before.Mode.Perm()))
	}
	for _, f := range slices.Backward(folders) {
		u.Lines = append(u.Lines, "remove the folder "+f+condition)
	}
}

// Undo takes back what was done for the host, last change first: files get the
// bytes, permissions and owner from before or go, folders that were made go
// when they are empty, and the entry goes. A file that somebody changed since
// is left alone and stays recorded, unless force. What the journal is not
// believed for is a [*DoubtError], and with force is forgotten and left as it
// is. Nothing is written when nothing is recorded. An undo that is killed is finished by the next run.
// The error is a [*RollbackError] when files could not be put back, and else as
// of [Journal.Apply].
func (j *Journal) Undo(ctx context.Context, host string, force bool) (u Undo, err error) {
	u.Host = host
	c, err := j.load()
	if err != nil {
		return u, err
	}
	tidy, err := j.tidy(&c)
	if err != nil || tidy && c.entry(host) < 0 {
		return u, err
	}
	if force {
		j.forget(&c, host)
	} else if err := j.doubtIn(&c, host); err != nil {
		return u, err
	}
	if i := c.entry(host); tidy && c.Entries[i].State == StateLeft {
		goals, err := j.aim(&c, i, force)
		if err != nil {
			return u, err
		}
		if !slices.ContainsFunc(goals, func(g goal) bool { return g.todo != leave }) {
			u.plan(j.tree, goals, nil)
			return u, nil
		}
	}
	s, err := j.begin(ctx)
	if err != nil {
		return u, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	if force {
		if u.Lines, u.Forgotten = s.forget(&s.state, host); len(u.Lines) > 0 {
			if err := s.save(); err != nil {
				return u, err
			}
		}
	}
	if o := s.state.Open; o != nil && o.Subject.Host == host {
		o.Force = o.Force || force
	}
	done, err := s.recover(ctx)
	for _, d := range done {
		if d.Host == host {
			u.Lines, u.Changed = append(u.Lines, d.Lines...), d.Changed
		}
	}
	if err != nil {
		return u, err
	}
	i := s.state.entry(host)
	if i < 0 {
		return u, nil
	}
	todo, err := s.openUndo(i, force)
	if err != nil || s.state.Open == nil {
		u.Changed = todo.Changed
		return u, err
	}
	more, err := s.undo(ctx)
	u.Lines, u.Changed = append(u.Lines, more.Lines...), more.Changed
	return u, err
}

// openUndo writes down what undoing the entry does. No transaction is open
// afterwards when all that is left of it is left alone.
func (s *session) openUndo(i int, force bool) (todo Undo, err error) {
	e := s.state.Entries[i]
	todo.Host = e.Subject.Host
	goals, err := s.aim(&s.state, i, force)
	if err != nil {
		return todo, err
	}
	todo.plan(s.tree, goals, e.Effects)
	tx := &transaction{Undo: true, Force: force, Subject: e.Subject, Effects: e.Effects, Time: time.Now().UTC()}
	for _, g := range slices.Backward(goals) { // in the order of the changes again
		if g.todo == leave {
			continue
		}
		if err := s.target(&g, e.Effects); err != nil {
			return todo, err
		}
		tx.Records = append(tx.Records, g.record)
	}
	switch {
	case len(todo.Lines) == 0 && e.State == StateLeft:
		return todo, nil
	case len(tx.Records) == 0 && len(goals) > 0:
		s.state.Entries = slices.Clone(s.state.Entries)
		s.state.Entries[i].State, s.state.Entries[i].Time = StateLeft, tx.Time
		return todo, s.save()
	}
	s.state.Open = tx
	return todo, s.save()
}

// undo does, or goes on with, the open undo.
func (s *session) undo(ctx context.Context) (u Undo, err error) {
	host := s.state.Open.Subject.Host
	u.Host = host
	i := s.state.entry(host)
	if i < 0 {
		s.state.Open = nil
		return u, s.save()
	}
	if len(s.state.Open.Records) == 0 { // written by an older vicr
		s.state.Open.Records, s.state.Open.Effects = s.state.Entries[i].Records, s.state.Entries[i].Effects
	}
	if err := s.aimAgain(); err != nil {
		return u, err
	}
	tx := s.state.Open
	rest, err := s.takeBack(ctx, tx.Records, tx.Effects, true, &u)
	if err != nil {
		return u, err
	}
	s.state.Entries = cloneEntries(s.state.Entries)
	for _, r := range tx.Records {
		if err := s.unshare(host, r); err != nil {
			return u, err
		}
	}
	e := &s.state.Entries[i]
	e.keep(tx.Records, rest.left)
	for _, r := range e.Records {
		if !slices.Contains(u.Changed, r.Path) {
			u.Changed = append(u.Changed, r.Path)
		}
	}
	if len(e.Records) > 0 {
		e.State, e.Time = StateLeft, tx.Time
	} else {
		s.state.Entries = slices.Delete(s.state.Entries, i, i+1)
	}
	s.state.bequeath(rest.used)
	s.state.Open = nil
	if len(u.Lines)+len(u.Changed) == 0 {
		u.Lines = append(u.Lines, forget(host))
	}
	return u, joined(s.save(), rest.untold)
}

// keep drops the records that were taken back, and the effects of tools that
// have none left.
func (e *Entry) keep(taken, left []Record) {
	has := func(records []Record, path string) bool {
		return slices.ContainsFunc(records, func(r Record) bool { return r.Path == path })
	}
	e.Records = slices.DeleteFunc(e.Records, func(r Record) bool { return has(taken, r.Path) && !has(left, r.Path) })
	e.Effects = slices.DeleteFunc(slices.Clone(e.Effects), func(s Step) bool {
		return !slices.ContainsFunc(e.Records, func(r Record) bool { return r.Tool == s.Tool })
	})
}

// unshare tells the entries that share an edited file what it is now.
func (s *session) unshare(host string, r Record) error {
	now, _, err := look(s.tree, r.Path)
	if odd(err) || len(r.Edits) == 0 || err == nil && !sameBytes(now, r.Before) {
		return nil
	}
	if err != nil {
		return err
	}
	for i, e := range s.state.Entries {
		for k, other := range e.Records {
			if e.Subject.Host != host && other.Path == r.Path && len(other.Edits) > 0 && sameBytes(other.After, r.After) {
				s.state.Entries[i].Records[k].After = r.Before
			}
		}
	}
	return nil
}

// bequeath hands folders that are still used to an entry that has files in
// them: whoever leaves last removes them.
func (c *content) bequeath(folders []string) {
	for _, f := range slices.Backward(folders) {
		below := func(r Record) bool { return strings.HasPrefix(filepath.ToSlash(r.Path), filepath.ToSlash(f)+"/") }
		for i := range c.Entries {
			k := slices.IndexFunc(c.Entries[i].Records, below)
			if k < 0 {
				continue
			}
			records := slices.Clone(c.Entries[i].Records)
			records[k].Folders = append([]string{f}, records[k].Folders...)
			c.Entries[i].Records = records
			break
		}
	}
}

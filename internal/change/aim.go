package change

import (
	"errors"
	"slices"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/edit"
)

// A goal is what becomes of one file when an entry is undone.
type goal struct {
	record Record // with Before as the state that is gone back to
	todo   verdict
	data   []byte // of record.Before when that is not the entry's own
}

// aim works out what undoing the entry does, last change first. What others
// need too is theirs alone in c from then on.
func (j *Journal) aim(c *content, entry int, force bool) ([]goal, error) {
	c.handOver(entry)
	var goals []goal
	for _, r := range slices.Backward(c.Entries[entry].Records) {
		g := goal{record: r}
		var err error
		if len(r.Edits) == 0 {
			g.todo, err = r.judge(j.tree, force)
		} else {
			err = g.aimEdit(j.tree, c.alone(entry, r.Path), force)
		}
		if err != nil {
			return nil, err
		}
		goals = append(goals, g)
	}
	return goals, nil
}

// alone says whether no other entry has changed the file.
func (c *content) alone(entry int, path string) bool {
	for i, e := range c.Entries {
		if i != entry && slices.ContainsFunc(e.Records, func(r Record) bool { return r.Path == path }) {
			return false
		}
	}
	return true
}

// aimEdit restores the file when it is ours alone and nobody changed it since.
// Else the edits alone are taken back.
func (g *goal) aimEdit(t *atomicfile.Tree, alone, force bool) error {
	r := &g.record
	now, data, err := look(t, r.Path)
	switch {
	case odd(err):
		g.todo = leave
		return nil
	case err != nil:
		return err
	case now == nil && force && alone && r.Before != nil:
		g.todo = restore
		return nil
	case now == nil || !r.Inexact && same(now, r.Before):
		g.keep(now, data)
		return nil
	case alone && !r.Inexact && sameBytes(now, r.After) && (r.Before != nil || !linked(t, r.Path)):
		g.todo = restore
		return nil
	}
	final, err := revertEdits(r.Edits, data)
	switch {
	case syntax(err) && force:
		r.After, g.todo = now, restore
	case syntax(err):
		g.todo = leave
	case err != nil:
		return err
	case string(final) == string(data):
		g.keep(now, data)
	default:
		g.revert(now, final)
	}
	return nil
}

// keep leaves the file as it is: there is nothing of ours in it.
func (g *goal) keep(now *Version, data []byte) {
	g.record.Before, g.record.After, g.data, g.todo = now, now, data, nothing
}

// revert makes the file what it is without the edits.
func (g *goal) revert(now *Version, final []byte) {
	v := version(final)
	v.Mode, v.Owner, v.Attrs = now.Mode, now.Owner, now.Attrs
	g.record.Before, g.record.After, g.record.Reverted = v, now, true
	g.data, g.todo = append([]byte{}, final...), restore // an empty file too is one to be kept
}

func syntax(err error) bool {
	var s *edit.SyntaxError
	return errors.As(err, &s)
}

// aimAgain looks at files that somebody edited since the open transaction was
// written down: there the edits alone are taken back, too.
func (s *session) aimAgain() error {
	tx := s.state.Open
	records, changed := slices.Clone(tx.Records), false
	for i, r := range records {
		now, _, err := look(s.tree, r.Path)
		if len(r.Edits) == 0 || odd(err) || err == nil && (now == nil || r.known(now)) {
			continue
		}
		if err != nil {
			return err
		}
		g := goal{record: r}
		g.record.Inexact, g.record.Interim = true, nil
		if err := g.aimEdit(s.tree, false, false); err != nil {
			return err
		}
		if g.todo == leave {
			continue
		}
		if err := s.target(&g, tx.Effects); err != nil {
			return err
		}
		g.record.Inexact = r.Inexact
		records[i], changed = g.record, true
	}
	if !changed {
		return nil
	}
	tx.Records = records
	return s.save()
}

// known says whether a file is in one of the states that we know it in.
func (r Record) known(now *Version) bool {
	return sameBytes(now, r.Before) || sameBytes(now, r.After) || r.between(now)
}

// between says whether a file holds what lies there until a process was reloaded.
func (r Record) between(now *Version) bool { return r.Interim != nil && sameBytes(now, r.Interim) }

// target keeps the bytes that the goal goes to, and works out what has to lie
// there before.
func (s *session) target(g *goal, effects []Step) (err error) {
	if g.data != nil {
		if err := s.backUp(g.record.Before, g.data); err != nil {
			return err
		}
	}
	if len(g.record.Edits) == 0 || g.todo != restore {
		return nil
	}
	data := g.data
	if data == nil && g.record.Before != nil {
		// Where the backup is lost, putting the file back says so.
		if data, err = s.backup(g.record.Before); err != nil {
			return nil //nolint:nilerr // as above
		}
	}
	g.record.Interim, err = interimOf(g.record, effects, g.record.Before, data)
	if syntax(err) {
		return nil // a file that nobody can read makes no process forget
	}
	return err
}

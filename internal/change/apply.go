package change

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"
)

// Apply makes the plan so, for one registry, and then calls prove, which may be
// nil. Everything is recorded before the first file changes. When all is
// already as the plan wants it nothing is written, and prove decides.
//
// A run that was killed is put in order first. When a step or the proof fails,
// or ctx ends, what was changed is put back: the error is a [*RolledBackError],
// or a [*RollbackError] when that failed too. A failure before anything was
// changed comes as it is: a [*PlanError], a [*ChangedError], an [*UnsafeError],
// a [*JournalError], or one of package atomicfile, such as its LockedError
// after 30 s.
func (j *Journal) Apply(ctx context.Context, subject Subject, plan Plan, prove func(context.Context) error) (err error) {
	if prove == nil {
		prove = func(context.Context) error { return nil }
	}
	tidy, err := j.inOrder()
	if err != nil {
		return err
	}
	pending, err := plan.Pending(j.tree)
	if err != nil {
		return err
	}
	if tidy && len(pending) == 0 {
		return prove(ctx)
	}
	changed, err := j.apply(ctx, subject, plan, prove)
	if err != nil || changed {
		return err
	}
	return prove(ctx) // somebody else was faster
}

func (j *Journal) apply(ctx context.Context, subject Subject, plan Plan, prove func(context.Context) error) (changed bool, err error) {
	s, err := j.begin(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	if _, err := s.recover(); err != nil {
		return false, err
	}
	pending, err := plan.Pending(s.tree)
	if err != nil || len(pending) == 0 {
		return false, err
	}
	if err := s.record(subject, pending); err != nil {
		return false, err
	}
	err = s.carryOut(ctx, pending)
	if err == nil {
		err = prove(ctx)
	}
	if err == nil {
		err = s.commit()
	}
	if err != nil {
		return true, s.rollBack(err)
	}
	return true, nil
}

// inOrder says whether the journal needs no care before it is used.
func (j *Journal) inOrder() (bool, error) {
	c, err := j.load()
	if err != nil {
		return false, err
	}
	return j.tidy(&c)
}

// record writes down what is about to be done, and keeps the bytes from before.
func (s *session) record(subject Subject, pending Plan) error {
	tx := &transaction{Subject: subject, Time: time.Now().UTC()}
	planned := map[string]bool{}
	for _, step := range pending {
		before, data, err := look(s.tree, step.Path)
		if err != nil {
			return err
		}
		if err := s.backUp(before, data); err != nil {
			return err
		}
		r := Record{Tool: step.Tool, Path: step.Path, Before: before, After: step.after(before)}
		if step.Op == OpWrite {
			missing, err := s.tree.Missing(filepath.Dir(step.Path))
			if err != nil {
				return err
			}
			r.Folders = slices.DeleteFunc(missing, func(f string) bool { return planned[f] })
			for _, f := range r.Folders {
				planned[f] = true
			}
		}
		tx.Records = append(tx.Records, r)
	}
	s.state.Open = tx
	if err := s.save(); err != nil {
		s.state.Open = nil
		// Should it have been written all the same, it must not stay.
		if is, lerr := s.load(); lerr != nil || is.Open != nil {
			err = errors.Join(err, s.save())
		}
		return err
	}
	return nil
}

func (s *session) carryOut(ctx context.Context, pending Plan) error {
	for i, step := range pending {
		if err := ctx.Err(); err != nil {
			return err
		}
		now, _, err := look(s.tree, step.Path)
		if err != nil {
			return err
		}
		if !same(now, s.state.Open.Records[i].Before) {
			return &ChangedError{Path: s.tree.Real(step.Path)}
		}
		if err := s.carryOutOne(step); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) carryOutOne(step Step) error {
	if step.Op == OpRemove {
		return s.tree.Remove(step.Path)
	}
	mode := step.DirMode
	if mode == 0 {
		mode = newDirMode
	}
	if _, err := s.tree.MkdirAll(filepath.Dir(step.Path), mode); err != nil {
		return err
	}
	return s.tree.Write(step.Path, step.Data, step.Mode)
}

// commit turns the open transaction into the host's entry. What the entry
// knows of a file from before stays: undoing goes back to the beginning.
func (s *session) commit() error {
	tx, before := s.state.Open, s.state
	s.state.Entries = slices.Clone(s.state.Entries)
	s.merge(tx.Subject, tx.Records, StateDone, tx.Time)
	s.state.Open = nil
	if err := s.save(); err != nil {
		s.state = before
		return err
	}
	return nil
}

func (s *session) merge(subject Subject, records []Record, state State, at time.Time) {
	i := s.state.entry(subject.Host)
	if i < 0 {
		s.state.LastID++
		s.state.Entries = append(s.state.Entries, Entry{ID: s.state.LastID, Subject: subject, State: state, Time: at})
		i = len(s.state.Entries) - 1
	}
	e := &s.state.Entries[i]
	if state == StateDone { // what is left of a failed change takes nothing from an entry
		e.Subject, e.State, e.Time = subject, state, at
	}
	e.Records = slices.Clone(e.Records)
	for _, r := range records {
		k := slices.IndexFunc(e.Records, func(known Record) bool { return known.Path == r.Path })
		if k < 0 {
			e.Records = append(e.Records, r)
			continue
		}
		known := &e.Records[k]
		known.Tool, known.After = r.Tool, r.After
		known.Folders = append(slices.Clone(known.Folders), r.Folders...)
	}
}

package change

import (
	"context"
	"errors"
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
// changed comes as it is: a [*PlanError], a [*ProgramError] of a check, a
// [*ChangedError], an [*UnsafeError], a [*JournalError], or one of package
// atomicfile, such as its LockedError after 30 s, or what it says of links,
// folders of others, marks and read-only file systems.
func (j *Journal) Apply(ctx context.Context, subject Subject, plan Plan, prove func(context.Context) error) (err error) {
	if prove == nil {
		prove = func(context.Context) error { return nil }
	}
	c, err := j.load()
	if err != nil {
		return err
	}
	tidy, err := j.tidy(&c)
	if err != nil {
		return err
	}
	pending, err := j.pending(&c, subject.Host, plan)
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
	if _, err := s.recover(ctx); err != nil {
		return false, err
	}
	pending, err := s.pending(&s.state, subject.Host, plan)
	if err != nil || len(pending) == 0 {
		return false, err
	}
	works, effects, err := s.prepare(subject.Host, pending)
	if err != nil {
		return false, err
	}
	if err := s.judge(ctx, works); err != nil {
		return false, err
	}
	if err := s.record(subject, works, effects); err != nil {
		return false, err
	}
	err = s.carryOut(ctx, works, effects)
	if err == nil {
		err = prove(ctx)
	}
	if err == nil {
		err = s.commit()
	}
	if err != nil {
		return true, s.rollBack(ctx, err)
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
func (s *session) record(subject Subject, works []work, effects []Step) error {
	tx := &transaction{Subject: subject, Effects: effects, Time: time.Now().UTC()}
	for _, w := range works {
		if err := s.backUp(w.record.Before, w.before); err != nil {
			return err
		}
		w.record.Trust = subject.Trust
		if subject.How == "" { // nobody was asked, as nothing changes
			w.record.Trust = s.state.trustOf(w.record, subject.Trust)
		}
		tx.Records = append(tx.Records, w.record)
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

// carryOut changes the files, and then makes them count.
func (s *session) carryOut(ctx context.Context, works []work, effects []Step) error {
	for i, w := range works {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := w.carryOut(s)
		var changed *ChangedError
		if !errors.As(err, &changed) {
			s.reached = i + 1
		}
		if err != nil {
			return err
		}
	}
	for _, step := range effects {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.acted = true
		if _, err := s.effect(ctx, s.state.Open.Subject.Host, step, false); err != nil {
			return err
		}
	}
	return nil
}

// commit turns the open transaction into the host's entry. What the entry
// knows of a file from before stays: undoing goes back to the beginning.
func (s *session) commit() error {
	tx, before := s.state.Open, s.state
	s.state.Entries = cloneEntries(s.state.Entries)
	records := slices.Clone(tx.Records)
	for i := range records {
		s.share(tx.Subject.Host, &records[i])
	}
	s.merge(tx, records, StateDone)
	s.state.Open = nil
	if err := s.save(); err != nil {
		s.state = before
		return err
	}
	return nil
}

// cloneEntries copies what a transaction may change.
func cloneEntries(entries []Entry) []Entry {
	entries = slices.Clone(entries)
	for i := range entries {
		entries[i].Records = slices.Clone(entries[i].Records)
	}
	return entries
}

// share makes one history of an edit and of the earlier ones of the same file:
// as long as only we edit it, it was before all of them what it was before the
// first, and is after all of them what it is after the last.
func (s *session) share(host string, r *Record) {
	if len(r.Edits) == 0 {
		s.shareWhole(host, r)
		return
	}
	now, shared, others := r.Before, false, false
	for i := range s.state.Entries {
		for k := range s.state.Entries[i].Records {
			known := &s.state.Entries[i].Records[k]
			if known.Path != r.Path || len(known.Edits) == 0 {
				continue
			}
			switch {
			case !sameBytes(known.After, now): // somebody else edited it in between
				others = true
				if s.state.Entries[i].Subject.Host == host {
					known.Inexact = true
				}
				continue
			case !shared:
				shared, r.Before, r.Inexact = true, known.Before, known.Inexact
			}
			known.After = r.After
		}
	}
	if !shared && others {
		r.Inexact = true
	}
}

// shareWhole: a file that another host had written to the letter was before
// both what it was before the first.
func (s *session) shareWhole(host string, r *Record) {
	if r.After == nil || !sameBytes(r.Before, r.After) {
		return
	}
	for _, e := range s.state.Entries {
		for _, known := range e.Records {
			if e.Subject.Host != host && known.Path == r.Path && len(known.Edits) == 0 && sameBytes(known.After, r.After) {
				r.Before = known.Before
				return
			}
		}
	}
}

// merge adds what a transaction did to the host's entry.
func (s *session) merge(tx *transaction, records []Record, state State) {
	i := s.state.entry(tx.Subject.Host)
	if i < 0 {
		s.state.LastID++
		s.state.Entries = append(s.state.Entries, Entry{ID: s.state.LastID, Subject: tx.Subject, State: state, Time: tx.Time})
		i = len(s.state.Entries) - 1
	}
	e := &s.state.Entries[i]
	if state == StateDone { // what is left of a failed change takes nothing from an entry
		e.Subject, e.State, e.Time = tx.Subject, state, tx.Time
	}
	e.Records = slices.Clone(e.Records)
	for _, r := range records {
		r.Interim, r.Reverted = nil, false
		k := slices.IndexFunc(e.Records, func(known Record) bool { return known.Path == r.Path })
		if k < 0 {
			e.Records = append(e.Records, r)
			continue
		}
		e.Records[k].add(r)
	}
	e.Effects = slices.Clone(e.Effects)
	for _, step := range tx.Effects {
		ours := slices.ContainsFunc(records, func(r Record) bool { return r.Tool == step.Tool })
		if ours && !slices.ContainsFunc(e.Effects, func(known Step) bool { return sameEffect(known, step) }) {
			e.Effects = append(e.Effects, step)
		}
	}
}

// add makes one record of what was known of a file and of a later change.
func (r *Record) add(later Record) {
	if len(r.Edits) == 0 && len(later.Edits) > 0 && !sameBytes(r.After, later.Before) {
		return // the whole file was ours, and somebody else's since: it will be left to them
	}
	if len(r.Edits) > 0 {
		r.Edits = joinEdits(r.Edits, later.Edits)
		if len(later.Edits) == 0 {
			r.Edits = nil
		}
	}
	r.Tool, r.After, r.Restart, r.Trust = later.Tool, later.After, later.Restart, later.Trust
	r.Folders = append(slices.Clone(r.Folders), later.Folders...)
}

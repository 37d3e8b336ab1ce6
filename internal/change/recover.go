package change

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/vicr-cli/vicr/internal/shell"
)

// Recover puts in order what a killed run left: a change is rolled back, an
// undo finished. It says what it did, a line each, and writes nothing when
// there is nothing to do. Errors are those of [Journal.Undo], a [*DoubtError]
// about any host.
func (j *Journal) Recover(ctx context.Context) (lines []string, err error) {
	tidy, err := j.inOrder()
	if err != nil || tidy {
		return nil, err
	}
	s, err := j.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	done, err := s.recover(ctx)
	for _, d := range done {
		lines = append(lines, d.Lines...)
		for _, path := range d.Changed {
			lines = append(lines, "leave "+path+", which somebody changed since")
		}
	}
	return lines, err
}

// recover deals with the open transaction, if there is one.
func (s *session) recover(ctx context.Context) ([]Undo, error) {
	if s.state.Open == nil {
		return nil, nil
	}
	if o := s.state.Open; s.doubt(o.Subject.Host, o.Records, o.Effects) != "" {
		return nil, s.doubtIn(&s.state, o.Subject.Host)
	}
	if s.state.Open.Undo {
		u, err := s.undo(ctx)
		return []Undo{u}, err
	}
	u, err := s.revert(ctx, true)
	return []Undo{u}, err
}

// rollBack puts back what the open change did, because of cause.
func (s *session) rollBack(ctx context.Context, cause error) error {
	// What somebody else changed before we came to it is no business of ours.
	s.state.Open.Records = s.state.Open.Records[:s.reached]
	u, err := s.revert(ctx, false)
	var incomplete *RollbackError
	switch {
	case errors.As(err, &incomplete):
		incomplete.Err = errors.Join(cause, incomplete.Err)
		return incomplete
	case len(u.Changed) > 0:
		return &RollbackError{Err: errors.Join(cause, err), Left: u.Changed}
	case err != nil || len(u.Lines) > 0:
		return &RolledBackError{Err: errors.Join(cause, err)}
	}
	return cause
}

// revert goes back to the state before the open change. A file that somebody
// else changed in between is left alone and recorded as such. What made files
// count is told again always, or else if this run put one back.
func (s *session) revert(ctx context.Context, always bool) (u Undo, err error) {
	u.Host = s.state.Open.Subject.Host
	if err := s.aimAgain(); err != nil {
		return u, err
	}
	tx := s.state.Open
	rest, err := s.takeBack(ctx, tx.Records, tx.Effects, always, &u)
	if err != nil {
		return u, err
	}
	s.state.Entries = slices.Clone(s.state.Entries)
	if len(rest.left) > 0 {
		for i := range rest.left {
			rest.left[i].Inexact = len(rest.left[i].Edits) > 0
		}
		s.merge(tx, rest.left, StateLeft)
	}
	s.state.bequeath(rest.used)
	s.state.Open = nil
	return u, joined(s.save(), rest.untold)
}

// joined is the error of saving, or else what could not be told.
func joined(err error, untold *RollbackError) error {
	if err == nil && untold != nil {
		return untold
	}
	return err
}

func removeCommand(path string) string {
	if runtime.GOOS == "windows" {
		return `del "` + path + `"`
	}
	return "rm -f -- " + shell.Quote(path)
}

func copyCommand(from, to string, v *Version) string {
	if runtime.GOOS == "windows" {
		return `copy /y "` + from + `" "` + to + `"`
	}
	owner := ""
	if v.Owner != nil {
		owner = fmt.Sprintf(" -o %d -g %d", v.Owner.UID, v.Owner.GID)
	}
	return fmt.Sprintf("install -m %04o%s -- %s %s", v.Mode.Perm(), owner, shell.Quote(from), shell.Quote(to))
}

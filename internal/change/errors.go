package change

import (
	"fmt"
	"strings"
)

// A PlanError says that a plan cannot be carried out by anybody. Nothing was touched.
type PlanError struct {
	Step Step
	Why  string
}

func (e *PlanError) Error() string { return fmt.Sprintf("plan for %q: %s", e.Step.Path, e.Why) }

// A ChangedError says that a file changed between being looked at and being written.
type ChangedError struct {
	Path string
}

func (e *ChangedError) Error() string { return fmt.Sprintf("%q was changed meanwhile", e.Path) }

// A RolledBackError says that a change or its proof failed, for the reason that
// it wraps, and that every file is as it was.
type RolledBackError struct {
	Err error
}

func (e *RolledBackError) Error() string { return "rolled back: " + e.Err.Error() }

func (e *RolledBackError) Unwrap() error { return e.Err }

// A RollbackError says that files could not be put back as they were. What
// could not be done stays in the journal.
type RollbackError struct {
	Err      error    // why there was a roll-back, and why it failed
	Left     []string // the files that are not as they were; none when only a program or a reload failed
	Commands []string // what puts them back by hand, in this order
}

func (e *RollbackError) Error() string {
	quoted := make([]string, len(e.Left))
	for i, p := range e.Left {
		quoted[i] = fmt.Sprintf("%q", p)
	}
	if len(e.Left) == 0 {
		return fmt.Sprintf("roll-back incomplete: %v", e.Err)
	}
	return fmt.Sprintf("roll-back incomplete: %s: %v", strings.Join(quoted, ", "), e.Err)
}

func (e *RollbackError) Unwrap() error { return e.Err }

// An UnsafeError says that somebody else could have written the journal. It was
// not read.
type UnsafeError struct {
	Path string
	Why  string
}

func (e *UnsafeError) Error() string { return fmt.Sprintf("journal %q: %s", e.Path, e.Why) }

// A JournalError says that the journal cannot be understood. It was left as it is.
type JournalError struct {
	Path string
	Why  string
}

func (e *JournalError) Error() string { return fmt.Sprintf("journal %q: %s", e.Path, e.Why) }

// A DoubtError says that something recorded for a registry is not what vicr
// changes on this machine as it is now. Nothing was touched.
type DoubtError struct {
	Path string // of the journal
	Host string
	Why  string
}

func (e *DoubtError) Error() string { return fmt.Sprintf("journal %q: %s", e.Path, e.Why) }

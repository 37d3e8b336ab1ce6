package change

import "time"

// SetWait shortens the wait for the lock.
func (j *Journal) SetWait(d time.Duration) { j.wait = d }

// SetLimits shortens the time that programs and checks may take.
func (j *Journal) SetLimits(d time.Duration) { j.effectLimit, j.checkLimit = d, d }

// Root is the folder that the journal's tree lies in.
func (j *Journal) Root() string { return j.tree.Real("/") }

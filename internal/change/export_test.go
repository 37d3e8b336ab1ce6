package change

import "time"

// SetWait shortens the wait for the lock.
func (j *Journal) SetWait(d time.Duration) { j.wait = d }

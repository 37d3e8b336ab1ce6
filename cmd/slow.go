package cmd

import (
	"sync"
	"time"
)

// slowAfter is when somebody who waits is told that something is being done.
const slowAfter = 5 * time.Second

// patiently does what may take long and prints nothing, and after a while says
// what that is. With --debug each request is seen anyway.
func (a *app) patiently(after time.Duration, what string, do func() error) error {
	if a.flags.debug {
		return do()
	}
	done := make(chan struct{})
	var said sync.WaitGroup
	said.Go(func() {
		select {
		case <-done:
		case <-time.After(after):
			a.note("%s takes its time; -D shows each request", what)
		}
	})
	defer said.Wait()
	defer close(done)
	return do()
}

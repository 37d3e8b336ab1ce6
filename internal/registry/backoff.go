package registry

import (
	"math/rand/v2"
	"time"
)

const (
	minPause = time.Second
	maxPause = 15 * time.Second
)

// backoff is the wait after n tries that brought little: none after none, and
// then doubling, half of it at random, so that many clients do not come back at
// once.
func backoff(n int) time.Duration {
	if n == 0 {
		return 0
	}
	pause := minPause
	for range n - 1 {
		pause = min(2*pause, maxPause)
	}
	return pause/2 + rand.N(pause/2+1) //nolint:gosec // spreads load, guards nothing
}

package store

import (
	"runtime"
	"testing"
)

func TestProcessorsAreIdleWhileFewBlobsAreTaken(t *testing.T) {
	t.Parallel()
	s := &Store{}
	for n := range 2 * runtime.GOMAXPROCS(0) {
		if s.growing.Store(int32(n)); s.idle() != (n < runtime.GOMAXPROCS(0)) {
			t.Errorf("with %d blobs: %t", n, s.idle())
		}
	}
}

//go:build crashpoints

package atomicfile

import (
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
)

// crashCount numbers the points that were passed, from 1.
var crashCount atomic.Int64

// crashPoint counts. At number $VICR_CRASH_AT the process kills itself; at
// number $VICR_FAULT_AT it says that the disk is full. Each number is appended
// to the file $VICR_CRASH_LOG, a line each.
func crashPoint() error {
	k := strconv.FormatInt(crashCount.Add(1), 10)
	if name := os.Getenv("VICR_CRASH_LOG"); name != "" { //nolint:forbidigo // never in a build that is meant to be used
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, tempMode) //nolint:gosec // as above
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(f, k); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	if k == os.Getenv("VICR_CRASH_AT") { //nolint:forbidigo // as above
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		if err != nil {
			return err
		}
		select {} // the signal is on its way
	}
	if k == os.Getenv("VICR_FAULT_AT") { //nolint:forbidigo // as above
		return syscall.ENOSPC
	}
	return nil
}

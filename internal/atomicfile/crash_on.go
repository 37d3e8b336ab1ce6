//go:build crashpoints

package atomicfile

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// crashCount numbers the points that were passed, from 1.
var crashCount atomic.Int64

// faults are the errors that $VICR_FAULT_ERR can name.
var faults = map[string]error{"ENOSPC": syscall.ENOSPC, "EIO": syscall.EIO, "EDQUOT": syscall.EDQUOT}

// crashPoint counts. At number $VICR_CRASH_AT the process kills itself; at
// number $VICR_FAULT_AT it fails with $VICR_FAULT_ERR, which is ENOSPC when it
// names none, and with "7-" for a number at all of them from the seventh. At
// number $VICR_SIGNAL_AT it sends itself $VICR_SIGNAL, INT, TERM or HUP. Each number is appended to the file $VICR_CRASH_LOG, a line each.
func crashPoint() error {
	n := crashCount.Add(1)
	k := strconv.FormatInt(n, 10)
	if err := logLine("VICR_CRASH_LOG", k); err != nil {
		return err
	}
	if k == os.Getenv("VICR_CRASH_AT") { //nolint:forbidigo // never in a build that is meant to be used
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		if err != nil {
			return err
		}
		select {} // the signal is on its way
	}
	if k == os.Getenv("VICR_SIGNAL_AT") { //nolint:forbidigo // as above
		if err := interrupt(os.Getenv("VICR_SIGNAL")); err != nil { //nolint:forbidigo // as above
			return err
		}
	}
	at, stays := strings.CutSuffix(os.Getenv("VICR_FAULT_AT"), "-") //nolint:forbidigo // as above
	first, err := strconv.ParseInt(at, 10, 64)
	if err == nil && (n == first || stays && n > first) {
		return faults[cmp.Or(os.Getenv("VICR_FAULT_ERR"), "ENOSPC")] //nolint:forbidigo // as above
	}
	return nil
}

// interrupt sends this process a signal, and waits until it was noticed.
func interrupt(name string) error {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return err
	}
	if err := self.Signal(map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP}[name]); err != nil {
		return err
	}
	time.Sleep(20 * time.Millisecond)
	return nil
}

// opLog appends what was done to the file $VICR_OP_LOG, as one line of JSON.
func opLog(o operation) error {
	line, err := json.Marshal(map[string]any{
		"kind": o.kind, "path": o.path, "to": o.to, "data": o.data, "at": o.at, "mode": o.mode, "owner": o.owner,
	})
	if err != nil {
		return err
	}
	return logLine("VICR_OP_LOG", string(line))
}

func logLine(variable, line string) error {
	name := os.Getenv(variable) //nolint:forbidigo // as above
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, tempMode) //nolint:gosec // as above
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(f, line); err != nil {
		return err
	}
	return f.Close()
}

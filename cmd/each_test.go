package cmd

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/store"
)

// What comes of several arguments when one of them is interrupted.
func TestAnInterruptEndsAllArguments(t *testing.T) {
	t.Parallel()
	missing, interrupt := &store.NameError{}, errSignal{os.Interrupt}
	for _, tt := range []struct {
		name   string
		cancel int // the argument under way when the signal comes; 0: none
		errs   map[int]error
		done   []int
		code   int
		said   int // errors of arguments before
	}{
		{"under way", 2, map[int]error{2: context.Canceled}, []int{1, 2}, 130, 0},
		{"after another failed", 2, map[int]error{1: missing, 2: context.Canceled}, []int{1, 2}, 130, 1},
		{"and it went well all the same", 2, nil, []int{1, 2}, 130, 0},
		{"the last one, and it went well", 3, nil, []int{1, 2, 3}, 0, 0},
		{"as a key, where the terminal is raw", 0, map[int]error{2: interrupt}, []int{1, 2}, 130, 0},
		{"and something could not be put back", 2, map[int]error{2: &change.RollbackError{}}, []int{1, 2}, 10, 0},
	} {
		var said strings.Builder
		a := &app{env: Env{Stderr: &said, Getenv: func(string) string { return "" }}}
		ctx, cancel := context.WithCancelCause(t.Context())
		var done []int
		err := forEach(ctx, a, []int{1, 2, 3}, func(n int) error {
			done = append(done, n)
			if n == tt.cancel {
				cancel(interrupt)
			}
			return tt.errs[n]
		})
		cancel(nil)
		if got := exitCode(err); got != tt.code || !slices.Equal(done, tt.done) || errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, exit %d after %v", tt.name, err, got, done)
		}
		if n := strings.Count(said.String(), "error:"); n != tt.said {
			t.Errorf("%s: %s", tt.name, said.String())
		}
	}
}

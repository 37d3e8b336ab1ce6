//go:build !linux

package change

import (
	"errors"
	"io/fs"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

// hangUp refuses: here it cannot be seen what a process runs.
func hangUp(t *atomicfile.Tree, r Reload) (there bool, err error) {
	if _, err := r.pid(t); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return false, r.refused(t, "it cannot be seen here what it runs")
}

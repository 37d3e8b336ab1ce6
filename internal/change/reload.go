package change

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

const maxPIDFile = 64 // bytes

// A ReloadError says why a process is not told to read its files anew.
type ReloadError struct {
	Name    string // the process in words
	PIDFile string
	Why     string
}

func (e *ReloadError) Error() string {
	return fmt.Sprintf("the process of %q is not touched: %s", e.PIDFile, e.Why)
}

func (r Reload) refused(t *atomicfile.Tree, why string) error {
	return &ReloadError{Name: r.Name, PIDFile: t.Real(r.PIDFile), Why: why}
}

// pid reads the number of the process. What others could have written is
// refused: it says who gets a signal from root.
func (r Reload) pid(t *atomicfile.Tree) (int, error) {
	data, info, err := t.Read(r.PIDFile, maxPIDFile)
	if err != nil {
		return 0, err
	}
	if o, ok := atomicfile.OwnerOf(info); ok && o.UID != 0 && o.UID != os.Geteuid() {
		return 0, r.refused(t, "its file belongs to another user")
	}
	if info.Mode().Perm()&0o022 != 0 {
		return 0, r.refused(t, "others may write its file")
	}
	pid, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 32)
	if err != nil || pid <= 1 {
		return 0, r.refused(t, "its file holds no number of a process")
	}
	return int(pid), nil
}

// may says whether a process that runs this executable may be told. One that
// was replaced by an update while it runs is marked as deleted.
func (r Reload) may(exe string) bool {
	return slices.Contains(r.Exe, path.Base(strings.TrimSuffix(exe, " (deleted)")))
}

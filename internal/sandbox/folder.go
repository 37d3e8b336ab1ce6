package sandbox

import (
	"errors"
	"slices"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

// openFolder makes the folder for large blobs, for its owner alone, where it is
// missing, and finds out whether it takes any: what does not, fails here and not
// at the first push. It returns which folders it made.
func openFolder(dir string) ([]string, error) {
	const mode = 0o700
	if dir == "" {
		return nil, nil
	}
	made, err := atomicfile.Machine().MkdirAll(dir, mode)
	if err == nil {
		err = tryFolder(dir)
	}
	if err != nil {
		return nil, errors.Join(err, removeFolders(made))
	}
	return made, nil
}

func tryFolder(dir string) error {
	f, err := atomicfile.Scratch(dir)
	if err != nil {
		return err
	}
	return f.Close()
}

// removeFolders takes back what openFolder made, unless something else is in it now.
func removeFolders(made []string) error {
	for _, dir := range slices.Backward(made) {
		err := atomicfile.Machine().RemoveDir(dir)
		if errors.Is(err, atomicfile.ErrNotEmpty) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

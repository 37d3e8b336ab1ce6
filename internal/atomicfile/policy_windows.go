package atomicfile

import "os"

const openFolder = os.O_RDONLY

func isRoot() bool { return false }

// walk follows no link: who may change one is not looked at.
func (t *Tree) walk(path string, _ bool) (string, *untrusted, error) {
	return "", &untrusted{path, "is one"}, nil
}

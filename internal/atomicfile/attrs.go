package atomicfile

import (
	"errors"
	"io/fs"
	"strings"
)

// ownAttr says whether an extended attribute is the file's own, and so goes
// where its bytes go. Others the system makes for each file.
func ownAttr(name string) bool {
	switch name {
	case aclAttr, "security.selinux", "security.SMACK64":
		return true
	}
	return strings.HasPrefix(name, "user.") ||
		strings.HasPrefix(name, "trusted.") && !strings.HasPrefix(name, "trusted.overlay.")
}

// aclAttr is the access list of a file.
const aclAttr = "system.posix_acl_access"

// optional says whether a file may go without the attribute where it must not
// be set: labels are root's, and the system gives each file one.
func optional(name string) bool {
	return strings.HasPrefix(name, "security.") || strings.HasPrefix(name, "trusted.")
}

// Attrs returns the extended attributes of the plain file at path: what users
// set, its access list, its label. It is empty where the system or the file
// system has none, or none that we may read.
func (t *Tree) Attrs(path string) (map[string][]byte, error) {
	name, err := t.name(path)
	if err != nil {
		return nil, err
	}
	f, _, err := t.openRegular(name, path)
	if errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	attrs, err := readAttrs(f)
	return attrs, t.named(err, path)
}

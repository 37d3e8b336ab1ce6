package change

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"maps"
	"strings"
	"syscall"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

// A Version is a file as it was or is to be; nil: no file.
type Version struct {
	SHA256 string            `json:"sha256"` // lower hex
	Size   int64             `json:"size"`   // bytes
	Mode   fs.FileMode       `json:"mode"`   // permission bits
	Owner  *atomicfile.Owner `json:"owner,omitempty"`
	// Attrs are extended attributes: those of users, the access list, the label.
	Attrs map[string][]byte `json:"attrs,omitempty"`
}

func version(data []byte) *Version {
	sum := sha256.Sum256(data)
	return &Version{SHA256: hex.EncodeToString(sum[:]), Size: int64(len(data))}
}

// look reads a file; nil when there is none. A link is followed as
// [atomicfile.Tree.Follow] does.
func look(t *atomicfile.Tree, path string) (*Version, []byte, error) {
	path, err := t.Follow(path)
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	data, info, err := t.Read(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	v := version(data)
	v.Mode = info.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	if o, ok := atomicfile.OwnerOf(info); ok {
		v.Owner = &o
	}
	attrs, err := t.Attrs(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, nil // gone just now
	case err != nil:
		return nil, nil, err
	case len(attrs) > 0:
		v.Attrs = attrs
	}
	return v, data, nil
}

// sameBytes says whether two versions hold the same, or are both no file.
func sameBytes(a, b *Version) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.SHA256 == b.SHA256
}

// same says whether two versions also have the same permissions, owner and
// attributes, as far as the system has those.
func same(a, b *Version) bool {
	if !sameBytes(a, b) || a == nil || a.Owner == nil || b.Owner == nil {
		return sameBytes(a, b)
	}
	return a.Mode == b.Mode && *a.Owner == *b.Owner && maps.EqualFunc(a.chosen(), b.chosen(), bytes.Equal)
}

// chosen are the attributes that somebody set. A label is the system's: it may
// give another one to a file that is written anew.
func (v *Version) chosen() map[string][]byte {
	attrs := maps.Clone(v.Attrs)
	maps.DeleteFunc(attrs, func(name string, _ []byte) bool { return strings.HasPrefix(name, "security.") })
	return attrs
}

// Package change makes changes to the machine: a plan is data that can be
// shown; it is recorded before it is carried out, proven after, rolled back
// when something fails, and undone later to the last byte. After a crash at
// any point the next run puts things in order first.
package change

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/edit"
)

const (
	maxFile    = 4 << 20 // bytes, of a file that is changed: configuration, not data
	newDirMode = 0o755
	newMode    = 0o600 // of a new file whose step names none
)

// An Op says what a step does.
type Op string

// The operations of a [Step].
const (
	OpWrite  Op = "write"  // the file is there and holds Data
	OpRemove Op = "remove" // the file is not there
	OpEdit   Op = "edit"   // the file holds Edit; one that is missing is made
	OpReload Op = "reload" // a running process reads its files anew
	OpRun    Op = "run"    // a program is run
)

// A Step is one file that must be so. It is plain data.
type Step struct {
	Tool    string      `json:"tool"` // for which container tool
	Path    string      `json:"path"` // absolute, in the journal's tree
	Data    []byte      `json:"data,omitempty"`
	Mode    fs.FileMode `json:"mode,omitempty"`    // permissions; 0: those it has, 0600 if new
	DirMode fs.FileMode `json:"dirMode,omitempty"` // of the folders that have to be made; 0: 0755
	Op      Op          `json:"op"`

	Edit    *edit.Edit `json:"edit,omitempty"`    // OpEdit
	Check   []string   `json:"check,omitempty"`   // argv that judges the new bytes before they are written; "{}" is a file of them
	Reload  *Reload    `json:"reload,omitempty"`  // OpReload
	Run     *Command   `json:"run,omitempty"`     // OpRun
	Restart string     `json:"restart,omitempty"` // what has to be typed before the file counts; "" if nothing
	Secret  bool       `json:"secret,omitempty"`  // a private key: its bytes are never shown
}

// A Reload tells a running process to read its files anew (SIGHUP).
type Reload struct {
	Name    string   `json:"name"`    // in words
	PIDFile string   `json:"pidFile"` // holds the number of the process
	Exe     []string `json:"exe"`     // base names that its executable may have
}

// A Command is a program that makes a change count, and the one that takes it back.
type Command struct {
	What string   `json:"what"` // in words
	Argv []string `json:"argv"` // absolute path first
	Undo []string `json:"undo"` // nil: Argv again
}

// String says in one line what the step does.
func (s Step) String() string {
	if s.Op == OpRemove {
		return "remove " + s.Path
	}
	line := fmt.Sprintf("write %s (%d bytes", s.Path, len(s.Data))
	if s.Mode != 0 {
		line += fmt.Sprintf(", mode %04o", s.Mode.Perm())
	}
	return line + ")"
}

// A Plan is what must be so, in the order in which it is made so.
type Plan []Step

// Pending returns the steps that would change something: none when all is as
// the plan wants it. It only reads. The error is that of [atomicfile.Tree.Read],
// or a [*PlanError].
func (p Plan) Pending(t *atomicfile.Tree) (Plan, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	var pending Plan
	for _, s := range p {
		now, data, err := look(t, s.Path)
		if err != nil {
			return nil, err
		}
		if !s.holds(now, data) {
			pending = append(pending, s)
		}
	}
	return pending, nil
}

// holds says whether a file is as the step wants it.
func (s Step) holds(now *Version, data []byte) bool {
	if s.Op == OpRemove {
		return now == nil
	}
	if now == nil || !bytes.Equal(data, s.Data) {
		return false
	}
	return s.Mode == 0 || now.Owner == nil || now.Mode == s.Mode
}

// after is what the step makes of a file.
func (s Step) after(before *Version) *Version {
	if s.Op == OpRemove {
		return nil
	}
	v := version(s.Data)
	switch {
	case s.Mode != 0:
		v.Mode = s.Mode
	case before != nil:
		v.Mode = before.Mode
	default:
		v.Mode = newMode
	}
	return v
}

func (p Plan) check() error {
	seen := map[string]bool{}
	for _, s := range p {
		switch {
		case !absolute(s.Path):
			return &PlanError{Step: s, Why: "the path is not absolute and clean"}
		case s.Op != OpWrite && s.Op != OpRemove:
			return &PlanError{Step: s, Why: "it has no operation"}
		case len(s.Data) > maxFile:
			return &PlanError{Step: s, Why: "the file is too large"}
		case seen[s.Path]:
			return &PlanError{Step: s, Why: "the plan has two steps for one file"}
		}
		seen[s.Path] = true
	}
	return nil
}

// absolute says whether a path means the same from every folder. Plans for
// another system's tree (--root) have its kind of path.
func absolute(path string) bool {
	if strings.ContainsRune(path, 0) {
		return false
	}
	rooted := filepath.IsAbs(path) || strings.HasPrefix(filepath.ToSlash(path), "/")
	return rooted && filepath.ToSlash(filepath.Clean(path)) == filepath.ToSlash(path)
}

// A Version is a file as it was or is to be; nil: no file.
type Version struct {
	SHA256 string            `json:"sha256"` // lower hex
	Size   int64             `json:"size"`   // bytes
	Mode   fs.FileMode       `json:"mode"`   // permission bits
	Owner  *atomicfile.Owner `json:"owner,omitempty"`
}

func version(data []byte) *Version {
	sum := sha256.Sum256(data)
	return &Version{SHA256: hex.EncodeToString(sum[:]), Size: int64(len(data))}
}

// look reads a file; nil when there is none.
func look(t *atomicfile.Tree, path string) (*Version, []byte, error) {
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
	return v, data, nil
}

// sameBytes says whether two versions hold the same, or are both no file.
func sameBytes(a, b *Version) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.SHA256 == b.SHA256
}

// same says whether two versions also have the same permissions and owner, as
// far as the system has those.
func same(a, b *Version) bool {
	if !sameBytes(a, b) || a == nil || a.Owner == nil || b.Owner == nil {
		return sameBytes(a, b)
	}
	return a.Mode == b.Mode && *a.Owner == *b.Owner
}

// Package change makes changes to the machine: a plan is data that can be
// shown; it is recorded before it is carried out, proven after, rolled back
// when something fails, and undone later to the last byte. After a crash at
// any point the next run puts things in order first.
package change

import (
	"bytes"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

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

// A Step is one file that must be so, or what makes files count. It is plain data.
type Step struct {
	Tool    string      `json:"tool"` // for which container tool
	Path    string      `json:"path"` // absolute, in the journal's tree
	Data    []byte      `json:"data,omitempty"`
	Mode    fs.FileMode `json:"mode,omitempty"`    // permissions; 0: those it has, 0600 if new; of an edit: of a file that is new
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
	What string   `json:"what"`           // in words
	Argv []string `json:"argv"`           // absolute path first
	Undo []string `json:"undo"`           // nil: Argv again
	Gone string   `json:"gone,omitempty"` // what a failed Undo says where nothing is left to take back; "": it says nothing of the kind
}

// String says in one line what the step does.
func (s Step) String() string {
	switch s.Op {
	case OpRemove:
		return "remove " + s.Path
	case OpEdit:
		return "edit " + s.Path
	case OpReload:
		return "reload " + s.Reload.Name
	case OpRun:
		return "run " + commandLine(s.Run.Argv) + inBrackets(s.Run.What)
	case OpWrite:
	}
	line := fmt.Sprintf("write %s (%d bytes", s.Path, len(s.Data))
	if s.Mode != 0 {
		line += fmt.Sprintf(", mode %04o", s.Mode.Perm())
	}
	return line + ")"
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// effect says whether the step makes files count instead of changing one.
func (s Step) effect() bool { return s.Op == OpReload || s.Op == OpRun }

// A Plan is what must be so, in the order in which it is made so: first all
// files, then what makes them count.
type Plan []Step

// Pending returns the steps that would change something: none when all is as
// the plan wants it. What makes files count is pending with a file of the same
// tool. It only reads. The error is that of [atomicfile.Tree.Read], a
// [*PlanError], or wraps an [*edit.SyntaxError].
func (p Plan) Pending(t *atomicfile.Tree) (Plan, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	changes, tools := make([]bool, len(p)), map[string]bool{}
	for i, s := range p {
		if s.effect() {
			continue
		}
		now, data, err := look(t, s.Path)
		if err != nil {
			return nil, err
		}
		held, err := s.holds(now, data)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", t.Real(s.Path), err)
		}
		if !held {
			changes[i], tools[s.Tool] = true, true
		}
	}
	var pending Plan
	for i, s := range p {
		if changes[i] || s.effect() && tools[s.Tool] {
			pending = append(pending, s)
		}
	}
	return pending, nil
}

// Show says what the plan does for people to read: a line a step, and beneath
// each edit the lines that it changes. Errors are those of [Plan.Pending].
func (p Plan) Show(t *atomicfile.Tree) ([]string, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	var lines []string
	files := map[string][]byte{} // as the steps before left them
	for _, s := range p {
		lines = append(lines, s.String())
		if s.Op != OpEdit || s.Secret {
			continue
		}
		before, known := files[s.Path]
		if !known {
			var err error
			if _, before, err = look(t, s.Path); err != nil {
				return nil, err
			}
		}
		after, err := s.Edit.Apply(before)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", t.Real(s.Path), err)
		}
		files[s.Path] = after
		if bytes.Equal(before, after) {
			continue
		}
		for _, l := range s.Edit.Lines() {
			lines = append(lines, "    "+l)
		}
	}
	return lines, nil
}

// Remarks says what is special about the files that the plan changes, a line
// each. It only reads; what keeps a file from being changed is no remark.
func (p Plan) Remarks(t *atomicfile.Tree) []string {
	var lines []string
	for _, s := range p {
		if s.effect() || !absolute(s.Path) {
			continue
		}
		at, err := t.Follow(s.Path)
		if err != nil {
			continue
		}
		if at != s.Path {
			lines = append(lines, fmt.Sprintf("%s is a link, which stays: %s is changed", s.Path, at))
		}
		if info, err := t.Stat(at); err == nil && info.Mode().IsRegular() && atomicfile.Links(info) > 1 {
			lines = append(lines, fmt.Sprintf("%s has %d names: the others keep the old bytes", at, atomicfile.Links(info)))
		}
	}
	return slices.Compact(lines)
}

// holds says whether a file is as the step wants it. An edit leaves the
// permissions of a file that is there alone.
func (s Step) holds(now *Version, data []byte) (bool, error) {
	switch {
	case s.Op == OpRemove:
		return now == nil, nil
	case s.Op == OpEdit && now == nil:
		return s.Edit.Remove, nil
	case s.Op == OpEdit:
		return s.Edit.Has(data)
	case now == nil || !bytes.Equal(data, s.Data):
		return false, nil
	}
	return s.Mode == 0 || now.Owner == nil || now.Mode == s.Mode, nil
}

func (p Plan) check() error {
	ops := map[string]Op{}
	for _, s := range p {
		why := s.wrong()
		// Several edits of one file are one change of it.
		if op, twice := ops[s.Path]; why == "" && !s.effect() && twice && (op != OpEdit || s.Op != OpEdit) {
			why = "the plan has two steps for one file"
		}
		if why != "" {
			return &PlanError{Step: s, Why: why}
		}
		ops[s.Path] = s.Op
	}
	return nil
}

// wrong says why nobody can carry out the step; "" if somebody can.
func (s Step) wrong() string {
	switch {
	case !s.effect() && !absolute(s.Path):
		return "the path is not absolute and clean"
	case s.effect() && s.Path != "":
		return "a step that changes no file names one"
	case len(s.Data) > maxFile:
		return "the file is too large"
	case len(s.Check) > 0 && !absolute(s.Check[0]):
		return "what checks it is no absolute path"
	}
	switch s.Op {
	case OpWrite, OpRemove:
		return ""
	case OpEdit:
		if s.Edit == nil {
			return "it has no edit"
		}
		return ""
	case OpReload:
		return s.Reload.wrong()
	case OpRun:
		return s.Run.wrong()
	}
	return "it has no operation"
}

func (r *Reload) wrong() string {
	if r == nil || !absolute(r.PIDFile) || len(r.Exe) == 0 {
		return "it does not say which process is to be reloaded"
	}
	return ""
}

func (c *Command) wrong() string {
	if c == nil || len(c.Argv) == 0 || !absolute(c.Argv[0]) || len(c.Undo) > 0 && !absolute(c.Undo[0]) {
		return "it names no program by an absolute path"
	}
	return ""
}

// undo is what takes the command back.
func (c *Command) undo() []string {
	if len(c.Undo) == 0 {
		return c.Argv
	}
	return c.Undo
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

package change

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

const (
	journalName   = "journal.json"
	lockName      = "lock"
	backupName    = "backup" // a folder of bytes from before, each file named by its SHA-256
	journalFormat = 1
	journalMode   = 0o600
	journalDir    = 0o700
	maxJournal    = 64 << 20         // bytes
	lockWait      = 30 * time.Second // for another vicr to end
)

// A Subject is the registry that a change is for, and how its CA came to be trusted.
type Subject struct {
	Host        string    `json:"host"`
	Fingerprint string    `json:"fingerprint"`
	How         string    `json:"how"` // "fingerprint", "asked", "accept-new"
	NotAfter    time.Time `json:"notAfter"`
}

// A State says how far an [Entry] is.
type State string

// The states of an [Entry].
const (
	StateOpen State = "open" // a run is under way, or was killed: the next one puts it in order
	StateDone State = "done"
	StateLeft State = "left" // taken back but for files that somebody changed since
)

// A Record is one file that was changed.
type Record struct {
	Tool    string   `json:"tool"`
	Path    string   `json:"path"`
	Before  *Version `json:"before"` // its bytes lie in the journal's backup folder
	After   *Version `json:"after"`
	Folders []string `json:"folders,omitempty"` // that had to be made for it, outermost first
}

// An Entry is what was changed for one registry.
type Entry struct {
	ID      int       `json:"id"` // grows
	Subject Subject   `json:"subject"`
	Records []Record  `json:"records"` // in the order of the changes
	State   State     `json:"state"`
	Time    time.Time `json:"time"`
}

// A transaction is what a run is about to do, or was when it was killed.
type transaction struct {
	Undo    bool      `json:"undo"`            // finished by the next run; a change is rolled back
	Force   bool      `json:"force,omitempty"` // of an undo
	Subject Subject   `json:"subject"`
	Records []Record  `json:"records,omitempty"` // of a change: Before is the state that a roll-back restores
	Time    time.Time `json:"time"`
}

// content is the journal's file.
type content struct {
	Format  int          `json:"format"`
	LastID  int          `json:"lastId"`
	Folders []string     `json:"folders,omitempty"` // made for the journal itself, outermost first
	Entries []Entry      `json:"entries"`
	Open    *transaction `json:"open,omitempty"`
}

// entry finds that of a host; -1 when there is none.
func (c *content) entry(host string) int {
	return slices.IndexFunc(c.Entries, func(e Entry) bool { return e.Subject.Host == host })
}

// A Journal records the changes that were made in a tree. Several processes may
// use one journal; each change holds its lock from beginning to end.
type Journal struct {
	tree  *atomicfile.Tree
	dir   string
	allow func(host, path string) bool
	wait  time.Duration
}

// OpenJournal returns the journal in the folder dir of t, which belongs to it
// alone. The folder is made (0700) by the first change and gone with the last entry.
// Allow says which files can have been changed for a host: a journal that names
// another one is not believed; nil allows all. Nothing is opened yet.
func OpenJournal(t *atomicfile.Tree, dir string, allow func(host, path string) bool) *Journal {
	if allow == nil {
		allow = func(string, string) bool { return true }
	}
	return &Journal{tree: t, dir: dir, allow: allow, wait: lockWait}
}

func (j *Journal) path(elem ...string) string {
	return filepath.Join(append([]string{j.dir}, elem...)...)
}

// Entries returns what is recorded, oldest first, without waiting for a run that
// is under way. The error is an [*UnsafeError], a [*JournalError], or that of
// [atomicfile.Tree.Read].
func (j *Journal) Entries(ctx context.Context) ([]Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := j.load()
	if err != nil {
		return nil, err
	}
	entries := c.Entries
	if o := c.Open; o != nil {
		i := c.entry(o.Subject.Host)
		if i < 0 {
			entries = append(entries, Entry{ID: c.LastID + 1, Subject: o.Subject, Records: o.Records, Time: o.Time})
			i = len(entries) - 1
		}
		entries[i].State = StateOpen
	}
	return entries, nil
}

// load reads the journal; an empty one when there is none.
func (j *Journal) load() (content, error) {
	empty := content{Format: journalFormat}
	info, err := j.tree.Stat(j.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return empty, err
	}
	if !info.IsDir() {
		return empty, &UnsafeError{Path: j.tree.Real(j.dir), Why: "it is not a folder"}
	}
	if err := j.safe(j.dir, info); err != nil {
		return empty, err
	}
	path := j.path(journalName)
	data, info, err := j.tree.Read(path, maxJournal)
	var odd *atomicfile.NotRegularError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return empty, nil
	case errors.As(err, &odd):
		return empty, &UnsafeError{Path: odd.Path, Why: "it is not a regular file"}
	case err != nil:
		return empty, err
	}
	if err := j.safe(path, info); err != nil {
		return empty, err
	}
	c, why := parse(data)
	if why != "" {
		return empty, &JournalError{Path: j.tree.Real(path), Why: why}
	}
	if why := j.implausible(&c); why != "" {
		return empty, &UnsafeError{Path: j.tree.Real(path), Why: why}
	}
	return c, nil
}

// implausible says what in the journal vicr would never have recorded: whoever
// planted it wants other files changed.
func (j *Journal) implausible(c *content) string {
	if slices.ContainsFunc(c.Folders, func(f string) bool { return !above(f, j.path(journalName)) }) {
		return "it names a folder that was not made for it"
	}
	entries := c.Entries
	if o := c.Open; o != nil {
		entries = append(slices.Clone(entries), Entry{Subject: o.Subject, Records: o.Records})
	}
	for _, e := range entries {
		for _, r := range e.Records {
			switch {
			case !j.allow(e.Subject.Host, r.Path):
				return fmt.Sprintf("it names %q, which is not a file that vicr changes for %q", r.Path, e.Subject.Host)
			case slices.ContainsFunc(r.Folders, func(f string) bool { return !above(f, r.Path) }):
				return fmt.Sprintf("it names a folder that does not hold %q", r.Path)
			case !r.Before.plain() || !r.After.plain():
				return fmt.Sprintf("it gives %q a special mode", r.Path)
			}
		}
	}
	return ""
}

// above says whether folder holds path, at any depth.
func above(folder, path string) bool {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if dir == folder {
			return true
		}
		if dir == filepath.Dir(dir) {
			return false
		}
	}
}

// plain says whether the mode has permission bits alone.
func (v *Version) plain() bool { return v == nil || v.Mode&^fs.ModePerm == 0 }

// safe refuses what somebody else could have written: the journal says which
// files are replaced and removed, so whoever writes it has our rights.
func (j *Journal) safe(path string, info fs.FileInfo) error {
	owner, ok := atomicfile.OwnerOf(info)
	switch {
	case !ok:
		return nil
	case owner.UID != os.Geteuid():
		return &UnsafeError{Path: j.tree.Real(path), Why: "it belongs to another user"}
	case info.Mode().Perm()&0o022 != 0:
		return &UnsafeError{Path: j.tree.Real(path), Why: "others may write it"}
	}
	return nil
}

func parse(data []byte) (c content, why string) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, "it cannot be read"
	}
	if c.Format != journalFormat {
		return c, "it was written by another version of vicr"
	}
	records := []Record{}
	for _, e := range c.Entries {
		records = append(records, e.Records...)
	}
	if c.Open != nil {
		records = append(records, c.Open.Records...)
	}
	paths := slices.Clone(c.Folders)
	for _, r := range records {
		if !r.Before.valid() || !r.After.valid() {
			return c, "it names no SHA-256"
		}
		paths = append(append(paths, r.Path), r.Folders...)
	}
	if slices.ContainsFunc(paths, func(p string) bool { return !absolute(p) }) {
		return c, "it names a path that is not absolute and clean"
	}
	return c, ""
}

// valid says whether the version's sum can name a backup.
func (v *Version) valid() bool {
	if v == nil {
		return true
	}
	b, err := hex.DecodeString(v.SHA256)
	return err == nil && len(b) == 32 && hex.EncodeToString(b) == v.SHA256
}

// tidy says whether no run is under way, and none left something behind when it
// was killed.
func (j *Journal) tidy(c *content) (bool, error) {
	if c.Open != nil {
		return false, nil
	}
	if noted, err := j.noted(); err != nil || len(noted) > 0 {
		return false, err
	}
	entries, err := j.tree.ReadDir(j.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if len(c.Entries) == 0 {
		ours := func(e fs.DirEntry) bool {
			return slices.Contains([]string{journalName, lockName, backupName}, e.Name())
		}
		if len(entries) == 0 || slices.ContainsFunc(entries, ours) {
			return false, nil
		}
	}
	left, err := j.leftovers(c)
	return len(left) == 0, err
}

// leftovers are temporary files, and backups that nothing refers to.
func (j *Journal) leftovers(c *content) ([]string, error) {
	left, err := j.tree.Leftovers(j.dir)
	if err != nil {
		return nil, err
	}
	backups, err := j.tree.ReadDir(j.path(backupName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, v := range c.backups() {
		wanted[v.SHA256] = true
	}
	for _, b := range backups {
		if !wanted[b.Name()] {
			left = append(left, j.path(backupName, b.Name()))
		}
	}
	return left, nil
}

// backups are the versions whose bytes are kept.
func (c *content) backups() (kept []*Version) {
	keep := func(records []Record) {
		for _, r := range records {
			if r.Before != nil {
				kept = append(kept, r.Before)
			}
		}
	}
	for _, e := range c.Entries {
		keep(e.Records)
	}
	if c.Open != nil {
		keep(c.Open.Records)
	}
	return kept
}

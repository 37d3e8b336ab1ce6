package change

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/edit"
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

// A Subject is the registry that a change is for, and what it is trusted by.
type Subject struct {
	Host string `json:"host"`
	Trust
}

// A Trust is the CA of a registry, and how it came to be trusted.
type Trust struct {
	Fingerprint string    `json:"fingerprint,omitempty"` // "" where nothing is verified
	How         string    `json:"how,omitempty"`         // "fingerprint", "asked", "accept-new", "insecure"
	NotAfter    time.Time `json:"notAfter,omitzero"`
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
	Tool    string      `json:"tool"`
	Path    string      `json:"path"`
	Before  *Version    `json:"before"` // its bytes lie in the journal's backup folder
	After   *Version    `json:"after"`
	Folders []string    `json:"folders,omitempty"` // that had to be made for it, outermost first
	Edits   []edit.Edit `json:"edits,omitempty"`   // that were made; none: the whole file is ours
	Restart string      `json:"restart,omitempty"` // what has to be typed before the file counts
	Trust   Trust       `json:"trust,omitzero"`    // that it was last changed for: tools of one registry may differ

	// Interim is what lies there, while it is put back, until the reloaded
	// process forgot what was added; nil: nothing does.
	Interim *Version `json:"interim,omitempty"`
	// Inexact: Before holds edits of ours, or the file was changed by others
	// between two of them. The edits are taken back, not the file.
	Inexact bool `json:"inexact,omitempty"`
	// Reverted, in an undo: Before is what taking back the edits makes.
	Reverted bool `json:"reverted,omitempty"`
}

// An Entry is what was changed for one registry.
type Entry struct {
	ID      int       `json:"id"` // grows
	Subject Subject   `json:"subject"`
	Records []Record  `json:"records"`           // in the order of the changes
	Effects []Step    `json:"effects,omitempty"` // what made them count: OpReload and OpRun alone
	State   State     `json:"state"`
	Time    time.Time `json:"time"`

	// Doubt says what in it is not believed, see [Options]; "" if all is.
	Doubt string `json:"-"`
}

// A transaction is what a run is about to do, or was when it was killed.
type transaction struct {
	Undo    bool      `json:"undo"`            // finished by the next run; a change is rolled back
	Force   bool      `json:"force,omitempty"` // of an undo
	Subject Subject   `json:"subject"`
	Records []Record  `json:"records,omitempty"` // Before is the state that is gone back to
	Effects []Step    `json:"effects,omitempty"`
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
	tree        *atomicfile.Tree
	dir         string
	allow       func(host, path string) bool
	allowRun    func(host string, argv []string) bool
	allowReload func(Reload) bool
	settled     func(ctx context.Context, host string, r Reload) error
	wait        time.Duration
	effectLimit time.Duration
	checkLimit  time.Duration
}

// Options say what a journal is believed, and how a reload ends. What a journal
// names and is not allowed stays as it is: the entry that it is in is not
// undone, others are. A plan with anything of that kind is refused.
type Options struct {
	// Allow says which files can be changed for a host; nil allows all.
	Allow func(host, path string) bool
	// AllowRun says which programs can be run for a host; nil allows none.
	AllowRun func(host string, argv []string) bool
	// AllowReload says which processes can be reloaded; nil allows none.
	AllowReload func(Reload) bool
	// Settled waits until the process, which was told to, has taken its files as
	// they are now; nil waits for nothing.
	Settled func(ctx context.Context, host string, r Reload) error
}

// OpenJournal returns the journal in the folder dir of t, which belongs to it
// alone. The folder is made (0700) by the first change and gone with the last entry.
// Nothing is opened yet.
func OpenJournal(t *atomicfile.Tree, dir string, o Options) *Journal {
	j := &Journal{
		tree: t, dir: dir, allow: o.Allow, allowRun: o.AllowRun, allowReload: o.AllowReload, settled: o.Settled,
		wait: lockWait, effectLimit: effectLimit, checkLimit: checkLimit,
	}
	if j.allow == nil {
		j.allow = func(string, string) bool { return true }
	}
	if j.allowRun == nil {
		j.allowRun = func(string, []string) bool { return false }
	}
	if j.allowReload == nil {
		j.allowReload = func(Reload) bool { return false }
	}
	return j
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
			entries = append(entries, Entry{
				ID: c.LastID + 1, Subject: o.Subject, Records: o.Records, Effects: o.Effects, Time: o.Time,
			})
			i = len(entries) - 1
		}
		entries[i].State = StateOpen
	}
	entries = slices.Clone(entries)
	for i, e := range entries {
		entries[i].Doubt = j.doubt(e.Subject.Host, e.Records, e.Effects)
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
	if why := j.misplaced(&c); why != "" {
		return empty, &UnsafeError{Path: j.tree.Real(path), Why: why}
	}
	return c, nil
}

// safe refuses what somebody else could have written: the journal says which
// files are replaced and removed, so whoever writes it has our rights.
func (j *Journal) safe(path string, info fs.FileInfo) error {
	foreign, err := j.tree.Foreign(path, info)
	_, modes := atomicfile.OwnerOf(info)
	switch {
	case err != nil:
		return err
	case foreign:
		return &UnsafeError{Path: j.tree.Real(path), Why: "it belongs to another user"}
	case modes && info.Mode().Perm()&0o022 != 0:
		return &UnsafeError{Path: j.tree.Real(path), Why: "others may write it"}
	}
	return nil
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

// leftovers are temporary files, files that were judged, and backups that nothing refers to.
func (j *Journal) leftovers(c *content) ([]string, error) {
	left, err := j.tree.Leftovers(j.dir)
	if err != nil {
		return nil, err
	}
	entries, err := j.tree.ReadDir(j.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), checkPrefix) && e.Type().IsRegular() {
			left = append(left, j.path(e.Name()))
		}
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

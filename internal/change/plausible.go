package change

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
)

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
		if !r.Before.valid() || !r.After.valid() || !r.Interim.valid() {
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

// misplaced says why the journal's own folders are not believed; "" if they are.
func (j *Journal) misplaced(c *content) string {
	if slices.ContainsFunc(c.Folders, func(f string) bool { return !above(f, j.path(journalName)) }) {
		return "it names a folder that was not made for it"
	}
	return ""
}

// doubt says what vicr would not have recorded for a host as this machine is
// now: it was set up otherwise then, or somebody planted it. "" if there is none.
func (j *Journal) doubt(host string, records []Record, effects []Step) string {
	for _, r := range records {
		if why := j.odd(host, r); why != "" {
			return why
		}
	}
	for _, step := range effects {
		if why := j.strange(host, step); why != "" {
			return why
		}
	}
	return ""
}

// odd says why a record is not believed.
func (j *Journal) odd(host string, r Record) string {
	switch {
	case !j.allow(host, r.Path):
		return fmt.Sprintf("it names %q, which is not a file that vicr changes for %q", r.Path, host)
	case slices.ContainsFunc(r.Folders, func(f string) bool { return !above(f, r.Path) }):
		return fmt.Sprintf("it names a folder that does not hold %q", r.Path)
	case !r.Before.plain() || !r.After.plain() || !r.Interim.plain():
		return fmt.Sprintf("it gives %q a special mode", r.Path)
	}
	return ""
}

// doubtIn is the error for what is recorded, or under way, for a host.
func (j *Journal) doubtIn(c *content, host string) error {
	why := ""
	if i := c.entry(host); i >= 0 {
		why = j.doubt(host, c.Entries[i].Records, c.Entries[i].Effects)
	}
	if o := c.Open; why == "" && o != nil && o.Subject.Host == host {
		why = j.doubt(host, o.Records, o.Effects)
	}
	if why == "" {
		return nil
	}
	return &DoubtError{Path: j.tree.Real(j.path(journalName)), Host: host, Why: why}
}

// forget drops what is not believed of a host's entry and of its open
// transaction, and says so. No file of it is touched.
func (j *Journal) forget(c *content, host string) (lines, paths []string) {
	drop := func(records []Record, effects []Step) ([]Record, []Step) {
		records = slices.DeleteFunc(slices.Clone(records), func(r Record) bool {
			why := j.odd(host, r)
			if why != "" && !slices.Contains(paths, r.Path) {
				lines = append(lines, "forget "+r.Path+" and leave it as it is: "+why)
				paths = append(paths, r.Path)
			}
			return why != ""
		})
		effects = slices.DeleteFunc(slices.Clone(effects), func(step Step) bool { return j.strange(host, step) != "" })
		return records, effects
	}
	if i := c.entry(host); i >= 0 {
		c.Entries = slices.Clone(c.Entries)
		e := &c.Entries[i]
		e.Records, e.Effects = drop(e.Records, e.Effects)
	}
	if o := c.Open; o != nil && o.Subject.Host == host {
		tx := *o
		tx.Records, tx.Effects = drop(o.Records, o.Effects)
		c.Open = &tx
	}
	return lines, paths
}

// strange says why a recorded effect is not believed.
func (j *Journal) strange(host string, step Step) string {
	if !step.effect() {
		return "it names something else than a reload or a program"
	}
	if why := step.wrong(); why != "" {
		return why
	}
	if why := j.forbidden(host, step); why != "" {
		return "it names " + why
	}
	return ""
}

// forbidden says what in a step is not allowed for the host; "" if all is.
func (j *Journal) forbidden(host string, step Step) string {
	switch step.Op {
	case OpReload:
		if !j.allowReload(*step.Reload) {
			return fmt.Sprintf("the process of %q, which is not one that vicr reloads", step.Reload.PIDFile)
		}
	case OpRun:
		for _, argv := range [][]string{step.Run.Argv, step.Run.undo()} {
			if !j.allowRun(host, argv) {
				return fmt.Sprintf("%q, which is not a program that vicr runs for %q", commandLine(argv), host)
			}
		}
	case OpWrite, OpRemove, OpEdit:
		if !j.allow(host, step.Path) {
			return fmt.Sprintf("%q, which is not a file that vicr changes for %q", step.Path, host)
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

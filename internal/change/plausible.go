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

// implausible says what in the journal vicr would never have recorded: whoever
// planted it wants other files changed.
func (j *Journal) implausible(c *content) string {
	if slices.ContainsFunc(c.Folders, func(f string) bool { return !above(f, j.path(journalName)) }) {
		return "it names a folder that was not made for it"
	}
	entries := c.Entries
	if o := c.Open; o != nil {
		entries = append(slices.Clone(entries), Entry{Subject: o.Subject, Records: o.Records, Effects: o.Effects})
	}
	for _, e := range entries {
		for _, step := range e.Effects {
			if why := j.strange(e.Subject.Host, step); why != "" {
				return why
			}
		}
		for _, r := range e.Records {
			switch {
			case !j.allow(e.Subject.Host, r.Path):
				return fmt.Sprintf("it names %q, which is not a file that vicr changes for %q", r.Path, e.Subject.Host)
			case slices.ContainsFunc(r.Folders, func(f string) bool { return !above(f, r.Path) }):
				return fmt.Sprintf("it names a folder that does not hold %q", r.Path)
			case !r.Before.plain() || !r.After.plain() || !r.Interim.plain():
				return fmt.Sprintf("it gives %q a special mode", r.Path)
			}
		}
	}
	return ""
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

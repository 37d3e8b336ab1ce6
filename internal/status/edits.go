package status

import (
	"errors"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/edit"
)

// editsHold says whether a record is of edits rather than of a whole file, and
// if what they were for is not there, why. Others may edit the rest of such a
// file. Of edits of the same thing, as when a registry was insecure first and
// got a CA later, the last one decides.
func editsHold(rec change.Record, data []byte) (edited bool, why string) {
	type thing struct {
		format     edit.Format
		key, value string
	}
	last := map[thing]edit.Edit{}
	for _, e := range rec.Edits {
		last[thing{e.Format, e.Key, e.Value}] = e
	}
	for _, e := range last {
		has, err := e.Has(data)
		var syntax *edit.SyntaxError
		switch {
		case errors.As(err, &syntax):
			return true, "it can no longer be read: " + syntax.Error()
		case err != nil:
			return true, "it can no longer be read"
		case !has && e.Remove:
			why = "what vicr took out is there again"
		case !has:
			return true, "what vicr put there was taken out"
		}
	}
	return len(rec.Edits) > 0, why
}

// restartOf is what has to be typed before the file counts, "" if nothing.
func restartOf(rec change.Record) string { return rec.Restart }

// insecureList is the list in a daemon.json; none where it cannot be read.
func (c *checker) insecureList(path string) []string {
	data, err := c.m.ReadFile(path, maxConfig)
	if err != nil {
		return nil
	}
	list, err := edit.JSONList(data, "insecure-registries")
	if err != nil {
		return nil // Docker would not start with it, and package trust tells
	}
	return list
}

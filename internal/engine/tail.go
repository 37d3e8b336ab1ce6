package engine

import (
	"bytes"
	"errors"
	"io"

	"github.com/vicr-cli/vicr/internal/archive"
)

// errTail is how many bytes at the end of a broken archive are searched for
// the engine's words.
const errTail = 4 << 10

// A tail remembers the last bytes that went through it: an engine that fails in
// the middle of a save writes its error there, after a status of 200.
type tail struct {
	r    io.Reader
	last []byte
	err  error // of r
}

func (t *tail) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.last = append(t.last, p[max(0, n-errTail):n]...)
	if extra := len(t.last) - errTail; extra > 0 {
		t.last = append(t.last[:0], t.last[extra:]...)
	}
	if err != io.EOF {
		t.err = err
	}
	return n, err
}

// broken says whether err, met while the archive was read, is that it breaks off
// or is none.
func (t *tail) broken(err error) bool {
	bad, ok := errors.AsType[*archive.Error](err)
	return ok && bad.Err != nil || t.err != nil && errors.Is(err, t.err)
}

// words returns the error that the engine left, "" if there is none.
func (t *tail) words() string {
	rest, _ := io.ReadAll(io.LimitReader(t.r, errTail)) // an error leaves what came before it
	all := append(t.last, rest...)
	i := bytes.LastIndex(all, []byte(`{"errorDetail"`))
	if i < 0 {
		return ""
	}
	for m, err := range messages(bytes.NewReader(all[i:])) {
		if text, failed := m.failed(); err == nil && failed {
			return text
		}
		break
	}
	return ""
}

package engine

import (
	"bytes"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// maxHeld bounds the small files of a save stream that are in memory together,
// in bytes: documents, and layers of a few files.
const maxHeld = 32 << 20

// held are the small files of a save stream. Of large ones it has the size and
// the digest: they have passed.
type held struct {
	files map[string]entry
	bytes int64
}

// hold reads a file into memory.
func (f *held) hold(name string, size int64, r io.Reader) (entry, error) {
	if f.bytes += size; f.bytes > maxHeld {
		return entry{}, &archiveError{fmt.Sprintf("the small files in the archive have more than %d bytes", maxHeld)}
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return entry{}, err
	}
	e, err := inMemory(data)
	f.files[name] = e
	return e, err
}

func inMemory(data []byte) (entry, error) {
	h, size, err := v1.SHA256(bytes.NewReader(data))
	return entry{size: size, digest: h, diff: h, data: data}, err
}

func (f *held) find(name string) (entry, bool) {
	e, ok := f.files[name]
	return e, ok
}

func (f *held) document(name string) ([]byte, error) {
	e, ok := f.files[name]
	switch {
	case !ok:
		return nil, &archiveError{fmt.Sprintf("the archive has no %.200q", name)}
	case e.data == nil || e.size > maxJSON:
		return nil, &archiveError{fmt.Sprintf("%.200q in the archive is not JSON of at most %d bytes", name, maxJSON)}
	}
	return e.data, nil
}

func (*held) open(e entry, offset int64) io.Reader { return bytes.NewReader(e.data[offset:]) }

func (*held) Close() error { return nil }

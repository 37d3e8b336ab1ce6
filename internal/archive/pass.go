package archive

import (
	"bytes"
	"context"
	"io"
)

const (
	// small is the most that a file which is no document may have to be held, in bytes.
	small = 64 << 10
	// maxHeld bounds what is held of one archive, in bytes: documents, and layers of a few files.
	maxHeld = 32 << 20
)

// Passing is an archive without files, for [Archive.Pass]; name is what it is called
// for people.
func Passing(name string) *Archive { return fresh(name, Options{Format: Docker}) }

// Pass reads an archive that comes on r from front to back and puts nothing on the
// disk: small files and documents are held in memory, the bytes of others are
// there for take alone. It ends when take has enough. Errors are [*Error] for what
// is wrong with the archive, with Err set if it may be r that fails, and those of take.
func (a *Archive) Pass(ctx context.Context, r io.Reader, take func(*File) (enough bool, err error)) error {
	held := int64(0)
	return a.each(ctx, r, func(f *File) (bool, error) {
		if err := f.peek(); err != nil {
			return false, err
		}
		if !f.large() {
			if held += f.Size; held > maxHeld {
				return false, a.unsafe("the small files in it have more than %d bytes", maxHeld)
			}
			f.Data = make([]byte, f.Size)
			if _, err := io.ReadFull(f, f.Data); err != nil {
				return false, err
			}
			a.files.extents[f.Name] = inMemory(f.Data)
		}
		return take(f)
	})
}

func inMemory(data []byte) extent { return extent{in: bytes.NewReader(data), size: int64(len(data))} }

// peek looks at the first bytes.
func (f *File) peek() error {
	f.head = make([]byte, min(headSize, f.Size))
	if _, err := io.ReadFull(f.Reader, f.head); err != nil {
		return err
	}
	f.Reader = io.MultiReader(bytes.NewReader(f.head), f.Reader)
	return nil
}

// large says whether a file is too large to be held, and no document.
func (f *File) large() bool { return f.Size > small && (f.Size > maxJSON || !isJSON(f.head)) }

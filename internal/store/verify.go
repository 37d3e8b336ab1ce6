package store

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// A Fault is a blob that is of no use.
type Fault struct {
	Digest v1.Hash
	Why    string   // "missing", "wrong size", "wrong bytes", "unreadable" or "not a file"
	Images []string // names, or digests of images without one, that need it; empty: none does
}

// A Verified is what was looked at.
type Verified struct {
	Images int
	Blobs  int
	Bytes  int64
	Faults []Fault // sorted by digest
}

// A DamagedError says that the store holds bytes that are not what they should
// be, or lacks some.
type DamagedError struct {
	Dir    string
	Faults []Fault
}

func (e *DamagedError) Error() string {
	one := e.Faults[0]
	verb := "has"
	if damage(one.Why) == missing || damage(one.Why) == noFile {
		verb = "is"
	}
	text := fmt.Sprintf("%q is damaged: %s %s %s", e.Dir, one.Digest, verb, one.Why)
	if more := len(e.Faults) - 1; more > 0 {
		text += fmt.Sprintf(", and so on with %d more", more)
	}
	return text
}

// NoFiles are the paths of what is there instead of a blob. Nothing here removes it.
func (e *DamagedError) NoFiles() []string {
	var all []string
	for _, f := range e.Faults {
		if f.Why == string(noFile) {
			all = append(all, filepath.Join(e.Dir, blobsFolder, f.Digest.Algorithm, f.Digest.Hex))
		}
	}
	return all
}

// Images are the names of all images that cannot be used.
func (e *DamagedError) Images() []string {
	var all []string
	for _, f := range e.Faults {
		all = append(all, f.Images...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Verify reads every blob and holds it against its digest, and looks for all that
// images name. It changes nothing. It says how far it is with each blob by onEvent,
// which may be nil, and with Done which are right. The error is a [*DamagedError], with what was
// found beside it, or one of [Store.List] and of the file system.
func (s *Store) Verify(ctx context.Context, onEvent func(transfer.Event)) (v Verified, err error) {
	release, err := s.still(ctx)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, release()) }()
	list, err := s.List(ctx)
	if err != nil {
		return v, err
	}
	if onEvent == nil {
		onEvent = func(transfer.Event) {}
	}
	faults := map[v1.Hash]*Fault{}
	err = s.blobs(func(h v1.Hash, size int64) error {
		why, err := s.rehash(ctx, v1.Descriptor{Digest: h, Size: size}, onEvent)
		if why != "" {
			faults[h] = &Fault{Digest: h, Why: string(why)}
		}
		v.Blobs++
		v.Bytes += size
		return err
	})
	if err != nil {
		return v, err
	}
	err = s.entries(func(h v1.Hash, e fs.DirEntry) error {
		if !e.Type().IsRegular() {
			faults[h] = &Fault{Digest: h, Why: string(noFile)}
		}
		return nil
	})
	if err != nil {
		return v, err
	}
	v.Images = len(list)
	if err := s.hurt(list, faults); err != nil {
		return v, err
	}
	v.Faults = sortedFaults(faults)
	if len(v.Faults) > 0 {
		return v, &DamagedError{Dir: s.dir, Faults: v.Faults}
	}
	return v, nil
}

// rehash reads a blob. The error is that of the context alone.
func (s *Store) rehash(ctx context.Context, desc v1.Descriptor, onEvent func(transfer.Event)) (damage, error) {
	h := desc.Digest
	path, err := s.path(h)
	if err != nil {
		return unread, nil
	}
	f, err := s.open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil // whether somebody needs it is seen elsewhere
	}
	if err != nil {
		return unread, nil
	}
	defer f.Close() //nolint:errcheck // only read
	hasher, err := v1.Hasher(h.Algorithm)
	if err != nil {
		return unread, nil
	}
	onEvent(transfer.Event{Stage: transfer.Started, Desc: desc})
	src := &reported{Reader: &blob{ctx: ctx, file: f}, desc: desc, onEvent: onEvent}
	_, err = io.CopyBuffer(hasher, src, make([]byte, bufferSize))
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil: // the disk
		return unread, nil
	case hex.EncodeToString(hasher.Sum(nil)) != h.Hex:
		return wrong, nil
	}
	onEvent(transfer.Event{Stage: transfer.Done, Desc: desc, Bytes: src.read})
	return "", nil
}

// A reported reader says how much was read of a blob.
type reported struct {
	io.Reader

	desc    v1.Descriptor
	read    int64
	onEvent func(transfer.Event)
}

func (r *reported) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 {
		r.read += int64(n)
		r.onEvent(transfer.Event{Stage: transfer.Progress, Desc: r.desc, Bytes: r.read})
	}
	return n, err
}

// hurt finds what images miss, and which images need what is wrong.
func (s *Store) hurt(list []Named, faults map[v1.Hash]*Fault) error {
	r := s.newReach()
	for _, img := range list {
		name := cmp.Or(img.Name, img.Desc.Digest.String())
		err := r.visit(img.Desc, func(n *node) {
			f := faults[n.desc.Digest]
			if f == nil && n.why == "" {
				return
			}
			if f == nil {
				f = &Fault{Digest: n.desc.Digest, Why: string(n.why)}
				faults[f.Digest] = f
			}
			if n.why == wrongSize {
				f.Why = string(wrongSize)
			}
			f.Images = append(f.Images, name)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func sortedFaults(faults map[v1.Hash]*Fault) []Fault {
	var all []Fault
	for _, h := range slices.SortedFunc(maps.Keys(faults), compareHash) {
		f := faults[h]
		slices.Sort(f.Images)
		f.Images = slices.Compact(f.Images)
		all = append(all, *f)
	}
	return all
}

func compareHash(a, b v1.Hash) int { return cmp.Compare(a.String(), b.String()) }

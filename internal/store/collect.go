package store

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

// leftoverAge is how long a part of a blob is kept for a transfer to go on with.
const leftoverAge = 7 * 24 * time.Hour

// Others wait for a lock no longer than lockWait, so nobody collects as long at a
// time, and then leaves them a turn.
const (
	roundTime  = 5 * time.Second
	roundPause = 200 * time.Millisecond
)

// A Piece is what was collected: a blob, or a part of one.
type Piece struct {
	Digest v1.Hash
	Size   int64 // bytes
	Part   bool
}

// Collecting is how the store is collected.
type Collecting struct {
	Now   time.Time
	Dry   bool // say what would be removed, and remove nothing
	Parts bool // take parts of blobs also if a transfer could go on with them
	// Waiting is told, once, that somebody has to be waited for: pid, if it is a
	// collector, 0 for those who move images into the store. nil: nobody is told.
	Waiting func(pid int)
}

// Collect removes the blobs that no image needs, and the parts of blobs that lie
// there since before leftoverAge or are whole meanwhile. It waits for those who
// move images into the store, for as long as ctx lasts, and they for it, so that
// nothing is removed, or said to be, which an image is about to name. It needs no
// room on the disk. The error is a [*DamagedError] if a manifest cannot be read,
// since then it is not known what is needed, and nothing was removed; an
// [*atomicfile.LockedError]; or one of the file system.
func (s *Store) Collect(ctx context.Context, how Collecting) ([]Piece, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if _, err := atomicfile.Machine().Stat(s.dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if how.Waiting == nil {
		how.Waiting = func(int) {}
	}
	told := false
	tell := how.Waiting
	how.Waiting = func(pid int) {
		if !told {
			told = true
			tell(pid)
		}
	}
	if how.Dry {
		return s.plan(ctx, how)
	}
	var removed []Piece
	for {
		some, more, err := s.round(ctx, how)
		removed = append(removed, some...)
		if err != nil || !more {
			return removed, err
		}
		select {
		case <-time.After(roundPause):
		case <-ctx.Done():
			return removed, ctx.Err()
		}
	}
}

// round removes for as long as others may wait, and says whether there is more.
func (s *Store) round(ctx context.Context, how Collecting) (removed []Piece, more bool, err error) {
	if err := s.prepare(); err != nil {
		return nil, false, err
	}
	release, err := s.alone(ctx, how.Waiting)
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, release()) }()
	began := time.Now()
	err = s.locked(ctx, func() error {
		all, err := s.unneeded(ctx, how)
		for _, p := range all {
			if more = time.Since(began) > roundTime; more {
				return nil
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			gone, err := s.drop(p)
			if err != nil {
				return err
			}
			if gone {
				removed = append(removed, p)
			}
		}
		return err
	})
	return removed, more, err
}

// plan is what would be removed. Of what cannot be written to nobody makes more.
func (s *Store) plan(ctx context.Context, how Collecting) (_ []Piece, err error) {
	release, err := s.seen(func() (func() error, error) { return s.alone(ctx, how.Waiting) })
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	return s.unneeded(ctx, how)
}

// unneeded is garbage of the store as it is.
func (s *Store) unneeded(ctx context.Context, how Collecting) ([]Piece, error) {
	index, err := s.readIndex(ctx)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return s.garbage(ctx, index, how)
}

// garbage lists what no image needs.
func (s *Store) garbage(ctx context.Context, index v1.IndexManifest, how Collecting) ([]Piece, error) {
	needed, err := s.needed(index)
	if err != nil {
		return nil, err
	}
	var all []Piece
	err = s.blobs(func(h v1.Hash, size int64) error {
		if !needed[h] {
			all = append(all, Piece{Digest: h, Size: size})
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	parts, err := s.parts(how)
	return append(all, parts...), err
}

// needed is what the images name. What a damaged manifest names is not known.
func (s *Store) needed(index v1.IndexManifest) (map[v1.Hash]bool, error) {
	needed := map[v1.Hash]bool{}
	faults := map[v1.Hash]*Fault{}
	r := s.newReach()
	for _, d := range index.Manifests {
		err := r.visit(plain(d), func(n *node) {
			needed[n.desc.Digest] = true
			if n.says && n.why != "" {
				faults[n.desc.Digest] = &Fault{Digest: n.desc.Digest, Why: string(n.why), Images: names([]v1.Descriptor{d})}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	if len(faults) > 0 {
		return nil, &DamagedError{Dir: s.dir, Faults: sortedFaults(faults)}
	}
	return needed, nil
}

// parts lists those of blobs that nobody will go on with, or shall.
func (s *Store) parts(how Collecting) ([]Piece, error) {
	entries, err := atomicfile.Machine().ReadDir(filepath.Join(s.dir, ingestFolder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []Piece
	for _, e := range entries {
		h, herr := v1.NewHash(strings.Replace(e.Name(), "-", ":", 1))
		info, ierr := e.Info()
		if herr != nil || ierr != nil || !e.Type().IsRegular() {
			continue
		}
		why, lerr := s.lookup(v1.Descriptor{Digest: h})
		if lerr != nil {
			return nil, lerr
		}
		if how.Parts || why != missing || how.Now.Sub(info.ModTime()) > leftoverAge {
			all = append(all, Piece{Digest: h, Size: info.Size(), Part: true})
		}
	}
	return slices.Clip(all), err
}

// drop removes a blob, or a part of one unless somebody is writing it: who has
// opened this folder as a layout takes no part in the use of the store.
func (s *Store) drop(p Piece) (gone bool, err error) {
	if !p.Part {
		path, err := s.path(p.Digest)
		if err != nil {
			return false, err
		}
		return true, atomicfile.Machine().Remove(filepath.Join(s.dir, path))
	}
	part, err := atomicfile.OpenIngest(s.ingestPath(p.Digest))
	if errors.Is(err, atomicfile.ErrBusy) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, part.Discard()
}

func (s *Store) ingestPath(h v1.Hash) string {
	return filepath.Join(s.dir, ingestFolder, h.Algorithm+"-"+h.Hex)
}

package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/transfer"
)

const (
	nameSuffix = ".json"
	lockSuffix = ".lock"
	maxRecord  = 16 << 10 // bytes of one record
	maxTidied  = 64       // names of one engine that one run asks it about
	// maxKept is how long a name is kept in mind that could not be taken away: its
	// engine may be gone for good. Then the name stays there, if it does.
	maxKept = 30 * 24 * time.Hour
	// lockWait is how long a run that tidies may look at a lock that is just made.
	lockWait  = time.Second
	namesMode = 0o700
	nameMode  = 0o600
)

// A relayed is a name of the relay that an image gets for one call. It is
// written down before the engine has it, so that the next run can take it away
// if this one is killed.
type relayed struct {
	Engine string   `json:"engine"` // its address
	Name   string   `json:"name"`
	IDs    []string `json:"ids"` // what the name may stand for; anything else is somebody else's
}

// A record is a written-down name; its lock says that its run is alive.
type record struct {
	path string
	lock *atomicfile.HeldLock
}

func newRecord(ctx context.Context, dir string, n relayed) (*record, error) {
	if _, err := atomicfile.Machine().MkdirAll(dir, namesMode); err != nil {
		return nil, err
	}
	b := make([]byte, 8)
	_, _ = rand.Read(b) // crypto/rand never fails
	return writeRecord(ctx, filepath.Join(dir, hex.EncodeToString(b)), n)
}

func writeRecord(ctx context.Context, path string, n relayed) (*record, error) {
	c := &record{path: path}
	var err error
	if c.lock, err = atomicfile.Lock(ctx, c.path+lockSuffix, lockWait); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(n)
	if err == nil {
		err = atomicfile.Machine().Write(c.path+nameSuffix, raw, nameMode)
	}
	if err != nil {
		return nil, errors.Join(err, c.lock.Remove())
	}
	return c, nil
}

// done forgets the name, which the engine does not have any more.
func (c *record) done() error {
	return errors.Join(atomicfile.Machine().Remove(c.path+nameSuffix), c.lock.Remove())
}

// keep leaves the name for the next run.
func (c *record) keep() error { return c.lock.Unlock() }

// with runs work while the engine may have the name, which is taken away after.
// What fails upstream ends work.
func (r *Relay) with(ctx context.Context, s *session, work func(context.Context) error) error {
	live, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.OnFailure(cancel)
	err := work(live)
	if err != nil {
		cancel(nil)
	}
	if upstream := s.Err(); err != nil && upstream != nil && ctx.Err() == nil {
		err = upstream
	}
	short, stop := context.WithTimeout(context.WithoutCancel(ctx), tidyLimit)
	defer stop()
	if failed := r.engine.remove(short, s.name.Name); failed != nil || err != nil {
		// An engine that was told to stop may give the name a moment later.
		_ = s.record.keep()
	} else {
		_ = s.record.done() // the next run sees that it was for nothing
	}
	return err
}

// untag takes a name of the relay away, if it stands for one of ids.
func (e *Engine) untag(ctx context.Context, n relayed) error {
	img, err := e.look(ctx, n.Name)
	if err != nil || img == nil || !slices.Contains(n.IDs, img.ID) || !slices.Contains(img.RepoTags, n.Name) {
		return err
	}
	return e.remove(ctx, n.Name)
}

// Tidy takes away what killed runs have left in the engine: names of the relay
// that still stand for what they were given to. It returns what could not be
// done; the next run tries again. Names in other engines are theirs to take away,
// until they are old.
func (r *Relay) Tidy(ctx context.Context) error {
	if r.o.Names == "" {
		return nil
	}
	entries, err := atomicfile.Machine().ReadDir(r.o.Names)
	if err != nil {
		return nil //nolint:nilerr // there was no run, or nothing can be known of it
	}
	var all error
	asked, last := 0, ""
	for _, f := range entries { // in the order of their names
		id := strings.TrimSuffix(strings.TrimSuffix(f.Name(), nameSuffix), lockSuffix)
		if id == f.Name() || id == last {
			continue
		}
		last = id
		if ctx.Err() != nil || asked == maxTidied {
			break
		}
		ours, err := r.tidy(ctx, filepath.Join(r.o.Names, id))
		if ours {
			asked++
		}
		all = errors.Join(all, err)
	}
	return all
}

// tidy takes away what one record names, and says whether it is one of this engine.
func (r *Relay) tidy(ctx context.Context, path string) (ours bool, err error) {
	if n, old := readRecord(path); n != nil && n.Engine != r.engine.host && !old {
		return false, nil
	}
	lock, err := atomicfile.Lock(ctx, path+lockSuffix, 0)
	if _, alive := errors.AsType[*atomicfile.LockedError](err); alive {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c := &record{path: path, lock: lock}
	n, old := readRecord(path) // again: now nobody else has it
	switch {
	case n == nil:
		return false, c.done()
	case n.Engine != r.engine.host && old:
		return false, c.done()
	case n.Engine != r.engine.host:
		return false, c.keep()
	}
	err = r.engine.untag(ctx, *n)
	if err != nil && !errors.Is(err, transfer.ErrNotFound) && !old {
		return true, errors.Join(err, c.keep())
	}
	return true, c.done()
}

// readRecord reads a name that was written down, and says whether that is long ago.
// It is nil where none is, or none that a run of vicr has given.
func readRecord(path string) (n *relayed, old bool) {
	raw, info, err := atomicfile.Machine().Read(path+nameSuffix, maxRecord)
	if err != nil || json.Unmarshal(raw, &n) != nil || n == nil || !relayShape().MatchString(n.Name) {
		return nil, false
	}
	return n, time.Since(info.ModTime()) > maxKept
}

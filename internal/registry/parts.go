package registry

import (
	"context"
	"errors"
	"io"
	"sync"
)

const readSize = 256 << 10 // bytes

// A part of a blob is fetched into memory while what lies before it is read.
type part struct {
	from, to int64
	buffer   []byte
	cancel   context.CancelFunc

	mu     sync.Mutex
	filled int
	err    error
	done   bool   // nothing more comes
	unused bool   // nobody wants it
	first  sample // when the first byte had come
	last   sample // when it was done
}

// take copies what there is from offset at of the blob on.
func (p *part) take(out []byte, at int64) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := copy(out, p.buffer[at-p.from:p.filled]); n > 0 {
		return n, nil
	}
	return 0, p.err
}

func (p *part) state() (first, last sample, done bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first, p.last, p.done, p.err
}

// fromParts gives out what has come of the first part, and has others fetched.
func (d *download) fromParts(out []byte) (int, error) {
	for {
		if len(d.parts) > 0 && d.at == d.parts[0].to {
			if _, _, done, _ := d.parts[0].state(); done {
				d.repo.streams.giveBack(d.parts[0].buffer)
				d.parts = d.parts[1:]
			}
		}
		d.spread()
		if len(d.parts) == 0 {
			if d.at < d.desc.Size { // others have all the memory
				d.goDirect()
			}
			return 0, nil
		}
		if first := d.parts[0]; d.at < first.to {
			n, err := first.take(out, d.at)
			if unfit(err) {
				d.leaveParts()
				return 0, nil
			}
			if d.at += int64(n); n > 0 || err != nil {
				return n, err
			}
		} else if d.at >= d.desc.Size {
			return 0, nil
		}
		select {
		case <-d.wake:
		case <-d.ctx.Done():
			return 0, d.ctx.Err()
		}
	}
}

// spread has as many parts fetched as there are connections and memory.
func (d *download) spread() {
	for d.next < d.desc.Size && d.ctx.Err() == nil && !d.repo.streams.keepsWhole(d.repo.base.Host) {
		own := d.takeIdle()
		if !own && !d.tryMore() {
			return
		}
		if !d.fetch(own) {
			return
		}
	}
	d.setWaiting(false)
}

// fetch begins with the next part, on the download's own connection or on one
// more, which it gives back if there is no memory.
func (d *download) fetch(own bool) bool {
	give := d.repo.streams.release
	if own {
		give = func() { d.setIdle(true) }
	}
	buffer := d.repo.streams.buffer()
	if buffer == nil {
		give()
		return false
	}
	p := &part{from: d.next, to: min(d.next+partSize, d.desc.Size), buffer: buffer}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(d.ctx)
	d.next = p.to
	d.parts = append(d.parts, p)
	d.group.Go(func() {
		d.fill(ctx, p)
		p.cancel()
		give()
		if p.finish(d.repo.streams.sample()) {
			d.repo.streams.giveBack(p.buffer)
		}
		d.signal()
	})
	return true
}

// finish notes that nothing more comes, and says whether nobody wants what did.
func (p *part) finish(now sample) (unused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done, p.last = true, now
	return p.unused
}

// drop ends a part that nobody wants, and says whether it is done.
func (p *part) drop() (done bool) {
	p.cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unused = true
	return p.done
}

// fill fetches a part.
func (d *download) fill(ctx context.Context, p *part) {
	s := d.span(ctx, p.from, p.to, true)
	defer s.Close() //nolint:errcheck // only read
	for at := 0; ; {
		n, err := s.Read(p.buffer[at:min(at+readSize, int(p.to-p.from))])
		at += n
		if errors.Is(err, io.EOF) && int64(at) < p.to-p.from {
			err = io.ErrUnexpectedEOF
		}
		p.mu.Lock()
		if p.filled == 0 && n > 0 {
			p.first = d.repo.streams.sample()
		}
		p.filled = at
		if err != nil && !errors.Is(err, io.EOF) {
			p.err = err
		}
		p.mu.Unlock()
		d.signal()
		if err != nil {
			return
		}
	}
}

func (d *download) signal() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *download) setIdle(idle bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.idle = idle
}

// takeIdle takes the download's own connection, if no part uses it.
func (d *download) takeIdle() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	idle := d.idle
	d.idle = false
	return idle
}

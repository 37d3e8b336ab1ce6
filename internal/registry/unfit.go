package registry

import (
	"errors"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// unfit says whether err is of an answer that is not the part of the blob that
// was asked for. HTTP allows to answer with all of it, and proxies strip Range.
func unfit(err error) bool { return errors.Is(err, transfer.ErrOffset) }

// misfits says whether that is so of a part that is being fetched.
func (d *download) misfits() bool {
	for _, p := range d.parts {
		if _, _, _, err := p.state(); unfit(err) {
			return true
		}
	}
	return false
}

// leaveParts drops what was fetched ahead, and goes on over one connection, as
// do all downloads from this registry from now on: another try would be as vain.
func (d *download) leaveParts() {
	s := d.repo.streams
	s.keepWhole(d.repo.base.Host)
	if d.trial != nil {
		s.judge(unknownGain, d.trial.bodies)
		d.trial = nil
	}
	d.dropParts()
	if d.direct != nil {
		d.stop = d.desc.Size
		return
	}
	d.tags = &tags{} // of several machines behind one name; the digest judges
	d.goDirect()
}

// dropParts ends all parts, and waits until nobody writes to their memory.
func (d *download) dropParts() {
	for _, p := range d.parts {
		p.cancel()
	}
	d.group.Wait()
	for _, p := range d.parts {
		d.repo.streams.giveBack(p.buffer)
	}
	d.parts = nil
}

// skips says whether to ask for all of the blob anew, and skip what was had,
// since the rest that the registry gives does not fit.
func (d *download) skips(err error) bool {
	if !unfit(err) || d.direct.whole || !d.repo.streams.keepsWhole(d.repo.base.Host) {
		return false
	}
	_ = d.direct.Close() // it is not open
	d.tags = &tags{}
	d.goDirect()
	d.direct.whole = true
	return true
}

// keepWhole notes that a registry gives no parts that fit.
func (s *Streams) keepWhole(host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.whole == nil {
		s.whole = map[string]bool{}
	}
	s.whole[host] = true
}

func (s *Streams) keepsWhole(host string) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.whole[host]
}

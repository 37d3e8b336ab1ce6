package registry

import "slices"

// Blobs are opened in the order in which they are needed: an engine unpacks them
// one after the other. Connections beyond one for each blob go to the first that
// could do with them.

func (s *Streams) enter(d *download) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, d)
}

func (s *Streams) leave(d *download) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = slices.DeleteFunc(s.queue, func(e *download) bool { return e == d })
	delete(s.waiting, d)
}

// setWaiting notes whether d could do with one more connection.
func (d *download) setWaiting(waits bool) {
	if d.waits == waits {
		return
	}
	d.waits = waits
	s := d.repo.streams
	s.mu.Lock()
	defer s.mu.Unlock()
	if !waits {
		delete(s.waiting, d)
		return
	}
	if s.waiting == nil {
		s.waiting = map[*download]bool{}
	}
	s.waiting[d] = true
}

// mayHave says whether no blob before d waits for a connection.
func (s *Streams) mayHave(d *download) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.queue {
		if e == d {
			return true
		}
		if s.waiting[e] {
			return false
		}
	}
	return true
}

// tryMore takes one more connection, if there is one that nobody waits for who
// is to have it first.
func (d *download) tryMore() bool {
	s := d.repo.streams
	got := s.mayHave(d) && s.try()
	d.setWaiting(!got)
	return got
}

package registry

import "time"

// When more connections than blobs are tried, and when they are kept.
const (
	leastRest   = 6 * partSize // bytes of a blob that are left
	fullLine    = 100 << 20    // bytes per second of all together: no line that is worth the trouble
	fastOne     = 60 << 20     // of one connection
	shortWindow = 150 * time.Millisecond
	longWindow  = 300 * time.Millisecond

	// leastGain is which part of what one more connection would bring, if each
	// were held to the speed that it has, must be seen.
	leastGain = 0.6

	// leastWait is which part of the time a connection must be waited for, to be
	// what a blob is held up by: not whoever reads it.
	leastWait = 0.5

	// See [Streams.saw].
	mostOfBest   = 0.75
	littleFaster = 1.5
)

// A meter knows how fast all streams were of late, and how long one of them was
// waited for.
type meter struct {
	old, young         sample
	oldWait, youngWait time.Duration // how much of waited was before
	waited             time.Duration
}

// tick returns how it is now, and since when that can be judged; not if it is
// too early to.
func (m *meter) tick(s *Streams) (since, now sample, ok bool) {
	now = s.sample()
	switch {
	case m.young.at.IsZero(), m.young.bodies != now.bodies:
		*m = meter{young: now} // of another number of streams
	case now.at.Sub(m.young.at) >= shortWindow:
		m.old, m.young = m.young, now
		m.oldWait, m.youngWait = m.youngWait, m.waited
	}
	return m.old, now, !m.old.at.IsZero()
}

// holds says whether the connection is what held the blob up since m.old.
func (m *meter) holds(now sample) bool {
	return (m.waited - m.oldWait).Seconds() >= leastWait*now.at.Sub(m.old.at).Seconds()
}

// A trial is one more connection, and how it was before.
type trial struct {
	part   *part
	before float64 // bytes per second of all together
	bodies int64   // that were open
}

// widen is called while one connection gives the blob. It has a later part
// fetched on another one, if nobody else needs that: when all together were
// faster for it, the rest comes in parts.
func (d *download) widen() {
	s := d.repo.streams
	switch {
	case s == nil:
	case d.trial != nil:
		d.judge()
	case d.misfits():
		d.leaveParts()
	case d.stop < d.desc.Size:
		d.spread()
	case d.desc.Size-d.at >= leastRest && !s.keepsWhole(d.repo.base.Host):
		d.begin()
	default:
		d.setWaiting(false) // the rest comes as it does
	}
}

func (d *download) begin() {
	s := d.repo.streams
	since, now, ok := d.meter.tick(s)
	before := rate(since, now)
	ok = ok && d.meter.holds(now)
	if s.helps() || ok && s.saw(load{before, now.bodies}) {
		d.stop, d.next = d.at+partSize, d.at+partSize
		if !d.tryMore() || !d.fetchMore() {
			d.stop = d.desc.Size
		}
		return
	}
	if !ok || before >= fullLine || before >= fastOne*float64(max(1, now.bodies)) || !s.mayTry() {
		return
	}
	d.stop, d.next = d.at+2*partSize, d.at+2*partSize
	if !s.try() || !d.fetchMore() {
		d.stop = d.desc.Size
		s.judge(unknownGain, 0)
		return
	}
	d.trial = &trial{part: d.parts[0], before: before, bodies: now.bodies}
}

// fetchMore has the next part fetched on the connection that was got for it.
func (d *download) fetchMore() bool { return d.fetch(false) }

// judge ends a trial once it can be judged.
func (d *download) judge() {
	t := d.trial
	first, last, done, err := t.part.state()
	now := d.repo.streams.sample()
	late := d.at >= d.stop
	switch {
	case unfit(err):
		d.leaveParts()
		return
	case err != nil:
		d.endTrial(noGain)
		return
	case done:
		now = last
	case first.at.IsZero() && !late, !late && now.at.Sub(first.at) < longWindow:
		return
	}
	if first.at.IsZero() {
		d.endTrial(noGain)
		return
	}
	n := t.bodies
	if !done {
		n++
	}
	if now.bodies != n { // blobs began or ended meanwhile
		d.endTrial(unknownGain)
		return
	}
	// Were each held to the speed that it has, one more would be that much more.
	if each := t.before / float64(max(1, t.bodies)); rate(first, now)-t.before >= leastGain*each {
		d.endTrial(someGain)
		return
	}
	d.endTrial(noGain)
}

// endTrial goes on in parts, or on the one connection alone.
func (d *download) endTrial(g gain) {
	t := d.trial
	if t == nil {
		return
	}
	d.trial = nil
	d.repo.streams.judge(g, t.bodies)
	if g == someGain {
		d.spread()
		return
	}
	if t.part.drop() {
		d.repo.streams.giveBack(t.part.buffer)
	}
	d.parts, d.stop = nil, d.desc.Size
}

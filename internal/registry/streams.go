package registry

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/vicr-cli/vicr/internal/transfer"
)

const (
	// partSize is how much of a blob is fetched beside what is being read, in
	// bytes: at 200 Mbit/s a twelfth of a second, several round trips of 20 ms. What
	// was fetched ahead is lost when the process is killed.
	partSize = 2 << 20
	// maxParts is how many of them there are in memory, over all blobs: as many as
	// a pull has connections unless it is told otherwise.
	maxParts = 8
)

// Streams are the connections that blobs may be read over at the same time: one
// number for all repositories that are [Repository.Within] it. A nil one is no
// limit. It is safe for use by several goroutines.
type Streams struct {
	slots *semaphore.Weighted
	now   func() time.Time // replaced in tests

	moved  atomic.Int64 // bytes of bodies, of all blobs together
	active atomic.Int64 // bodies that are open

	mu      sync.Mutex
	buffers [][]byte // made, and not in use
	made    int
	gain    gain
	trying  bool
	judged  int64              // how many bodies were open when more were of no use
	best    load               // the fastest that all together were seen at
	whole   map[string]bool    // by host: gives no parts that fit
	queue   []*download        // those that are open, the first opened first
	waiting map[*download]bool // those that could do with one more connection
}

// A gain is what more connections than blobs were found to be good for.
type gain int

const (
	unknownGain gain = iota
	noGain
	someGain
)

// NewStreams returns n of them, at least one.
func NewStreams(n int) *Streams {
	return &Streams{slots: semaphore.NewWeighted(int64(max(1, n))), now: time.Now}
}

// Within has r read blobs over s, several connections to one blob where that is
// found to be faster. It returns r, and is called before r is used.
func (r *Repository) Within(s *Streams) *Repository {
	r.streams = s
	return r
}

// Watched has r say with [transfer.Retrying] when it goes on after a connection
// broke or a registry failed, from several goroutines. It returns r, and is called before r is used.
func (r *Repository) Watched(onEvent func(transfer.Event)) *Repository {
	if onEvent != nil {
		r.watch = onEvent
	}
	return r
}

// acquire waits for a connection.
func (s *Streams) acquire(ctx context.Context) error {
	if s == nil {
		return nil
	}
	return s.slots.Acquire(ctx, 1)
}

// try takes a connection if there is one that nobody waits for.
func (s *Streams) try() bool { return s != nil && s.slots.TryAcquire(1) }

func (s *Streams) release() {
	if s != nil {
		s.slots.Release(1)
	}
}

func (s *Streams) count(bytes int) {
	if s != nil {
		s.moved.Add(int64(bytes))
	}
}

func (s *Streams) opened(bodies int64) {
	if s != nil {
		s.active.Add(bodies)
	}
}

// buffer returns the memory for a part; nil if all of it is in use.
func (s *Streams) buffer() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.buffers); n > 0 {
		b := s.buffers[n-1]
		s.buffers = s.buffers[:n-1]
		return b
	}
	if s.made == maxParts {
		return nil
	}
	s.made++
	return make([]byte, partSize)
}

func (s *Streams) giveBack(buffer []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buffers = append(s.buffers, buffer)
}

// helps says whether more connections than blobs are known to be faster.
func (s *Streams) helps() bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gain == someGain
}

// mayTry says whether it is worth finding out if one more connection is of use,
// and has nobody else do so until [Streams.judge].
func (s *Streams) mayTry() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trying || s.gain == someGain || (s.gain == noGain && s.active.Load() >= s.judged) {
		return false
	}
	s.trying = true
	return true
}

// judge ends what mayTry began. bodies were open before.
func (s *Streams) judge(g gain, bodies int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trying = false
	if s.gain != someGain && g != unknownGain {
		s.gain, s.judged = g, bodies
	}
}

// A load is how fast so many bodies came together, in bytes per second.
type load struct {
	rate   float64
	bodies int64
}

// each is the speed of one of them.
func (l load) each() float64 { return l.rate / float64(max(1, l.bodies)) }

// saw notes how fast all are, and says whether that settles that more
// connections are of use: more of them were faster together before, and each of
// these is hardly faster than each of those was. Where what they share is the
// limit, those that are left get what the others leave.
func (s *Streams) saw(now load) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.rate > s.best.rate {
		s.best = now
	}
	if now.bodies >= s.best.bodies || now.rate > mostOfBest*s.best.rate || now.each() > littleFaster*s.best.each() {
		return false
	}
	s.gain = someGain
	return true
}

// A sample is what all streams together had moved at some time.
type sample struct {
	at     time.Time
	moved  int64
	bodies int64
}

func (s *Streams) sample() sample {
	return sample{s.now(), s.moved.Load(), s.active.Load()}
}

// rate is in bytes per second, from a to b.
func rate(a, b sample) float64 {
	return float64(b.moved-a.moved) / max(b.at.Sub(a.at).Seconds(), 1e-6)
}

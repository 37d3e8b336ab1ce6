package relay

import (
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"sync"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// bodies are those of the requests that bring one blob, as one reader: who reads
// it reads the engine's connection, without a copy or another goroutine between.
type bodies struct {
	next chan io.Reader // given by a request, which waits for read
	read chan error     // nil: to its end
	over chan struct{}  // closed by end
	why  error          // set then
	once sync.Once

	body  io.Reader // under way; nil: none
	hash  hash.Hash
	count atomic.Int64  // bytes that were read
	total *atomic.Int64 // the same of all blobs
}

func newBodies(total *atomic.Int64) *bodies {
	h, err := v1.Hasher("sha256")
	if err != nil {
		panic(err) // it is built in
	}
	return &bodies{next: make(chan io.Reader), read: make(chan error), over: make(chan struct{}), hash: h, total: total}
}

// pass has body read to its end, by whoever reads b until unread is closed.
// engine is how the body broke.
func (b *bodies) pass(body io.Reader, unread <-chan struct{}) (engine, err error) {
	select {
	case b.next <- body:
	case <-unread:
		return nil, errUnread
	}
	select {
	case engine = <-b.read:
		return engine, nil
	case <-unread:
		return nil, errUnread
	}
}

var errUnread = errors.New("the registry takes no more")

// end has b end in err once no body is under way. Only the first one counts.
func (b *bodies) end(err error) {
	b.once.Do(func() {
		b.why = err
		close(b.over)
	})
}

// Read is for one goroutine.
func (b *bodies) Read(p []byte) (int, error) {
	for {
		if b.body == nil {
			select {
			case b.body = <-b.next:
			case <-b.over:
				return 0, b.why
			}
		}
		n, err := b.body.Read(p)
		b.hash.Write(p[:n])
		b.count.Add(int64(n))
		b.total.Add(int64(n))
		if err != nil {
			b.finish(err)
		}
		if n > 0 {
			return n, nil
		}
	}
}

// finish tells the request that its body was read.
func (b *bodies) finish(err error) {
	if errors.Is(err, io.EOF) {
		err = nil
	}
	b.body = nil
	b.read <- err
}

// size is how many bytes were read.
func (b *bodies) size() int64 { return b.count.Load() }

// digest is that of all bytes, once no body is under way.
func (b *bodies) digest() v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(b.hash.Sum(nil))}
}

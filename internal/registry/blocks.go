package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// blockSize is the unit of the memory that chunks are made of, in bytes.
const blockSize = 1 << 20

// blocks are a chunk of a blob: all but the last are full.
type blocks [][]byte

func (b blocks) size() (n int64) {
	for _, one := range b {
		n += int64(len(one))
	}
	return n
}

// from gives out what begins at an offset.
func (b blocks) from(offset int64) io.Reader {
	var all []io.Reader
	for _, one := range b {
		skip := min(offset, int64(len(one)))
		offset -= skip
		all = append(all, bytes.NewReader(one[skip:]))
	}
	return io.MultiReader(all...)
}

// A chunkMemory is what the chunks of all streams of a repository are held in. It
// has a whole chunk for each stream, so that all of them come to the end of one;
// what others do not need at the time is filled ahead.
type chunkMemory struct {
	streams chan struct{}
	unused  chan []byte
	unmade  chan struct{} // one for each block that can still be made
}

func newChunkMemory(streams int, chunk int64) *chunkMemory {
	n := streams * int((chunk+blockSize-1)/blockSize)
	m := &chunkMemory{streams: make(chan struct{}, streams), unused: make(chan []byte, n), unmade: make(chan struct{}, n)}
	for range n {
		m.unmade <- struct{}{}
	}
	return m
}

// enter waits until there is memory for one more stream.
func (m *chunkMemory) enter(ctx context.Context) error {
	select {
	case m.streams <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *chunkMemory) leave() { <-m.streams }

// take makes a block only if none is unused: the first touch of new memory costs
// as much as hashing it.
func (m *chunkMemory) take(ctx context.Context) ([]byte, error) {
	select {
	case b := <-m.unused:
		return b[:blockSize], nil
	default:
	}
	select {
	case b := <-m.unused:
		return b[:blockSize], nil
	case <-m.unmade:
		return make([]byte, blockSize), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *chunkMemory) free(all blocks) {
	for _, b := range all {
		m.unused <- b
	}
}

// chunks are those of a stream, read ahead as far as there is memory.
type chunks struct {
	full   chan chunk // closed at the end
	memory *chunkMemory
}

type chunk struct {
	data blocks
	last bool
	err  error
}

// readChunks reads src in chunks of size bytes, until its end or that of ctx. A
// read that waits when ctx ends has to end by itself.
func readChunks(ctx context.Context, src io.Reader, size int64, m *chunkMemory) *chunks {
	p := &chunks{full: make(chan chunk), memory: m}
	go func() {
		defer close(p.full)
		for p.next(ctx, src, size) {
		}
	}()
	return p
}

// next reads one chunk, and says whether there may be another.
func (p *chunks) next(ctx context.Context, src io.Reader, size int64) bool {
	next := p.read(ctx, src, size)
	select {
	case p.full <- next:
		return next.err == nil && !next.last
	case <-ctx.Done():
		p.memory.free(next.data)
		return false
	}
}

func (p *chunks) read(ctx context.Context, src io.Reader, size int64) (next chunk) {
	for size > 0 {
		block, err := p.memory.take(ctx)
		if err != nil {
			next.err = err
			return next
		}
		n, err := fill(ctx, src, block[:min(size, blockSize)])
		next.data = append(next.data, block[:n])
		size -= int64(n)
		if err != nil {
			if next.last = errors.Is(err, io.EOF); !next.last {
				next.err = fmt.Errorf("read blob: %w", err)
			}
			return next
		}
	}
	return next
}

// fill is [io.ReadFull] that tells the end of src from one that broke off, and
// ends with ctx.
func fill(ctx context.Context, src io.Reader, buffer []byte) (n int, err error) {
	for n < len(buffer) && err == nil {
		if err = ctx.Err(); err == nil {
			var m int
			m, err = src.Read(buffer[n:])
			n += m
		}
	}
	if n == len(buffer) {
		err = nil // it comes again
	}
	return n, err
}

// drain waits until nothing is read any more.
func (p *chunks) drain() {
	for c := range p.full {
		p.memory.free(c.data)
	}
}

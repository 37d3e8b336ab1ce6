package registry

import "testing"

// New memory is touched only where no other is free.
func TestMemoryIsUsedAgainBeforeMoreIsMade(t *testing.T) {
	t.Parallel()
	m := newChunkMemory(2, 3*blockSize)
	take := func() []byte {
		b, err := m.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for range 10 {
		first, second := take(), take()
		m.free(blocks{first[:1], second})
	}
	if n := cap(m.unmade) - len(m.unmade); n != 2 {
		t.Errorf("%d blocks were made for two that are in use at the same time", n)
	}
	for i := range 6 {
		if b := take(); len(b) != blockSize {
			t.Errorf("block %d has %d bytes", i, len(b))
		}
	}
}

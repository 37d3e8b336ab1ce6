package transfer

import (
	"errors"
	"hash"
	"io"
)

// GatherBeside is [Gather] for what [Verify] or [VerifyRest] returned. While
// idle says so the bytes are hashed by another goroutine, so that one blob does
// not wait for one processor. The last of them are written once the digest was
// found right.
func GatherBeside(dst io.Writer, src io.Reader, buffer []byte, least int, idle func() bool) (written int64, err error) {
	v, ok := src.(*verifier)
	if !ok {
		return Gather(dst, src, buffer, least)
	}
	half := len(buffer) / 2
	halves := [2][]byte{buffer[:half], buffer[half : 2*half]}
	h := &behind{hash: v.hash}
	defer h.end() // who has the buffer back may write to it
	for i := 0; ; i ^= 1 {
		var n int
		if v.err == nil && v.size-v.seen > int64(half) && idle() {
			h.wait(1) // for what was in this half
			n, err = v.piece(dst, halves[i], least, h)
		} else {
			h.wait(0)
			n, err = gatherPiece(dst, v, buffer, least)
		}
		written += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			return written, nil
		case err != nil:
			return written, err
		}
	}
}

// piece writes a piece that is not the last one, while it is hashed.
func (v *verifier) piece(dst io.Writer, p []byte, least int, h *behind) (written int, err error) {
	filled := 0
	for filled < min(least, len(p)) && err == nil {
		var n int
		n, err = v.rc.Read(p[filled:])
		filled += n
	}
	v.seen += int64(filled)
	if err == io.EOF { //nolint:errorlint // an io.Reader ends with this very value
		err = v.wrongSize()
	}
	v.err = err
	h.add(p[:filled])
	written, failed := dst.Write(p[:filled])
	if failed != nil {
		return written, failed
	}
	return written, err
}

// A behind hashes pieces one after the other; two may wait.
type behind struct {
	hash hash.Hash

	pieces  chan []byte // nil: no goroutine yet
	done    chan struct{}
	pending int // pieces that are not known to be done
}

// add has p hashed beside what is done until wait.
func (b *behind) add(p []byte) {
	if b.pieces == nil {
		b.pieces, b.done = make(chan []byte, 2), make(chan struct{}, 2)
		go func() {
			for p := range b.pieces {
				b.hash.Write(p)
				b.done <- struct{}{}
			}
		}()
	}
	b.pending++
	b.pieces <- p
}

// wait waits until all are hashed but the last so many.
func (b *behind) wait(but int) {
	for ; b.pending > but; b.pending-- {
		<-b.done
	}
}

func (b *behind) end() {
	b.wait(0)
	if b.pieces != nil {
		close(b.pieces)
	}
}

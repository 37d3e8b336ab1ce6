package transfer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"testing"
	"testing/iotest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"pgregory.net/rapid"
)

func describe(data []byte) v1.Descriptor {
	sum := sha256.Sum256(data)
	return v1.Descriptor{Size: int64(len(data)), Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}}
}

func verifierOf(tb rapid.TB, src io.Reader, desc v1.Descriptor) *verifier {
	tb.Helper()
	v, err := newVerifier(io.NopCloser(src), desc)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// A lateHash does nothing until it is let go.
type lateHash struct {
	hash.Hash

	written chan struct{}
}

func (h *lateHash) Write(p []byte) (int, error) {
	<-h.written
	return h.Hash.Write(p)
}

// A tellingWriter lets a piece be hashed when it was given one, and the last one
// with that before it.
type tellingWriter struct {
	bytes.Buffer

	pieces  int // that are still to come
	written chan struct{}
}

func (w *tellingWriter) Write(p []byte) (int, error) {
	w.written <- struct{}{}
	if w.pieces--; w.pieces == 1 {
		w.written <- struct{}{}
	}
	return w.Buffer.Write(p)
}

func TestAPieceIsWrittenWhileItIsHashed(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("0123456789abcdef"), 10)
	v := verifierOf(t, bytes.NewReader(data), describe(data))
	written := make(chan struct{}, len(data))
	v.hash = &lateHash{v.hash, written}
	w := &tellingWriter{pieces: 5, written: written}
	done := make(chan error, 1)
	go func() {
		_, err := GatherBeside(w, v, make([]byte, 64), 16, func() bool { return true })
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil || !bytes.Equal(w.Bytes(), data) {
			t.Errorf("%v, %d bytes", err, w.Len())
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a piece is hashed before it is written")
	}
}

func TestWhatIsHashedBesideIsVerifiedAsWell(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	rapid.Check(t, func(rt *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 1, 600).Draw(rt, "data")
		sent := bytes.Clone(data)
		kind := rapid.SampledFrom([]string{"right", "flipped", "short", "long", "broken"}).Draw(rt, "kind")
		at := rapid.IntRange(0, len(data)-1).Draw(rt, "at")
		var src io.Reader
		switch kind {
		case "flipped":
			sent[at] ^= 1
		case "short":
			sent = sent[:at]
		case "long":
			sent = append(sent, 'x')
		}
		src = bytes.NewReader(sent)
		if kind == "broken" {
			sent = sent[:at]
			src = io.MultiReader(bytes.NewReader(sent), iotest.ErrReader(broken))
		}
		if rapid.Bool().Draw(rt, "early end") {
			src = iotest.DataErrReader(src)
		}
		piece := rapid.IntRange(1, 64).Draw(rt, "piece")
		v := verifierOf(rt, &pieces{src, piece}, describe(data))
		var w bytes.Buffer
		buffer := make([]byte, rapid.IntRange(2, 128).Draw(rt, "buffer"))
		idle := func() bool { return rapid.Bool().Draw(rt, "idle") }
		n, err := GatherBeside(&w, v, buffer, rapid.IntRange(1, 64).Draw(rt, "least"), idle)
		if n != int64(w.Len()) || !bytes.HasPrefix(sent, w.Bytes()) {
			rt.Fatalf("%d bytes, said %d", w.Len(), n)
		}
		bad, wrong := errors.AsType[*DigestError](err)
		switch {
		case kind == "right" && (err != nil || w.Len() != len(data)),
			kind == "broken" && !errors.Is(err, broken),
			kind != "right" && kind != "broken" && (!wrong || !errors.Is(v.failure(), bad)),
			kind == "flipped" && w.Len() == len(data):
			rt.Fatalf("%s: %v after %d of %d bytes", kind, err, w.Len(), len(data))
		}
	})
}

// pieces gives out at most so many bytes at a time.
type pieces struct {
	io.Reader

	size int
}

func (p *pieces) Read(b []byte) (int, error) { return p.Reader.Read(b[:min(len(b), p.size)]) }

func TestADiskThatIsFullEndsWhatIsHashedBeside(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("x"), 1000)
	v := verifierOf(t, bytes.NewReader(data), describe(data))
	full := errors.New("full")
	n, err := GatherBeside(&limited{left: 100, err: full}, v, make([]byte, 64), 16, func() bool { return true })
	if n != 100 || !errors.Is(err, full) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// limited takes so many bytes and then fails.
type limited struct {
	left int
	err  error
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.left {
		n := l.left
		l.left = 0
		return n, l.err
	}
	l.left -= len(p)
	return len(p), nil
}

package engine_test

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// Whoever fails is named: the engine that breaks off, or the sink.
func TestPourThatFailsSaysWho(t *testing.T) {
	t.Parallel()
	gone := errors.New("the sink is gone")
	for what, fault := range map[string]func(io.Reader) (io.Reader, error){
		"at once": func(io.Reader) (io.Reader, error) { return nil, gone },
		"later": func(r io.Reader) (io.Reader, error) {
			_, _ = io.CopyN(io.Discard, r, 1000)
			return iotest.ErrReader(gone), nil
		},
		"with the words of another": func(io.Reader) (io.Reader, error) { return nil, io.ErrUnexpectedEOF },
	} {
		for _, keeps := range []bool{false, true} {
			f := newFake(t, keeps)
			e := f.open(t, engine.Options{})
			must(t, put1(t, e, name, large(t, "abcdefgh")))
			_, err := pour(t, e, &transfertest.StreamSink{Fault: fault})
			_, bad := errors.AsType[*engine.SaveError](err)
			if bad || !errors.Is(err, gone) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s, %t: got %v", what, keeps, err)
			}
		}
	}
	for _, keeps := range []bool{false, true} {
		f := newFake(t, keeps)
		e := f.open(t, engine.Options{})
		must(t, put1(t, e, name, large(t, "ab")))
		f.instead["/images/get"] = func(w http.ResponseWriter, _ *http.Request) bool {
			t := tar.NewWriter(w)
			_ = t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "blobs/sha256/" + strings.Repeat("a", 64), Size: 1 << 20})
			_, _ = t.Write(make([]byte, 200_000))
			panic(http.ErrAbortHandler)
		}
		var out transfertest.StreamSink
		_, err := pour(t, e, &out)
		if bad, ok := errors.AsType[*engine.SaveError](err); !ok || !strings.Contains(bad.Error(), "breaks off") || out.Committed() != nil {
			t.Errorf("%t: got %v", keeps, err)
		}
	}
}

// A blob of an engine that keeps blobs is not the one that it is called after.
func TestPouredBlobWithAWrongByteIsADigestError(t *testing.T) {
	t.Parallel()
	f := newFake(t, true)
	e := f.open(t, engine.Options{})
	src := large(t, "ab")
	must(t, put1(t, e, name, src))
	top := layerBlobs(t, src)[1]
	f.mu.Lock()
	bad := slices.Clone(f.images[f.names[name]][top])
	bad[len(bad)/2] ^= 1
	f.images[f.names[name]][top] = bad
	f.mu.Unlock()
	var out transfertest.StreamSink
	_, err := pour(t, e, &out)
	if wrong, ok := errors.AsType[*transfer.DigestError](err); !ok || wrong.Want != top || out.Content[top] != nil {
		t.Errorf("got %v", err)
	}
}

func TestCancelledPourEnds(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	e := f.open(t, engine.Options{})
	must(t, put1(t, e, name, large(t, "ab")))
	ctx, cancel := context.WithCancel(t.Context())
	f.instead["/images/get"] = func(w http.ResponseWriter, _ *http.Request) bool {
		t := tar.NewWriter(w)
		_ = t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "x", Size: 1 << 20})
		_, _ = t.Write(make([]byte, 200_000))
		_ = http.NewResponseController(w).Flush()
		cancel()
		return f.stall(nil, nil)
	}
	s := e.Source(name)
	defer s.Close()
	_, err := transfer.Copy(ctx, s, &transfertest.StreamSink{}, transfer.Options{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestPouredEventsGrow(t *testing.T) {
	t.Parallel()
	f := newFake(t, false)
	e := f.open(t, engine.Options{})
	must(t, put1(t, e, name, large(t, "ab")))
	ends, bytes := map[v1.Hash]transfer.Stage{}, map[v1.Hash]int64{}
	s := e.Source(name)
	defer s.Close()
	_, err := transfer.Copy(t.Context(), s, &transfertest.StreamSink{}, transfer.Options{Jobs: 1, OnEvent: func(e transfer.Event) {
		if e.Bytes < bytes[e.Desc.Digest] || e.Bytes > e.Desc.Size {
			t.Errorf("%s: %d bytes of %d after %d", e.Desc.Digest, e.Bytes, e.Desc.Size, bytes[e.Desc.Digest])
		}
		ends[e.Desc.Digest], bytes[e.Desc.Digest] = e.Stage, e.Bytes
	}})
	must(t, err)
	if len(ends) != 5 {
		t.Errorf("events of %d blobs and manifests", len(ends))
	}
	for h, end := range ends {
		if end != transfer.Done {
			t.Errorf("%s ended with %d", h, end)
		}
	}
}

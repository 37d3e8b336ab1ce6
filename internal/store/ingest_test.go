package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// What lies under a digest with another size was torn by some other tool.
func TestTornBlobIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	src := sample(1)
	torn := filepath.Join(dir, "blobs", "sha256", layerOf(src).Digest.Hex)
	if err := os.MkdirAll(filepath.Dir(torn), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(torn, []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, store.Open(dir), "a", src)
	if got, err := os.ReadFile(torn); err != nil || len(got) != 5000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestPartOfABlobIsGoneOnWith(t *testing.T) {
	t.Parallel()
	whole := transfertest.Bytes(1, 5000)
	other := transfertest.Bytes(9, 5000)
	for name, test := range map[string]struct {
		part    []byte
		refuse  bool    // the source cannot begin in the middle
		offsets []int64 // at which the source is opened
		taken   int64
	}{
		"right so far":          {whole[:3000], false, []int64{3000}, 2000},
		"whole already":         {whole, false, nil, 0},
		"wrong so far":          {other[:3000], false, []int64{3000, 0}, 5000},
		"wrong, and whole":      {other, false, []int64{0}, 5000},
		"too long":              {append(bytes.Clone(whole), 0), false, []int64{0}, 5000},
		"the source refuses":    {whole[:3000], true, []int64{3000, 0}, 5000},
		"nothing":               {nil, false, []int64{0}, 5000},
		"all but the last byte": {whole[:4999], false, []int64{4999}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			src := sample(1)
			layer := layerOf(src)
			part := filepath.Join(dir, "ingest", "sha256-"+layer.Digest.Hex)
			if err := os.MkdirAll(filepath.Dir(part), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(part, test.part, 0o600); err != nil {
				t.Fatal(err)
			}
			src.Fault = func(_ v1.Descriptor, offset int64, r io.Reader) (io.Reader, error) {
				if test.refuse && offset > 0 {
					return nil, fmt.Errorf("no ranges here: %w", transfer.ErrOffset)
				}
				return r, nil
			}
			taken, err := store.Open(dir).Sink("a").PutBlob(t.Context(), layer, func(ctx context.Context, offset int64) (io.ReadCloser, error) {
				return src.Blob(ctx, layer, offset)
			})
			if err != nil || taken != test.taken {
				t.Errorf("took %d, %v; want %d", taken, err, test.taken)
			}
			var offsets []int64
			for _, o := range src.Opened() {
				offsets = append(offsets, o.Offset)
			}
			if !slices.Equal(offsets, test.offsets) || src.LeftOpen() != 0 {
				t.Errorf("opened at %v, want %v; %d left open", offsets, test.offsets, src.LeftOpen())
			}
			got, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", layer.Digest.Hex))
			if err != nil || !bytes.Equal(got, whole) {
				t.Errorf("the blob is wrong: %d bytes, %v", len(got), err)
			}
			if _, err := os.Stat(part); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the part is still there: %v", err)
			}
		})
	}
}

// Bytes that came wrong are asked for once more.
func TestWrongBytesAreAskedForOnceMore(t *testing.T) {
	t.Parallel()
	dir, src := t.TempDir(), sample(1)
	layer := layerOf(src)
	src.Fault = func(_ v1.Descriptor, _ int64, r io.Reader) (io.Reader, error) {
		if len(src.Opened()) == 1 {
			return transfertest.Flip(r, 10), nil
		}
		return r, nil
	}
	taken, err := store.Open(dir).Sink("a").PutBlob(t.Context(), layer, func(ctx context.Context, offset int64) (io.ReadCloser, error) {
		return src.Blob(ctx, layer, offset)
	})
	if err != nil || taken < layer.Size || len(src.Opened()) != 2 || src.LeftOpen() != 0 {
		t.Errorf("took %d, %v, opened %v", taken, err, src.Opened())
	}
	if got, err := os.ReadFile(filepath.Join(dir, "blobs", "sha256", layer.Digest.Hex)); err != nil || !bytes.Equal(got, transfertest.Bytes(1, 5000)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// The store does not depend on its caller to verify.
func TestWrongBytesAreNotKeptEvenAsAPart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	layer := layerOf(sample(1))
	_, err := store.Open(dir).Sink("a").PutBlob(t.Context(), layer, func(context.Context, int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(transfertest.Bytes(2, 5000))), nil
	})
	if _, ok := errors.AsType[*transfer.DigestError](err); !ok {
		t.Errorf("got %v", err)
	}
	for folder, locks := range map[string]int{"ingest": 2, "blobs/sha256": 0} {
		if left, err := os.ReadDir(filepath.Join(dir, folder)); err != nil || len(left) != locks {
			t.Errorf("%s: %v, %v", folder, left, err)
		}
	}
}

func TestPutBlobWaitsForWhoeverTakesTheSame(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	layer := layerOf(sample(1))
	first, asked, goOn := store.Open(dir).Sink("a"), make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		_, err := first.PutBlob(t.Context(), layer, func(context.Context, int64) (io.ReadCloser, error) {
			close(asked)
			<-goOn
			return io.NopCloser(bytes.NewReader(transfertest.Bytes(1, 5000))), nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-asked
	refuse := func(context.Context, int64) (io.ReadCloser, error) { return nil, errors.New("opened a second time") }
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.Open(dir).Sink("b").PutBlob(ended, layer, refuse); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the wait ended with the context", err)
	}
	group.Go(func() {
		if taken, err := store.Open(dir).Sink("b").PutBlob(t.Context(), layer, refuse); taken != 0 || err != nil {
			t.Errorf("took %d, %v", taken, err)
		}
	})
	close(goOn)
	group.Wait()
}

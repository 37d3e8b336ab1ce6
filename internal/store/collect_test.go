package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

func putLayer(t *testing.T, s *store.Sink, src *transfertest.Source) {
	t.Helper()
	layer := layerOf(src)
	_, err := s.PutBlob(t.Context(), layer, func(_ context.Context, offset int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(src.Content[layer.Digest][offset:])), nil
	})
	must(t, err)
}

// What a pull has fetched and is about to name is not even said to be removed.
func TestCollectingWaitsForAPullAndSaysSo(t *testing.T) {
	t.Parallel()
	for name, dry := range map[string]bool{"dry run": true, "removal": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, src := store.Open(t.TempDir()), sample(1)
			pull := s.Sink("a")
			putLayer(t, pull, src)
			told := 0
			all, err := s.Collect(t.Context(), store.Collecting{Now: time.Now(), Dry: dry, Parts: true, Waiting: func(pid int) {
				told++
				if pid != 0 {
					t.Errorf("process %d is waited for", pid)
				}
				if _, err := transfer.Copy(t.Context(), src, pull, transfer.Options{}); err != nil {
					t.Error(err)
				}
				if err := pull.Close(); err != nil {
					t.Error(err)
				}
			}})
			if err != nil || len(all) > 0 || told != 1 {
				t.Errorf("%v, %v, told %d times", all, err, told)
			}
		})
	}
}

// A collector that waits keeps newcomers for a while only, however long it waits.
func TestPullsBeginWhileACollectorWaits(t *testing.T) {
	t.Parallel()
	s := store.Open(t.TempDir())
	first, waits, done := s.Sink("a"), make(chan struct{}), make(chan error, 1)
	putLayer(t, first, sample(1))
	go func() {
		_, err := s.Collect(t.Context(), store.Collecting{Now: time.Now(), Waiting: func(int) { close(waits) }})
		done <- err
	}()
	<-waits
	for kept := false; !kept; { // until the collector has kept one, and let it go
		select {
		case err := <-done:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
		began, newcomer := time.Now(), s.Sink("b")
		putLayer(t, newcomer, sample(2))
		kept = time.Since(began) > time.Second
		must(t, newcomer.Close())
	}
	must(t, first.Close())
	must(t, <-done)
}

func TestWaitingForAPullEndsWithTheContext(t *testing.T) {
	t.Parallel()
	s := store.Open(t.TempDir())
	pull := s.Sink("a")
	putLayer(t, pull, sample(1))
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := s.Collect(ctx, store.Collecting{Now: time.Now(), Waiting: func(int) { cancel() }}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	must(t, pull.Close())
}

// cut is a store with a part of a blob, and nothing else.
func cut(t *testing.T) (s *store.Store, dir, part string) {
	t.Helper()
	dir = t.TempDir()
	s = store.Open(dir)
	src := sample(3)
	src.Fault = func(d v1.Descriptor, _ int64, r io.Reader) (io.Reader, error) {
		if d.Size == 5000 {
			return transfertest.Cut(r, 2000, io.ErrUnexpectedEOF), nil
		}
		return r, nil
	}
	sink := s.Sink("c")
	if _, err := transfer.Copy(t.Context(), src, sink, transfer.Options{}); err == nil {
		t.Fatal("it was not cut")
	}
	must(t, sink.Close())
	part = filepath.Join(dir, "ingest", "sha256-"+layerOf(src).Digest.Hex)
	others, err := filepath.Glob(filepath.Join(dir, "ingest", "sha256-*"))
	must(t, err)
	for _, other := range others { // what was under way beside it was cut too
		if other != part {
			must(t, os.Remove(other))
		}
	}
	return s, dir, part
}

// On a full disk nothing can be written, and what is in the way has to go.
func TestCollectingWritesNothing(t *testing.T) {
	t.Parallel()
	s, dir, part := cut(t)
	if all, err := s.Collect(t.Context(), store.Collecting{Now: time.Now()}); err != nil || slices.ContainsFunc(all, func(p store.Piece) bool { return p.Part }) {
		t.Fatalf("a young part was taken: %v, %v", all, err)
	}
	all, err := s.Collect(t.Context(), store.Collecting{Now: time.Now(), Parts: true})
	if err != nil || len(all) != 1 || !all[0].Part || all[0].Size != 2000 {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := os.Stat(part); !os.IsNotExist(err) {
		t.Errorf("the part is there: %v", err)
	}
	for _, name := range []string{"oci-layout", "index.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); !os.IsNotExist(err) {
			t.Errorf("%s was made: %v", name, err)
		}
	}
}

// Who has the folder open as a layout takes no part in the use of the store.
func TestAPartThatIsWrittenIsLeft(t *testing.T) {
	t.Parallel()
	s, _, part := cut(t)
	writer, err := atomicfile.OpenIngest(part)
	must(t, err)
	all, err := s.Collect(t.Context(), store.Collecting{Now: time.Now(), Parts: true})
	if err != nil || slices.ContainsFunc(all, func(p store.Piece) bool { return p.Part }) {
		t.Errorf("%v, %v", all, err)
	}
	must(t, writer.Keep())
	if _, err := os.Stat(part); err != nil {
		t.Error(err)
	}
}

// Who looks at the store waits for who collects it: else blobs vanish under him.
func TestLookingWaitsForACollector(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := store.Open(dir)
	put(t, s, "a", sample(1))
	lock, err := atomicfile.Lock(t.Context(), filepath.Join(dir, "ingest", "use"), time.Minute)
	must(t, err)
	defer lock.Unlock()
	for name, look := range map[string]func(ctx context.Context) error{
		"ls":      func(ctx context.Context) error { _, err := s.Images(ctx); return err },
		"verify":  func(ctx context.Context) error { _, err := s.Verify(ctx, nil); return err },
		"dry run": func(ctx context.Context) error { _, err := s.Collect(ctx, store.Collecting{Dry: true}); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := look(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s did not wait: %v", name, err)
		}
		cancel()
	}
}

// Whoever changes the store removes what killed writers of its files left.
func TestTemporaryFilesOfKilledWritersAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := store.Open(dir)
	put(t, s, "a", sample(1))
	left := filepath.Join(dir, ".vicr-"+strings.Repeat("0", 16)+".tmp")
	for name, change := range map[string]func() error{
		"tag": func() error { return s.Tag(t.Context(), "a", "b") },
		"gc":  func() error { _, err := s.Collect(t.Context(), store.Collecting{Now: time.Now()}); return err },
	} {
		must(t, os.WriteFile(left, []byte("x"), 0o600))
		must(t, change())
		if _, err := os.Stat(left); !os.IsNotExist(err) {
			t.Errorf("after %s it is there: %v", name, err)
		}
	}
}

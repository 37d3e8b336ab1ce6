//go:build unix

package atomicfile_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

func openIngest(t *testing.T, path string) *atomicfile.Ingest {
	t.Helper()
	in, err := atomicfile.OpenIngest(path)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func add(t *testing.T, w io.Writer, data string) {
	t.Helper()
	if n, err := io.WriteString(w, data); err != nil || n != len(data) {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(data), err)
	}
}

func wantAll(t *testing.T, in *atomicfile.Ingest, want string) {
	t.Helper()
	got, err := io.ReadAll(in.Reader())
	if err != nil || string(got) != want || in.Size() != int64(len(want)) {
		t.Errorf("holds %q of size %d, want %q: %v", got, in.Size(), want, err)
	}
}

func TestIngestGoesOnWhereTheLastRunStopped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, final := filepath.Join(dir, "ingest"), filepath.Join(dir, "blobs", "x")
	if err := os.Mkdir(filepath.Dir(final), 0o755); err != nil {
		t.Fatal(err)
	}
	in := openIngest(t, path)
	add(t, in, "begin")
	if err := in.Keep(); err != nil {
		t.Fatal(err)
	}
	in = openIngest(t, path)
	wantAll(t, in, "begin")
	add(t, in, " and end")
	wantAll(t, in, "begin and end")
	if b := make([]byte, 3); true {
		if _, err := in.ReadAt(b, 6); err != nil || string(b) != "and" {
			t.Errorf("read %q, %v", b, err)
		}
	}
	if err := in.Commit(final, 0o444); err != nil {
		t.Fatal(err)
	}
	wantFile(t, final, "begin and end")
	wantNames(t, dir, "blobs")
	if info, err := os.Stat(final); err != nil || info.Mode() != 0o444 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestIngestBeginsAgainAfterTruncate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := openIngest(t, filepath.Join(dir, "ingest"))
	add(t, in, "wrong")
	if err := in.Truncate(6); err == nil {
		t.Error("it grew by truncating")
	}
	if err := in.Truncate(0); err != nil {
		t.Fatal(err)
	}
	add(t, in, "ok")
	wantAll(t, in, "ok")
	if err := in.Discard(); err != nil {
		t.Fatal(err)
	}
	wantNames(t, dir)
}

func TestIngestHasOneWriter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, final := filepath.Join(dir, "ingest"), filepath.Join(dir, "final")
	first := openIngest(t, path)
	if _, err := atomicfile.OpenIngest(path); !errors.Is(err, atomicfile.ErrBusy) {
		t.Fatalf("second writer: %v", err)
	}
	add(t, first, "first")
	if err := first.Commit(final, 0o644); err != nil {
		t.Fatal(err)
	}
	second := openIngest(t, path)
	wantAll(t, second, "")
	add(t, second, "second")
	wantFile(t, final, "first")
	if err := second.Commit(final, 0o644); err != nil {
		t.Fatal(err)
	}
	wantFile(t, final, "second")
}

func TestIngestWithoutACommitHasNoFinalName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := openIngest(t, filepath.Join(dir, "ingest"))
	add(t, in, "x")
	if err := in.Commit(filepath.Join(dir, "none", "final"), 0o644); err == nil {
		t.Error("committed into a folder that is not there")
	}
	wantNames(t, dir, "ingest")
	target := filepath.Join(dir, "link")
	if err := os.Symlink("ingest", target); err != nil {
		t.Fatal(err)
	}
	var refused *atomicfile.NotRegularError
	if _, err := atomicfile.OpenIngest(target); !errors.As(err, &refused) {
		t.Errorf("through a link: %v", err)
	}
}

func TestScratchIsSeenByNobodyAndGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := atomicfile.Scratch(dir)
	if err != nil {
		t.Fatal(err)
	}
	wantNames(t, dir)
	add(t, s, "abc")
	add(t, s, "def")
	got, err := io.ReadAll(io.NewSectionReader(s, 0, s.Size()))
	if err != nil || string(got) != "abcdef" {
		t.Errorf("%q, %v", got, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wantNames(t, dir)
	if _, err := atomicfile.Scratch(filepath.Join(dir, "none")); err == nil {
		t.Error("a scratch file in no folder")
	}
}

func TestScratchFolderIsOursAndGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := atomicfile.NewScratchFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(s.Path()); err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.MkdirAll(filepath.Join(s.Path(), "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(); err != nil {
		t.Error(err)
	}
	wantNames(t, dir)
	if _, err := atomicfile.NewScratchFolder(filepath.Join(dir, "none")); err == nil {
		t.Error("a scratch folder in no folder")
	}
}

// What the disk was told to begin with early is no less right, also when it is
// taken back.
func TestIngestOfManyBytes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := openIngest(t, filepath.Join(dir, "ingest"))
	piece := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB
	for range 40 {
		if _, err := in.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := in.Truncate(3 << 20); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		if _, err := in.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := in.Commit(filepath.Join(dir, "x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "x")); err != nil || !bytes.Equal(got, bytes.Repeat(piece, 33)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

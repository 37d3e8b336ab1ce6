package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"syscall"
	"testing"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// A store that cannot be written to has what it has, and takes nothing.
func TestWhatIsInAReadOnlyStoreIsThere(t *testing.T) {
	t.Parallel()
	s := Open(t.TempDir())
	c := transfertest.Content{}
	src := &transfertest.Source{Root: c.Image(transfertest.Amd64(), c.Layer(transfertest.Bytes(1, 5000))), Content: c}
	if _, err := transfer.Copy(t.Context(), src, s.Sink("a"), transfer.Options{}); err != nil {
		t.Fatal(err)
	}
	denied := &fs.PathError{Op: "open", Path: "use", Err: fs.ErrPermission}
	if !unwritable(denied) || !unwritable(&fs.PathError{Err: syscall.EROFS}) || unwritable(&fs.PathError{Err: syscall.EIO}) {
		t.Error("no permission and a read-only file system are what denies, and nothing else is")
	}
	there := s.Sink("a")
	there.denied = denied
	if _, err := transfer.Copy(t.Context(), src, there, transfer.Options{}); err != nil {
		t.Errorf("what is there: %v", err)
	}
	other := s.Sink("b")
	other.denied = denied
	if _, err := transfer.Copy(t.Context(), src, other, transfer.Options{}); !errors.Is(err, denied) {
		t.Errorf("another name: %v", err)
	}
	layer := c.Layer([]byte("new"))
	_, err := other.PutBlob(t.Context(), layer, func(context.Context, int64) (io.ReadCloser, error) {
		return nil, errors.New("it was asked for")
	})
	if !errors.Is(err, denied) {
		t.Errorf("another blob: %v", err)
	}
}

package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// Bytes that were found to be wrong are not kept for the next run to go on with;
// those that were cut off are.
func TestWrongBytesAreNotGoneOnWith(t *testing.T) {
	t.Parallel()
	data := transfertest.Bytes(1, 3<<20) // more than is read at a time
	desc := transfertest.DescriptorOf("sha256", "application/octet-stream", data)
	bad := append(bytes.Clone(data[:len(data)-1]), data[len(data)-1]^1)
	cut := errors.New("cut")
	for name, test := range map[string]struct {
		src  func() io.Reader
		kept int
	}{
		"wrong": {func() io.Reader { return bytes.NewReader(bad) }, 0},
		"cut":   {func() io.Reader { return io.MultiReader(bytes.NewReader(data[:len(data)-3000]), iotest.ErrReader(cut)) }, 1},
	} {
		dir := t.TempDir()
		_, err := store.Open(dir).Sink("a:1").PutBlob(t.Context(), desc, func(context.Context, int64) (io.ReadCloser, error) {
			return io.NopCloser(test.src()), nil
		})
		if _, wrong := errors.AsType[*transfer.DigestError](err); wrong != (test.kept == 0) || err == nil {
			t.Errorf("%s: %v", name, err)
		}
		left, err := filepath.Glob(filepath.Join(dir, "ingest", "sha256-*"))
		if err != nil || len(left) != test.kept || len(files(t, dir)) != 0 {
			t.Errorf("%s: left %v, %v", name, left, err)
		}
	}
}

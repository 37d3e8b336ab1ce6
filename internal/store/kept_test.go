package store_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

func TestSinkGivesBackTheManifestsThatItHas(t *testing.T) {
	t.Parallel()
	s := store.Open(t.TempDir())
	c := transfertest.Content{}
	src := &transfertest.Source{Root: c.Image(transfertest.Amd64(), c.Layer([]byte("x"))), Content: c}
	if _, err := s.Sink("h/a:1").Kept(t.Context(), src.Root); !errors.Is(err, transfer.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := transfer.Copy(t.Context(), src, s.Sink("h/a:1"), transfer.Options{}); err != nil {
		t.Fatal(err)
	}
	raw, err := s.Sink("h/b:1").Kept(t.Context(), src.Root)
	if err != nil || !bytes.Equal(raw, c[src.Root.Digest]) {
		t.Errorf("got %q, %v", raw, err)
	}
}

package store_test

import (
	"testing"

	"github.com/vicr-cli/vicr/internal/store"
	"github.com/vicr-cli/vicr/internal/transfer"
)

func TestASinkSaysWhetherItsNameIsTaken(t *testing.T) {
	t.Parallel()
	s := store.OpenLayout(t.TempDir())
	if s.Sink("1").Named(t.Context()) {
		t.Error("an empty layout has a name")
	}
	if _, err := transfer.Copy(t.Context(), sample(1), s.Sink("1"), transfer.Options{}); err != nil {
		t.Fatal(err)
	}
	if !s.Sink("1").Named(t.Context()) || s.Sink("2").Named(t.Context()) {
		t.Error("it is not 1 alone that is there")
	}
}

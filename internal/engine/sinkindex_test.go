package engine_test

import (
	"errors"
	"testing"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/transfer"
)

// An engine that keeps one platform of an image takes no index: that is said before
// anything is fetched.
func TestAnIndexIsRefusedBeforeItIsFetched(t *testing.T) {
	t.Parallel()
	for kind, f := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			src := inIndex(t)
			_, err := transfer.Copy(t.Context(), src.Source, f.open(t, engine.Options{}).Sink(relayed), transfer.Options{})
			if f.keeps {
				must(t, err)
				return
			}
			if _, ok := errors.AsType[*engine.IndexError](err); !ok {
				t.Errorf("got %v", err)
			}
			if opened := src.Opened(); len(opened) > 0 {
				t.Errorf("%d blobs were asked for", len(opened))
			}
		})
	}
}

package registry_test

import (
	"context"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// longest is the longest pause after so many tries that brought little, in
// seconds, for downloads and uploads alike.
var longest = []time.Duration{0, 1, 2, 4, 8, 15, 15, 15}

// Pauses double up to 15 s. Half of each is by chance, all of that half.
func TestPausesDoubleUpToALimit(t *testing.T) {
	t.Parallel()
	const samples = 2000
	for n, most := range longest {
		most *= time.Second
		low, high := most, time.Duration(0)
		for range samples {
			d := registry.Backoff(n)
			low, high = min(low, d), max(high, d)
		}
		if low < most/2 || high > most || low > most*6/10 || high < most*9/10 {
			t.Errorf("after %d tries it is waited from %s to %s, want half of %s up to that", n, low, high, most)
		}
	}
}

// holdPauses holds the pauses between tries of which none brought enough.
func holdPauses(t *testing.T, waited []time.Duration) {
	t.Helper()
	for i, d := range waited {
		if most := longest[i+1] * time.Second; d < most/2 || d > most {
			t.Errorf("pause %d is %s, want half of %s up to that", i+1, d, most)
		}
	}
}

// A line that breaks has its tries counted from the last progress on: who gets
// further each time waits once, until that is known, however often that is.
func TestProgressIsWaitedForOnce(t *testing.T) {
	t.Parallel()
	u := &testkit.UploadRegistry{CutEvery: mib}
	s := takes(t, u)
	var waited []time.Duration
	repo := s.openWaiting(t, "demo/app:1", func(ctx context.Context, d time.Duration) error {
		waited = append(waited, d)
		return ctx.Err()
	})
	layer, src := blobOf(20*mib + 1)
	if _, err := repo.PutBlob(t.Context(), layer, opener(src, layer)); err != nil || u.Cuts() != 20 {
		t.Fatalf("%v after %d cuts", err, u.Cuts())
	}
	holdPauses(t, waited[:1])
	for _, d := range waited[1:] {
		if d != 0 {
			t.Errorf("waited %v", waited)
			break
		}
	}
}

package auth

import (
	"net/http"
	"sync"
	"testing"
	"time"
)

// Many requests that want one token ask for it once also where there is none:
// a service that locks users out is not asked by each, nor is one that fails.
// Who comes later asks anew.
func TestWhoWaitsForATokenTakesTheRefusalToo(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusBadRequest} {
		d := newDouble(t, harbor1)
		d.onToken = func(w http.ResponseWriter, _ *http.Request) bool {
			time.Sleep(time.Second) // the others come meanwhile, also on a busy machine
			w.WriteHeader(status)
			return true
		}
		rt := transportTo(t, d, login(password))
		ask := func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.URL+demoTag, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if resp, err := rt.RoundTrip(req); err == nil {
				t.Errorf("status %d", resp.StatusCode)
				_ = resp.Body.Close()
			}
		}
		var all sync.WaitGroup
		for range 4 {
			all.Go(ask)
		}
		all.Wait()
		_, at, _ := d.counts()
		ask()
		if _, later, _ := d.counts(); at != 1 || later != 2 {
			t.Errorf("%d: %d token trips for all at once, and %d with one more, want 1 and 2", status, at, later)
		}
	}
}

package registry_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// A stream that ends in the middle of a request leaves no upload behind, even
// though the registry goes on reading what was on its way: it is told when it has
// read that, and told again where it went on after all.
func TestAStreamEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		until string // the request at which the registry goes on reading
		count int    // of these
		want  string // the requests from then on when the stream ended
	}{
		"it has read all":                {http.MethodGet, 1, "GET GET DELETE"},
		"it reads while it is asked":     {http.MethodGet, 2, "GET GET GET DELETE"},
		"it reads while it is cancelled": {http.MethodDelete, 1, "GET GET DELETE GET GET DELETE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			u := &testkit.UploadRegistry{}
			w := &slowReader{u: u, until: test.until, count: test.count, goOn: make(chan struct{})}
			over := make(chan struct{})
			fill := sync.OnceFunc(func() { time.Sleep(50 * time.Millisecond) }) // for more to be on its way
			u.Watch(func(size, _ int64) bool {
				if size > 8*mib {
					fill()
					cancel()
					select {
					case <-w.goOn:
					case <-over: // it was not asked
					}
				}
				return false
			})
			s := serve(t, w.serve)
			src := bytes.NewReader(transfertest.Bytes(3, 40*mib))
			err := s.open(t, "demo/app:1").PutStream(ctx, src, func() v1.Descriptor { panic("it did not end") })
			close(over)
			if !errors.Is(err, context.Canceled) || u.Uploads() != 0 {
				t.Errorf("%v, %d uploads are left", err, u.Uploads())
			}
			if got := w.asked(); got != test.want {
				t.Errorf("asked %s, want %s", got, test.want)
			}
		})
	}
}

// Ctrl-C is to end all within a second.
func TestToCancelAnUploadTakesNoSecond(t *testing.T) {
	t.Parallel()
	if registry.CancelTime > 500*time.Millisecond {
		t.Errorf("it may take %s", registry.CancelTime)
	}
}

// A slowReader is a registry that stops reading a PATCH until it is asked
// something else, and answers that when it has read what was on the way.
type slowReader struct {
	u     *testkit.UploadRegistry
	until string
	count int
	goOn  chan struct{}

	patches sync.WaitGroup
	mu      sync.Mutex
	log     []string
}

func (s *slowReader) serve(w http.ResponseWriter, r *http.Request) bool {
	switch r.Method {
	case http.MethodPatch:
		s.patches.Add(1)
		defer s.patches.Done()
	case http.MethodGet, http.MethodDelete:
		if s.note(r.Method) {
			close(s.goOn)
			s.patches.Wait()
		}
	}
	s.u.ServeHTTP(w, r)
	return true
}

// note says whether this is the request to go on reading at.
func (s *slowReader) note(method string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, method)
	if method != s.until {
		return false
	}
	s.count--
	return s.count == 0
}

func (s *slowReader) asked() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.log, " ")
}

package registry_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// An unfitShelf gives out its blob from the beginning as any other does, and
// something else in place of a part of it.
type unfitShelf struct {
	*shelf
	answer func(s *shelf, w http.ResponseWriter, r *http.Request, n int64) // n: which part, from 1
	late   bool                                                            // not before the first connection is at its end

	requests, parts atomic.Int64
	once            sync.Once
	ended           chan struct{} // closed when it is
}

func (u *unfitShelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.requests.Add(1)
	if r.Header.Get("Range") == "" {
		u.shelf.ServeHTTP(w, r)
		u.once.Do(func() { close(u.ended) })
		return
	}
	n := u.parts.Add(1)
	if u.late {
		select {
		case <-u.ended:
		case <-r.Context().Done():
			return
		}
	}
	u.answer(u.shelf, w, r, n)
}

// Where the answer to a request for a part does not fit, the blob comes over one
// connection, and so do those after it.
func TestPartsThatDoNotFitAreDropped(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(s *shelf, w http.ResponseWriter, r *http.Request, n int64){
		"Range is stripped": func(s *shelf, w http.ResponseWriter, r *http.Request, _ int64) {
			r.Header.Del("Range")
			s.ServeHTTP(w, r)
		},
		"Range is stripped now and then": func(s *shelf, w http.ResponseWriter, r *http.Request, n int64) {
			if n%3 == 0 {
				r.Header.Del("Range")
			}
			s.ServeHTTP(w, r)
		},
		"another range": func(s *shelf, w http.ResponseWriter, r *http.Request, _ int64) {
			r.Header.Set("Range", "bytes=5-9")
			s.ServeHTTP(w, r)
		},
		"no range": func(_ *shelf, w http.ResponseWriter, _ *http.Request, _ int64) {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		},
		"another entity tag": func(s *shelf, w http.ResponseWriter, r *http.Request, n int64) {
			w.Header().Set("ETag", fmt.Sprintf(`"%d"`, n))
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.data))
		},
	} {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, late %v", name, late), func(t *testing.T) {
				t.Parallel()
				u := &unfitShelf{shelf: newShelf(16 * mib), answer: answer, late: late, ended: make(chan struct{})}
				u.tag.Store(`"0"`)
				line := held(t, u, testkit.LineOptions{})
				r := plain(t, line.Addr(), patience).Within(registry.KnownToHelp(registry.NewStreams(4)))
				for blob := range 2 {
					before := u.requests.Load()
					got, err := readBlob(t, r, u.desc, 0)
					if err != nil || !bytes.Equal(got, u.data) {
						t.Fatalf("%d bytes, %v", len(got), err)
					}
					if n := u.requests.Load() - before; blob > 0 && n != 1 {
						t.Errorf("the next blob took %d requests", n)
					}
				}
				if n := u.requests.Load() - u.parts.Load(); name == "another entity tag" && n != 2 {
					t.Errorf("all of a blob was asked for %d times", n)
				}
			})
		}
	}
}

// What is no part shows while the first connection still gives bytes: it stays.
func TestTheFirstConnectionStaysWhereThereAreNoParts(t *testing.T) {
	t.Parallel()
	s := newShelf(16 * mib)
	var requests atomic.Int64
	asked, refused := make(chan struct{}), make(chan struct{})
	front := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) > 1 { // for a part
			close(asked)
			w.Header().Set("Content-Length", strconv.Itoa(len(s.data)))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done() // the client is not interested
			close(refused)
			return
		}
		_, _ = w.Write(s.data[:mib])
		_ = http.NewResponseController(w).Flush()
		<-asked
		<-refused
		_, _ = w.Write(s.data[mib:])
	})
	server := testkit.NewFront(t, front).Serve(t)
	r := plain(t, strings.TrimPrefix(server.URL, "http://"), patience).Within(registry.KnownToHelp(registry.NewStreams(2)))
	got, err := readBlob(t, r, s.desc, 0)
	if err != nil || !bytes.Equal(got, s.data) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests", n)
	}
}

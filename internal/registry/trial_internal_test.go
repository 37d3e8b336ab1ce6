package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

// A sharedLine gives out a blob over as many connections as are asked for. They
// share one speed: its clock goes on by what they bring together.
type sharedLine struct {
	data  []byte
	speed int64 // bytes per second

	moved    atomic.Int64
	spent    atomic.Int64 // nanoseconds that whoever reads took for himself
	requests atomic.Int64
	body     func(io.Reader, *http.Request) io.ReadCloser // nil: gives what there is
}

func (l *sharedLine) now() time.Time {
	return time.Unix(0, l.spent.Load()+int64(float64(l.moved.Load())/float64(l.speed)*float64(time.Second)))
}

func (l *sharedLine) RoundTrip(r *http.Request) (*http.Response, error) {
	l.requests.Add(1)
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, ContentLength: int64(len(l.data))}
	data := l.data
	if asked := r.Header.Get("Range"); asked != "" {
		var from, to int
		if _, err := fmt.Sscanf(asked, "bytes=%d-%d", &from, &to); err != nil {
			return nil, err
		}
		data = data[from : to+1]
		resp.StatusCode, resp.ContentLength = http.StatusPartialContent, int64(len(data))
		resp.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(l.data)))
	}
	resp.Body = l.open(data, r)
	return resp, nil
}

func (l *sharedLine) open(data []byte, r *http.Request) io.ReadCloser {
	from := io.Reader(&sharedReader{l, bytes.NewReader(data)})
	if l.body != nil {
		return l.body(from, r)
	}
	return io.NopCloser(from)
}

type sharedReader struct {
	line *sharedLine
	data io.Reader
}

func (r *sharedReader) Read(p []byte) (int, error) {
	n, err := r.data.Read(p[:min(len(p), 64<<10)])
	r.line.moved.Add(int64(n))
	return n, err
}

// over is a repository whose blobs come over line.
func over(t *testing.T, line *sharedLine, s *Streams) *Repository {
	t.Helper()
	img, err := ref.ParseImage("registry.example.com/demo/app:1")
	if err != nil {
		t.Fatal(err)
	}
	s.now = line.now
	return Open(img, line, &url.URL{Scheme: "https", Host: "registry.example.com"}).Within(s)
}

// Where the line as a whole is the limit, one connection stays alone: one more
// is tried on a slow line, and on a fast one none.
func TestOneConnectionStaysWhereTheLineIsTheLimit(t *testing.T) {
	t.Parallel()
	data := transfertest.Bytes(1, 32<<20)
	desc := transfertest.DescriptorOf("sha256", types.OCILayer, data)
	for speed, most := range map[int64]int64{
		8 << 20:          4, // a trial, and those that were not seen in full
		40 << 20:         4,
		fastOne + 1<<20:  1,
		fullLine + 1<<20: 1,
	} {
		t.Run(fmt.Sprint(speed>>20, " MiB a second"), func(t *testing.T) {
			t.Parallel()
			line := &sharedLine{data: data, speed: speed}
			rc, err := over(t, line, NewStreams(6)).Blob(t.Context(), desc, 0)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(rc)
			if err = errors.Join(err, rc.Close()); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			if n := line.requests.Load(); n > most {
				t.Errorf("%d requests, at most %d are allowed", n, most)
			} else if most > 1 && n < 2 {
				t.Error("no other connection was tried")
			}
		})
	}
}

// A slowReader takes a while for each read, as an engine that unpacks does.
type slowReader struct {
	line *sharedLine
	each time.Duration
	data io.Reader
}

func (r *slowReader) Read(p []byte) (int, error) {
	r.line.spent.Add(int64(r.each))
	return r.data.Read(p[:min(len(p), 64<<10)])
}

// Where whoever reads is slower than the connection, more of them are of no use,
// and each costs the registry.
func TestOneConnectionStaysWhereItIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	data := transfertest.Bytes(1, 32<<20)
	desc := transfertest.DescriptorOf("sha256", types.OCILayer, data)
	const speed = 16 << 20
	read := time.Second * (64 << 10) / speed // how long the line takes for as much
	for each, tried := range map[time.Duration]bool{read / 2: true, read * 2: false} {
		t.Run(fmt.Sprint(each, " for what takes ", read), func(t *testing.T) {
			t.Parallel()
			line := &sharedLine{data: data, speed: speed}
			rc, err := over(t, line, NewStreams(6)).Blob(t.Context(), desc, 0)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(&slowReader{line, each, rc})
			if err = errors.Join(err, rc.Close()); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			if n := line.requests.Load(); n > 1 != tried {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// A lateBody writes to the memory that it was given when its request is over
// already, as one may that is in the middle of a read.
type lateBody struct {
	ctx   context.Context
	wrote *atomic.Bool
	once  sync.Once
}

func (b *lateBody) Read(p []byte) (n int, err error) {
	<-b.ctx.Done()
	err = b.ctx.Err()
	b.once.Do(func() {
		time.Sleep(100 * time.Millisecond) // long enough for who does not wait
		n, err = copy(p, "late"), nil
		b.wrote.Store(true)
	})
	return n, err
}

func (b *lateBody) Close() error { return nil }

// Nobody writes any more to memory that is given back.
func TestABlobThatIsClosedWaitsForItsParts(t *testing.T) {
	t.Parallel()
	data := transfertest.Bytes(1, 16<<20)
	desc := transfertest.DescriptorOf("sha256", types.OCILayer, data)
	var wrote atomic.Bool
	begun := make(chan struct{})
	line := &sharedLine{data: data, speed: 8 << 20}
	line.body = func(r io.Reader, req *http.Request) io.ReadCloser {
		if req.Header.Get("Range") == "" {
			return io.NopCloser(r)
		}
		close(begun)
		return &lateBody{ctx: req.Context(), wrote: &wrote}
	}
	streams := KnownToHelp(NewStreams(2))
	rc, err := over(t, line, streams).Blob(t.Context(), desc, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, rc, 1<<20); err != nil {
		t.Fatal(err)
	}
	<-begun
	if err := rc.Close(); err != nil {
		t.Fatal(err)
	}
	if !wrote.Load() {
		t.Error("it did not")
	}
	if len(streams.buffers) != streams.made {
		t.Errorf("%d pieces of memory of %d were given back", len(streams.buffers), streams.made)
	}
}

package registry_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/wire"
)

// held serves s over a line that holds each connection to a speed.
func held(t *testing.T, s http.Handler, o testkit.LineOptions) *testkit.Line {
	t.Helper()
	server := testkit.NewFront(t, s).Serve(t)
	return testkit.NewLine(t, strings.TrimPrefix(server.URL, "http://"), o)
}

// Where each connection is held to a speed, a blob comes over several. What is
// found out by measuring may be judged wrong on a machine that is busy: not three
// times in a row.
func TestALargeBlobComesOverSeveralConnections(t *testing.T) {
	t.Parallel()
	s := newShelf(40 * mib)
	for range 3 {
		line := held(t, s, testkit.LineOptions{Rate: 8 * mib, Delay: 5 * time.Millisecond})
		start := time.Now()
		got, err := readBlob(t, plain(t, line.Addr(), patience).Within(registry.NewStreams(6)), s.desc, 0)
		if err != nil || !bytes.Equal(got, s.data) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		n, again := line.Connections(), line.Sent()-int64(len(s.data))
		t.Logf("took %s over %d connections, %d bytes too many", time.Since(start), n, again)
		if n > 8 || again > 3*mib {
			t.Errorf("%d connections, %d bytes too many", n, again)
		}
		if n >= 4 {
			return
		}
	}
	t.Error("it did not")
}

// The order of the bytes, the limit and the memory hold for many blobs too, on
// lines that break.
func TestManyLargeBlobsOverAFewConnections(t *testing.T) {
	t.Parallel()
	s := newShelf(40 * mib)
	line := held(t, s, testkit.LineOptions{Rate: 32 * mib, CutEvery: 9*mib + 1})
	img, err := ref.ParseImage(line.Addr() + "/demo/app:1")
	if err != nil {
		t.Fatal(err)
	}
	rt := wire.New(wire.Config{Host: img.Host, PlainHTTP: true, Sleep: noSleep})
	t.Cleanup(rt.CloseIdleConnections)
	open := &openBodies{rt: rt}
	r := registry.OpenWith(img, open, rt.Base(), noSleep).Within(registry.NewStreams(4))
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			got, err := readBlob(t, r, s.desc, 0)
			if err != nil || !bytes.Equal(got, s.data) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	group.Wait()
	if open.most != 4 || open.now != 0 {
		t.Errorf("%d bodies were open at the same time, %d are", open.most, open.now)
	}
}

// openBodies counts the answers that are being read.
type openBodies struct {
	rt http.RoundTripper

	mu        sync.Mutex
	now, most int
}

func (o *openBodies) add(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now += n
	o.most = max(o.most, o.now)
}

func (o *openBodies) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := o.rt.RoundTrip(req)
	if err == nil {
		o.add(1)
		resp.Body = &counted{ReadCloser: resp.Body, close: sync.OnceFunc(func() { o.add(-1) })}
	}
	return resp, err
}

type counted struct {
	io.ReadCloser
	close func()
}

func (c *counted) Close() error {
	c.close()
	return c.ReadCloser.Close()
}

// A blob that is closed early leaves nothing behind; goleak looks.
func TestABlobIsClosedWhileItComesInParts(t *testing.T) {
	t.Parallel()
	s := newShelf(48 * mib)
	line := held(t, s, testkit.LineOptions{Rate: 16 * mib})
	streams := registry.NewStreams(3)
	for _, after := range []int64{1, 3 * mib, 8 * mib, 14 * mib, 20 * mib} {
		rc, err := plain(t, line.Addr(), patience).Within(streams).Blob(t.Context(), s.desc, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, rc, after); err != nil {
			t.Error(err)
		}
		if err := rc.Close(); err != nil {
			t.Error(err)
		}
	}
	// All connections are free again.
	var open []io.Closer
	for range 3 {
		rc, err := plain(t, line.Addr(), patience).Within(streams).Blob(t.Context(), s.desc, 0)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, rc)
	}
	for _, rc := range open {
		_ = rc.Close()
	}
}

// Where the line as a whole is the limit, or there is none, one connection is
// enough: what was tried is not worth mentioning.
func TestALargeBlobOverAGoodLine(t *testing.T) {
	t.Parallel()
	s := newShelf(48 * mib)
	line := held(t, s, testkit.LineOptions{})
	got, err := readBlob(t, plain(t, line.Addr(), patience).Within(registry.NewStreams(6)), s.desc, 0)
	if err != nil || !bytes.Equal(got, s.data) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	t.Logf("%d connections, %d bytes too many", line.Connections(), line.Sent()-int64(len(s.data)))
	if again := line.Sent() - int64(len(s.data)); again > 6*mib {
		t.Errorf("%d bytes were sent again", again)
	}
}

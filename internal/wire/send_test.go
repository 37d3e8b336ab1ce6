package wire

import (
	"bytes"
	"io"
	"net/http"
	"testing"
)

// A counted reader counts how often it is read.
type counted struct {
	io.Reader
	reads int
}

func (c *counted) Read(p []byte) (int, error) {
	c.reads++
	return c.Reader.Read(p)
}

// In the pieces of net/http, 32 KiB each, there would be 256 reads, and as many
// writes.
func TestALargeBodyIsSentInLargePieces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plain := w.front.Serve(t)
	tr := New(Config{Host: hostOf(t, plain.Listener.Addr().String()), PlainHTTP: true})
	t.Cleanup(tr.CloseIdleConnections)
	data := bytes.Repeat([]byte("bytes"), 8<<20/5)
	body := &counted{Reader: bytes.NewReader(data)}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, tr.Base().String()+"/v2/", io.NopCloser(body))
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(data))
	got := do(tr, req)
	if got.err != nil || got.body != "PUT /v2/ "+string(data) {
		t.Fatalf("%d bytes, %v", len(got.body), got.err)
	}
	if body.reads > 64 {
		t.Errorf("%d reads", body.reads)
	}
}

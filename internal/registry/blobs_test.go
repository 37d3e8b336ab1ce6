package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
	"github.com/vicr-cli/vicr/internal/wire"
)

func TestBlobFromAnOffset(t *testing.T) {
	t.Parallel()
	data := transfertest.Bytes(1, 5000)
	layer := transfertest.DescriptorOf("sha256", types.OCILayer, data)
	part := func(status int, contentRange string, body []byte) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			if contentRange != "" {
				w.Header().Set("Content-Range", contentRange)
			}
			w.WriteHeader(status)
			_, _ = w.Write(body)
		}
	}
	for name, test := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		ok     bool
	}{
		"the part":                    {part(206, "bytes 3000-4999/5000", data[3000:]), true},
		"the part of unknown size":    {part(206, "bytes 3000-4999/*", data[3000:]), true},
		"all of it":                   {part(200, "", data), true},
		"no Content-Range":            {part(206, "", data[3000:]), false},
		"from elsewhere":              {part(206, "bytes 2999-4999/5000", data[2999:]), false},
		"to elsewhere":                {part(206, "bytes 3000-4998/5000", data[3000:4999]), false},
		"of another size":             {part(206, "bytes 3000-4999/6000", data[3000:]), false},
		"other units":                 {part(206, "lines 3000-4999/5000", data[3000:]), false},
		"garbage":                     {part(206, "bytes \u202e-99999999999999999999/5", data[3000:]), false},
		"fewer bytes than the header": {part(206, "bytes 3000-4999/5000", data[3000:4000]), false},
		"not satisfiable":             {part(416, "bytes */5000", nil), false},
		"two Content-Ranges": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Range"] = []string{"bytes 3000-4999/5000", "bytes 0-1999/5000"}
			w.WriteHeader(206)
			_, _ = w.Write(data[3000:])
		}, false},
		"several parts": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "multipart/byteranges; boundary=x")
			w.WriteHeader(206)
			_, _ = io.WriteString(w, "--x\r\nContent-Range: bytes 3000-4999/5000\r\n\r\n")
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
				if r.Header.Get("Range") != "bytes=3000-4999" || r.Header.Get("Accept-Encoding") != "identity" {
					t.Errorf("asked for %v", r.Header)
				}
				test.answer(w, r)
				return true
			})
			rc, err := s.open(t, "demo/app").Blob(t.Context(), layer, 3000)
			if !test.ok {
				if !errors.Is(err, transfer.ErrOffset) || strings.ContainsRune(err.Error(), 0x202e) {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(rc)
			if err := errors.Join(err, rc.Close()); err != nil || !bytes.Equal(got, data[3000:]) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

func TestBlobFromOffsetsAtTheEnd(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	layer := transfertest.DescriptorOf("sha256", types.OCILayer, []byte("xyz"))
	rc, err := s.open(t, "demo/app").Blob(t.Context(), layer, 3)
	if err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(rc); err != nil || len(rest) != 0 {
		t.Errorf("%q, %v", rest, err)
	}
	for _, offset := range []int64{-1, 4} {
		if _, err := s.open(t, "demo/app").Blob(t.Context(), layer, offset); !errors.Is(err, transfer.ErrOffset) {
			t.Errorf("offset %d: %v", offset, err)
		}
	}
	if n := s.seen("", ""); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// D2 to D5: whatever happens to the bytes of a blob on the way, the sink never
// has all of a wrong one, and the name is not given away.
func TestDamagedBlobsAreNotTaken(t *testing.T) {
	t.Parallel()
	data := transfertest.Bytes(1, 5000)
	flipped := bytes.Clone(data)
	flipped[4999] ^= 1
	for name, test := range map[string]struct {
		send  func(http.ResponseWriter)
		wrong bool // bytes, and not the network
	}{
		"flipped":                  {func(w http.ResponseWriter) { _, _ = w.Write(flipped) }, true},
		"one less, and says so":    {func(w http.ResponseWriter) { _, _ = w.Write(data[:4999]) }, true},
		"one more, and says so":    {func(w http.ResponseWriter) { _, _ = w.Write(append(bytes.Clone(data), 0)) }, true},
		"one more, without length": {func(w http.ResponseWriter) { flush(w); _, _ = w.Write(append(bytes.Clone(data), 0)) }, true},
		"one less, without length": {func(w http.ResponseWriter) { flush(w); _, _ = w.Write(data[:4999]) }, true},
		"cut": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "5000")
			_, _ = w.Write(data[:3000])
			flush(w)
			panic(http.ErrAbortHandler)
		}, false},
		"cut, without length": {func(w http.ResponseWriter) {
			flush(w)
			_, _ = w.Write(data[:3000])
			flush(w)
			panic(http.ErrAbortHandler)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := sample(1)
			layer := transfertest.DescriptorOf("sha256", types.OCILayer, data).Digest
			s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
				if isGet(r, "blobs") && strings.HasSuffix(r.URL.Path, layer.String()) {
					test.send(w)
					return true
				}
				return false
			})
			if err := push(t, s, "demo/app:1", src); err != nil {
				t.Fatal(err)
			}
			dst, err := pull(t, s, "demo/app:1")
			wrong, ok := errors.AsType[*transfer.DigestError](err)
			if ok != test.wrong || (ok && wrong.Want != layer) || !strings.Contains(fmt.Sprint(err), layer.String()) {
				t.Errorf("got %v", err)
			}
			if !test.wrong && wire.KindOf(err) != wire.Unreachable {
				t.Errorf("got %v, want a broken connection", err)
			}
			if _, has := dst.Content[layer]; has || dst.Committed() != nil {
				t.Error("it was taken")
			}
		})
	}
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

func TestUploadSaysWhatItSends(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	if err := push(t, s, "demo/app:1", sample(1)); err != nil {
		t.Fatal(err)
	}
	s.each(func(r *http.Request) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/uploads/") {
			if r.ContentLength <= 0 || r.Header.Get("Content-Type") != "application/octet-stream" || len(r.TransferEncoding) != 0 {
				t.Errorf("length %d, %v, %v", r.ContentLength, r.TransferEncoding, r.Header)
			}
		}
		if r.Method == http.MethodPost && r.ContentLength != 0 {
			t.Errorf("POST with length %d", r.ContentLength)
		}
	})
}

// F7: where an upload goes on.
func TestUploadLocations(t *testing.T) {
	t.Parallel()
	var leaked atomic.Int64
	evil := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		leaked.Add(n + 1)
	}))
	t.Cleanup(evil.Close)
	for name, test := range map[string]struct {
		location func(r *http.Request, path string) string
		kind     wire.Kind // "": goes well
	}{
		"relative":             {func(_ *http.Request, path string) string { return path }, ""},
		"relative, with state": {func(_ *http.Request, path string) string { return path + "?_state=a%2Bb%3D&z=1&a=2" }, ""},
		"absolute":             {func(r *http.Request, path string) string { return "https://" + r.Host + path }, ""},
		"http behind a proxy": {func(r *http.Request, path string) string {
			return "http://" + r.Host + path + "?_state=a%2Bb%3D&z=1&a=2"
		}, ""},
		"http, and no port":            {func(r *http.Request, path string) string { return "http://" + hostOf(r) + path }, ""},
		"another host in clear":        {func(_ *http.Request, path string) string { return "http://evil.test" + path }, wire.Policy},
		"another port in clear":        {func(_ *http.Request, path string) string { return evil.URL + path }, wire.Policy},
		"missing":                      {func(*http.Request, string) string { return "" }, wire.BadAnswer},
		"a user name":                  {func(r *http.Request, path string) string { return "https://u:p@" + r.Host + path }, wire.BadAnswer},
		"8 KB":                         {func(_ *http.Request, path string) string { return path + "?" + strings.Repeat("x", 8<<10) }, wire.BadAnswer},
		"another host on this machine": {func(_ *http.Request, path string) string { return "https://localhost:1" + path }, wire.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, beginAt(test.location))
			c := transfertest.Content{} // one blob: all uploads have one number
			layer := c.Layer(transfertest.Bytes(1, 5000))
			src := &transfertest.Source{Root: layer, Content: c}
			_, err := s.open(t, "demo/app:1").PutBlob(t.Context(), layer, func(ctx context.Context, offset int64) (io.ReadCloser, error) {
				return src.Blob(ctx, layer, offset)
			})
			if kind := wire.KindOf(err); kind != test.kind || (kind == "" && err != nil) {
				t.Errorf("got %v (%q)", err, kind)
			}
			s.each(func(r *http.Request) {
				q := query(t, r.URL.String())
				if r.Method == http.MethodPut && (q.Get("digest") != layer.Digest.String() ||
					(q.Has("z") && !strings.HasPrefix(r.URL.RawQuery, "_state=a%2Bb%3D&z=1&a=2&digest="))) {
					t.Errorf("put to %s", r.URL)
				}
			})
		})
	}
	t.Cleanup(func() {
		if n := leaked.Load(); n != 0 {
			t.Errorf("%d bytes went to another host in clear", n)
		}
	})
}

// An upload that goes on at another origin over https is sent there without a
// login, as docker and containerd do. What is refused there is not the user's.
func TestARefusalWhereAnUploadGoesOnIsNotTheRegistrys(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed} {
		for _, chunk := range []int64{0, 1000} {
			other := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "" {
					t.Error("credentials were sent on")
				}
				w.WriteHeader(status)
			}))
			t.Cleanup(other.Close)
			s := serve(t, beginAt(func(_ *http.Request, path string) string { return other.URL + path }))
			layer := transfertest.Content{}.Layer(transfertest.Bytes(1, 5000))
			_, err := s.open(t, "demo/app:1").InChunks(chunk).PutBlob(t.Context(), layer, func(_ context.Context, offset int64) (io.ReadCloser, error) {
				return io.NopCloser(bytes.NewReader(transfertest.Bytes(1, 5000)[offset:])), nil
			})
			e, ok := errors.AsType[*registry.Error](err)
			if !ok || e.Refusal != registry.UploadAstray || e.Elsewhere != other.URL || errors.Is(err, transfer.ErrNotFound) {
				t.Errorf("%d: %v", status, err)
			}
			if want := "the registry sends the upload on to \"" + other.URL + "\", where no login goes, and that refuses it"; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%d: %v", status, err)
			}
		}
	}
}

// beginAt begins every upload at one location.
func beginAt(location func(r *http.Request, path string) string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		if l := location(r, "/v2/demo/app/blobs/uploads/17"); l != "" {
			w.Header().Set("Location", l)
		}
		w.WriteHeader(http.StatusAccepted)
		return true
	}
}

func hostOf(r *http.Request) string {
	host, _, _ := net.SplitHostPort(r.Host)
	return host
}

func TestUploadIsSentAgain(t *testing.T) {
	t.Parallel()
	abort := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	status := func(code int, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { refuse(w, code, body) }
	}
	for name, test := range map[string]struct {
		fail   func(http.ResponseWriter, *http.Request)
		times  int32
		ok     bool
		begun  int // uploads
		opened int // the source
	}{
		"cut once":              {abort, 1, true, 2, 2},
		"cut twice":             {abort, 2, true, 3, 3},
		"cut for ever":          {abort, 99, false, 6, 6},
		"500 for ever":          {status(500, ""), 99, false, 3, 3},
		"500 once":              {status(500, ""), 1, true, 2, 2},
		"upload forgotten":      {status(404, `{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}`), 1, true, 2, 2},
		"503 once":              {status(503, ""), 1, true, 1, 2}, // the transport's own retry, of the same request
		"wrong digest, it says": {status(400, `{"errors":[{"code":"DIGEST_INVALID"}]}`), 99, false, 1, 1},
		"quota":                 {status(403, `{"errors":[{"code":"DENIED"}]}`), 99, false, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var failed atomic.Int32
			s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPut || failed.Add(1) > test.times {
					return false
				}
				_, _ = io.CopyN(io.Discard, r.Body, 1000)
				test.fail(w, r)
				return true
			})
			c := transfertest.Content{}
			layer := c.Layer(transfertest.Bytes(1, 100<<10)) // a server reads that much of a request that it has answered
			src := &transfertest.Source{Root: layer, Content: c}
			taken, err := s.open(t, "demo/app:1").PutBlob(t.Context(), layer, func(ctx context.Context, offset int64) (io.ReadCloser, error) {
				return src.Blob(ctx, layer, offset)
			})
			if (err == nil) != test.ok || (test.ok && taken != layer.Size) {
				t.Errorf("took %d, %v", taken, err)
			}
			if begun, opened := s.seen(http.MethodPost, "/uploads/"), len(src.Opened()); begun != test.begun || opened != test.opened {
				t.Errorf("%d uploads, source opened %d times; want %d, %d", begun, opened, test.begun, test.opened)
			}
			if src.LeftOpen() != 0 {
				t.Errorf("%d readers left open", src.LeftOpen())
			}
		})
	}
}

func TestUploadWhoseAnswerWasLostIsLookedFor(t *testing.T) {
	t.Parallel()
	var lost atomic.Bool
	var s *server
	layer := transfertest.DescriptorOf("sha256", types.OCILayer, []byte("x"))
	s = serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.Method == http.MethodPut && lost.CompareAndSwap(false, true):
			panic(http.ErrAbortHandler)
		case r.Method == http.MethodHead && lost.Load():
			w.Header().Set("Content-Length", "1")
			w.WriteHeader(http.StatusOK)
			return true
		}
		return false
	})
	taken, err := s.open(t, "demo/app:1").PutBlob(t.Context(), layer, func(context.Context, int64) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("x")), nil
	})
	if taken != 1 || err != nil || s.seen(http.MethodPost, "") != 1 {
		t.Errorf("took %d, %v, %d uploads", taken, err, s.seen(http.MethodPost, ""))
	}
}

func TestUploadEndsWithTheErrorOfTheSource(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	src := sample(1)
	gone := errors.New("the source is gone")
	src.Fault = func(_ v1.Descriptor, _ int64, r io.Reader) (io.Reader, error) {
		return transfertest.Cut(r, 10, gone), nil
	}
	if err := push(t, s, "demo/app:1", src); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
	if n := s.seen(http.MethodPut, "/manifests/"); n != 0 || src.LeftOpen() != 0 {
		t.Errorf("%d manifests were put, %d readers left open", n, src.LeftOpen())
	}
}

func TestErrorNamesWhatFailed(t *testing.T) {
	t.Parallel()
	e := &registry.Error{Op: "push blob", Image: "h/demo/app:1", Status: 403, Code: "DENIED", Message: strings.Repeat("é", 400) + "\x1b"}
	text := e.Error()
	if !strings.HasPrefix(text, `push blob: h/demo/app:1: status 403 DENIED: "éé`) || len(text) > 400 || !strings.HasSuffix(text, `é..."`) {
		t.Errorf("got %s", text)
	}
}

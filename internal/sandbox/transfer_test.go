package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"pgregory.net/rapid"
)

const ociManifest = "application/vnd.oci.image.manifest.v1+json"

func TestAnImagePushedByAClientComesBackWhole(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	const layerSize, layers, images = maxInMemory + 1, 2, 2
	pushed, err := random.Index(layerSize, layers, images)
	if err != nil {
		t.Fatal(err)
	}
	dst, err := name.ParseReference(b.Host() + "/demo/app:1")
	if err != nil {
		t.Fatal(err)
	}
	dev := remote.WithAuth(&authn.Basic{Username: "dev", Password: b.password("dev")})
	transport := remote.WithTransport(b.client.Transport)
	if err := remote.WriteIndex(dst, pushed, dev, transport, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	pulled, err := remote.Index(dst, dev, transport, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	wantWhole(t, pulled)
	want, _ := pushed.Digest()
	if got, _ := pulled.Digest(); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

func TestTheHelloImageIsPulledByAnybody(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	for _, image := range []string{"/library/hello:1.0", "/library/ubuntu:14.04"} {
		ref, err := name.ParseReference(b.Host() + image)
		if err != nil {
			t.Fatal(err)
		}
		index, err := remote.Index(ref, remote.WithTransport(b.client.Transport), remote.WithContext(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		wantWhole(t, index)
		if digest, _ := index.Digest(); digest.String() != helloDigest {
			t.Errorf("%s: %s", image, digest)
		}
	}
}

// However a blob is cut into requests, it arrives as it was, and any part of
// it can be asked for.
func TestABlobInChunksArrivesWhole(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	rapid.Check(t, func(rt *rapid.T) {
		content := rapid.SliceOfN(rapid.Byte(), 1, 2000).Draw(rt, "content")
		cuts := rapid.SliceOfN(rapid.IntRange(0, len(content)), 0, 4).Draw(rt, "cuts")
		slices.Sort(cuts)
		where, at := b.begin(t, "demo/chunks"), 0
		for _, cut := range cuts {
			asks := []ask{b.as("dev"), body(content[at:cut])}
			if rapid.Bool().Draw(rt, "says where") {
				asks = append(asks, header("Content-Range", fmt.Sprintf("%d-%d", at, cut-1)))
			}
			a := b.do(t, "PATCH", where, asks...).wants(t, 202)
			where, at = a.header.Get("Location"), cut
			if want := fmt.Sprintf("0-%d", max(cut-1, 0)); a.header.Get("Range") != want {
				rt.Fatalf("Range %q, want %q", a.header.Get("Range"), want)
			}
		}
		digest := digestOf(content)
		b.do(t, "PUT", where+"&digest="+url.QueryEscape(digest), b.as("dev"), body(content[at:])).wants(t, 201)

		from := rapid.IntRange(0, len(content)-1).Draw(rt, "from")
		to := rapid.IntRange(from, len(content)-1).Draw(rt, "to")
		a := b.do(t, "GET", "/v2/demo/chunks/blobs/"+digest, b.as("dev"), header("Range", fmt.Sprintf("bytes=%d-%d", from, to))).wants(t, 206)
		if a.body != string(content[from:to+1]) {
			rt.Fatalf("bytes %d-%d are wrong", from, to)
		}
		if want := fmt.Sprintf("bytes %d-%d/%d", from, to, len(content)); a.header.Get("Content-Range") != want {
			rt.Fatalf("Content-Range %q, want %q", a.header.Get("Content-Range"), want)
		}
	})
}

func TestUploadSaysWhereItGoesOn(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	a := b.do(t, "POST", "/v2/demo/app/blobs/uploads/", b.as("dev")).wants(t, 202)
	where := a.header.Get("Location")
	id := a.header.Get("Docker-Upload-Uuid")
	if !strings.HasPrefix(where, b.origin+"/v2/demo/app/blobs/uploads/"+id+"?_state=") || len(id) != 36 {
		t.Errorf("Location %q, id %q", where, id)
	}
	if a.header.Get("Range") != "0-0" || a.header.Get("Content-Length") != "0" || a.header.Get("Docker-Distribution-Api-Version") != "registry/2.0" {
		t.Errorf("header %v", a.header)
	}
	b.do(t, "PATCH", where, b.as("dev"), body([]byte("0123456789"))).wants(t, 202)
	a = b.do(t, "GET", where, b.as("dev")).wants(t, 204)
	if a.header.Get("Range") != "0-9" || a.header.Get("Location") == "" || a.header.Get("Docker-Upload-Uuid") != id {
		t.Errorf("status: header %v", a.header)
	}

	for _, wrong := range []string{"0-2", "11-13", "10-13", "10-11", "9-11", "x", "10", "-3", "10-8"} {
		a := b.do(t, "PATCH", where, b.as("dev"), body([]byte("abc")), header("Content-Range", wrong)).wants(t, 416)
		if a.header.Get("Range") != "0-9" || a.header.Get("Location") == "" {
			t.Errorf("%s: header %v", wrong, a.header)
		}
	}
	a = b.do(t, "PUT", where+"&digest="+url.QueryEscape(digestOf([]byte("0123456789abc"))), b.as("dev"), body([]byte("abc")), header("Content-Range", "10-12")).wants(t, 201)
	if want := b.origin + "/v2/demo/app/blobs/" + digestOf([]byte("0123456789abc")); a.header.Get("Location") != want || a.header.Get("Docker-Content-Digest") != digestOf([]byte("0123456789abc")) {
		t.Errorf("header %v", a.header)
	}
	b.do(t, "GET", where, b.as("dev")).wants(t, 404)
}

// A connection that breaks costs the client what was under way, no more.
func TestAnUploadKeepsWhatCameBeforeTheConnectionBroke(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	where := b.begin(t, "demo/app")
	sent := bytes.Repeat([]byte("x"), 100_000)
	reader, writer := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "PATCH", where, reader)
	if err != nil {
		t.Fatal(err)
	}
	b.as("dev")(req)
	req.ContentLength = int64(len(sent)) * 2
	broken := errors.New("the client is gone")
	id, _, _ := strings.Cut(where[strings.LastIndexByte(where, '/')+1:], "?")
	u, _ := b.site.blobs.find("demo/app", id)
	go func() {
		_, _ = writer.Write(sent)
		for u.length() < 2 { // "0-0" says both nothing and one byte
			time.Sleep(time.Millisecond)
		}
		_ = writer.CloseWithError(broken)
	}()
	if resp, err := b.client.Do(req); !errors.Is(err, broken) {
		if err == nil {
			_ = resp.Body.Close()
		}
		t.Fatalf("error %v", err)
	}
	// The next request that adds bytes waits for the broken one to be noticed.
	var kept int
	a := b.do(t, "PATCH", where, b.as("dev"), body(nil)).wants(t, 202)
	if _, err := fmt.Sscanf(a.header.Get("Range"), "0-%d", &kept); err != nil || kept+1 > len(sent) {
		t.Fatalf("Range %q: %v", a.header.Get("Range"), err)
	}
	rest := append(bytes.Clone(sent[min(kept+1, len(sent)):]), "end"...)
	whole := append(bytes.Clone(sent), "end"...)
	b.do(t, "PUT", where+"&digest="+url.QueryEscape(digestOf(whole)), b.as("dev"), body(rest)).wants(t, 201)
}

func TestAnUploadIsRefused(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	invalid := `{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content","detail":{"Digest":"%s","Reason":{}}}]}` + "\n"
	where := b.begin(t, "demo/app")
	for _, digest := range []string{"", "sha256:abc", "sha512:" + strings.Repeat("0", 128)} {
		a := b.do(t, "PUT", where+"&digest="+digest, b.as("dev"), body([]byte("abc"))).wants(t, 400)
		if want := fmt.Sprintf(invalid, digest); a.body != want {
			t.Errorf("body %s, want %s", a.body, want)
		}
	}
	withoutState, _, _ := strings.Cut(where, "?")
	for _, wrong := range []string{withoutState, withoutState + "?_state=x"} {
		b.do(t, "PATCH", wrong, b.as("dev"), body([]byte("abc"))).wants(t, 404)
	}
	b.do(t, "PATCH", strings.Replace(where, "/demo/app/", "/demo/other/", 1), b.as("dev"), body([]byte("abc"))).wants(t, 404)

	a := b.do(t, "PUT", where+"&digest="+zeroDigest, b.as("dev"), body([]byte("abc"))).wants(t, 400)
	if want := fmt.Sprintf(invalid, zeroDigest); a.body != want {
		t.Errorf("body %s, want %s", a.body, want)
	}
	b.do(t, "GET", where, b.as("dev")).wants(t, 404) // wrong bytes end the upload
	b.do(t, "GET", "/v2/demo/app/blobs/"+digestOf([]byte("abc")), b.as("dev")).wants(t, 404)

	// As in Harbor a POST with a digest is no whole upload.
	b.do(t, "POST", "/v2/demo/app/blobs/uploads/?digest="+digestOf([]byte("abc")), b.as("dev"), body([]byte("abc"))).wants(t, 202)
}

func TestAnUploadIsCancelled(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	where := b.begin(t, "demo/app")
	b.do(t, "DELETE", where, b.as("admin")).wants(t, 204)
	b.do(t, "PATCH", where, b.as("dev"), body([]byte("abc"))).wants(t, 404)
}

func TestUploadsAtTheSameTime(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	var wg sync.WaitGroup
	const many = 8
	for i := range many {
		wg.Go(func() {
			content := bytes.Repeat([]byte{"ab"[i%2]}, maxInMemory+1)
			digest := digestOf(content)
			where := b.do(t, "POST", "/v2/demo/app/blobs/uploads/", b.as("dev")).header.Get("Location")
			if a := b.do(t, "PUT", where+"&digest="+digest, b.as("dev"), body(content)); a.status != 201 {
				t.Errorf("status %d", a.status)
			}
			if a := b.do(t, "GET", "/v2/demo/app/blobs/"+digest, b.as("dev")); a.body != string(content) {
				t.Errorf("%d bytes came back, status %d", len(a.body), a.status)
			}
		})
	}
	wg.Wait()
}

func TestMountTakesABlobFromAReadableRepository(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	digest := b.push(t, "demo/app", []byte("layer"))
	b.do(t, "HEAD", "/v2/demo/new/blobs/"+digest, b.as("dev")).wants(t, 404)
	a := b.do(t, "POST", "/v2/demo/new/blobs/uploads/?mount="+digest+"&from=demo/app", b.as("dev")).wants(t, 201)
	if want := b.origin + "/v2/demo/new/blobs/" + digest; a.header.Get("Location") != want || a.header.Get("Docker-Content-Digest") != digest || a.header.Get("Content-Length") != "0" {
		t.Errorf("header %v", a.header)
	}
	b.do(t, "HEAD", "/v2/demo/new/blobs/"+digest, b.as("dev")).wants(t, 200)
	for _, none := range []string{"mount=" + zeroDigest + "&from=demo/app", "mount=" + digest + "&from=demo/none", "mount=x&from=demo/app"} {
		b.do(t, "POST", "/v2/demo/third/blobs/uploads/?"+none, b.as("dev")).wants(t, 202)
	}
	b.do(t, "HEAD", "/v2/demo/third/blobs/"+digest, b.as("dev")).wants(t, 404)
}

func TestABlobIsServedInPartsToo(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	digest := b.push(t, "demo/app", []byte("0123456789"))
	path := "/v2/demo/app/blobs/" + digest
	a := b.do(t, "HEAD", path, b.as("dev")).wants(t, 200)
	for key, want := range map[string]string{
		"Content-Length": "10", "Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", "Cache-Control": "max-age=31536000",
		"Docker-Content-Digest": digest, "Docker-Distribution-Api-Version": "registry/2.0", "Etag": `"` + digest + `"`,
	} {
		if got := a.header.Get(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	if a := b.do(t, "GET", path, b.as("dev")).wants(t, 200); a.body != "0123456789" {
		t.Errorf("body %q", a.body)
	}
	for ask, want := range map[string]string{"bytes=4-": "456789", "bytes=-3": "789", "bytes=2-100": "23456789"} {
		if a := b.do(t, "GET", path, b.as("dev"), header("Range", ask)).wants(t, 206); a.body != want {
			t.Errorf("%s: %q, want %q", ask, a.body, want)
		}
	}
	a = b.do(t, "GET", path, b.as("dev"), header("Range", "bytes=10-")).wants(t, 416)
	if a.header.Get("Content-Range") != "bytes */10" {
		t.Errorf("Content-Range %q", a.header.Get("Content-Range"))
	}
}

// manifestOf names config and layer in one small manifest.
func manifestOf(t *testing.T, config, layer string) []byte {
	t.Helper()
	raw, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": ociManifest,
		"config": map[string]any{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
		"layers": []any{map[string]any{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": layer, "size": 5}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestAManifestIsKeptAsItCame(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	raw := manifestOf(t, b.push(t, "demo/app", []byte("{}")), b.push(t, "demo/app", []byte("layer")))
	digest := digestOf(raw)
	a := b.do(t, "PUT", "/v2/demo/app/manifests/v1", b.as("dev"), body(raw), header("Content-Type", ociManifest)).wants(t, 201)
	if want := b.origin + "/v2/demo/app/manifests/" + digest; a.header.Get("Location") != want || a.header.Get("Docker-Content-Digest") != digest {
		t.Errorf("header %v", a.header)
	}
	b.do(t, "PUT", "/v2/demo/app/manifests/"+digest, b.as("dev"), body(raw), header("Content-Type", ociManifest)).wants(t, 201)
	for _, ref := range []string{"v1", digest} {
		for _, method := range []string{"GET", "HEAD"} {
			a := b.do(t, method, "/v2/demo/app/manifests/"+ref, b.as("dev"), header("Accept", ociManifest)).wants(t, 200)
			if method == "GET" && a.body != string(raw) {
				t.Errorf("body %q", a.body)
			}
			if a.header.Get("Content-Type") != ociManifest || a.header.Get("Docker-Content-Digest") != digest ||
				a.header.Get("Etag") != `"`+digest+`"` || a.header.Get("Content-Length") != fmt.Sprint(len(raw)) {
				t.Errorf("%s %s: header %v", method, ref, a.header)
			}
		}
	}
	a = b.do(t, "GET", "/v2/demo/app/referrers/"+digest, b.as("dev")).wants(t, 200)
	var list v1.IndexManifest
	a.decode(t, &list)
	if a.header.Get("Content-Type") != "application/vnd.oci.image.index.v1+json" || len(list.Manifests) != 0 {
		t.Errorf("referrers: %s", a.body)
	}
}

func TestAManifestIsRefused(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	config, layer := b.push(t, "demo/app", []byte("{}")), b.push(t, "demo/app", []byte("layer"))
	b.push(t, "demo/elsewhere", []byte("only elsewhere"))
	unknown := func(digest string) string {
		return `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry","detail":"` + digest + `"}]}` + "\n"
	}
	const index = "application/vnd.oci.image.index.v1+json"
	good := manifestOf(t, config, layer)
	tests := []struct {
		name, ref, media string
		body             []byte
		status           int
		want             string
	}{
		{"no JSON", "bad", ociManifest, []byte("x"), 400, errorBody("MANIFEST_INVALID", "unmarshal manifest failed: invalid character 'x' looking for beginning of value")},
		{"a layer that is nowhere", "bad", ociManifest, manifestOf(t, config, zeroDigest), 400, unknown(zeroDigest)},
		{"a layer of another repository", "bad", ociManifest, manifestOf(t, config, digestOf([]byte("only elsewhere"))), 400, unknown(digestOf([]byte("only elsewhere")))},
		{"a config that is nowhere", "bad", ociManifest, manifestOf(t, zeroDigest, layer), 400, unknown(zeroDigest)},
		{"an index of what is not there", "bad", index, []byte(`{"schemaVersion":2,"manifests":[{"mediaType":"` + ociManifest + `","digest":"` + zeroDigest + `","size":2}]}`), 400, unknown(zeroDigest)},
		{"an index that is no JSON", "bad", index, []byte("["), 400, errorBody("MANIFEST_INVALID", "unmarshal manifest failed: unexpected EOF")},
		{"another media type", "bad", "text/plain", good, 400, errorBody("MANIFEST_INVALID", `unmarshal manifest failed: unsupported media type "text/plain"`)},
		{"another digest", zeroDigest, ociManifest, good, 400, `{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content","detail":{"Digest":"` + zeroDigest + `","Reason":{}}}]}` + "\n"},
		{"too large", "bad", ociManifest, append(bytes.Repeat([]byte(" "), maxManifest), good...), 413, errorBody("MANIFEST_INVALID", "manifest larger than 4 MiB")},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			a := b.do(t, "PUT", "/v2/demo/app/manifests/"+tc.ref, b.as("dev"), body(tc.body), header("Content-Type", tc.media)).wants(t, tc.status)
			if a.body != tc.want {
				t.Errorf("body %s, want %s", a.body, tc.want)
			}
		})
	}
	if a := b.do(t, "GET", "/v2/demo/app/tags/list", b.as("dev")); a.status != 404 {
		t.Errorf("something was kept: %s", a.body)
	}
}

func TestTagsArePagedByRelativeLinks(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	raw := manifestOf(t, b.push(t, "demo/app", []byte("{}")), b.push(t, "demo/app", []byte("layer")))
	for _, tag := range []string{"v2", "dev", "v1"} {
		b.do(t, "PUT", "/v2/demo/app/manifests/"+tag, b.as("dev"), body(raw), header("Content-Type", ociManifest)).wants(t, 201)
	}
	const list = "/v2/demo/app/tags/list"
	tests := []struct{ query, tags, link string }{
		{"", `["dev","v1","v2"]`, ""},
		{"?n=1", `["dev"]`, `<` + list + `?last=dev&n=1>; rel="next"`},
		{"?last=dev&n=1", `["v1"]`, `<` + list + `?last=v1&n=1>; rel="next"`},
		{"?last=v1&n=1", `["v2"]`, ""},
		{"?n=2&last=e", `["v1","v2"]`, ""},
		{"?last=v2", `[]`, ""},
		{"?last=z&n=1", `[]`, ""},
		{"?n=100", `["dev","v1","v2"]`, ""},
	}
	for _, tc := range tests {
		a := b.do(t, "GET", list+tc.query, b.as("dev")).wants(t, 200)
		if want := `{"name":"demo/app","tags":` + tc.tags + "}\n"; a.body != want || a.header.Get("Link") != tc.link {
			t.Errorf("%s: %s, Link %q", tc.query, a.body, a.header.Get("Link"))
		}
	}
	for _, n := range []string{"0", "-1", "x", ""} {
		b.do(t, "GET", list+"?n="+n, b.as("dev")).wants(t, 400)
	}
}

func TestTheCatalogIsForTheAdministrator(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	if a := b.do(t, "GET", "/v2/_catalog", b.as("admin")).wants(t, 200); a.body != `{"repositories":["library/hello","library/ubuntu"]}`+"\n" {
		t.Errorf("body %s", a.body)
	}
	a := b.do(t, "GET", "/v2/_catalog?n=1", b.as("admin")).wants(t, 200)
	if a.body != `{"repositories":["library/hello"]}`+"\n" || a.header.Get("Link") != `</v2/_catalog?last=library%2Fhello&n=1>; rel="next"` {
		t.Errorf("body %s, Link %q", a.body, a.header.Get("Link"))
	}
}

package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
	"github.com/vicr-cli/vicr/internal/wire"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	transfertest.TestSink(t, func(t *testing.T) transfertest.Place {
		t.Helper()
		s := serve(t, nil)
		return transfertest.Place{
			Sink:   func(name string) transfer.Sink { return s.open(t, "suite/"+name+":1") },
			Source: func(name string) transfer.Source { return s.open(t, "suite/"+name+":1") },
		}
	})
}

// F1 and F3: go-containerregistry takes a private address for plain HTTP, and
// races. Nothing but verified TLS may come, under our own name, without a ping.
func TestRequestsGoOverTLSUnderOurName(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	if err := push(t, s, "demo/app:1", sample(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := pull(t, s, "demo/app:1"); err != nil {
		t.Fatal(err)
	}
	s.each(func(r *http.Request) {
		if r.TLS == nil || !strings.HasPrefix(r.UserAgent(), "docker") || r.URL.Path == "/v2/" {
			t.Errorf("%s %s: TLS %v, user agent %q", r.Method, r.URL, r.TLS != nil, r.UserAgent())
		}
	})
}

func TestPullOfWhatIsThereTakesOneRequest(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	if err := push(t, s, "demo/app:1", sample(1)); err != nil {
		t.Fatal(err)
	}
	dst, err := pull(t, s, "demo/app:1")
	if err != nil {
		t.Fatal(err)
	}
	before := s.seen("", "")
	again := &transfertest.Sink{Content: dst.Content}
	if _, err := transfer.Copy(t.Context(), s.open(t, "demo/app:1"), again, transfer.Options{}); err != nil {
		t.Fatal(err)
	}
	if n := s.seen("", "") - before; n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	if err := serve(t, nil).open(t, "demo/app").Ping(t.Context()); err != nil {
		t.Error(err)
	}
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) bool { return refuse(w, http.StatusUnauthorized, "") })
	e, ok := errors.AsType[*registry.Error](s.open(t, "demo/app").Ping(t.Context()))
	if !ok || e.Status != http.StatusUnauthorized {
		t.Errorf("got %v", e)
	}
}

// harbor-api.md section 5.3, and the bare answers of others.
func TestRefusalsAreTyped(t *testing.T) {
	t.Parallel()
	doc := func(code, message string) string {
		return fmt.Sprintf(`{"errors":[{"code":%q,"message":%q}]}`, code, message)
	}
	for name, test := range map[string]struct {
		status  int
		body    string
		code    string
		missing bool // wraps ErrNotFound
	}{
		"Harbor 2, no such project":    {401, doc("UNAUTHORIZED", "project missing not found: project missing not found"), registry.CodeProjectNotFound, true},
		"Harbor 2, no permission":      {401, doc("UNAUTHORIZED", "unauthorized to access repository: demo/x, action: pull: unauthorized to access repository: demo/x, action: pull"), "UNAUTHORIZED", false},
		"Harbor 2, no such repository": {404, doc("NOT_FOUND", "repository demo/x not found"), "NOT_FOUND", true},
		"Harbor 2, no such tag":        {404, doc("NOT_FOUND", "artifact demo/app:none not found"), "NOT_FOUND", true},
		"Harbor 2, no project at all":  {400, doc("BAD_REQUEST", "bad request: invalid repository name: justname"), "BAD_REQUEST", false},
		"Harbor 1, no such project":    {401, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required","detail":[{"Type":"repository","Class":"","Name":"missing/x","Action":"pull"}]}]}`, "UNAUTHORIZED", false},
		"Harbor 1, no such manifest":   {404, doc("MANIFEST_UNKNOWN", "manifest unknown"), "MANIFEST_UNKNOWN", true},
		"Harbor 1, its own API":        {409, `{"code":409,"message":"conflict project"}`, "", false},
		"quota":                        {403, doc("DENIED", "adding 3.1 KiB of storage resource will exceed the limit"), "DENIED", false},
		"immutable tag":                {412, doc("PRECONDITION", "Failed to process request due to 'app:v1' configured as immutable."), "PRECONDITION", false},
		"policy":                       {412, doc("PROJECTPOLICYVIOLATION", "The image is not signed by cosign."), "PROJECTPOLICYVIOLATION", false},
		"schema 2 only":                {415, doc("UNSUPPORTED_MEDIA_TYPE", "Manifest.list is not supported."), "UNSUPPORTED_MEDIA_TYPE", false},
		"no body":                      {404, "", "", true},
		"HTML":                         {502, "<html>\x1b[2J</html>", "", false},
		"code that is none":            {400, doc("\x1b[2J", "no"), "", false},
		"several, of which the first":  {400, `{"errors":[{"code":"A","message":"x"},{"code":"B"}]}`, "A", false},
		"denied, with 404 for reasons": {404, doc("NAME_UNKNOWN", "no"), "NAME_UNKNOWN", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) bool { return refuse(w, test.status, test.body) })
			repo := s.open(t, "demo/app:1")
			layer := transfertest.Content{}.Layer([]byte("x"))
			_, resolving := repo.Resolve(t.Context())
			_, reading := repo.Blob(t.Context(), layer, 0)
			_, listing := repo.Tags(t.Context())
			for op, err := range map[string]error{"resolve": resolving, "blob": reading, "tags": listing} {
				e, ok := errors.AsType[*registry.Error](err)
				if !ok || e.Status != test.status || e.Code != test.code || errors.Is(err, transfer.ErrNotFound) != test.missing {
					t.Errorf("%s: %#v, %v", op, e, err)
				}
				if strings.ContainsRune(err.Error(), 0x1b) || len(err.Error()) > 1000 {
					t.Errorf("%s: not fit to be printed: %q", op, err)
				}
			}
		})
	}
}

func TestRefusalsToAPushAreTyped(t *testing.T) {
	t.Parallel()
	denied := `{"errors":[{"code":"DENIED","message":"quota"}]}`
	for name, when := range map[string]func(*http.Request) bool{
		"of the upload": func(r *http.Request) bool { return r.Method == http.MethodPost },
		"of the blob": func(r *http.Request) bool {
			return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/uploads/")
		},
		"of the manifest": func(r *http.Request) bool {
			return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
				return when(r) && refuse(w, http.StatusForbidden, denied)
			})
			err := push(t, s, "demo/app:1", sample(1))
			if e, ok := errors.AsType[*registry.Error](err); !ok || e.Code != "DENIED" || e.Message != "quota" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestHeadThatIsDeniedIsLeftToTheUpload(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		return r.Method == http.MethodHead && refuse(w, http.StatusForbidden, "")
	})
	if err := push(t, s, "demo/app:1", sample(1)); err != nil {
		t.Error(err)
	}
}

func TestManifestThatIsNotWhatWasAskedForIsRefused(t *testing.T) {
	t.Parallel()
	other := "sha256:" + strings.Repeat("b", 64)
	for name, test := range map[string]struct {
		image string // %s: the right digest
		front func(http.ResponseWriter, *http.Request) bool
	}{
		"the header names another": {"demo/app:1", func(w http.ResponseWriter, r *http.Request) bool {
			if isGet(r, "manifests") {
				return answer(w, map[string]string{"Docker-Content-Digest": other, "Content-Type": string(types.OCIManifestSchema1)}, `{}`)
			}
			return false
		}},
		// CVE-2025-24882: a pinned digest that is ignored.
		"pinned, and another image": {"demo/app:1@%s", func(w http.ResponseWriter, r *http.Request) bool {
			if isGet(r, "manifests") {
				return answer(w, map[string]string{"Content-Type": string(types.OCIManifestSchema1)}, `{"schemaVersion":2}`)
			}
			return false
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := sample(1)
			s := serve(t, test.front)
			if strings.Contains(test.image, "%s") {
				test.image = fmt.Sprintf(test.image, src.Root.Digest)
			}
			_, err := pull(t, s, test.image)
			if wrong, ok := errors.AsType[*transfer.DigestError](err); !ok || wrong.What != "manifest" || wrong.Want == wrong.Got {
				t.Errorf("got %v", err)
			}
		})
	}
}

func answer(w http.ResponseWriter, header map[string]string, body string) bool {
	for k, v := range header {
		w.Header().Set(k, v)
	}
	_, _ = w.Write([]byte(body))
	return true
}

func TestManifestTypesAreTakenWithParameters(t *testing.T) {
	t.Parallel()
	src := sample(1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		return isGet(r, "manifests") && answer(w, map[string]string{"Content-Type": string(types.OCIManifestSchema1) + "; charset=utf-8"}, string(src.Content[src.Root.Digest]))
	})
	d, err := s.open(t, "demo/app:1").Resolve(t.Context())
	if err != nil || d.MediaType != types.OCIManifestSchema1 || d.Digest != src.Root.Digest {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestSchema1IsRefusedInWords(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		return isGet(r, "manifests") && answer(w, map[string]string{
			"Content-Type":          string(types.DockerManifestSchema1Signed),
			"Docker-Content-Digest": "sha256:" + strings.Repeat("b", 64),
		}, `{"schemaVersion":1}`)
	})
	_, err := pull(t, s, "demo/app:1")
	if bad, ok := errors.AsType[*transfer.ManifestError](err); !ok || !strings.Contains(bad.Why, "schema 1") {
		t.Errorf("got %v", err)
	}
}

func TestManifestsAreBounded(t *testing.T) {
	t.Parallel()
	for size, ok := range map[int]bool{transfer.MaxManifest: true, transfer.MaxManifest + 1: false} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
			return isGet(r, "manifests") && answer(w, map[string]string{"Content-Type": string(types.OCIManifestSchema1)}, `{}`+strings.Repeat(" ", size-2))
		})
		d, err := s.open(t, "demo/app:1").Resolve(t.Context())
		if ok && (err != nil || d.Size != int64(size)) {
			t.Errorf("%d bytes: %+v, %v", size, d, err)
		}
		if !ok && wire.KindOf(err) != wire.TooLarge {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// F2: go-containerregistry follows redirects without end.
func TestRedirectsOfManifestsEnd(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodPut} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == method && strings.Contains(r.URL.Path, "/manifests/") {
				http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
				return true
			}
			return false
		})
		var err error
		if method == http.MethodGet {
			_, err = pull(t, s, "demo/app:1")
		} else {
			err = push(t, s, "demo/app:1", sample(1))
		}
		if n := s.seen(method, "/manifests/"); err == nil || n > wire.MaxRedirects+1 {
			t.Errorf("%s: %d requests, %v", method, n, err)
		}
	}
}

func TestCommitPutsByTagOrDigest(t *testing.T) {
	t.Parallel()
	src := sample(1)
	s := serve(t, nil)
	digest := src.Root.Digest.String()
	for image, path := range map[string]string{
		"demo/tag:1":              "/v2/demo/tag/manifests/1",
		"demo/both:1@" + digest:   "/v2/demo/both/manifests/1",
		"demo/digest@" + digest:   "/v2/demo/digest/manifests/" + digest,
		"one-word:" + "1":         "/v2/one-word/manifests/1",
		"a/b/c/d/deep:" + "v1.2_": "/v2/a/b/c/d/deep/manifests/v1.2_",
	} {
		if err := push(t, s, image, src); err != nil || s.seen(http.MethodPut, path) != 1 {
			t.Errorf("%s: %v, %d PUTs of %s", image, err, s.seen(http.MethodPut, path), path)
		}
	}
	err := push(t, s, "demo/other:1@"+digest, sample(2))
	if wrong, ok := errors.AsType[*transfer.DigestError](err); !ok || wrong.Want != src.Root.Digest {
		t.Errorf("another image than the digest names was pushed: %v", err)
	}
	if n := s.seen(http.MethodPut, "/demo/other/manifests/"); n != 0 {
		t.Errorf("%d manifests were put", n)
	}
}

func TestDigestsThatTheRegistryAnswersAreChecked(t *testing.T) {
	t.Parallel()
	other := "sha256:" + strings.Repeat("b", 64)
	for _, kind := range []string{"manifests", "uploads"} {
		for header, ok := range map[string]bool{other: false, "": true, "md5:00": true} {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/"+kind+"/") {
					return false
				}
				w.Header().Set("Docker-Content-Digest", header)
				return refuse(w, http.StatusCreated, "")
			})
			err := push(t, s, "demo/app:1", sample(1))
			if wrong, is := errors.AsType[*transfer.DigestError](err); is == ok || (ok && err != nil) || is && !wrong.Told {
				t.Errorf("%s, %q: %v", kind, header, err)
			}
		}
	}
}

func TestManifestOfASubjectIsPutAlone(t *testing.T) {
	t.Parallel()
	c := transfertest.Content{}
	subject := c.Image(transfertest.Amd64(), c.Layer([]byte("x")))
	subject.Platform = nil
	root := c.AddJSON(types.OCIManifestSchema1, v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: c.Config(transfertest.Amd64()),
		Layers: []v1.Descriptor{}, Subject: &subject,
	})
	s := serve(t, nil)
	if err := push(t, s, "demo/app:1", &transfertest.Source{Root: root, Content: c}); err != nil {
		t.Fatal(err)
	}
	if n := s.seen("", "/manifests/") + s.seen("", "/referrers/"); n != 1 {
		t.Errorf("%d requests for manifests and referrers, want the one PUT", n)
	}
}

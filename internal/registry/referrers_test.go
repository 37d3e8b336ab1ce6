package registry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/transfer/transfertest"
)

const (
	cosignType = "application/vnd.dev.cosign.artifact.sig.v1+json"
	spdxType   = "application/spdx+json"
)

// referring is an index that names n manifests of a type.
func referring(artifactType string, from, n int) string {
	all := []v1.Descriptor{}
	for i := range n {
		d := transfertest.DescriptorOf("sha256", types.OCIManifestSchema1, []byte(fmt.Sprint(from+i)))
		d.ArtifactType = artifactType
		all = append(all, d)
	}
	raw, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": types.OCIImageIndex, "manifests": all})
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func TestReferrersByWhateverTheRegistryHas(t *testing.T) {
	t.Parallel()
	const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	of, err := v1.NewHash(digest)
	if err != nil {
		t.Fatal(err)
	}
	tag := strings.Replace(digest, ":", "-", 1)
	const api = "/v2/demo/app/referrers/" + digest
	index := func(w http.ResponseWriter, body string) bool {
		w.Header().Set("Content-Type", string(types.OCIImageIndex))
		fmt.Fprint(w, body)
		return true
	}
	unknown := `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`
	for name, tc := range map[string]struct {
		front func(w http.ResponseWriter, r *http.Request) bool
		want  string
		err   any
	}{
		"the API": {func(w http.ResponseWriter, r *http.Request) bool {
			return r.URL.Path == api && index(w, referring(cosignType, 0, 1)) || refuse(w, 404, unknown)
		}, "signature", nil},
		"none": {func(w http.ResponseWriter, r *http.Request) bool {
			return r.URL.Path == api && index(w, `{"schemaVersion":2,"manifests":null}`) || refuse(w, 404, unknown)
		}, "", nil},
		"two pages": {func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case r.URL.Path == api && r.URL.RawQuery == "":
				w.Header().Set("Link", "<"+api+`?last=x>; rel="next"`)
				return index(w, referring(cosignType, 0, 1))
			case r.URL.Path == api:
				return index(w, referring(spdxType, 1, 1))
			}
			return refuse(w, 404, unknown)
		}, "signature sbom", nil},
		"the tag schema": {func(w http.ResponseWriter, r *http.Request) bool {
			return strings.HasSuffix(r.URL.Path, "/manifests/"+tag) && index(w, referring("application/vnd.in-toto+json", 0, 1)) || refuse(w, 404, unknown)
		}, "attestation", nil},
		"no API, in Harbor's words": {func(w http.ResponseWriter, r *http.Request) bool {
			return strings.Contains(r.URL.Path, "/referrers/") && refuse(w, 401, `{"errors":[{"code":"UNAUTHORIZED"}]}`) || refuse(w, 404, unknown)
		}, "", nil},
		"tags of cosign": {func(w http.ResponseWriter, r *http.Request) bool {
			return (strings.HasSuffix(r.URL.Path, tag+".sig") || strings.HasSuffix(r.URL.Path, tag+".sbom")) && index(w, referring("", 0, 1)) ||
				refuse(w, 404, unknown)
		}, "signature:" + tag + ".sig sbom:" + tag + ".sbom", nil},
		"the API and a tag of cosign for the same": {func(w http.ResponseWriter, r *http.Request) bool {
			raw := referring("", 0, 1)
			same := transfertest.DescriptorOf("sha256", types.OCIImageIndex, []byte(raw))
			same.ArtifactType = cosignType
			list, _ := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []any{same}})
			return r.URL.Path == api && index(w, string(list)) || strings.HasSuffix(r.URL.Path, tag+".sig") && index(w, raw) || refuse(w, 404, unknown)
		}, "signature:" + tag + ".sig", nil},
		"a type that is no type": {func(w http.ResponseWriter, r *http.Request) bool {
			return r.URL.Path == api && index(w, `{"schemaVersion":2,"manifests":[{"digest":"`+digest+`","artifactType":"\u001b"}]}`) || refuse(w, 404, unknown)
		}, "other", nil},
		"a digest that is none": {func(w http.ResponseWriter, _ *http.Request) bool {
			return index(w, `{"schemaVersion":2,"manifests":[{"digest":"../x","size":1}]}`)
		}, "", new(*registry.PagingError)},
		"no list": {func(w http.ResponseWriter, _ *http.Request) bool { return index(w, `{"errors":[]}`) }, "", new(*registry.PagingError)},
		"a link away": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Link", `<https://evil.test/v2/x>; rel="next"`)
			return index(w, referring(spdxType, 0, 1))
		}, "", new(*registry.PagingError)},
		"ill": {func(w http.ResponseWriter, _ *http.Request) bool { return refuse(w, 500, "{}") }, "", new(*registry.Error)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, tc.front)
			all, err := s.open(t, "demo/app:1").Referrers(t.Context(), of)
			if tc.err != nil {
				if !errors.As(err, tc.err) {
					t.Errorf("%v, want %T", err, tc.err)
				}
				return
			}
			var got []string
			for _, r := range all {
				k := r.Kind
				if r.Tag != "" {
					k += ":" + r.Tag
				}
				got = append(got, k)
			}
			if s := strings.Join(got, " "); err != nil || s != tc.want {
				t.Errorf("%s, %v, want %s", s, err, tc.want)
			}
		})
	}
}

func TestReferrersAreBounded(t *testing.T) {
	t.Parallel()
	page := 0
	s := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/referrers/") {
			return refuse(w, 404, "{}")
		}
		page++
		w.Header().Set("Link", fmt.Sprintf(`<%s?last=%d>; rel="next"`, r.URL.Path, page))
		w.Header().Set("Content-Type", string(types.OCIImageIndex))
		fmt.Fprint(w, referring(spdxType, page*300, 300))
		return true
	})
	all, err := s.open(t, "demo/app:1").Referrers(t.Context(), v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)})
	if err != nil || len(all) != 1000 || page != 4 {
		t.Errorf("%d in %d pages, %v", len(all), page, err)
	}
}

func TestCatalog(t *testing.T) {
	t.Parallel()
	host, err := ref.ParseHost("registry.test")
	if err != nil {
		t.Fatal(err)
	}
	const path = "/v2/_catalog"
	for name, tc := range map[string]struct {
		front func(w http.ResponseWriter, r *http.Request) bool
		want  []string
		err   any
	}{
		"pages": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("last") == "" {
				w.Header().Set("Link", `<`+path+`?last=a&n=1>; rel="next"`)
				fmt.Fprint(w, `{"repositories":["a","../x"]}`)
				return true
			}
			fmt.Fprint(w, `{"repositories":["a","b"]}`)
			return true
		}, []string{"a", "../x", "b"}, nil},
		"null": {func(w http.ResponseWriter, _ *http.Request) bool { fmt.Fprint(w, `{"repositories":null}`); return true }, nil, nil},
		"not for you": {func(w http.ResponseWriter, _ *http.Request) bool {
			return refuse(w, 401, `{"errors":[{"code":"UNAUTHORIZED"}]}`)
		}, nil, new(*registry.CatalogError)},
		"forbidden": {func(w http.ResponseWriter, _ *http.Request) bool { return refuse(w, 403, "") }, nil, new(*registry.CatalogError)},
		"none":      {func(w http.ResponseWriter, _ *http.Request) bool { return refuse(w, 404, "404 page not found") }, nil, new(*registry.CatalogError)},
		"ill":       {func(w http.ResponseWriter, _ *http.Request) bool { return refuse(w, 500, "") }, nil, new(*registry.Error)},
		"a circle": {func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Link", `<`+path+"?"+r.URL.RawQuery+`>; rel="next"`)
			fmt.Fprint(w, `{"repositories":["a"]}`)
			return true
		}, nil, new(*registry.PagingError)},
		"elsewhere": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Link", `<https://evil.test`+path+`?last=a>; rel="next"`)
			fmt.Fprint(w, `{"repositories":["a"]}`)
			return true
		}, nil, new(*registry.PagingError)},
		"a page": {func(w http.ResponseWriter, _ *http.Request) bool { fmt.Fprint(w, "<html>"); return true }, nil, new(*registry.PagingError)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, tc.front)
			got, err := registry.Catalog(t.Context(), host, s.rt, s.rt.Base())
			switch {
			case tc.err != nil && !errors.As(err, tc.err):
				t.Errorf("%v, want %T", err, tc.err)
			case tc.err == nil && (err != nil || !slices.Equal(got, tc.want)):
				t.Errorf("%q, %v, want %q", got, err, tc.want)
			case err != nil && !strings.Contains(err.Error(), "registry.test"):
				t.Errorf("%v does not name the registry", err)
			}
		})
	}
}

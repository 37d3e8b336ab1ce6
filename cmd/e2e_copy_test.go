//go:build e2e && linux

package cmd_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/pki"
)

// In the Distribution registry layers are mounted out of another repository, a
// layout goes there and back with its digest, and what refers to an image comes
// along under the tag that stands for it, since that registry lists none.
func TestRealCopy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(t, w.vicr, "trust", registryHost, "--for", "vicr", "--fingerprint", pki.SHA256(w.ca.Certificate).String())
	w.login(t)
	app, prod := registryHost+"/library/app:1", registryHost+"/prod/app:1"
	r := w.must(t, w.vicr, "-D", "copy", app, prod)
	w.pinned(t, r.Stdout, prod)
	if w.skopeoDigest(t, app) != w.skopeoDigest(t, prod) {
		t.Error("the copy is another image")
	}
	var asked []string
	for l := range strings.Lines(r.Stderr) {
		if method, _, ok := strings.Cut(strings.TrimPrefix(l, "vicr: debug: "), " "); ok && strings.HasPrefix(l, "vicr: debug: ") {
			asked = append(asked, method)
		}
	}
	if got := strings.Join(asked, " "); strings.Count(got, "POST") != 2 || strings.Count(got, "PUT") != 1 || len(asked) > 5 {
		t.Errorf("asked %s, want the manifest, a mount for layer and config, and a PUT, beside the challenge\n%s", got, r.Stderr)
	}
	layout := "oci:" + filepath.Join(w.Dir, "layout") + ":1"
	w.must(t, w.vicr, "copy", registryHost+"/library/ubuntu:14.04", layout)
	w.pinned(t, w.must(t, w.vicr, "copy", layout, registryHost+"/prod/ubuntu:14.04").Stdout, registryHost+"/prod/ubuntu:14.04")
	w.must(t, w.vicr, "copy", "--all-tags", registryHost+"/library/app", registryHost+"/prod/all")
	if w.skopeoDigest(t, registryHost+"/prod/all:1") != w.skopeoDigest(t, app) {
		t.Error("all tags are others")
	}
	w.copyReferrer(t)
}

// copyReferrer gives an image a referrer by the tag schema, with a tool that is
// not vicr, and copies both.
func (w *world) copyReferrer(t *testing.T) {
	t.Helper()
	const at = registryHost + "/library/ubuntu"
	raw := w.must(t, "skopeo", "inspect", "--raw", "--tls-verify=false", "--creds="+user+":"+password, "docker://"+at+":14.04").Stdout
	var image v1.Manifest
	if err := json.Unmarshal([]byte(raw), &image); err != nil {
		t.Fatal(err)
	}
	subject := w.skopeoDigest(t, at+":14.04")
	about := map[string]any{"mediaType": types.OCIManifestSchema1, "size": len(raw), "digest": subject}
	digest, size := w.put(t, "", types.OCIManifestSchema1, map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIManifestSchema1, "artifactType": "application/spdx+json", "config": image.Config, "layers": image.Layers, "subject": about,
	})
	tag := strings.Replace(subject, ":", "-", 1)
	w.put(t, tag, types.OCIImageIndex, map[string]any{
		"schemaVersion": 2, "mediaType": types.OCIImageIndex,
		"manifests": []any{map[string]any{"mediaType": types.OCIManifestSchema1, "size": size, "digest": digest, "artifactType": "application/spdx+json"}},
	})
	r := w.must(t, w.vicr, "copy", "--referrers", at+":14.04", registryHost+"/prod/described:1")
	if !strings.Contains(r.Stderr, "copied: sbom "+digest) {
		t.Errorf("vicr said %s", r.Stderr)
	}
	list := w.curl(t, "https://"+registryHost+"/v2/prod/described/manifests/"+tag, "-H", "Accept: "+string(types.OCIImageIndex))
	if !strings.Contains(list, digest) || !strings.Contains(list, "application/spdx+json") {
		t.Errorf("the list there is %s", list)
	}
	if sbom := w.curl(t, "https://"+registryHost+"/v2/prod/described/manifests/"+digest, "-H", "Accept: "+string(types.OCIManifestSchema1)); !strings.Contains(sbom, subject) {
		t.Errorf("the SBOM there is %s", sbom)
	}
}

func (w *world) curl(t *testing.T, url string, more ...string) string {
	t.Helper()
	return w.must(t, append([]string{"curl", "-sSf", "--cacert", w.write(t, "ca.pem", w.ca.PEM()), "-u", user + ":" + password, url}, more...)...).Stdout
}

// put puts a manifest into library/ubuntu, under a tag or its digest.
func (w *world) put(t *testing.T, tag string, mediaType types.MediaType, document any) (digest string, size int) {
	t.Helper()
	raw, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	digest = fmt.Sprintf("sha256:%x", sha256.Sum256(raw))
	if tag == "" {
		tag = digest
	}
	file := w.write(t, "manifest.json", raw)
	w.curl(t, "https://"+registryHost+"/v2/library/ubuntu/manifests/"+tag, "-X", "PUT", "-H", "Content-Type: "+string(mediaType), "--data-binary", "@"+file)
	return digest, len(raw)
}

package registry

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/wire"
)

const (
	opReferrers  = "list referrers"
	maxReferrers = 1000
)

// The kinds of a [Referrer], by what its makers call it.
const (
	KindSignature   = "signature"
	KindAttestation = "attestation"
	KindSBOM        = "sbom"
	KindOther       = "other"
)

// cosignTags are what cosign adds to the tag of [tagOf].
var cosignTags = []struct{ suffix, kind string }{
	{".sig", KindSignature}, {".att", KindAttestation}, {".sbom", KindSBOM},
}

// A Referrer is something that was laid beside an image about it. That it is
// there proves nothing: no signature is verified here. The types may hold any byte.
type Referrer struct {
	Kind         string
	ArtifactType string // or the media type of its config; "": not told
	MediaType    string
	Digest       v1.Hash
	Size         int64  // bytes of its manifest
	Tag          string // by which cosign finds it; "": listed by the registry
}

// Referrers finds what refers to a manifest: by the API for that, where the
// registry lacks it by the tag that stands for it (OCI distribution-spec,
// "Referrers Tag Schema"), and by the tags of cosign. No more than 1000 are
// listed. Errors: [*Error], [*PagingError], those of the round-tripper.
func (r *Repository) Referrers(ctx context.Context, of v1.Hash) ([]Referrer, error) {
	all, err := r.listed(ctx, of)
	if e, ok := errors.AsType[*Error](err); ok && lacksAPI(e.Status) {
		all, err = r.byTagSchema(ctx, of)
	}
	if err != nil {
		return nil, err
	}
	for _, t := range cosignTags {
		tag := tagOf(of) + t.suffix
		m, err := r.get(ctx, tag, "")
		if errors.Is(err, transfer.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		// One that the registry lists too is no second one.
		if i := slices.IndexFunc(all, func(x Referrer) bool { return x.Digest == m.desc.Digest && x.Kind == t.kind }); i >= 0 {
			all[i].Tag = tag
			continue
		}
		all = append(all, Referrer{Kind: t.kind, MediaType: string(m.desc.MediaType), Digest: m.desc.Digest, Size: m.desc.Size, Tag: tag})
	}
	return all, nil
}

// lacksAPI: Distribution answers 404 to a path that it does not know, Harbor
// 401, others 400 or 405. The manifest itself was to be had a moment before.
func lacksAPI(status int) bool {
	return status >= http.StatusBadRequest && status < http.StatusInternalServerError && status != http.StatusTooManyRequests
}

// tagOf is the tag that stands for what refers to a manifest: no more than 64
// characters of the digest, so that it is a tag.
func tagOf(of v1.Hash) string {
	const most = 64
	return of.Algorithm + "-" + of.Hex[:min(len(of.Hex), most)]
}

// IsReferrerTag says whether a tag stands for what refers to an image, as the
// OCI distribution spec's or cosign's.
func IsReferrerTag(tag string) bool { return referrerTag().MatchString(tag) }

var referrerTag = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^sha(256|512)-[0-9a-f]{64}(\.(sig|att|sbom))?$`)
})

// listed asks the API.
func (r *Repository) listed(ctx context.Context, of v1.Hash) ([]Referrer, error) {
	p := pager{r: r, op: opReferrers, at: r.url("referrers", of.String())}
	var all []Referrer
	u := *p.at
	for page := 0; ; page++ {
		resp, err := r.send(ctx, http.MethodGet, &u, http.Header{"Accept": {string(types.OCIImageIndex)}})
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusOK {
			return nil, r.fail(opReferrers, resp)
		}
		body, err := wire.ReadAll(resp.Body, transfer.MaxManifest)
		if closing := resp.Body.Close(); err == nil {
			err = closing
		}
		if err != nil {
			return nil, err
		}
		some, ok := parseReferrers(body)
		if !ok {
			return nil, p.givenUp("the registry sent no such list")
		}
		all = append(all, some...)
		next, err := p.next(p.at, resp.Header.Values("Link"))
		if err != nil || next == "" {
			return all, err
		}
		if len(some) == 0 || len(all) >= maxReferrers || page == freePages {
			return all[:min(len(all), maxReferrers)], nil
		}
		u.RawQuery = next
	}
}

// byTagSchema reads the index under the tag that stands for the API.
func (r *Repository) byTagSchema(ctx context.Context, of v1.Hash) ([]Referrer, error) {
	m, err := r.get(ctx, tagOf(of), "")
	switch {
	case errors.Is(err, transfer.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	all, _ := parseReferrers(m.raw) // what is no list refers to nothing
	return all, nil
}

func parseReferrers(body []byte) ([]Referrer, bool) {
	var index struct {
		SchemaVersion int             `json:"schemaVersion"`
		Manifests     []v1.Descriptor `json:"manifests"`
	}
	if json.Unmarshal(body, &index) != nil || index.SchemaVersion == 0 && index.Manifests == nil {
		return nil, false
	}
	var all []Referrer
	for _, d := range index.Manifests {
		if _, err := v1.NewHash(d.Digest.String()); err != nil || len(all) == maxReferrers {
			continue
		}
		all = append(all, Referrer{
			Kind: kindOf(d.ArtifactType), ArtifactType: d.ArtifactType, MediaType: string(d.MediaType), Digest: d.Digest, Size: d.Size,
		})
	}
	return all, true
}

// kindOf reads the artifact types of cosign, Notation, in-toto, SPDX and
// CycloneDX, and those that BuildKit and Trivy give.
func kindOf(artifactType string) string {
	t := strings.ToLower(artifactType)
	for _, k := range []struct{ part, kind string }{
		{"spdx", KindSBOM},
		{"cyclonedx", KindSBOM},
		{"sbom", KindSBOM},
		{"in-toto", KindAttestation},
		{"attestation", KindAttestation},
		{"cosign.artifact.sig", KindSignature},
		{"notary.signature", KindSignature},
		{"simplesigning", KindSignature},
		{"sigstore.bundle", KindSignature}, // cosign 3 puts attestations into these too
	} {
		if strings.Contains(t, k.part) {
			return k.kind
		}
	}
	return KindOther
}

package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// maxReferring is how far what refers to an image may be referred to itself: a
// signature of an SBOM of it is 2.
const maxReferring = 4

// CopyReferrers copies what refers to manifests of src to dst, which has these
// manifests: what the registry lists, what the tag that stands for its list
// names, and cosign's tags; and what refers to all that in turn. In a
// registry that does not say that it lists them, the tag is kept (OCI
// distribution-spec, "Pushing Manifests with Subject").
//
// One that fails keeps no other from being copied; the error is that of the
// first. Errors: those of [transfer.Copy], [*ReferrerError] around them and
// where there are too many, [*PagingError].
func CopyReferrers(ctx context.Context, src, dst *Repository, of []v1.Descriptor, o transfer.Options) ([]Referrer, error) {
	o.Platform = nil // an index that refers to something is one thing
	c := &referring{src: src, dst: dst, o: o, seen: map[v1.Hash]bool{}, tags: map[string]bool{}}
	tags, err := src.Tags(ctx)
	if err != nil {
		return nil, err
	}
	for _, tag := range tags {
		c.tags[tag] = true
	}
	for _, d := range of {
		c.seen[d.Digest] = true
	}
	for _, d := range of {
		if err := c.all(ctx, d.Digest, 1); err != nil {
			return c.copied, err
		}
	}
	return c.copied, c.failed
}

// A ReferrerError says what refers to an image and could not be copied.
type ReferrerError struct {
	Name string // HOST/REPOSITORY with a digest or a tag
	Err  error
}

func (e *ReferrerError) Error() string { return "referrer " + e.Name + ": " + e.Err.Error() }
func (e *ReferrerError) Unwrap() error { return e.Err }

// Reasons to leave referrers behind.
var (
	errTooMany  = fmt.Errorf("more than %d of them", maxReferrers)
	errTooFar   = fmt.Errorf("it refers to the image by more than %d others", maxReferring)
	errNotIndex = errors.New("under the tag for its referrers is something else than their list")
)

type referring struct {
	src, dst *Repository
	o        transfer.Options

	tags   map[string]bool // of src
	noAPI  bool            // src lists no referrers
	seen   map[v1.Hash]bool
	copied []Referrer
	failed error // the first failure
}

// fail notes that one could not be copied; an end of ctx ends it all.
func (c *referring) fail(ctx context.Context, name string, err error) error {
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	if c.failed == nil {
		c.failed = &ReferrerError{Name: name, Err: err}
	}
	return nil
}

// all copies what refers to of, and what refers to that.
func (c *referring) all(ctx context.Context, of v1.Hash, far int) error {
	list, err := c.list(ctx, of)
	if err != nil {
		return err
	}
	var untold []v1.Descriptor // of which dst does not say that it knows what they refer to
	for _, ref := range list {
		name := c.src.img.Name() + "@" + ref.Digest.String()
		if ref.Tag != "" {
			name = c.src.img.Name() + ":" + ref.Tag
		}
		switch {
		case c.seen[ref.Digest]:
			continue
		case len(c.copied) >= maxReferrers:
			return &ReferrerError{Name: name, Err: errTooMany}
		case far > maxReferring:
			if err := c.fail(ctx, name, errTooFar); err != nil {
				return err
			}
			continue
		}
		c.seen[ref.Digest] = true
		desc, known, err := c.one(ctx, ref, of)
		switch {
		case err != nil:
			if err := c.fail(ctx, name, err); err != nil {
				return err
			}
			continue
		case desc == nil:
			continue
		case !known:
			untold = append(untold, *desc)
		}
		c.copied = append(c.copied, ref)
		if err := c.all(ctx, ref.Digest, far+1); err != nil {
			return err
		}
	}
	return c.tell(ctx, of, untold)
}

// list finds what refers to of in src.
func (c *referring) list(ctx context.Context, of v1.Hash) ([]Referrer, error) {
	var all []Referrer
	if !c.noAPI {
		listed, err := c.src.listed(ctx, of)
		e, ok := errors.AsType[*Error](err)
		switch {
		case ok && lacksAPI(e.Status):
			c.noAPI = true
		case err != nil:
			return nil, err
		}
		all = listed
	}
	if c.tags[tagOf(of)] { // a registry that lists them may know of some by the tag alone
		tagged, err := c.src.byTagSchema(ctx, of)
		if err != nil {
			return nil, err
		}
		all = append(all, tagged...)
	}
	for _, t := range cosignTags {
		tag := tagOf(of) + t.suffix
		if !c.tags[tag] {
			continue
		}
		m, err := c.src.get(ctx, tag, "")
		if err != nil {
			return nil, err
		}
		// Harbor lists what has such a tag too, without one.
		all = slices.DeleteFunc(all, func(r Referrer) bool { return r.Digest == m.desc.Digest })
		all = append(all, Referrer{Kind: t.kind, MediaType: string(m.desc.MediaType), Digest: m.desc.Digest, Size: m.desc.Size, Tag: tag})
	}
	return all, nil
}

// one copies one of them. It returns how a list has it, and whether dst lists it
// by itself; nil for what does not refer to of, whatever the list says.
func (c *referring) one(ctx context.Context, ref Referrer, of v1.Hash) (*v1.Descriptor, bool, error) {
	from, to := c.src.at(ref.Tag, ref.Digest), c.dst.at(ref.Tag, ref.Digest)
	src, desc, err := transfer.Pin(ctx, from)
	if err != nil {
		return nil, false, err
	}
	raw, err := from.Manifest(ctx, desc)
	if err != nil {
		return nil, false, err
	}
	entry, subject := describeReferrer(desc, raw)
	if ref.Tag == "" && subject != of {
		return nil, false, nil
	}
	if _, err := transfer.Copy(ctx, src, to, c.o); err != nil {
		return nil, false, err
	}
	if (subject == v1.Hash{}) {
		return &entry, true, nil
	}
	known, err := c.listedAt(ctx, to, subject, desc.Digest)
	return &entry, known, err
}

// listedAt says whether dst lists what was copied by itself: by the answer when
// it was put, or else, since it was there before, by the list.
func (c *referring) listedAt(ctx context.Context, to *Repository, subject, digest v1.Hash) (bool, error) {
	if answer, put := to.subjectTold(); put {
		return answer == subject.String(), nil
	}
	all, err := c.dst.listed(ctx, subject)
	if e, ok := errors.AsType[*Error](err); ok && lacksAPI(e.Status) {
		return false, nil
	}
	return slices.ContainsFunc(all, func(r Referrer) bool { return r.Digest == digest }), err
}

// at is what else the repository has, by a tag or else a digest.
func (r *Repository) at(tag string, digest v1.Hash) *Repository {
	img := r.img
	img.Tag, img.Digest = tag, ""
	if tag == "" {
		img.Digest = digest.String()
	}
	other := Open(img, r.rt, r.base).InChunks(r.chunk).MountFrom(r.from)
	other.wait, other.pushes = r.wait, r.pushes
	r.mu.Lock()
	defer r.mu.Unlock()
	other.mounts, other.noFrom = r.mounts, r.noFrom
	return other
}

// describeReferrer is how a list of referrers has a manifest, and what that
// refers to; the zero digest: nothing.
func describeReferrer(desc v1.Descriptor, raw []byte) (entry v1.Descriptor, subject v1.Hash) {
	var m struct {
		ArtifactType string            `json:"artifactType"`
		Config       v1.Descriptor     `json:"config"`
		Subject      *v1.Descriptor    `json:"subject"`
		Annotations  map[string]string `json:"annotations"`
	}
	if json.Unmarshal(raw, &m) != nil { // Copy says so
		return desc, v1.Hash{}
	}
	entry = v1.Descriptor{MediaType: desc.MediaType, Size: desc.Size, Digest: desc.Digest, ArtifactType: m.ArtifactType, Annotations: m.Annotations}
	if entry.ArtifactType == "" {
		entry.ArtifactType = string(m.Config.MediaType)
	}
	if m.Subject != nil {
		subject = m.Subject.Digest
	}
	return entry, subject
}

// sawSubject notes what the registry says that a manifest refers to. One that
// says so lists it.
func (r *Repository) sawSubject(resp *http.Response) {
	subject := resp.Header.Get("OCI-Subject")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = &subject
}

// subjectTold is what the registry said of the manifest that was put last, and
// false if none was.
func (r *Repository) subjectTold() (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.told == nil {
		return "", false
	}
	return *r.told, true
}

// tell adds entries to the list of what refers to of that dst keeps under a tag.
func (c *referring) tell(ctx context.Context, of v1.Hash, entries []v1.Descriptor) error {
	if len(entries) == 0 {
		return nil
	}
	name := c.dst.img.Name() + ":" + tagOf(of)
	if err := c.dst.at(tagOf(of), v1.Hash{}).list(ctx, entries); err != nil {
		return c.fail(ctx, name, err)
	}
	return nil
}

// list adds entries to the index that r names, which may be missing. What else
// is in it stays as it is.
func (r *Repository) list(ctx context.Context, entries []v1.Descriptor) error {
	index := map[string]json.RawMessage{"schemaVersion": json.RawMessage("2"), "mediaType": json.RawMessage(`"` + types.OCIImageIndex + `"`)}
	listed, manifests := map[v1.Hash]bool{}, []json.RawMessage{}
	m, err := r.get(ctx, r.img.Tag, "")
	switch {
	case err == nil:
		if manifests, err = readIndex(m, index, listed); err != nil {
			return err
		}
	case !errors.Is(err, transfer.ErrNotFound):
		return err
	}
	before := len(manifests)
	for _, e := range entries {
		if listed[e.Digest] {
			continue
		}
		raw, err := json.Marshal(e)
		if err != nil {
			return err
		}
		manifests = append(manifests, raw)
	}
	if len(manifests) == before {
		return nil
	}
	if index["manifests"], err = json.Marshal(manifests); err != nil {
		return err
	}
	raw, err := json.Marshal(index)
	if err != nil {
		return err
	}
	if len(raw) > transfer.MaxManifest {
		return errTooMany
	}
	digest, err := digestOf("sha256", raw)
	if err != nil {
		return err
	}
	return r.put(ctx, r.img.Tag, v1.Descriptor{MediaType: types.OCIImageIndex, Size: int64(len(raw)), Digest: digest}, raw)
}

// readIndex takes a list of referrers apart.
func readIndex(m manifest, index map[string]json.RawMessage, listed map[v1.Hash]bool) ([]json.RawMessage, error) {
	var manifests []json.RawMessage
	if !m.desc.MediaType.IsIndex() || json.Unmarshal(m.raw, &index) != nil || json.Unmarshal(index["manifests"], &manifests) != nil {
		return nil, errNotIndex
	}
	for _, raw := range manifests {
		var d v1.Descriptor
		if json.Unmarshal(raw, &d) != nil {
			return nil, errNotIndex
		}
		listed[d.Digest] = true
	}
	return manifests, nil
}

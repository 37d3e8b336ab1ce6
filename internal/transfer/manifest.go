package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	maxDepth     = 4                // indexes below one another
	maxChildren  = 4096             // manifests below one root, and in one index
	maxManifests = 16 * MaxManifest // bytes of all manifests of one root: they are in memory together
)

// A node is a manifest or index that was verified and found to be in order.
type node struct {
	desc     v1.Descriptor
	raw      []byte
	children []v1.Descriptor // manifests and indexes that an index names
	blobs    []v1.Descriptor // config and layers, or what else an index names
}

func (n *node) isIndex() bool { return n.desc.MediaType.IsIndex() }

// document is what images and indexes have at their top; a pointer that is not
// nil tells an empty list from none.
type document struct {
	SchemaVersion int              `json:"schemaVersion"`
	MediaType     types.MediaType  `json:"mediaType"`
	Config        *v1.Descriptor   `json:"config"`
	Layers        *[]v1.Descriptor `json:"layers"`
	Manifests     *[]v1.Descriptor `json:"manifests"`
	FSLayers      json.RawMessage  `json:"fsLayers"` // schema 1
}

// parse reads the verified bytes of a manifest or index. Every descriptor in
// the node it returns has a well-formed digest and a size that is not negative.
// Errors are [*ManifestError].
func parse(desc v1.Descriptor, raw []byte) (*node, error) {
	bad := func(why string) (*node, error) {
		return nil, &ManifestError{Digest: desc.Digest, Why: why}
	}
	var doc document
	if err := json.Unmarshal(raw, &doc); err != nil {
		return bad("cannot be read: " + unreadable(err))
	}
	if desc.MediaType.IsSchema1() || doc.MediaType.IsSchema1() || doc.SchemaVersion == 1 || len(doc.FSLayers) > 0 {
		return bad(schema1)
	}
	// The three checks of CVE-2021-41190: what the descriptor says, what the
	// document says of itself and what it holds are one and the same.
	switch {
	case desc.MediaType == "":
		desc.MediaType = doc.MediaType
	case doc.MediaType != "" && doc.MediaType != desc.MediaType:
		return bad(fmt.Sprintf("is called %s but says of itself that it is %s",
			quoted(string(desc.MediaType)), quoted(string(doc.MediaType))))
	}
	if doc.Manifests != nil && (doc.Layers != nil || doc.Config != nil) {
		return bad("is an image and an index at once")
	}
	n := &node{desc: desc, raw: raw}
	var why string
	switch {
	case desc.MediaType.IsImage():
		why = n.image(doc)
	case desc.MediaType.IsIndex():
		why = n.index(doc)
	default:
		why = "its media type " + quoted(string(desc.MediaType)) + " is not one of an image or an index"
	}
	if why != "" {
		return bad(why)
	}
	return n, nil
}

const schema1 = "Docker's image format schema 1 is not supported; push the image again with a newer client"

func (n *node) image(doc document) (why string) {
	if doc.Config == nil {
		return "is called an image but has no config"
	}
	n.blobs = append(n.blobs, *doc.Config)
	if doc.Layers != nil {
		n.blobs = append(n.blobs, *doc.Layers...)
	}
	return checkAll(n.blobs)
}

func (n *node) index(doc document) (why string) {
	if doc.Manifests == nil {
		return "is called an index but has no manifests"
	}
	if len(*doc.Manifests) > maxChildren {
		return fmt.Sprintf("names %d manifests; no more than %d are taken", len(*doc.Manifests), maxChildren)
	}
	for _, d := range *doc.Manifests {
		if d.MediaType.IsImage() || d.MediaType.IsIndex() || d.MediaType.IsSchema1() {
			n.children = append(n.children, d)
		} else {
			n.blobs = append(n.blobs, d)
		}
	}
	return checkAll(*doc.Manifests)
}

func checkAll(descs []v1.Descriptor) (why string) {
	for _, d := range descs {
		if why := check(d); why != "" {
			return why
		}
	}
	return ""
}

// check says what is wrong with a descriptor, "" if nothing is. Digests are
// proven here to be of a known algorithm and of the right length in lower-case
// hex before any path or URL is made of them (CVE-2024-3727).
func check(d v1.Descriptor) (why string) {
	if _, err := v1.NewHash(d.Digest.String()); err != nil {
		return "holds a descriptor without a usable digest"
	}
	if d.Size < 0 {
		return fmt.Sprintf("gives %s a size of %d bytes", d.Digest, d.Size)
	}
	if len(d.Data) > 0 && verifyManifest(d, d.Data) != nil {
		return fmt.Sprintf("has data for %s that are not its bytes", d.Digest)
	}
	return ""
}

// same says whether two descriptors that have one digest agree on its size.
func same(a, b v1.Descriptor) bool { return a.Size == b.Size }

// quoted makes foreign text fit for an error.
func quoted(s string) string {
	const limit = 160 // bytes
	if len(s) > limit {
		s = string(bytes.ToValidUTF8([]byte(s[:limit]), nil)) + "..."
	}
	return strconv.Quote(s)
}

// unreadable says why JSON is not what it should be; json's own words for a
// value of another kind are about types of this program.
func unreadable(err error) string {
	other, ok := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case !ok:
		return quoted(err.Error())
	case other.Field == "":
		return "it is not a JSON object"
	}
	return quoted(other.Field) + " in it is of another kind than it should be"
}

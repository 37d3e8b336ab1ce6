package transfer

import v1 "github.com/google/go-containerregistry/pkg/v1"

// Named verifies the bytes of a manifest or index and returns what it names:
// manifests and indexes, and blobs, the config of an image first. desc.MediaType
// may be empty where the bytes say it. Errors are [*DigestError] and [*ManifestError].
func Named(desc v1.Descriptor, raw []byte) (manifests, blobs []v1.Descriptor, err error) {
	if why := check(desc); why != "" {
		return nil, nil, &ManifestError{Digest: desc.Digest, Why: why}
	}
	if err := verifyManifest(desc, raw); err != nil {
		return nil, nil, err
	}
	n, err := parse(desc, raw)
	if err != nil {
		return nil, nil, err
	}
	return n.children, n.blobs, nil
}

package engine

import (
	"path"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Names in the archives that engines take and give: an OCI layout
// (opencontainers/image-spec image-layout.md) and docker's own beside it
// (moby image/tarexport/tarexport.go).
const (
	layoutFile   = "oci-layout"
	indexFile    = "index.json"
	manifestFile = "manifest.json"
	blobFolder   = "blobs"

	imageNameKey = "io.containerd.image.name" // full name (containerd images/annotations.go)
	refNameKey   = "org.opencontainers.image.ref.name"
)

// dockerImage is one image in manifest.json.
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func blobName(h v1.Hash) string { return path.Join(blobFolder, h.Algorithm, h.Hex) }

package cmd

import (
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
)

// A copyError is what a registry said to a copy: what a push can be told to do
// is no help where there is nothing here to push.
type copyError struct {
	src, dst string // as they can be typed
	err      error
}

func (e *copyError) Error() string { return e.err.Error() }
func (e *copyError) Unwrap() error { return e.err }

// hints are those that differ from a push's; none where they do not.
func (e *copyError) hints(r *registry.Error, img ref.Image) []string {
	switch r.Refusal {
	case registry.ImmutableTag:
		return []string{"copy it under another tag: vicr copy " + e.src + " " + img.Name() + ":NEW"}
	case registry.IndexRefused:
		return []string{onePlatformOf(e.src, e.dst)}
	case registry.OCIRefused:
		return []string{buildForDocker(img), "or take it through a Docker engine without the containerd image store: vicr copy " + e.src + " docker:" + e.dst + " and then: vicr push --from docker " + e.dst}
	case registry.ProjectUnnamed:
		if r.Reads() {
			return nil
		}
		return []string{"every image is in a project: vicr copy " + e.src + " " + img.Host.String() + "/PROJECT/" + img.Repository + reference(img) + "; the projects: vicr ls " + img.Host.String()}
	case registry.TooLarge:
		return []string{"bring it here: vicr copy " + e.src + " store:" + e.dst + " and send smaller requests: vicr push --from store --chunk-size 512KiB " + e.dst}
	}
	return nil
}

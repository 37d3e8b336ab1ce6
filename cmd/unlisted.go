package cmd

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/harbor"
	"github.com/vicr-cli/vicr/internal/ref"
)

// warnUnlisted says, before an image is sent, that a Harbor will not list it.
// One is how the command that was typed takes one image out of an index.
func (a *app) warnUnlisted(asks auth.Asks, img ref.Image, root v1.Descriptor, one string) {
	if harbor.Lists(asks.Service, asks.Message, string(root.MediaType)) {
		return
	}
	if a.unlisted {
		a.warn("%s is in no list there either", img)
		return
	}
	a.unlisted = true
	what, hints := "an image of OCI's media types", dockerTypes(img)
	switch {
	case root.MediaType == types.DockerManifestList:
		what, hints = "an index", []string{one}
	case root.MediaType.IsIndex(): // so are its images
		what = "an index of OCI's media types"
	}
	a.warn("%s is a Harbor before 2.0, which takes note of images of docker's media types alone; this is %s: %s can be pulled, but is in no list of repositories and not in the portal", img.Host, what, img)
	for _, h := range hints {
		a.say("vicr: hint: %s", a.typed(h))
	}
}

// dockerTypes say how an image comes to have docker's media types.
func dockerTypes(img ref.Image) []string {
	name := img.String()
	return []string{
		buildForDocker(img),
		"or take it through a Docker engine without the containerd image store: vicr pull --to docker " + name + " and then: vicr push --from docker " + name,
	}
}

func buildForDocker(img ref.Image) string {
	return "build it with docker's media types: docker buildx build --provenance=false --output type=image,oci-mediatypes=false -t " + img.String() + " ."
}

// onePlatform says how one image comes out of an index by a push.
func onePlatform(img ref.Image) string {
	return "choose one image, from the same place: vicr push --platform linux/amd64 " + img.String()
}

// onePlatformOf says how one does by a copy.
func onePlatformOf(src, dst string) string {
	return "copy one image of it: vicr copy --platform linux/amd64 " + src + " " + dst
}

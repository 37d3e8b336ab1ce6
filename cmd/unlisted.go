package cmd

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/harbor"
	"github.com/vicr-cli/vicr/internal/ref"
)

// warnUnlisted says, before an image is sent, that a Harbor will not list it.
func (a *app) warnUnlisted(asks auth.Asks, img ref.Image, root v1.Descriptor) {
	if harbor.Lists(asks.Service, asks.Message, string(root.MediaType)) {
		return
	}
	what, hints := "an image of OCI's media types", dockerTypes(img)
	if root.MediaType.IsIndex() {
		what, hints = "an index", onePlatform(img)
	}
	a.warn("%s is a Harbor before 2.0, which takes note of images of docker's media types alone; this is %s: %s can be pulled, but this push is in no list of repositories and not in the portal", img.Host, what, img)
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

// onePlatform says how one image comes out of an index.
func onePlatform(img ref.Image) []string {
	return []string{"choose one image, from the same place: vicr push --platform linux/amd64 " + img.String()}
}

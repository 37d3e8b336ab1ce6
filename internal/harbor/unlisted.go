package harbor

import (
	"regexp"
	"sync"
)

// askedByRegistry is how Distribution asks for a token. Before 2.0 it is asked
// itself; from then on core stands before it, and has other words
// (goharbor/harbor src/server/middleware/v2auth).
const askedByRegistry = "authentication required"

// recorded are the media types of which Harbor before 2.0 takes note (through
// v1.10: manifestPattern in src/core/service/notifications/registry).
var recorded = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^application/vnd\.docker\.distribution\.manifest\.v\d\+(json|prettyjws)`)
})

// Lists says whether a manifest of this media type will be seen in the lists of
// the API and in the portal. Service and message are those with which the
// registry asks who somebody is: a Harbor before 2.0, which is known by them,
// takes manifests of other types than docker's, and lists none of them.
func Lists(service, message, mediaType string) bool {
	return !IsService(service) || message != askedByRegistry || recorded().MatchString(mediaType)
}

package cmd

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/wire"
)

// What docker says in cases that are told apart here.
const (
	sayNoProject = "unauthorized: project nope not found: project nope not found (Harbor 2); denied: requested access to the resource is denied (Harbor 1)"
	sayNoPush    = "unauthorized: unauthorized to access repository: demo/dk2, action: push: ... (Harbor 2); denied: requested access to the resource is denied (Harbor 1)"
	sayUnnamed   = "received unexpected HTTP status: 500 Internal Server Error (after a minute; Harbor 1)"
	say413       = "error parsing HTTP 413 response body: invalid character '<' looking for beginning of value: \"<html>...413 Request Entity Too Large..."
)

// refusalRules are what registries refuse, each with what docker says of it
// where that was recorded.
var refusalRules = []rule{
	{
		code: codeUsage, when: "the name has no project in it, and Harbor keeps every image in one", match: isRefusal(registry.ProjectUnnamed), try: "write HOST/PROJECT/NAME; the projects: vicr ls HOST", hints: refusalHints,
		docker: sayUnnamed,
	},
	{
		code: codeDenied, when: "nobody is logged in", match: isRefusal(registry.LoginNeeded), try: "vicr login HOST", hints: refusalHints,
		docker: "unauthorized: unauthorized to access repository: demo/app, action: pull: ... (Harbor 2); pull access denied for HOST/demo/sk, repository does not exist or may require 'docker login': denied: requested access to the resource is denied (Harbor 1)",
	},
	{
		code: codeDenied, when: "the user has no permission in the project", match: isRefusal(registry.NotPermitted),
		try: "vicr login HOST, as a user who may do this; or have an administrator of the project make this one a member", hints: refusalHints,
		docker: "unauthorized: unauthorized to access repository: demo/dk2, action: push: ... (Harbor 2)",
	},
	{
		code: codeDenied, when: "the user has no permission, or there is no such project: this registry answers both alike", match: isRefusal(registry.Hidden),
		try: "vicr doctor HOST/PROJECT says which of the two it is", hints: refusalHints, docker: "denied: requested access to the resource is denied (Harbor 1)",
	},
	{
		code: codeRefused, when: "the quota of the project does not allow so much", match: isRefusal(registry.OverQuota),
		try: "vicr ls HOST/PROJECT shows what is there; remove what nobody needs, or ask the administrator for more", hints: refusalHints,
		docker: "denied: adding 2.9 MiB of storage resource, which when updated to current usage of 0 B will exceed the configured upper limit of 1.0 MiB.",
	},
	{
		code: codeRefused, when: "the tag is immutable", match: isRefusal(registry.ImmutableTag), try: "push under another tag: vicr tag HOST/NAME:TAG HOST/NAME:NEW, then vicr push HOST/NAME:NEW", hints: refusalHints,
		docker: "unknown: Failed to process request due to 'app:v1' configured as immutable. (after all layers were sent)",
	},
	{
		code: codeRefused, when: "the registry is in read-only mode", match: isRefusal(registry.ReadOnly), try: "run it again when the administrator has ended read-only mode; vicr pull works meanwhile",
		docker: "denied: The system is in read only mode. Any modification is prohibited.",
	},
	{code: codeRefused, when: "the project is a proxy cache", match: isRefusal(registry.ProxyProject), try: "push to another project: vicr ls HOST", hints: refusalHints, docker: "denied: can not push artifact to a proxy project: cache"},
	{
		code: codeRefused, when: "the image has vulnerabilities that its project does not give out", match: isRefusal(registry.Vulnerable),
		try:    "push a mended image, or have an administrator of the project put the vulnerabilities on its CVE allowlist",
		docker: "unknown: current image with 3 vulnerabilities cannot be pulled due to configured policy in 'Prevent images with vulnerability severity of \"High\" or higher from running.' ...",
	},
	{
		code: codeRefused, when: "the image has no signature, and its project gives out none without", match: isRefusal(registry.Unsigned),
		try: "have the image signed: cosign sign HOST/NAME@DIGEST, or the tool that the message names", hints: refusalHints,
		docker: "unknown: The image is not signed by cosign.",
	},
	{code: codeRefused, when: "a policy of the project forbids it", match: isRefusal(registry.ProjectPolicy), try: "ask an administrator of the project about the policy that the message names"},
	{
		code: codeRefused, when: "the registry takes images for one platform alone", match: isRefusal(registry.IndexRefused),
		try: "choose one image, from the same place: vicr push --platform linux/amd64 NAME", hints: refusalHints,
	},
	{
		code: codeRefused, when: "the registry is older than OCI's media types, and calls such a manifest invalid", match: isRefusal(registry.OCIRefused),
		try: "build the image with docker's media types: docker buildx build --provenance=false --output type=image,oci-mediatypes=false", hints: refusalHints,
	},
	{code: codeRefused, when: "the registry does not take this media type", match: isRefusal(registry.TypeRefused), try: "build the image with docker's media types: docker buildx build --provenance=false --output type=image,oci-mediatypes=false"},
	{
		code: codeNetwork, when: "the storage that the registry sends clients to refuses", match: isRefusal(registry.StorageRefused),
		try: "run it again, since its links are good for a while only; if that does not help, the administrator of HOST has to look at its storage",
	},
	{
		code: codeNetwork, when: "the registry sends uploads on to another address than its own, which refuses them", match: isRefusal(registry.UploadAstray),
		try: "the administrator of HOST has to mend the address that it has for itself: external_url of Harbor, or the Host and X-Forwarded-Proto headers of a proxy in front",
	},
	{code: codeNetwork, when: "the registry speaks TLS, and was asked in clear", match: isRefusal(registry.AskedInClear), try: "leave --plain-http away; if its certificate is not trusted yet: vicr trust HOST"},
	{code: codeNetwork, when: "what stands in front of the registry takes no request so large", match: isRefusal(registry.TooLarge), try: "vicr push --chunk-size 512KiB NAME sends it in smaller requests", hints: refusalHints, docker: say413},
	{code: codeNetwork, when: "what stands in front of the registry takes no manifest so large", match: isRefusal(registry.ManifestLarge), try: "a manifest cannot be sent in parts: the administrator of HOST has to let larger requests through; in nginx that is client_max_body_size", docker: say413},
	{code: codeNetwork, when: "the registry asks for fewer requests, for longer than vicr waits", match: eitherOf(isRefusal(registry.RateLimited), isKind(wire.RateLimited)), try: "run it again later, with fewer at once: --jobs 1", hints: rateHints, docker: "toomanyrequests"},
}

// isRefusal matches what a registry refused for that reason.
func isRefusal(want registry.Refusal) func(error) bool {
	return func(err error) bool {
		var r *registry.Error
		return errors.As(err, &r) && r.Refusal == want
	}
}

// whyDenied is err, or that the registry refuses the password: with a wrong one
// Harbor gives a token that is good for what everybody may.
func (r *road) whyDenied(ctx context.Context, err error) error {
	if r.anonymous || !isRefusal(registry.NotPermitted)(err) && !isRefusal(registry.Hidden)(err) {
		return err
	}
	if _, refused := r.auth.Verify(ctx); is[*auth.DeniedError](refused) {
		return refused
	}
	return err
}

func eitherOf(a, b func(error) bool) func(error) bool {
	return func(err error) bool { return a(err) || b(err) }
}

// refusalHints name the image and the project that a registry's refusal is
// about; none where the error does not have them.
func refusalHints(err error, host string) []string {
	var r *registry.Error
	if !errors.As(err, &r) {
		return nil
	}
	img, bad := ref.ParseImage(r.Image)
	if bad != nil {
		return nil
	}
	if c, ok := errors.AsType[*copyError](err); ok {
		if hints := c.hints(r, img); hints != nil {
			return hints
		}
	}
	project := host + "/" + r.Project()
	switch r.Refusal {
	case registry.ProjectUnnamed:
		if r.Reads() {
			return []string{"every image is in a project; if it is in library: vicr pull " + host + "/library/" + img.Repository + reference(img) + "; the projects: vicr ls " + host}
		}
		return []string{"every image is in a project: vicr tag " + r.Image + " " + host + "/PROJECT/" + img.Repository + reference(img) + "; the projects: vicr ls " + host}
	case registry.ProjectMissing:
		if r.Reads() { // a project made now has nothing in it
			return []string{"check the name; what there is: vicr ls " + host}
		}
		hints := []string{"make it: vicr project create " + project, "or check the name; what there is: vicr ls " + host}
		if r.Nobody { // Harbor 2 says to everybody what is not there, and lets users alone make it
			return append([]string{"vicr login " + host}, hints...)
		}
		return hints
	case registry.NotPermitted:
		return []string{"log in as a user who may: vicr login " + host, "or have an administrator of project " + r.Project() + " make this user a member"}
	case registry.Hidden:
		return []string{"which of the two: vicr doctor " + project, "log in as a user who may: vicr login " + host}
	case registry.OverQuota:
		return []string{"make room, or ask the administrator for more; what is there: vicr ls " + project}
	case registry.ImmutableTag:
		name := img.Name() + ":NEW"
		if r.Op == registry.OpTag {
			return []string{"choose another tag: vicr tag --remote " + r.Source + " " + name}
		}
		return []string{"push under another tag: vicr tag " + r.Image + " " + name + " and then: vicr push " + name}
	case registry.Unsigned:
		return signHints(r, img)
	case registry.IndexRefused:
		return []string{onePlatform(img)}
	case registry.OCIRefused:
		return []string{buildForDocker(img), "or push it from a Docker engine without the containerd image store: vicr push --from docker " + r.Image}
	case registry.TooLarge:
		return []string{"send smaller requests: vicr push --chunk-size 512KiB " + r.Image}
	}
	return nil
}

func reference(img ref.Image) string {
	if img.Digest != "" {
		return "" // a new name has none
	}
	return ":" + img.Tag
}

// signHints name the tool that made the signatures that are asked for.
func signHints(r *registry.Error, img ref.Image) []string {
	message := strings.ToLower(r.Message)
	switch {
	case strings.Contains(message, "notation"):
		return []string{"have it signed: notation sign " + r.Image}
	case strings.Contains(message, "notary"):
		return []string{"have it signed: DOCKER_CONTENT_TRUST=1 docker push " + r.Image}
	case strings.Contains(message, "cosign"):
		return []string{"have it signed: cosign sign " + img.Name() + reference(img)}
	}
	return nil
}

// rateHints say when the registry wants to be asked again, and by whom.
func rateHints(err error, host string) (hints []string) {
	if rate, ok := errors.AsType[*wire.RateError](err); ok && !rate.At.IsZero() {
		hints = append(hints, "run it again after "+rate.At.UTC().Format(time.RFC3339)+", "+rate.Wait()+" from now")
	} else {
		hints = append(hints, "run it again later, with fewer at once: --jobs 1")
	}
	if limit, ok := errors.AsType[*registry.LimitError](err); ok && limit.Nobody {
		hints = append(hints, "or log in, since most registries let a user ask more often than nobody: vicr login "+host)
	}
	return hints
}

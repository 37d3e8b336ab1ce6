package registry

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/vicr-cli/vicr/internal/wire"
)

// A Refusal says in one word why the registry did not do what it was asked.
type Refusal string

// The refusals of an [Error]. Harbor answers one and the same 401 where there
// is no project, no permission and no login; the first four are as far as its
// answer and our knowing whether somebody is logged in tell them apart.
const (
	Unexplained    Refusal = ""
	ProjectMissing Refusal = "project missing"
	LoginNeeded    Refusal = "login needed"    // nobody is logged in
	NotPermitted   Refusal = "not permitted"   // to the user who is
	Hidden         Refusal = "hidden"          // Harbor 1: no permission or no such project
	OverQuota      Refusal = "over quota"      // of the project
	ImmutableTag   Refusal = "immutable tag"   // that is there already
	ReadOnly       Refusal = "read only"       // the whole registry
	ProxyProject   Refusal = "proxy project"   // takes no push
	Vulnerable     Refusal = "vulnerable"      // not given out for its CVEs
	Unsigned       Refusal = "unsigned"        // not given out without a signature
	ProjectPolicy  Refusal = "project policy"  // not given out for another reason
	ProjectUnnamed Refusal = "project unnamed" // HOST/NAME, where every image is in a project
	IndexRefused   Refusal = "index refused"   // Harbor 1 takes images for one platform alone
	OCIRefused     Refusal = "oci refused"     // Distribution before 2.7 calls such manifests invalid
	TypeRefused    Refusal = "type refused"    // another media type
	TooLarge       Refusal = "too large"       // a blob, for what is in front of the registry
	ManifestLarge  Refusal = "manifest large"  // a manifest, for that
	RateLimited    Refusal = "rate limited"
	StorageRefused Refusal = "storage refused" // by another host, to which the registry sent
	UploadAstray   Refusal = "upload astray"   // refused by another origin, at which the registry said that it goes on
	AskedInClear   Refusal = "asked in clear"  // it speaks TLS there
)

// A form is how a refusal is told: by some generation of Harbor, or by every
// registry. The message counts where several refusals share status and code.
type form struct {
	refusal  Refusal
	statuses []int
	code     *regexp.Regexp // nil: any
	message  *regexp.Regexp // nil: any
}

// forms are asked in order. Their sources: src/server/middleware (2.x),
// src/core/middlewares (1.9, 1.10), src/ui and src/core/proxy/interceptors.go
// (1.1 to 1.8) of Harbor.
var forms = sync.OnceValue(func() []form {
	// What Harbor 2 answers, with 401 and an empty challenge, where there is no
	// such project ("project x not found: project x not found").
	projectShape := regexp.MustCompile(`^project \S+ not found\b`)
	policyCode := regexp.MustCompile(`^PROJECT_?POLICY_?VIOLATION$`)
	return []form{
		{ProjectMissing, []int{401, 403, 404}, nil, projectShape},
		{ReadOnly, []int{403}, nil, regexp.MustCompile(`(?i)\bread[ -]only mode\b`)},
		{ProxyProject, []int{403, 405}, nil, regexp.MustCompile(`(?i)\bto a proxy project\b`)},
		{OverQuota, []int{403, 406, 412, 413, 507}, nil, regexp.MustCompile(`(?i)\bexceed the configured upper limit\b|\bquota exceeded\b`)},
		{ImmutableTag, []int{403, 412}, nil, regexp.MustCompile(`(?i)\bconfigured as immutable\b`)},
		{Unsigned, []int{403, 412}, policyCode, regexp.MustCompile(`(?i)\bnot signed\b`)},
		{Vulnerable, []int{403, 412}, policyCode, regexp.MustCompile(`(?i)\bvulnerabilit(y|ies)\b`)},
		{ProjectPolicy, []int{403, 412}, policyCode, nil},
		{ProjectUnnamed, []int{400}, nil, regexp.MustCompile(`(?i)\binvalid repository name\b`)},
		{IndexRefused, []int{415}, nil, regexp.MustCompile(`(?i)\bmanifest\.list\b`)},
		{TypeRefused, []int{415}, nil, nil},
		{TooLarge, []int{413}, nil, nil},
		{RateLimited, []int{429}, nil, nil},
	}
})

// inClear is what net/http (server.go) and nginx say, in HTTP, to who speaks HTTP
// where they speak TLS.
var inClear = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)\bHTTP request (was sent )?to (an )?HTTPS\b`)
})

func (f form) fits(e *Error) bool {
	return slices.Contains(f.statuses, e.Status) &&
		(f.code == nil || f.code.MatchString(e.Code)) && (f.message == nil || f.message.MatchString(e.Message))
}

// A knower is a round-tripper that says whether somebody is logged in, as
// package auth's does.
type knower interface{ LoggedIn() bool }

// nobody says whether nobody is logged in. A round-tripper that does not know
// of logins counts as logged in.
func (r *Repository) nobody() bool {
	k, ok := r.rt.(knower)
	return ok && !k.LoggedIn()
}

// refusalOf says why the registry answered e.
func (r *Repository) refusalOf(e *Error, resp *http.Response) Refusal {
	denied := e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
	if resp.Request != nil && wire.OriginOf(resp.Request.URL) != wire.OriginOf(r.base) {
		e.Elsewhere = wire.OriginOf(resp.Request.URL)
	}
	if denied && e.Elsewhere != "" && e.Op != opPush {
		return StorageRefused // it knows no users, and was told of none
	}
	for _, f := range forms() {
		if f.fits(e) {
			return f.refusal
		}
	}
	switch {
	case e.Elsewhere != "" && e.Op == opPush && e.Status < http.StatusInternalServerError:
		return UploadAstray
	case !denied:
		return Unexplained
	}
	if e.Nobody {
		return LoginNeeded
	}
	// What Distribution says of a token that is too small, and so all that
	// Harbor 1 says; a project that is not there has such tokens too.
	if strings.Contains(strings.Join(resp.Header.Values("Www-Authenticate"), ","), `error="insufficient_scope"`) {
		return Hidden
	}
	return NotPermitted
}

// words are what e means, without foreign text; "" if that is not known.
func (e *Error) words() string {
	switch e.Refusal {
	case ProjectMissing:
		return "there is no project " + strconv.Quote(e.Project())
	case LoginNeeded:
		return "nobody is logged in"
	case NotPermitted:
		return "this user may not do that"
	case Hidden:
		return "this user may not do that, or there is no project " + strconv.Quote(e.Project())
	case OverQuota:
		return "it is more than the project's quota allows"
	case ImmutableTag:
		return "the tag is there and cannot be replaced"
	case ReadOnly:
		return "the registry is in read-only mode"
	case ProxyProject:
		return "the project is a proxy cache, which takes no push"
	case Vulnerable:
		return "the project gives out no image with such vulnerabilities"
	case Unsigned:
		return "the project gives out no image without a signature"
	case ProjectPolicy:
		return "the project's policy forbids it"
	case ProjectUnnamed:
		return "the name has no project in it"
	}
	return e.limitWords()
}

func (e *Error) limitWords() string {
	switch e.Refusal {
	case IndexRefused:
		return "the registry takes images for one platform, no index"
	case OCIRefused:
		return "the registry does not know OCI's media types"
	case TypeRefused:
		return "the registry does not take this media type"
	case TooLarge:
		return "it is too large for what stands in front of the registry"
	case ManifestLarge:
		return "the manifest is too large for what stands in front of the registry"
	case RateLimited:
		return "the registry asks for fewer requests"
	case AskedInClear:
		return "the registry speaks TLS there, and was asked in clear"
	case StorageRefused:
		return "the storage that the registry sends to refuses"
	case UploadAstray:
		return "the registry sends the upload on to " + strconv.Quote(e.Elsewhere) + ", where no login goes, and that refuses it"
	}
	return ""
}

// ofManifest is e, of a manifest that was to be pushed as mediaType. What
// Distribution says of a type that it does not know is all that it says of a
// manifest that it cannot read, and those that are sent here can be read.
func (e *Error) ofManifest(mediaType types.MediaType) *Error {
	unknown := e.Refusal == TypeRefused || e.Refusal == Unexplained && e.Status == http.StatusBadRequest && e.Code == CodeManifestInvalid
	switch {
	case e.Refusal == TooLarge:
		e.Refusal = ManifestLarge
	case e.Refusal == TypeRefused && mediaType.IsIndex():
		e.Refusal = IndexRefused
	case unknown && strings.Contains(string(mediaType), ".oci."):
		e.Refusal = OCIRefused
	}
	return e
}

// Project is the project that the image is in; "" if its name has none.
func (e *Error) Project() string {
	_, repository, _ := strings.Cut(e.Image, "/")
	project, _, ok := strings.Cut(repository, "/")
	if !ok {
		return ""
	}
	return project
}

// do sends req. That there were too many requests is a [*LimitError]. A scope
// without a project makes the token service of Harbor 1 fail, and says nothing
// of why.
func (r *Repository) do(req *http.Request) (*http.Response, error) {
	resp, err := r.rt.RoundTrip(req)
	if err == nil {
		return resp, nil
	}
	if rate, ok := errors.AsType[*wire.RateError](err); ok {
		return nil, r.limited(req, rate, err)
	}
	failed, ok := errors.AsType[statusError](err)
	if !ok || failed.StatusCode() < http.StatusInternalServerError || strings.Contains(r.img.Repository, "/") {
		return nil, err
	}
	return nil, &Error{Op: opOf(req), Image: r.img.String(), Status: failed.StatusCode(), Refusal: ProjectUnnamed, Err: err}
}

// A statusError is an error of the round-tripper that came of an HTTP status,
// as that of a token service.
type statusError interface {
	error
	StatusCode() int
}

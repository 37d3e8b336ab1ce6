package sandbox

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// A Like names the registry that a sandbox answers as.
type Like string

// What a sandbox can be like. Each Harbor is the release whose answers were
// recorded: 1.1.2, 1.5.4, 1.7.8, 1.10.19 and 2.16.0.
const (
	Harbor11     Like = "harbor-1.1"
	Harbor15     Like = "harbor-1.5"
	Harbor17     Like = "harbor-1.7"
	Harbor110    Like = "harbor-1.10"
	Harbor216    Like = "harbor-2.16"
	Distribution Like = "distribution" // a plain one with users in a htpasswd file
)

// Likes are all of them, oldest Harbor first.
func Likes() []Like {
	return []Like{Harbor11, Harbor15, Harbor17, Harbor110, Harbor216, Distribution}
}

// A LikeError says that there is no such registry to be like.
type LikeError struct {
	Like Like
}

func (e *LikeError) Error() string { return fmt.Sprintf("no registry to be like %q", string(e.Like)) }

// A generation is all that one registry answers in another way than the others.
type generation struct {
	chain      bool // TLS: the CA is sent behind the leaf
	fixedRealm bool // the token service has one name, whatever host the client typed
	schema2    bool // the hello image is one of docker's media types, for one platform

	robots  func(name string) bool // whether one can have this name; nil: there are none yet
	session session
	routes  func(*site) *http.ServeMux                                  // all beside /v2/
	admit   func(*site, http.ResponseWriter, *http.Request, route) bool // answers what must not come through
	token   tokenRules
	words   words
	v1      *v1Rules // of the API of 1.x; nil: none
}

// TokenRules are how the token service grants.
type tokenRules struct {
	byProject   bool // a token is good for the whole project of its scope
	allActions  bool // all that the user may is granted, whatever was asked for
	noProject   int  // status for a repository without a project; 0: a token without actions
	accessToken bool // an access_token is there, and empty
}

// Words are how the registry at /v2/ speaks.
type words struct {
	missing       func(*site, http.ResponseWriter, *http.Request, route) // manifest, blob or repository
	invalid       func(error) *problem                                   // a manifest that cannot be read
	listHeader    bool                                                   // lists come from the registry itself
	tagPages      bool                                                   // tags/list goes by pages
	nullLists     bool                                                   // an empty catalog is null
	hidesUnlisted bool                                                   // the catalog has only what Harbor learnt of
	referrers     bool
	deletes       bool
	noLists       bool                               // docker's manifest lists are refused
	records       func(agent, mediaType string) bool // whether Harbor learns of such a push or pull; nil: of every one
	refusal       refusalForm
}

// generations are the registries to be like.
func generations() map[Like]*generation {
	early := words{
		missing: (*site).unknownManifest, invalid: invalidManifest, listHeader: true, deletes: true,
		records: fromDocker, refusal: refusalOfV1(),
	}
	behindCore := early
	behindCore.nullLists, behindCore.hidesUnlisted, behindCore.noLists = true, true, true
	late := behindCore
	late.records = dockerMedia
	plain := early
	plain.deletes, plain.records = false, nil
	v1Token := tokenRules{allActions: true, noProject: http.StatusInternalServerError}
	v1TokenLate := v1Token
	v1TokenLate.accessToken = true
	v1 := func(chain bool, s session, t tokenRules, w words, rules *v1Rules) *generation {
		return &generation{
			chain: chain, fixedRealm: true, schema2: true, session: s, routes: (*site).routesV1,
			admit: (*site).admitByToken, token: t, words: w, v1: rules,
		}
	}
	all := map[Like]*generation{
		Harbor11:  v1(false, session{cookie: "beegosessionID", notAtRegistry: true}, v1Token, early, rules11()),
		Harbor15:  v1(true, session{cookie: "beegosessionID"}, v1Token, behindCore, rules15()),
		Harbor17:  v1(true, session{cookie: "sid"}, v1Token, late, rules17()),
		Harbor110: v1(false, session{cookie: "sid", refuse: xsrfPage}, v1TokenLate, late, rules110()),
		Harbor216: {
			session: session{cookie: "sid", refuse: noCSRFToken}, routes: (*site).routesV2, admit: (*site).admitByCore,
			token: tokenRules{byProject: true, accessToken: true},
			words: words{
				missing: (*site).noArtifact, invalid: invalidToCore, tagPages: true, referrers: true, deletes: true,
				refusal: refusalOfV2(),
			},
		},
		Distribution: {
			chain: true, routes: (*site).routesPlain, admit: (*site).admitByPassword, words: plain,
		},
	} // src/core/filter/security.go of 1.8 to 1.10; from 2.2 on the prefix is set
	// by an administrator. A htpasswd file has any name.
	all[Harbor110].robots = func(name string) bool { return strings.HasPrefix(name, "robot$") }
	all[Harbor216].robots = func(string) bool { return true }
	all[Distribution].robots = all[Harbor216].robots
	return all
}

// find looks the generation up; the empty one is the newest Harbor.
func (l Like) find() (*generation, error) {
	if l == "" {
		l = Harbor216
	}
	if g, ok := generations()[l]; ok {
		return g, nil
	}
	return nil, &LikeError{Like: l}
}

// fromDocker is filterEvents of Harbor up to 1.6: a push by any other client is
// not listed. No OCI media type is, through 1.10.
func fromDocker(agent, mediaType string) bool {
	known := strings.HasPrefix(agent, "docker") || strings.HasPrefix(agent, "vic/") || agent == "harbor-registry-client"
	return known && dockerMedia(agent, mediaType)
}

func dockerMedia(_, mediaType string) bool {
	return slices.Contains([]string{
		"application/vnd.docker.distribution.manifest.v2+json",
		"application/vnd.docker.distribution.manifest.v1+json",
		"application/vnd.docker.distribution.manifest.v1+prettyjws",
	}, mediaType)
}

// A session is the cookie that Harbor sends with nearly every answer. A client
// must not keep it: who sends it back lacks the token that only web pages have.
type session struct {
	cookie        string                    // empty: none
	notAtRegistry bool                      // /v2/ sends none
	refuse        func(http.ResponseWriter) // answers a change by who sends the cookie; nil: it is let through
}

// begin hands out the cookie and says false when it has refused the request.
func (s session) begin(w http.ResponseWriter, r *http.Request) bool {
	if s.cookie == "" || s.notAtRegistry && strings.HasPrefix(r.URL.Path, "/v2/") {
		return true
	}
	if _, err := r.Cookie(s.cookie); s.refuse != nil && err == nil && r.Method != http.MethodGet && r.Method != http.MethodHead {
		s.refuse(w)
		return false
	}
	http.SetCookie(w, &http.Cookie{Name: s.cookie, Value: "0", Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode})
	return true
}

func noCSRFToken(w http.ResponseWriter) {
	problem{status: http.StatusForbidden, code: "FORBIDDEN", message: "CSRF token not found in request"}.write(w)
}

func xsrfPage(w http.ResponseWriter) {
	writePage(w, http.StatusForbidden, "<!DOCTYPE html>\n<html><body>'_xsrf' argument missing from POST</body></html>\n")
}

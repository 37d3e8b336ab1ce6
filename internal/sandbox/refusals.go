package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

const (
	codeDenied = "DENIED"

	readOnlyText = "The system is in read only mode. Any modification is prohibited."
)

// A refusalForm is how Harbor's core says what a policy forbids.
type refusalForm struct {
	policyCode    string // of what may not be pulled
	immutableCode string
	asText        bool // JSON as text/plain, with the message in the detail too
	prevented     func(found map[string]int, worst, from string) string
	unsigned      func(by string) string
}

// refusalOfV1 is src/core/proxy/interceptors.go of Harbor 1.7 and
// src/core/middlewares of 1.10.
func refusalOfV1() refusalForm {
	return refusalForm{
		policyCode: "PROJECT_POLICY_VIOLATION", immutableCode: codeDenied, asText: true,
		prevented: func(_ map[string]int, worst, from string) string {
			return fmt.Sprintf("The severity of vulnerability of the image: %q is equal or higher than the threshold in project setting: %q.", worst, from)
		},
		unsigned: func(string) string { return "The image is not signed in Notary." },
	}
}

// refusalOfV2 is src/server/middleware/vulnerable and contenttrust.
func refusalOfV2() refusalForm {
	return refusalForm{
		policyCode: "PROJECTPOLICYVIOLATION", immutableCode: "PRECONDITION",
		prevented: func(found map[string]int, _, from string) string {
			return fmt.Sprintf(`current image with %d vulnerabilities cannot be pulled due to configured policy in `+
				`'Prevent images with vulnerability severity of "%s" or higher from running.' `+
				`To continue with pull, please contact your project administrator to exempt matched vulnerabilities through configuring the CVE allowlist.`,
				total(found), from)
		},
		unsigned: func(by string) string { return "The image is not signed by " + by + "." },
	}
}

func (f refusalForm) write(w http.ResponseWriter, status int, code, message string) {
	w.Header().Del("Docker-Distribution-Api-Version") // the registry behind core is not asked
	p := problem{status: status, code: code, message: message}
	if !f.asText {
		p.write(w)
		return
	}
	p.detail = message
	raw, _ := json.Marshal(p.body()) // strings only
	writeText(w, status, string(raw)+"\n")
}

// severities are Harbor's, the mildest first.
func severities() []string {
	return []string{"None", "Unknown", "Negligible", "Low", "Medium", "High", "Critical"}
}

func total(found map[string]int) (n int) {
	for _, count := range found {
		n += count
	}
	return n
}

// worst is the highest severity found; without any, "None".
func worst(found map[string]int) string {
	all := severities()
	for _, severity := range slices.Backward(all) {
		if found[severity] > 0 {
			return severity
		}
	}
	return all[0]
}

func changes(method string) bool {
	return slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}, method)
}

// barred answers what is refused before anybody asks who comes.
func (s *site) barred(w http.ResponseWriter, r *http.Request, rt route) bool {
	if rt.repo == "" {
		return false
	}
	if s.tooMany.Add(-1) >= 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(s.policy.RetryAfter.Seconds())))
		problem{status: http.StatusTooManyRequests, code: "TOOMANYREQUESTS", message: "too many requests"}.write(w)
		return true
	}
	if s.policy.ReadOnly && changes(r.Method) {
		s.gen.words.refusal.write(w, http.StatusForbidden, codeDenied, readOnlyText)
		return true
	}
	return false
}

// prohibited answers what the project of rt does not take or give.
func (s *site) prohibited(w http.ResponseWriter, r *http.Request, rt route) bool {
	name, inner, _ := strings.Cut(rt.repo, "/")
	p, ok := s.accounts.find(name)
	if !ok {
		return false
	}
	refuse := func(status int, code, message string) bool {
		s.gen.words.refusal.write(w, status, code, message)
		return true
	}
	switch {
	case p.ProxyCache && changes(r.Method) && r.Method != http.MethodDelete:
		return refuse(http.StatusForbidden, codeDenied, "denied: can not push artifact to a proxy project: "+p.Name)
	case rt.kind != kindManifest:
		return false
	case r.Method == http.MethodPut && s.isFixed(p, rt):
		return refuse(http.StatusPreconditionFailed, s.gen.words.refusal.immutableCode,
			fmt.Sprintf("Failed to process request due to '%s:%s' configured as immutable.", inner, rt.ref))
	case r.Method == http.MethodDelete:
		if tag := s.fixedTag(p, rt.repo, rt.ref); tag != "" {
			return refuse(http.StatusPreconditionFailed, s.gen.words.refusal.immutableCode, fixedTagText(tag))
		}
	case r.Method == http.MethodGet && s.manifests.has(rt.repo, rt.ref):
		if message := s.notPulled(p); message != "" {
			return refuse(http.StatusPreconditionFailed, s.gen.words.refusal.policyCode, message)
		}
	}
	return false
}

// notPulled says why the images of p are not given out; empty: they are.
func (s *site) notPulled(p project) string {
	form, all := s.gen.words.refusal, severities()
	if p.Unsigned != "" {
		return form.unsigned(p.Unsigned)
	}
	if found := worst(p.Findings); p.Prevent != "" && slices.Index(all, found) >= slices.Index(all, p.Prevent) {
		return form.prevented(p.Findings, found, p.Prevent)
	}
	return ""
}

// isFixed says whether rt is a tag that is there and is never replaced.
func (s *site) isFixed(p project, rt route) bool {
	return !isDigest(rt.ref) && p.fixes(rt.ref) && s.manifests.has(rt.repo, rt.ref)
}

func (p project) fixes(tag string) bool {
	return slices.ContainsFunc(p.Immutable, func(pattern string) bool {
		ok, err := path.Match(pattern, tag)
		return ok && err == nil
	})
}

// fixedTag is a tag of the manifest at ref that is never deleted; empty: none.
func (s *site) fixedTag(p project, repo, ref string) string {
	a, ok := s.manifests.get(repo, ref)
	if !ok {
		return ""
	}
	for _, t := range a.tags {
		if p.fixes(t.name) {
			return t.name
		}
	}
	return ""
}

func fixedTagText(tag string) string {
	return fmt.Sprintf("the tag %s configured as immutable, cannot be deleted", tag)
}

// overQuota answers when so many bytes more are too many for the project of repo.
func (s *site) overQuota(w http.ResponseWriter, repo string, more int64) bool {
	name, _, _ := strings.Cut(repo, "/")
	p, ok := s.accounts.find(name)
	if !ok || p.Quota == 0 {
		return false
	}
	used := s.used(name)
	if used+more <= p.Quota {
		return false
	}
	s.gen.words.refusal.write(w, http.StatusForbidden, codeDenied, fmt.Sprintf(
		"adding %s of storage resource, which when updated to current usage of %s will exceed the configured upper limit of %s.",
		bytesText(more), bytesText(used), bytesText(p.Quota)))
	return true
}

// used is what a project keeps, each blob counted once.
func (s *site) used(project string) int64 {
	return s.blobs.used(project+"/") + s.manifests.used(project+"/")
}

// bytesText writes a size as Harbor does.
func bytesText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	size, i := float64(n)/unit, 0
	for ; size >= unit; i++ {
		size /= unit
	}
	return fmt.Sprintf("%.1f %ciB", size, "KMGTPE"[i])
}

// withLimit is the proxy in front: it says false to a body that it does not
// let through, and cuts one off that does not say how long it is.
func (s *site) withLimit(w http.ResponseWriter, r *http.Request) bool {
	switch limit := s.policy.MaxBody; {
	case limit == 0:
	case r.ContentLength > limit:
		tooLarge(w)
		return false
	default:
		r.Body = http.MaxBytesReader(w, r.Body, limit)
	}
	return true
}

func isTooLarge(err error) bool {
	_, ok := errors.AsType[*http.MaxBytesError](err)
	return ok
}

func tooLarge(w http.ResponseWriter) {
	writePage(w, http.StatusRequestEntityTooLarge, nginxPage("413 Request Entity Too Large"))
}

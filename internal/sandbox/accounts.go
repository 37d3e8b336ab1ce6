package sandbox

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	userAdmin = "admin"
	userDev   = "dev"

	projectLibrary = "library" // public
	projectDemo    = "demo"    // private, dev may push
)

// An action is what can be allowed on the repositories of a project.
type action string

const (
	actionPull   action = "pull"
	actionPush   action = "push"
	actionDelete action = "delete"
)

// projectName and its length are Harbor's (src/controller/project, src/server/v2.0/handler/project.go).
var projectName = regexp.MustCompile(`^[a-z0-9]+(?:[._-][a-z0-9]+)*$`)

const maxProjectName = 255 // bytes

// A project as it was when it was looked up.
type project struct {
	id        int
	name      string
	public    bool
	owner     string
	developer string // may push and pull besides the owner; may be empty
	created   time.Time
}

// Accounts know users and projects. They may be used by several goroutines.
type accounts struct {
	passwords map[string][sha256.Size]byte // by user, never changed

	mu       sync.Mutex
	projects []project // in order of their ids, from 1 on
}

func newAccounts(users []User, now time.Time) *accounts {
	a := &accounts{passwords: make(map[string][sha256.Size]byte, len(users))}
	for _, u := range users {
		a.passwords[u.Name] = sha256.Sum256([]byte(u.Password))
	}
	a.projects = []project{
		{id: 1, name: projectLibrary, public: true, owner: userAdmin, created: now},
		{id: 2, name: projectDemo, owner: userAdmin, developer: userDev, created: now},
	}
	return a
}

// login says whether these are a user's name and password, in the same time
// however much of the password is right.
func (a *accounts) login(name, password string) bool {
	want, known := a.passwords[name]
	got := sha256.Sum256([]byte(password))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1 && known
}

// find looks a project up by its name.
func (a *accounts) find(name string) (project, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.projects, func(p project) bool { return p.name == name })
	if i < 0 {
		return project{}, false
	}
	return a.projects[i], true
}

// byID looks a project up by its number.
func (a *accounts) byID(id int) (project, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if id < 1 || id > len(a.projects) {
		return project{}, false
	}
	return a.projects[id-1], true
}

// create adds a project and says false if there is one of that name.
func (a *accounts) create(name string, public bool, owner string, now time.Time) (project, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.ContainsFunc(a.projects, func(p project) bool { return p.name == name }) {
		return project{}, false
	}
	p := project{id: len(a.projects) + 1, name: name, public: public, owner: owner, created: now}
	a.projects = append(a.projects, p)
	return p, true
}

// visible lists what user may see, in order of names.
func (a *accounts) visible(user string) []project {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := slices.DeleteFunc(slices.Clone(a.projects), func(p project) bool { return !p.allows(user, actionPull) })
	slices.SortFunc(seen, func(x, y project) int { return cmp.Compare(x.name, y.name) })
	return seen
}

// allows says what user may do; the empty user is anonymous.
func (p project) allows(user string, act action) bool {
	switch {
	case user == userAdmin, user != "" && user == p.owner:
		return true
	case user != "" && user == p.developer:
		return act == actionPull || act == actionPush
	default:
		return p.public && act == actionPull
	}
}

// A subject is who a request comes from. The zero subject is anonymous: so is
// whoever brings a wrong password or a token that is no more good.
type subject struct {
	name  string
	token *claims // nil: came with a password, or with nothing
}

// user is who logs in with name and password; empty: anonymous. Harbor takes
// bearer tokens at /v2/ alone.
func (s *site) user(r *http.Request) string {
	if name, password, ok := r.BasicAuth(); ok && s.accounts.login(name, password) {
		return name
	}
	return ""
}

func (s *site) whoIs(r *http.Request) subject {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return subject{name: s.user(r)}
	}
	if c, ok := s.tokens.read(token); ok {
		return subject{name: c.Subject, token: &c}
	}
	return subject{}
}

// isAdmin is never true for a token: Harbor drops what is not about
// repositories from them.
func (u subject) isAdmin() bool { return u.name == userAdmin && u.token == nil }

// may says whether u may act on the repositories of p.
func (u subject) may(act action, p project) bool {
	if u.token != nil {
		return u.token.allows(p.name, act)
	}
	return p.allows(u.name, act)
}

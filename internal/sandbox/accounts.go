package sandbox

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"maps"
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
	actionAll    action = "*"
)

// projectName and its length are Harbor's (src/controller/project, src/server/v2.0/handler/project.go).
var projectName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[a-z0-9]+(?:[._-][a-z0-9]+)*$`)
})

const maxProjectName = 255 // bytes

// A project as it was when it was looked up.
type project struct {
	Project
	id      int
	created time.Time
}

// Accounts know users and projects. They may be used by several goroutines.
type accounts struct {
	users map[string]account // never changed
	delay time.Duration      // of a wrong password

	mu       sync.Mutex
	projects []project      // in order of their ids
	lastID   int            // of a project, there or deleted
	locked   map[string]int // wrong passwords being answered, by user
}

type account struct {
	User
	id  int
	sum [sha256.Size]byte // of the password
}

// newAccounts leaves out the robots that the registry cannot have.
func newAccounts(o Options, users []User, robots func(string) bool) *accounts {
	a := &accounts{users: make(map[string]account, len(users)), delay: o.Policy.LoginDelay, locked: map[string]int{}}
	for i, u := range users {
		if u.Kind == Robot && (robots == nil || !robots(u.Name)) {
			continue
		}
		a.users[u.Name] = account{u, i + 1, sha256.Sum256([]byte(u.Password))}
	}
	if o.Like == Distribution {
		return a
	}
	for _, p := range o.allProjects() {
		a.add(p, o.Now())
	}
	return a
}

// add makes p a project. The lock must be held, or nobody else know of a.
func (a *accounts) add(p Project, now time.Time) project {
	if p.Owner == "" {
		p.Owner = userAdmin
	}
	p.Members = maps.Clone(p.Members) // the caller may go on with theirs
	a.lastID++
	made := project{Project: p, id: a.lastID, created: now}
	a.projects = append(a.projects, made)
	return made
}

// login says whether these are a user's name and password, in the same time
// however much of the password is right. A wrong one takes as long as the
// policy says, and so long not even the right one is good.
func (a *accounts) login(r *http.Request, name, password string) bool {
	u, known := a.users[name]
	got := sha256.Sum256([]byte(password))
	good := subtle.ConstantTimeCompare(u.sum[:], got[:]) == 1 && known
	if a.delay == 0 {
		return good
	}
	a.mu.Lock()
	locked := a.locked[name] > 0
	if !good && !locked {
		a.locked[name]++
	}
	a.mu.Unlock()
	if good || locked {
		return good && !locked
	}
	select {
	case <-time.After(a.delay):
	case <-r.Context().Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.locked[name]--
	return false
}

// find looks a project up by its name.
func (a *accounts) find(name string) (project, bool) {
	return a.where(func(p project) bool { return p.Name == name })
}

// byID looks a project up by its number.
func (a *accounts) byID(id int) (project, bool) {
	return a.where(func(p project) bool { return p.id == id })
}

func (a *accounts) where(match func(project) bool) (project, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.projects, match)
	if i < 0 {
		return project{}, false
	}
	return a.projects[i], true
}

// create adds a project and says false if there is one of that name.
func (a *accounts) create(p Project, now time.Time) (project, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.ContainsFunc(a.projects, func(have project) bool { return have.Name == p.Name }) {
		return project{}, false
	}
	return a.add(p, now), true
}

func (a *accounts) remove(id int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.projects = slices.DeleteFunc(a.projects, func(p project) bool { return p.id == id })
}

// visible lists what match takes, in order of names.
func (a *accounts) visible(match func(project) bool) []project {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := slices.DeleteFunc(slices.Clone(a.projects), func(p project) bool { return !match(p) })
	slices.SortFunc(seen, func(x, y project) int { return cmp.Compare(x.Name, y.Name) })
	return seen
}

// role is what user is in p; zero: no member. The empty user is anonymous.
func (p project) role(user string) Role {
	switch user {
	case "":
		return 0
	case userAdmin, p.Owner:
		return ProjectAdmin
	}
	return p.Members[user]
}

// allows says what user may do.
func (p project) allows(user string, act action) bool {
	switch p.role(user) {
	case ProjectAdmin:
		return true
	case Developer:
		return act == actionPull || act == actionPush
	case Guest:
		return act == actionPull
	}
	return p.Public && act == actionPull
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
	name, password, ok := r.BasicAuth()
	if ok && s.accounts.login(r, name, password) && s.policy.takesPassword(s.accounts.users[name].User, r) {
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
		return u.token.allowsIn(p.Name, act)
	}
	return p.allows(u.name, act)
}

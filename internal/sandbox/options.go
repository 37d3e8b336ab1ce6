package sandbox

import (
	"crypto/rand"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"
)

// Options say how a sandbox runs. The zero Options are good.
type Options struct {
	// Like is what it answers as; empty: [Harbor216].
	Like Like
	// Addr is where it listens, as in 127.0.0.1:5443; empty: a free port of
	// 127.0.0.1. The certificate names 127.0.0.1, ::1, localhost and the host of Addr.
	Addr string
	// Dir is a folder for blobs larger than 1 MiB, which is made where it is
	// missing; empty: they stay in memory too. Nothing is left in it.
	Dir string
	// PlainHTTP serves without TLS, and without a CA.
	PlainHTTP bool
	// Users may log in besides admin and dev. A name of those two replaces them.
	Users []User
	// Projects are there besides library, which is public, and demo, which dev
	// may push to. A name of those two replaces them. A plain registry has none.
	Projects []Project
	// Policy is what the whole server refuses or does in its own way.
	Policy Policy
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// OnRequest is called after each answer, from several goroutines; may be
	// nil. The path is the escaped one, without the query.
	OnRequest func(method, path string, status int)
}

// A User may log in to a sandbox.
type User struct {
	Name     string // "dev", "dev@corp.local", "robot$demo+ci"; admin may do everything
	Password string // empty in Options: a random one, of this sandbox alone
	Kind     Kind
}

// A Kind says what sort of account a user is.
type Kind int

// The kinds of accounts.
const (
	Person Kind = iota // logs in everywhere
	Robot              // no user of the API; Harbor before 1.8 has none, and 1.10 those named robot$ alone
	OIDC               // the password is a CLI secret, which most of the API does not take
)

// A Role is what a member may do in a project.
type Role int

// The roles, by the numbers that Harbor gives them. Zero is none.
const (
	ProjectAdmin Role = 1
	Developer    Role = 2 // pulls and pushes
	Guest        Role = 3 // pulls
)

// A Project is one that is there from the start, with what it refuses. What
// Harbor of that generation cannot refuse yet is refused as the first one that
// can does it.
type Project struct {
	Name    string
	Public  bool
	Owner   string // empty: admin
	Members map[string]Role
	Images  []string // "app:1": where the hello image is; names without the project

	Quota      int64          // bytes; 0: none
	Immutable  []string       // patterns of path.Match for tags that are never replaced
	ProxyCache bool           // takes no push
	Findings   map[string]int // vulnerabilities by severity, "High": 3, that every image is said to have
	Prevent    string         // the severity from which images are not pulled; empty: all are
	Unsigned   string         // "cosign", "notation": nothing is pulled that it did not sign, so nothing at all
}

// A Policy is what the whole server refuses or does in its own way.
type Policy struct {
	AuthMode  string // empty: db_auth
	Admiral   bool   // inside VIC: Basic is taken at few paths, administrators create projects
	AdminOnly bool   // administrators create projects
	ReadOnly  bool   // nothing is changed
	NoCA      bool   // no file for getcert

	LoginDelay time.Duration // how long a wrong password takes and locks the user; Harbor: 1.5 s
	Realm      string        // host of the token service; empty: as the generation has it
	TooMany    int           // so many requests about repositories, the first ones, are 429
	RetryAfter time.Duration // that they are told to wait, in whole seconds
	MaxBody    int64         // bytes of a request's body that the proxy in front lets through; 0: all

	InsecureLocation bool // uploads go on at http://, as behind a proxy that ends TLS
	AbsoluteLinks    bool // Link headers name scheme and host
	NoMount          bool // mounting is refused as if the source could not be read; without projects that of another repository begins an upload
	NoOCI            bool // media types of OCI are refused, as Distribution before 2.7 does
}

// allUsers are the users of o, each with a password, admin and dev first.
func (o Options) allUsers() []User {
	users := []User{{Name: userAdmin}, {Name: userDev}}
	for _, u := range o.Users {
		if i := slices.IndexFunc(users, func(have User) bool { return have.Name == u.Name }); i >= 0 {
			users[i] = u
		} else {
			users = append(users, u)
		}
	}
	for i := range users {
		if users[i].Password == "" {
			users[i].Password = rand.Text()
		}
	}
	return users
}

// allProjects are library, demo and the projects of o.
func (o Options) allProjects() []Project {
	projects := []Project{
		{Name: projectLibrary, Public: true, Images: helloNames()},
		{Name: projectDemo, Members: map[string]Role{userDev: Developer}},
	}
	for _, p := range o.Projects {
		if i := slices.IndexFunc(projects, func(have Project) bool { return have.Name == p.Name }); i >= 0 {
			projects[i] = p
		} else {
			projects = append(projects, p)
		}
	}
	return projects
}

// oidcPaths are where Harbor takes a CLI secret (src/server/middleware/security/oidc_cli.go).
var oidcPaths = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^((GET|POST) /api/v2\.0/projects|(GET|HEAD|POST|PUT|PATCH|DELETE) /v2(/.*)?|GET /service/token|` +
		`GET /api/v2\.0/systeminfo|GET /api/version|GET /api/v2\.0/labels|` +
		`GET /api/v2\.0/projects/[^/]+/repositories|GET /api/v2\.0/projects/[^/]+/repositories/[^/]+/artifacts|` +
		`DELETE /api/v2\.0/projects/[^/]+/repositories/[^/]+/artifacts/[^/]+/tags/[^/]+)$`)
})

// admiralPaths are where Harbor takes Basic inside VIC (filter/security.go of
// 1.2 to 1.7, whose patterns have no anchors); elsewhere it wants Admiral's token.
var admiralPaths = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`/api/projects|/service/token|/api/repositories/.+`)
})

// takesPassword says whether u's password counts at the path of r.
func (p Policy) takesPassword(u User, r *http.Request) bool {
	switch {
	case u.Kind == OIDC:
		return oidcPaths().MatchString(r.Method + " " + r.URL.EscapedPath())
	case p.Admiral:
		return admiralPaths().MatchString(r.URL.Path)
	}
	return true
}

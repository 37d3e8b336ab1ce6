package cmd_test

import (
	"slices"
	"time"

	"github.com/vicr-cli/vicr/internal/sandbox"
)

// suitePolicies are the registries of the suite by the names that rows call them.
func suitePolicies() map[string]sandbox.Policy {
	return map[string]sandbox.Policy{
		"":                    {},
		"read-only":           {ReadOnly: true},
		"administrators only": {AdminOnly: true},
		"inside VIC":          {Admiral: true},
		"OIDC":                {AuthMode: "oidc_auth"},
		"small bodies":        {MaxBody: 1000},
		"before OCI":          {NoOCI: true},
		"busy":                {TooMany: 1 << 20, RetryAfter: time.Hour},
		"https lost":          {InsecureLocation: true},
		"absolute links":      {AbsoluteLinks: true},
		"no mounts":           {NoMount: true},
	}
}

func suiteOptions(like sandbox.Like, at string) sandbox.Options {
	dev := map[string]sandbox.Role{"dev": sandbox.Developer}
	app := []string{"app:1"}
	o := sandbox.Options{
		Like: like, Policy: suitePolicies()[at],
		Projects: []sandbox.Project{
			{Name: "demo", Images: app, Members: map[string]sandbox.Role{"dev": sandbox.Developer, "guest": sandbox.Guest, "sso": sandbox.Developer, "robot$demo+ci": sandbox.Developer}},
			{Name: "full", Members: dev, Quota: 100},
			{Name: "fixed", Members: dev, Images: app, Immutable: []string{"1"}},
			{Name: "cache", Members: dev, ProxyCache: true},
			{Name: "risky", Members: dev, Images: app, Findings: map[string]int{"High": 3}, Prevent: "High"},
			{Name: "unsigned", Members: dev, Images: app, Unsigned: "cosign"},
			{Name: "empty", Members: dev},
		},
	}
	for _, u := range []sandbox.User{
		{Name: "admin"},
		{Name: "dev"},
		{Name: "guest"},
		{Name: "stranger"},
		{Name: "dev@corp.local"},
		{Name: "robot$ci", Kind: sandbox.Robot},
		{Name: "robot$demo+ci", Kind: sandbox.Robot},
		{Name: "sso", Kind: sandbox.OIDC},
	} {
		u.Password = suitePassword(u.Name)
		o.Users = append(o.Users, u)
	}
	return o
}

func harbors() []sandbox.Like {
	return slices.DeleteFunc(sandbox.Likes(), func(l sandbox.Like) bool { return l == sandbox.Distribution })
}

// suiteRows is the suite.
func suiteRows() []row {
	return slices.Concat(trustRows(), loginRows(), listRows(), projectRows(), pushRows(), pullRows(), copyRows(), leaveRows())
}

func trustRows() []row {
	return []row{
		{name: "trust, nobody to ask", argv: "trust --for vicr HOST", blank: true},
		{name: "trust by fingerprint", argv: "trust --for vicr --fingerprint PRINT HOST", blank: true},
		{name: "trust by another fingerprint", argv: "trust --for vicr --fingerprint sha256:00000000000000000000000000000000000000000000000000000000000000ff HOST", blank: true},
		{name: "trust a file", argv: "trust --for vicr --ca-file CA --accept-new HOST", blank: true},
		{name: "trust again", argv: "trust --for vicr --ca-file CA --accept-new HOST"},
		{name: "a registry that is not trusted", argv: "ls HOST/library", blank: true},
		{name: "untrust", argv: "untrust HOST"},
	}
}

func loginRows() []row {
	oidc := []sandbox.Like{sandbox.Harbor110, sandbox.Harbor216}
	return []row{
		{name: "login", argv: "login HOST -u USER --password-stdin", stdin: "{dev}\n", live: true},
		{name: "login, a wrong password", argv: "login HOST -u USER --password-stdin", stdin: "wrong\n", live: true},
		{name: "login, no such user", argv: "login HOST -u nobody-by-that-name --password-stdin", stdin: "wrong\n"},
		{name: "login, an administrator", argv: "login HOST -u admin --password-stdin", stdin: "{admin}\n"},
		{name: "login, vSphere SSO", argv: "login HOST -u dev@corp.local --password-stdin", stdin: "{dev@corp.local}\n"},
		{name: "login, a robot", argv: "login HOST -u robot$ci --password-stdin", stdin: "{robot$ci}\n"},
		{name: "login, a robot of a project", argv: "login HOST -u robot$demo+ci --password-stdin", stdin: "{robot$demo+ci}\n"},
		{name: "login, a robot, a wrong secret", argv: "login HOST -u robot$ci --password-stdin", stdin: "wrong\n"},
		{name: "login, a robot whose $ the shell took", argv: "login HOST -u robot --password-stdin", stdin: "{robot$ci}\n"},
		{name: "login, OIDC, the CLI secret", at: "OIDC", argv: "login HOST -u sso --password-stdin", stdin: "{sso}\n", likes: oidc},
		{name: "login, OIDC, the password of the web page", at: "OIDC", argv: "login HOST -u sso --password-stdin", stdin: "web\n", likes: oidc},
		{name: "login inside VIC", at: "inside VIC", argv: "login HOST -u dev --password-stdin", stdin: "{dev}\n", likes: []sandbox.Like{sandbox.Harbor15, sandbox.Harbor17}},
		{name: "login, nobody to ask", argv: "login HOST", live: true},
		{name: "login, a password that is empty", argv: "login HOST -u dev --password-stdin"},
		{name: "login over plain HTTP", argv: "login --plain-http HOST -u dev --password-stdin", stdin: "{dev}\n"},
	}
}

func listRows() []row {
	return []row{
		{name: "ls", as: "dev", argv: "ls"},
		{name: "ls of a registry", as: "dev", argv: "ls HOST"},
		{name: "ls of a registry, an administrator", as: "admin", argv: "ls HOST"},
		{name: "ls of a registry, nobody", argv: "ls HOST"},
		{name: "ls of a registry, a wrong password", as: "dev?", argv: "ls HOST"},
		{name: "ls of a project", as: "dev", argv: "ls HOST/demo"},
		{name: "ls of a project, over pages", at: "absolute links", as: "dev", argv: "ls HOST/demo"},
		{name: "ls of an empty project", as: "dev", argv: "ls HOST/empty"},
		{name: "ls of a project, a stranger", as: "stranger", argv: "ls HOST/demo"},
		{name: "ls of a public project, nobody", argv: "ls HOST/library"},
		{name: "ls of a missing project", as: "dev", argv: "ls HOST/missing"},
		{name: "ls of a repository", as: "dev", argv: "ls HOST/demo/app"},
		{name: "ls of a repository, nobody", argv: "ls HOST/demo/app"},
		{name: "ls of a missing repository", as: "dev", argv: "ls HOST/demo/missing"},
		{name: "ls of a project inside VIC", at: "inside VIC", as: "dev", argv: "ls HOST/demo", likes: harbors()[:4]},
		{name: "ls of a repository inside VIC", at: "inside VIC", as: "dev", argv: "ls HOST/demo/app", likes: harbors()[:4]},
		{name: "inspect", as: "dev", argv: "inspect HOST/demo/app:1"},
		{name: "inspect, nobody", argv: "inspect HOST/demo/app:1"},
		{name: "inspect of a missing tag", as: "dev", argv: "inspect HOST/demo/app:missing"},
	}
}

func projectRows() []row {
	before20 := harbors()[:4]
	return []row{
		{name: "project create, new", as: "dev", argv: "project create HOST/vicr-e2e-NEW", live: true},
		{name: "project create, existing", as: "dev", argv: "project create HOST/vicr-e2e-NEW", live: true},
		{name: "project create, public", as: "dev", argv: "project create --public HOST/vicr-e2e-OPEN", live: true},
		{name: "project create, existing and not as wanted", as: "dev", argv: "project create --public HOST/vicr-e2e-NEW", live: true},
		{name: "project create, existing and not one's own", as: "stranger", argv: "project create HOST/demo"},
		{name: "project create, forbidden", at: "administrators only", as: "dev", argv: "project create HOST/new"},
		{name: "project create, forbidden inside VIC", at: "inside VIC", as: "dev", argv: "project create HOST/new", likes: before20},
		{name: "project create, read-only", at: "read-only", as: "dev", argv: "project create HOST/new"},
		{name: "project create, a robot", as: "robot$demo+ci", argv: "project create HOST/new"},
		{name: "project create, nobody", argv: "project create HOST/vicr-e2e-nobody", live: true},
		{name: "project create, a wrong password", as: "dev?", argv: "project create HOST/new"},
		{name: "project create, no name for one", as: "dev", argv: "project create HOST/New", live: true},
		{name: "project ls", as: "dev", argv: "project ls HOST"},
		{name: "project ls, nobody", argv: "project ls HOST"},
	}
}

func pushRows() []row {
	from := "push -j 1 --from oci:IMAGE "
	return []row{
		{name: "push", as: "dev", argv: from + "HOST/vicr-e2e-NEW/app:2", live: true},
		{name: "push again", as: "dev", argv: from + "HOST/vicr-e2e-NEW/app:2", live: true},
		{name: "push to a public project", as: "dev", argv: from + "HOST/vicr-e2e-OPEN/app:2", live: true},
		{name: "push, a robot", as: "robot$demo+ci", argv: from + "HOST/demo/app:3"},
		{name: "push, OIDC", at: "OIDC", as: "sso", argv: from + "HOST/demo/app:3", likes: []sandbox.Like{sandbox.Harbor216}},
		{name: "push to a missing project", as: "dev", argv: from + "HOST/vicr-e2e-missing/app:1", live: true},
		{name: "push --create-project", as: "dev", argv: from + "--create-project HOST/made/app:1"},
		{name: "push --create-project, forbidden", at: "administrators only", as: "dev", argv: from + "--create-project HOST/made/app:1"},
		{name: "push without a permission, a guest", as: "guest", argv: from + "HOST/demo/app:1"},
		{name: "push without a permission, a stranger", as: "stranger", argv: from + "HOST/demo/app:1"},
		{name: "push without a permission, a public project", as: "dev", argv: from + "HOST/library/app:1"},
		{name: "push, nobody", argv: from + "HOST/demo/app:1"},
		{name: "push to a registry that is not trusted", argv: from + "HOST/demo/app:1", blank: true},
		{name: "push to a missing project, nobody", argv: from + "HOST/vicr-e2e-missing/app:1", live: true},
		{name: "push, a wrong password", as: "dev?", argv: from + "HOST/demo/app:1"},
		{name: "push beyond the quota", as: "dev", argv: from + "HOST/full/app:1"},
		{name: "push over an immutable tag", as: "dev", argv: from + "HOST/fixed/app:1"},
		{name: "push to a read-only registry", at: "read-only", as: "dev", argv: from + "HOST/demo/app:4"},
		{name: "push to a proxy cache", as: "dev", argv: from + "HOST/cache/app:1"},
		{name: "push past a proxy with small bodies", at: "small bodies", as: "dev", argv: from + "HOST/empty/app:5"},
		{name: "push to a busy registry", at: "busy", as: "dev", argv: from + "HOST/demo/app:6"},
		{name: "push where https is lost behind a proxy", at: "https lost", as: "dev", argv: from + "HOST/demo/app:7"},
		{name: "push without a project", as: "dev", argv: from + "HOST/app:1", live: true},
		{name: "push of all platforms", as: "dev", argv: "push -j 1 --from oci:INDEX HOST/demo/multi:1"},
		{name: "push of one platform, of OCI's media types", as: "dev", argv: "push -j 1 --from oci:INDEX --platform linux/amd64 HOST/demo/oci:1"},
		{name: "push of one platform, again", as: "dev", argv: "push -j 1 --from oci:INDEX --platform linux/amd64 HOST/demo/oci:1"},
		{name: "tag --remote of OCI's media types", as: "dev", argv: "tag --remote HOST/demo/oci:1 HOST/demo/oci:2"},
		{name: "push of a platform that is not there", as: "dev", argv: "push -j 1 --from oci:INDEX --platform linux/s390x HOST/demo/oci:1"},
		{name: "push of OCI's media types to an old registry", at: "before OCI", as: "dev", argv: "push -j 1 --from oci:INDEX --platform linux/amd64 HOST/demo/oci:1"},
		{name: "push of what is not there", as: "dev", argv: "push --from store HOST/demo/app:1", live: true},
		{name: "ls of what was pushed", as: "dev", argv: "ls HOST/vicr-e2e-NEW"},
		{name: "ls of what was pushed, of OCI's media types too", as: "dev", argv: "ls HOST/demo"},
	}
}

func pullRows() []row {
	return []row{
		{name: "pull, private", as: "dev", argv: "pull --to store HOST/vicr-e2e-NEW/app:2", live: true},
		{name: "pull, private, nobody", argv: "pull --to store HOST/vicr-e2e-NEW/app:2", live: true},
		{name: "pull, private, a stranger", as: "stranger", argv: "pull --to store HOST/vicr-e2e-NEW/app:2"},
		{name: "pull, private, a guest", as: "guest", argv: "pull --to store HOST/demo/app:1"},
		{name: "pull, private, a wrong password", as: "dev?", argv: "pull --to store HOST/demo/app:1"},
		{name: "pull, public, nobody", argv: "pull --to store HOST/vicr-e2e-OPEN/app:2", live: true},
		{name: "pull again", as: "dev", argv: "pull --to store HOST/demo/app:1", setup: []string{"pull --to store HOST/demo/app:1"}},
		{name: "pull, a missing tag", as: "dev", argv: "pull --to store HOST/vicr-e2e-NEW/app:missing", live: true},
		{name: "pull, a missing repository", as: "dev", argv: "pull --to store HOST/demo/missing:1"},
		{name: "pull, a missing project", as: "dev", argv: "pull --to store HOST/vicr-e2e-missing/app:1", live: true},
		{name: "pull, a missing project, nobody", argv: "pull --to store HOST/missing/app:1"},
		{name: "pull of a platform that is missing", as: "dev", argv: "pull --to store --platform linux/s390x HOST/library/hello:1.0 HOST/library/ubuntu:14.04", likes: []sandbox.Like{sandbox.Harbor216, sandbox.Distribution}},
		{name: "pull without a project", as: "dev", argv: "pull --to store HOST/app:1"},
		{name: "pull against the policy for vulnerabilities", as: "dev", argv: "pull --to store HOST/risky/app:1"},
		{name: "pull against the policy for signatures", as: "dev", argv: "pull --to store HOST/unsigned/app:1"},
		{name: "pull from a read-only registry", at: "read-only", as: "dev", argv: "pull --to store HOST/demo/app:1"},
		{name: "pull from a busy registry", at: "busy", as: "dev", argv: "pull --to store HOST/demo/app:1"},
		{name: "tag", as: "dev", argv: "tag --in store HOST/demo/app:1 HOST/demo/app:2", setup: []string{"pull --to store HOST/demo/app:1"}},
		{name: "tag of what is not there", argv: "tag --in store HOST/library/hello:1.0 HOST/demo/hello:2"},
	}
}

func copyRows() []row {
	app := "copy -j 1 HOST/demo/app:1 "
	return []row{
		{name: "copy, mounted", as: "dev", argv: "copy -j 1 HOST/vicr-e2e-NEW/app:2 HOST/vicr-e2e-OPEN/copied:1", live: true},
		{name: "copy again", as: "dev", argv: app + "HOST/empty/copied:1", setup: []string{app + "HOST/empty/copied:1"}},
		{name: "copy, the mount refused", at: "no mounts", as: "dev", argv: app + "HOST/empty/copied:1"},
		{name: "copy of one platform", as: "dev", argv: "copy -j 1 --platform linux/arm64 HOST/library/hello:1.0 HOST/empty/hello:arm64"},
		{name: "copy of a platform that is missing", as: "dev", argv: "copy -j 1 --platform linux/s390x HOST/library/hello:1.0 HOST/empty/hello:s390x", likes: []sandbox.Like{sandbox.Harbor216, sandbox.Distribution}},
		{name: "copy of all tags", as: "dev", argv: "copy -j 1 --all-tags HOST/vicr-e2e-NEW/app HOST/vicr-e2e-OPEN/all", live: true},
		{name: "copy with referrers", as: "dev", argv: "copy -j 1 --referrers HOST/demo/app:1 HOST/empty/signed:1"},
		{name: "copy into the store", as: "dev", argv: "copy -j 1 HOST/vicr-e2e-NEW/app:2 store", live: true},
		{name: "copy of OCI's media types", as: "dev", argv: "copy -j 1 --platform linux/amd64 oci:INDEX HOST/empty/oci:1"},
		{name: "copy of an index", as: "dev", argv: "copy -j 1 oci:INDEX HOST/empty/oci:2"},
		{name: "copy of OCI's media types to an old registry", at: "before OCI", as: "dev", argv: "copy -j 1 --platform linux/amd64 oci:INDEX HOST/empty/oci:1"},
		{name: "copy out of a folder", as: "dev", argv: "copy -j 1 oci:IMAGE HOST/empty/copied:2"},
		{name: "copy, a missing tag", as: "dev", argv: "copy HOST/vicr-e2e-NEW/app:missing HOST/vicr-e2e-OPEN/copied:2", live: true},
		{name: "copy, a missing repository", as: "dev", argv: "copy HOST/demo/missing:1 HOST/empty/copied:1"},
		{name: "copy of all tags, a missing repository", as: "dev", argv: "copy --all-tags HOST/demo/missing HOST/empty/copied"},
		{name: "copy of what is not to be seen", as: "stranger", argv: app + "HOST/demo/copied:1"},
		{name: "copy, a guest", as: "guest", argv: app + "HOST/demo/copied:1"},
		{name: "copy, nobody", argv: app + "HOST/empty/copied:1"},
		{name: "copy, a wrong password", as: "dev?", argv: app + "HOST/empty/copied:1"},
		{name: "copy to a public project of others", as: "dev", argv: app + "HOST/library/copied:1"},
		{name: "copy to a missing project", as: "dev", argv: "copy HOST/vicr-e2e-NEW/app:2 HOST/vicr-e2e-missing/app:1", live: true},
		{name: "copy --create-project", as: "dev", argv: "copy -j 1 --create-project HOST/demo/app:1 HOST/copied/app:1"},
		{name: "copy --create-project of what is missing", as: "dev", argv: "copy --create-project HOST/demo/app:missing HOST/unmade/app:1"},
		{name: "copy over an immutable tag", as: "dev", argv: app + "HOST/fixed/app:1"},
		{name: "copy beyond the quota", as: "dev", argv: app + "HOST/full/app:1"},
		{name: "copy to a read-only registry", at: "read-only", as: "dev", argv: app + "HOST/empty/app:1"},
		{name: "copy against the policy for vulnerabilities", as: "dev", argv: "copy HOST/risky/app:1 HOST/empty/app:1"},
		{name: "copy without a project", as: "dev", argv: "copy HOST/vicr-e2e-NEW/app:2 HOST/app:1", live: true},
		{name: "copy by other flags at each end", as: "dev", argv: "copy --src-plain-http HOST/demo/app:1 HOST/empty/app:1"},
	}
}

func leaveRows() []row {
	return []row{
		{name: "logout", as: "dev", argv: "logout HOST", live: true},
		{name: "logout, nobody", argv: "logout HOST", live: true},
		{name: "logout of all", as: "dev", argv: "logout --all", live: true},
	}
}

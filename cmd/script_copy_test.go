package cmd_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/sandbox"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// A counterpart is a registry whose requests are recorded whole.
type counterpart struct {
	*counter
	front *testkit.Front
}

// openPair opens two registries that know nothing of each other: dev has another password at each.
func openPair(t *testing.T, from, to sandbox.Like) (src, dst counterpart, d *desk) {
	t.Helper()
	ca := testkit.NewCA(t)
	auths := map[string]any{}
	d = newDesk(t)
	for i, like := range []sandbox.Like{from, to} {
		front, c := openFront(t, like, ca, nil, func(o *sandbox.Options) {
			for n := range o.Users {
				o.Users[n].Password += fmt.Sprintf("-at-%d", i)
			}
		})
		c.must(t, d, "trust --for vicr --ca-file CA --accept-new --yes HOST")
		auths[c.host] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte("dev:" + c.passwords["dev"]))}
		if i == 0 {
			src = counterpart{c, front}
		} else {
			dst = counterpart{c, front}
		}
	}
	raw, err := json.Marshal(map[string]any{"auths": auths})
	if err == nil {
		err = os.MkdirAll(d.docker(), 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(d.docker(), "config.json"), raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return src, dst, d
}

// heard is what a registry was sent to be let in, and all that it was asked.
func (c counterpart) heard() (secrets map[string]bool, asked string) {
	secrets = map[string]bool{}
	var b strings.Builder
	for _, r := range c.front.Seen(nil) {
		if secret := r.Header.Get("Authorization"); secret != "" {
			secrets[secret] = true
		}
		b.WriteString(r.URL.String() + "\n")
	}
	return secrets, b.String()
}

// What lets one in at one registry, and what is in it, is not told to the other.
func TestCopyTellsOneRegistryNothingOfTheOther(t *testing.T) {
	t.Parallel()
	likes := sandbox.Likes()
	for i, like := range likes {
		next := likes[(i+1)%len(likes)]
		t.Run(string(like)+" to "+string(next), func(t *testing.T) {
			t.Parallel()
			src, dst, d := openPair(t, like, next)
			code, out, errs := d.says(t, "", "copy", "--referrers", src.host+"/demo/app:1", dst.host+"/empty/copied:2")
			if code != 0 || !strings.HasPrefix(out, dst.host+"/empty/copied:2@sha256:") {
				t.Fatalf("exit code %d\n%s%s", code, out, errs)
			}
			from, asked := src.heard()
			to, told := dst.heard()
			if len(from) == 0 || len(to) == 0 {
				t.Fatalf("%d and %d secrets: nothing is shown by that", len(from), len(to))
			}
			for secret := range from {
				if to[secret] {
					t.Errorf("both were sent %q", secret)
				}
			}
			if strings.Contains(asked, "empty") || strings.Contains(told, "demo") || strings.Contains(told, "from=") && !strings.Contains(told, "from=empty") {
				t.Errorf("one was asked\n%s\nand the other\n%s", asked, told)
			}
			if _, out, _ := d.says(t, "", "ls", dst.host+"/empty/copied"); !strings.Contains(out, "2") {
				t.Errorf("it is not there: %s", out)
			}
		})
	}
}

// A registry that names the other one as its token service, its storage or where
// an upload goes on gets nothing by that, and the other learns no password.
func TestCopyWhereOneRegistryPointsToTheOther(t *testing.T) {
	t.Parallel()
	for name, trick := range map[string]struct {
		match  testkit.Match
		status int
		header string // TO: the other registry
		atDst  bool   // who plays it
		code   int
	}{
		"token service of the source":      {anonymous("/v2/"), 401, realmAt + `"https://TO/service/token"`, false, 8},
		"token service of the destination": {anonymous("/v2/"), 401, realmAt + `"https://TO/service/token"`, true, 8},
		"storage":                          {part(http.MethodGet, "/blobs/"), 307, "Location: https://TO/v2/demo/app/blobs/x", false, 6},
		"manifest":                         {part(http.MethodGet, "/manifests/"), 307, "Location: https://TO/v2/demo/app/manifests/1", false, 6},
		"upload":                           {part(http.MethodPost, "/uploads/"), 202, "Location: https://TO/v2/demo/app/blobs/uploads/x", true, 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, dst, d := openPair(t, sandbox.Harbor216, sandbox.Harbor216)
			by, other := src, dst
			if trick.atDst {
				by, other = dst, src
			}
			header, value, _ := strings.Cut(strings.ReplaceAll(trick.header, "TO", other.host), ": ")
			by.front.Always(trick.match, testkit.Fault{Status: trick.status, Header: http.Header{header: {value}}})
			code, _, errs := d.says(t, "", "copy", "-j", "1", src.host+"/demo/app:1", dst.host+"/empty/copied:2")
			if code != trick.code || len(by.front.Seen(trick.match)) == 0 {
				t.Errorf("exit code %d, want %d\n%s", code, trick.code, errs)
			}
			from, _ := src.heard()
			to, _ := dst.heard()
			for secret := range from {
				if to[secret] {
					t.Errorf("both were sent %q", secret)
				}
			}
		})
	}
}

// Hints name the registry that an error is about, whichever end that is.
func TestCopyNamesTheRegistryThatIsMeant(t *testing.T) {
	t.Parallel()
	src, dst, d := openPair(t, sandbox.Harbor216, sandbox.Harbor17)
	for _, tt := range []struct {
		from, to, hint string
		code           int
	}{
		{"demo/app:9", "empty/a:1", "vicr ls " + src.host + "/demo/app", 5},
		{"demo/app:1", "nowhere/a:1", "vicr project create " + dst.host + "/nowhere", 5},
		{"hidden/app:1", "empty/a:1", "vicr ls " + src.host, 5},
	} {
		code, _, errs := d.says(t, "", "copy", src.host+"/"+tt.from, dst.host+"/"+tt.to)
		if code != tt.code || !strings.Contains(errs, tt.hint) {
			t.Errorf("%s to %s: exit code %d, want %d and %q\n%s", tt.from, tt.to, code, tt.code, tt.hint, errs)
		}
	}
	// One that breaks off in the middle is the one that is named.
	src.front.Always(part(http.MethodGet, "/blobs/"), testkit.Fault{Status: 403})
	if code, _, errs := d.says(t, "", "copy", src.host+"/demo/app:1", dst.host+"/empty/a:1"); code != 4 || !strings.Contains(errs, "vicr login "+src.host) {
		t.Errorf("exit code %d\n%s", code, errs)
	}
}

// All tags are copied, what they share once, and one that is refused keeps no
// other from being copied.
func TestCopyOfAllTags(t *testing.T) {
	t.Parallel()
	for _, like := range sandbox.Likes() {
		t.Run(string(like), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, sandbox.Options{Like: like, Projects: []sandbox.Project{
				{Name: "demo", Members: map[string]sandbox.Role{"dev": sandbox.Developer}},
				{Name: "fixed", Members: map[string]sandbox.Role{"dev": sandbox.Developer}, Images: []string{"app:2"}, Immutable: []string{"2"}},
			}})
			host := r.box.Host()
			threeLayers(t, filepath.Join(r.home, "three"))
			for _, tag := range []string{"1", "2", "3"} {
				if code, said := r.vicr("", "push", "--from", "oci:three", host+"/demo/app:"+tag); code != 0 {
					t.Fatal(said)
				}
			}
			r.seen.take()
			code, said := r.vicr("", "copy", "--all-tags", host+"/demo/app", host+"/demo/all")
			if code != 0 || strings.Count("\n"+said, "\n"+host+"/demo/all:") != 3 {
				t.Fatalf("exit code %d\n%s", code, said)
			}
			old := 0
			if strings.HasPrefix(string(like), "harbor-1.") {
				old = 1
			}
			if strings.Count(said, "is a Harbor before 2.0") != old || strings.Count(said, "is in no list there either") != 2*old {
				t.Errorf("of what is not listed it says\n%s", said)
			}
			asked, _ := r.seen.take()
			posts := 0
			for _, one := range asked {
				if strings.HasPrefix(one, "POST ") {
					posts++
				}
			}
			if c := countByKind(asked); posts != 4 || c.beside != 11 || c.token > 1 { // the list, three manifests there and back, four mounts
				t.Errorf("%d mounts, %s", posts, c)
			}
			code, said = r.vicr("", "copy", "--all-tags", host+"/demo/app", host+"/fixed/app")
			if like == sandbox.Distribution {
				return // it has no tags that are immutable
			}
			if code != 11 || strings.Count(said, host+"/fixed/app:1@") != 1 || strings.Count(said, host+"/fixed/app:3@") != 1 ||
				!strings.Contains(said, "1 of 3 failed") || !strings.Contains(said, "cannot be replaced") {
				t.Errorf("exit code %d\n%s", code, said)
			}
		})
	}
}

// Where nothing is mounted, that is found out once and not for each layer.
func TestCopyAsksOnceForAMountThatIsRefused(t *testing.T) {
	t.Parallel()
	for _, like := range harbors() {
		t.Run(string(like), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, sandbox.Options{Like: like, Policy: sandbox.Policy{NoMount: true}})
			threeLayers(t, filepath.Join(r.home, "three"))
			if code, said := r.vicr("", "push", "--from", "oci:three", r.box.Host()+"/demo/app:1"); code != 0 {
				t.Fatal(said)
			}
			r.seen.take()
			if code, said := r.vicr("", "copy", "-j", "1", r.box.Host()+"/demo/app:1", r.box.Host()+"/demo/other:1"); code != 0 {
				t.Fatal(said)
			}
			asked, _ := r.seen.take()
			refused, sent := 0, 0
			for _, one := range asked {
				switch {
				case strings.HasPrefix(one, "POST ") && strings.HasSuffix(one, " 401"):
					refused++
				case strings.HasPrefix(one, "PUT ") && strings.Contains(one, "/blobs/"):
					sent++
				}
			}
			// Out of the other repository, and out of its own; each is tried again with a new token.
			if refused > 4 || sent != 4 {
				t.Errorf("%d refused, %d sent: %q", refused, sent, asked)
			}
		})
	}
}

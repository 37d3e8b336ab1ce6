package harbor

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/sandbox"
)

// askBox starts a sandbox and returns a client for it that trusts its CA.
func askBox(t *testing.T, o sandbox.Options) *Client {
	t.Helper()
	s, err := sandbox.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(s.CA())
	rt := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	t.Cleanup(func() {
		rt.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return NewClient(rt, &url.URL{Scheme: "https", Host: s.Host()})
}

func TestEveryGenerationIsRecognisedInTheSandbox(t *testing.T) {
	t.Parallel()
	v1 := func(version string) Info {
		return Info{Version: version, Generation: 1, AuthMode: "db_auth", ProjectCreation: "everyone"}
	}
	for like, want := range map[sandbox.Like]Info{
		sandbox.Harbor11:     v1("v1.1.2"),
		sandbox.Harbor15:     v1("v1.5.4"),
		sandbox.Harbor17:     v1("v1.7.8"),
		sandbox.Harbor110:    v1("v1.10.19-b1a56175"),
		sandbox.Harbor216:    {Generation: 2, AuthMode: "db_auth"},
		sandbox.Distribution: {},
	} {
		t.Run(string(like), func(t *testing.T) {
			t.Parallel()
			c := askBox(t, sandbox.Options{Like: like})
			for _, service := range []string{Service, ""} {
				if like == sandbox.Distribution {
					service = ""
				}
				got, found, err := c.Detect(t.Context(), service)
				if err != nil || got != want || found != (want.Generation > 0) {
					t.Errorf("service %q: %+v, %v, %v; want %+v", service, got, found, err, want)
				}
			}
		})
	}
}

// robotToken is a password as robots of 1.8 to 2.1 have it.
func robotToken(claims string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"RS256"}`)) + "." + enc([]byte(claims)) + "." + enc([]byte("signature"))
}

func TestAccountsOfAllGenerations(t *testing.T) {
	t.Parallel()
	end := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	token := robotToken(fmt.Sprintf(`{"exp":%d}`, end.Unix()))
	users := []sandbox.User{
		{Name: "admin", Password: "pa"},
		{Name: "dev", Password: "pd"},
		{Name: "dev@corp.local", Password: "pc"},
		{Name: "robot$ci", Password: token, Kind: sandbox.Robot},
		{Name: "robot$demo+ci", Password: "pr", Kind: sandbox.Robot},
		{Name: "bot-demo+ci", Password: "pb", Kind: sandbox.Robot},
		{Name: "oidc", Password: "cli secret", Kind: sandbox.OIDC},
	}
	person := func(name string, admin bool) *Account { return &Account{Name: name, Admin: admin} }
	robot, other := &Account{Robot: true}, (*Account)(nil)
	for _, like := range sandbox.Likes() {
		if like == sandbox.Distribution {
			continue
		}
		if like == sandbox.Harbor216 {
			other = robot // only 2.x says so, and only it has other prefixes
		}
		tests := map[string]*Account{
			"admin pa": person("admin", true), "dev pd": person("dev", false), "dev@corp.local pc": person("dev@corp.local", false),
			"robot$ci " + token: {Robot: true, Expires: end}, "robot$demo+ci pr": robot, "bot-demo+ci pb": other,
			"oidc cli secret": nil,
		}
		t.Run(string(like), func(t *testing.T) {
			t.Parallel()
			c := askBox(t, sandbox.Options{Like: like, Users: users})
			info, _, err := c.Detect(t.Context(), Service)
			if err != nil {
				t.Fatal(err)
			}
			for login, want := range tests {
				user, password, _ := strings.Cut(login, " ")
				got, ok, err := c.Account(t.Context(), info, user, password)
				if err != nil || ok != (want != nil) || ok && got != *want {
					t.Errorf("%s: %+v, %v, %v; want %+v", user, got, ok, err, want)
				}
			}
		})
	}
}

// Where Harbor takes no password for this, none is sent: each one that it does
// not take locks the user.
func TestAccountsThatHarborDoesNotTellAreNotAskedFor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		info  Info
		user  string
		asked int
	}{
		{"vic", Info{Generation: 1, Admiral: true}, "dev@corp.local", 0},
		{"no api", Info{}, "dev", 0},
		{"oidc", Info{Generation: 2, AuthMode: ModeOIDC}, "dev", 0},
		{"oidc, but local", Info{Generation: 2, AuthMode: ModeOIDC}, "admin", 1},
		{"oidc, but a robot", Info{Generation: 2, AuthMode: ModeOIDC}, "robot$demo+ci", 1},
		{"ldap", Info{Generation: 2, AuthMode: ModeLDAP}, "dev", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := &double{rest: answer{status: 401}}
			_, _, err := d.client().Account(t.Context(), tt.info, tt.user, "x")
			if err != nil || len(d.asked) != tt.asked {
				t.Errorf("%v, asked %q", err, d.asked)
			}
		})
	}
}

func TestWhoIsAnAdministrator(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		`"has_admin_role":1`:                               true,
		`"has_admin_role":0`:                               false,
		`"sysadmin_flag":true`:                             true,
		`"admin_role_in_auth":true`:                        true,
		`"sysadmin_flag":false,"admin_role_in_auth":true`:  true,
		`"sysadmin_flag":false,"admin_role_in_auth":false`: false,
	} {
		a := answer{status: 200, media: jsonMedia, body: `{"username":"dev",` + body + `}`}
		got, ok, err := harbor216().with("/api/v2.0/users/current", a).client().Account(t.Context(), Info{Generation: 2}, "dev", "x")
		if err != nil || !ok || got.Admin != want {
			t.Errorf("%s: %+v, %v, %v", body, got, ok, err)
		}
	}
}

func TestAnAccountIsNotReadFromAnything(t *testing.T) {
	t.Parallel()
	const at = "/api/v2.0/users/current"
	for name, a := range map[string]answer{
		"portal":          portal,
		"no name":         {status: 200, media: jsonMedia, body: `{"sysadmin_flag":true}`},
		"a flag of text":  {status: 200, media: jsonMedia, body: `{"username":"dev","sysadmin_flag":"yes"}`},
		"a number":        {status: 200, media: jsonMedia, body: `7`},
		"a long name":     {status: 200, media: jsonMedia, body: `{"username":"` + strings.Repeat("x", maxName+1) + `"}`},
		"without end":     {status: 200, media: jsonMedia, body: `{"username":"dev"` + strings.Repeat(" ", maxJSON) + `}`},
		"a failing proxy": {status: 502, media: htmlMedia, body: "<html>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, ok, err := harbor216().with(at, a).client().Account(t.Context(), Info{Generation: 2}, "dev", "s3cret")
			answered, is := errors.AsType[*AnswerError](err)
			if ok || !is || answered.Path != at || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%v, %v", ok, err)
			}
		})
	}
}

func TestLostDollar(t *testing.T) {
	t.Parallel()
	for user, want := range map[string]bool{
		"robot": true, "robot+ci": true, "robotdemo+ci": true, "robot-": true, "robot_x": true,
		"robot$ci": false, "robot$demo+ci": false, "robotics": false, "robot2": false, "dev": false, "": false, "a+b": false,
	} {
		if got := LostDollar(user); got != want {
			t.Errorf("%q: %v", user, got)
		}
	}
}

func TestTheEndOfARobotIsReadFromItsTokenAlone(t *testing.T) {
	t.Parallel()
	for _, password := range []string{
		"", "s3cret", "a.b.c", robotToken(`{}`), robotToken(`{"exp":"soon"}`), robotToken(`{"exp":-1}`), robotToken(`null`),
		robotToken(`{"exp":1}`) + ".d", robotToken(`{"exp":1,"x":"` + strings.Repeat("x", 16<<10) + `"}`),
	} {
		if end := tokenEnd(password); !end.IsZero() {
			t.Errorf("%.40q: %v", password, end)
		}
	}
	if end := tokenEnd(robotToken(`{"exp":1798040011}`)); end.Unix() != 1798040011 {
		t.Errorf("%v", end)
	}
}

// The lock after a wrong password: while it is answered, the right one does not
// count either, so nobody may ask twice at a time.
func TestARefusedAdministratorAsksOnce(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	c := askBox(t, sandbox.Options{
		Like: sandbox.Harbor15, Policy: sandbox.Policy{LoginDelay: 50 * time.Millisecond},
		OnRequest: func(string, string, int) { asked.Add(1) },
	})
	_, err := c.CAAsAdmin(t.Context(), "admin", "s3cret")
	if denied, ok := errors.AsType[*DeniedError](err); !ok || denied.Status != 401 || asked.Load() != 1 {
		t.Errorf("%v after %d requests", err, asked.Load())
	}
}

func TestWhichHarborsHaveRobots(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{
		"v1.1.2": false, "v1.7.8-deadbeef": false, "v1.8.0": true, "v1.10.19-b1a56175": true, "v2.16.0-c50c7ddd": true, "": true, "v1.x": true,
	} {
		if got := (Info{Version: version}).HasRobots(); got != want {
			t.Errorf("%s: %v", version, got)
		}
	}
}

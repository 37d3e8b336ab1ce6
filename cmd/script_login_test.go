package cmd_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/sandbox"
)

// Harbor's API takes no token: who has nothing else sees what everybody does,
// and is told so.
func TestATokenAloneListsWhatIsPublic(t *testing.T) {
	t.Parallel()
	for _, like := range []sandbox.Like{sandbox.Harbor17, sandbox.Harbor216} {
		host, ca := openShop(t, sandbox.Options{Like: like, Users: []sandbox.User{{Name: "dev", Password: canary}}})
		d := newDesk(t)
		tokens := ownToken(t, host, ca, "dev", canary)
		for entry, want := range map[string]struct {
			code int
			says string
		}{
			`{"registrytoken":"` + tokens + `"}`: {0, "what is kept for " + host + " is a token, by which its API shows the public ones alone; vicr login " + host + ", with name and password, shows yours"},
			`{"identitytoken":"` + canary + `"}`: {4, "it takes no identity token"},
			`{"auth":"ZGV2OnMzY3JldA=="}`:        {4, "refused the credentials"}, // a wrong one
		} {
			if err := os.MkdirAll(d.docker(), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(d.docker(), "config.json"), []byte(`{"auths":{"`+host+`":`+entry+`}}`), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, argv := range [][]string{{"ls", host}, {"project", "ls", host}} {
				code, out, errs := d.says(t, "", append(argv, "--ca-file", ca)...)
				if code != want.code || !strings.Contains(errs, want.says) || strings.Contains(out, "demo") {
					t.Errorf("%s, %s, %v: exit %d, %s%s", like, entry, argv, code, out, errs)
				}
			}
		}
	}
}

// ownToken is what the registry's token service gives to a user.
func ownToken(t *testing.T, host, ca, user, password string) string {
	t.Helper()
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+"/service/token?service=harbor-registry", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(user, password)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	var answer struct{ Token string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer.Token
}

// Why a login may have been refused, from the name and from what Harbor tells anybody.
func TestARefusedLoginSaysWhatToTry(t *testing.T) {
	t.Parallel()
	const oidc, ldap, plain = "oidc_auth", "ldap_auth", ""
	for _, tt := range []struct {
		name, user, mode string
		like             sandbox.Like
		admiral          bool
		hint, not        string
	}{
		{"oidc", "dev", oidc, sandbox.Harbor216, false, "CLI secret: https://HOST/", "LDAP"},
		{"a robot where people have oidc", "robot$ci", oidc, sandbox.Harbor216, false, "disabled or has expired", "CLI secret"},
		{"ldap", "dev", ldap, sandbox.Harbor17, false, "(LDAP)", "CLI secret"},
		{"no domain", "dev", plain, sandbox.Harbor17, true, "vicr login HOST -u USER@DOMAIN", "Restart"},
		{"vic", "dev@corp.local", plain, sandbox.Harbor15, true, "Restart Guest OS", "USER@DOMAIN"},
		{"the lost dollar", "robot", plain, sandbox.Harbor216, false, "vicr login HOST -u 'robot$NAME'", "expired"},
		{"with a project", "robot+ci", plain, sandbox.Harbor216, false, "vicr login HOST -u 'robot$NAME'", "expired"},
		{"both words left", "robotdemo+ci", plain, sandbox.Harbor17, false, "vicr login HOST -u 'robot$NAME'", "expired"},
		{"another prefix", "bot-demo+ci", plain, sandbox.Harbor216, false, "disabled or has expired", "robot$NAME"},
		{"no prefix", "demo+ci", plain, sandbox.Harbor216, false, "vicr login HOST -u 'robot$demo+ci'", "https://HOST/"},
		{"before robots", "robot$ci", plain, sandbox.Harbor17, false, "Harbor v1.7.8", "expired"},
		{"the local administrator where people have oidc", "admin", oidc, sandbox.Harbor216, false, "https://HOST/ takes the same", "CLI secret"},
		{"ldap, with a domain", "dev@corp.local", ldap, sandbox.Harbor216, false, "vicr login HOST -u dev\n", "CLI secret"},
		{"uaa", "dev", "uaa_auth", sandbox.Harbor110, false, "the company's login service", "LDAP"},
		{"auth proxy", "dev", "http_auth", sandbox.Harbor216, false, "the company's login service", "LDAP"},
		{"Harbor's own users", "dev", plain, sandbox.Harbor216, false, "for 1.5 s: wait, then: vicr login HOST\n", "CLI secret"},
		{"nothing to be told", "dev", plain, sandbox.Distribution, false, "hint: check name and password with whoever runs HOST, then: vicr login HOST\n", "Harbor"},
		{"no harbor", "robot", plain, sandbox.Distribution, false, "vicr login HOST -u 'robot$NAME'", "CLI secret"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			host, ca := openShop(t, sandbox.Options{Like: tt.like, Policy: sandbox.Policy{AuthMode: tt.mode, Admiral: tt.admiral}})
			code, _, errs := newDesk(t).says(t, canary, "login", host, "-u", tt.user, "--password-stdin", "--ca-file", ca)
			errs = strings.ReplaceAll(errs, host, "HOST")
			if code != 4 || !strings.Contains(errs, tt.hint) || strings.Contains(errs, tt.not) {
				t.Errorf("exit %d: %s", code, errs)
			}
		})
	}
}

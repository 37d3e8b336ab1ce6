package sandbox

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestTokenService(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	type scopes []string
	tests := []struct {
		name   string
		who    ask
		scopes scopes
		status int
		sub    string
		access string
	}{
		{"anonymous, no scope", nil, nil, 401, "", ""},
		{"wrong password, no scope", wrongly("admin"), nil, 401, "", ""},
		{"unknown user, no scope", wrongly("nobody"), nil, 401, "", ""},
		{"a bearer token is no login here", bearing(b.token(t, b.as("dev"))), nil, 401, "", ""},
		{"right password, no scope", b.as("dev"), nil, 200, "dev", "null"},
		{"anonymous, private", nil, scopes{"repository:demo/app:pull"}, 200, "", `[{"type":"repository","name":"demo/app","actions":[]}]`},
		{"anonymous, public", nil, scopes{"repository:library/hello:pull,push"}, 200, "", `[{"type":"repository","name":"library/hello","actions":["pull"]}]`},
		{"wrong password with a scope", wrongly("admin"), scopes{"repository:demo/app:pull,push"}, 200, "", `[{"type":"repository","name":"demo/app","actions":[]}]`},
		{"unknown user, public", wrongly("nobody"), scopes{"repository:library/hello:pull"}, 200, "", `[{"type":"repository","name":"library/hello","actions":["pull"]}]`},
		{"dev in demo", b.as("dev"), scopes{"repository:demo/app:pull,push,delete"}, 200, "dev", `[{"type":"repository","name":"demo/app","actions":["pull","push"]}]`},
		{"dev in library", b.as("dev"), scopes{"repository:library/app:pull,push"}, 200, "dev", `[{"type":"repository","name":"library/app","actions":["pull"]}]`},
		{"admin everywhere", b.as("admin"), scopes{"repository:library/app:push,pull"}, 200, "admin", `[{"type":"repository","name":"library/app","actions":["push","pull"]}]`},
		{"missing project, admin", b.as("admin"), scopes{"repository:nope/app:pull,push"}, 200, "admin", `[{"type":"repository","name":"nope/app","actions":[]}]`},
		{"no project", b.as("admin"), scopes{"repository:app:pull"}, 200, "admin", `[{"type":"repository","name":"app","actions":[]}]`},
		{"catalog, admin", b.as("admin"), scopes{"registry:catalog:*"}, 200, "admin", `[{"type":"registry","name":"catalog","actions":["*"]}]`},
		{"catalog, dev", b.as("dev"), scopes{"registry:catalog:*"}, 200, "dev", `[{"type":"registry","name":"catalog","actions":[]}]`},
		{
			"several, in one parameter and in two", b.as("dev"),
			scopes{"repository:demo/a:pull,push repository:library/b:pull", "repository:demo/c:pull,pull"},
			200, "dev",
			`[{"type":"repository","name":"demo/a","actions":["pull","push"]},{"type":"repository","name":"library/b","actions":["pull"]},{"type":"repository","name":"demo/c","actions":["pull"]}]`,
		},
		{"nonsense", b.as("dev"), scopes{"x"}, 200, "dev", `[{"type":"x","name":"","actions":[]}]`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			query := url.Values{"service": {"harbor-registry"}, "scope": tc.scopes, "account": {"x"}, "client_id": {"docker"}, "offline_token": {"true"}}
			asks := []ask{}
			if tc.who != nil {
				asks = append(asks, tc.who)
			}
			a := b.do(t, "GET", "/service/token?"+query.Encode(), asks...).wants(t, tc.status)
			if tc.status == 401 {
				if a.body != "" || a.header.Get("Content-Length") != "0" || a.header.Get("Content-Type") != "" || a.header.Get("Www-Authenticate") != "" {
					t.Errorf("%q, %v", a.body, a.header)
				}
				return
			}
			var got map[string]any
			a.decode(t, &got)
			if got["access_token"] != "" || got["expires_in"] != 1800.0 || len(got) != 4 {
				t.Errorf("answer %v", got)
			}
			if _, err := time.Parse(time.RFC3339, got["issued_at"].(string)); err != nil {
				t.Error(err)
			}
			parts := strings.Split(got["token"].(string), ".")
			raw, err := base64.RawURLEncoding.DecodeString(parts[1])
			if err != nil || len(parts) != 3 {
				t.Fatalf("no JWT: %v", parts)
			}
			var c struct {
				Iss, Sub, Aud string
				Access        json.RawMessage
			}
			if err := json.Unmarshal(raw, &c); err != nil {
				t.Fatal(err)
			}
			if c.Iss != "harbor-token-issuer" || c.Aud != "harbor-registry" || c.Sub != tc.sub || string(c.Access) != tc.access {
				t.Errorf("claims %s", raw)
			}
		})
	}
}

func TestTokenServiceRefusesOtherServicesAndMethods(t *testing.T) {
	t.Parallel()
	b := start(t, Options{})
	for service, want := range map[string]string{"?service=other": "Unable to handle service: other", "": "Unable to handle service: "} {
		a := b.do(t, "GET", "/service/token"+service, b.as("admin")).wants(t, 400)
		if a.body != want || a.header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%q: %q, %v", service, a.body, a.header)
		}
	}
	form := "grant_type=password&service=harbor-registry&username=admin&client_id=x&password=" + b.password("admin")
	a := b.do(t, "POST", "/service/token", body([]byte(form)), header("Content-Type", "application/x-www-form-urlencoded")).wants(t, 405)
	if strings.TrimSpace(a.body) != "Method Not Allowed" {
		t.Errorf("body %q", a.body)
	}
}

func FuzzOnlyOwnTokensAreRead(f *testing.F) {
	now := time.Now()
	own, err := newTokens(func() time.Time { return now })
	if err != nil {
		f.Fatal(err)
	}
	good, err := own.issue("dev", []access{{Type: repository, Name: "demo/app", Actions: []action{actionPull}}}, now)
	if err != nil {
		f.Fatal(err)
	}
	other, err := newTokens(own.now)
	if err != nil {
		f.Fatal(err)
	}
	foreign, err := other.issue("admin", nil, now)
	if err != nil {
		f.Fatal(err)
	}
	if _, ok := own.read(good); !ok {
		f.Fatal("its own token is refused")
	}
	head, sig, _ := strings.Cut(good, ".")
	for _, seed := range []string{foreign, head + "." + sig[:len(sig)-2], "", "..", "a.b", good[:len(good)-1]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if c, ok := own.read(token); ok && !sameToken(token, good) {
			t.Errorf("%q was read as %+v", token, c)
		}
	})
}

// sameToken ignores the spare bits of the last character of the signature.
func sameToken(a, b string) bool {
	i := strings.LastIndexByte(b, '.')
	if len(a) != len(b) || a[:i] != b[:i] {
		return false
	}
	x, err := base64.RawURLEncoding.DecodeString(a[i+1:])
	y, _ := base64.RawURLEncoding.DecodeString(b[i+1:])
	return err == nil && string(x) == string(y)
}

package wire

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestJoinFollowsALocationOnlyWhereItMayGo(t *testing.T) {
	t.Parallel()
	const base = "https://reg.example/v2/a/blobs/uploads/"
	for _, tt := range []struct {
		name, base, location, want string
		kind                       Kind
	}{
		{"relative path", base, "1?_state=x", base + "1?_state=x", ""},
		{"absolute path", base, "/u/1", "https://reg.example/u/1", ""},
		{"same origin", base, "https://reg.example/u", "https://reg.example/u", ""},
		{"same origin with its port", base, "https://REG.example:443/u", "https://REG.example:443/u", ""},
		{"fragment", base, "/u#f", "https://reg.example/u", ""},
		{"other host over https", base, "https://store.example/u?sig=1", "https://store.example/u?sig=1", ""},
		{"other port over https", base, "https://reg.example:8443/u", "https://reg.example:8443/u", ""},
		{"plain http base stays", "http://reg.example:5000/v2/", "http://reg.example:5000/u", "http://reg.example:5000/u", ""},
		{"upwards", "http://reg.example:5000/v2/", "https://reg.example/u", "https://reg.example/u", ""},
		{"same host in clear", base, "http://reg.example/u", "", Policy},
		{"same host and port in clear", base, "http://reg.example:443/u", "", Policy},
		{"other host in clear", base, "http://evil.test/u", "", Policy},
		{"scheme in capitals", base, "HTTP://evil.test/u", "", Policy},
		{"network path from a plain base", "http://reg.example:5000/v2/", "//evil.test/u", "", Policy},
		{"file", base, "file://host/etc/passwd", "", Policy},
		{"data", base, "data:text/plain,x", "", BadAnswer},
		{"file without host", base, "file:///etc/passwd", "", BadAnswer},
		{"missing", base, "", "", BadAnswer},
		{"user name", base, "https://u:" + secret + "@reg.example/u", "", BadAnswer},
		{"no URL", base, "https://reg.example/%zz", "", BadAnswer},
		{"control characters", base, "/u\x1b[31m", "", BadAnswer},
		{"8 KiB", base, "/" + strings.Repeat("x", 8<<10), "", BadAnswer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Join(mustURL(t, tt.base), tt.location)
			if KindOf(err) != tt.kind || (err == nil) != (tt.kind == "") {
				t.Fatalf("error %v, want kind %q", err, tt.kind)
			}
			if err == nil && got.String() != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\x1b\n") || err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("error %q shows what it must not", err)
			}
		})
	}
}

func TestJoinTellsARefusalByType(t *testing.T) {
	t.Parallel()
	_, err := Join(mustURL(t, "https://reg.example/"), "http://evil.test/u?sig="+secret)
	p, ok := errors.AsType[*PolicyError](err)
	if !ok || strings.Contains(p.URL, secret) {
		t.Errorf("error %#v", err)
	}
}

func FuzzJoinNeverLeadsToAnotherOriginInClear(f *testing.F) {
	for _, seed := range []string{
		"/u", "//evil.test", "http://evil.test", "https://evil.test", "HTTP:evil", "https:/u", "\\\\evil.test\\u",
		"https://reg.example@evil.test/", "https://reg.example:443:80/", "http://[::1%25lo]/", "?x", "https://",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, location string) {
		for _, base := range []string{"https://reg.example/v2/", "http://reg.example:5000/v2/"} {
			b := mustURL(t, base)
			u, err := Join(b, location)
			if err != nil {
				if KindOf(err) == "" {
					t.Fatalf("untyped error %v", err)
				}
				continue
			}
			if u.User != nil || u.Hostname() == "" || u.Fragment != "" {
				t.Fatalf("%q led to %q", location, u)
			}
			if u.Scheme != "https" && OriginOf(u) != OriginOf(b) {
				t.Fatalf("%q led to %q", location, u)
			}
		}
	})
}

func TestRedactHidesWhateverMayOpenADoor(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://h/v2/?service=s&scope=repository:a:pull": "https://h/v2/?service=s&scope=repository:a:pull",
		"https://h/u?_state=abc&digest=sha256:1":          "https://h/u?_state=redacted&digest=sha256:1",
		"https://h/b?X-Amz-Signature=abc":                 "https://h/b?X-Amz-Signature=redacted",
		"https://h/b?abc":                                 "https://h/b?=redacted",
		"https://u:p@h/b#frag":                            "https://h/b",
		"https://h/b?service=a;sig=abc":                   "https://h/b?service=redacted",
		"https://h/b?%73ig=abc":                           "https://h/b?%73ig=redacted",
		"https://h/b":                                     "https://h/b",
	} {
		if got := Redact(mustURL(t, in)); got != want {
			t.Errorf("%s is shown as %s, want %s", in, got, want)
		}
	}
}

func TestRedactNeverShowsASecretValue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringMatching(`[A-Za-z_.-]{1,12}`).Filter(func(k string) bool { return !shown[k] }).Draw(t, "key")
		u := url.URL{Scheme: "https", Host: "h", RawQuery: url.Values{
			key: {secret, "2"}, "scope": {rapid.String().Draw(t, "scope")},
		}.Encode(), User: url.UserPassword("u", secret), Fragment: secret}
		if got := Redact(&u); strings.Contains(got, secret) {
			t.Fatalf("shown as %s", got)
		}
	})
}

func TestOriginsAreEqualOnlyForTheSameSchemeHostAndPort(t *testing.T) {
	t.Parallel()
	same := [][2]string{
		{"https://h", "https://H:443/x"},
		{"http://h", "HTTP://h:80/"},
		{"https://[2001:DB8::1]", "https://[2001:db8::1]:443"},
	}
	other := [][2]string{
		{"https://h", "http://h"},
		{"https://h", "https://h:444"},
		{"http://h:443", "https://h"},
		{"https://h", "https://h.example"},
		{"https://h", "https://h."},
	}
	for _, p := range same {
		if a, b := OriginOf(mustURL(t, p[0])), OriginOf(mustURL(t, p[1])); a != b {
			t.Errorf("%s and %s differ", a, b)
		}
	}
	for _, p := range other {
		if a, b := OriginOf(mustURL(t, p[0])), OriginOf(mustURL(t, p[1])); a == b {
			t.Errorf("%v are both %s", p, a)
		}
	}
}

func TestWhatACallerNamesIsTheOriginByAnySchemeAndWhatARedirectNamesIsNot(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		host       string
		plain      bool
		url        string
		called     site
		redirected site
	}{
		{"reg.example", false, "https://reg.example/", origin, origin},
		{"reg.example", false, "https://REG.example:443/", origin, origin},
		{"reg.example", false, "http://reg.example/", origin, elsewhere},
		{"reg.example", false, "http://reg.example:80/", elsewhere, elsewhere},
		{"reg.example", false, "https://reg.example:8443/", elsewhere, elsewhere},
		{"reg.example", false, "https://reg.example./", elsewhere, elsewhere},
		{"reg.example:5000", false, "http://reg.example:5000/", origin, elsewhere},
		{"reg.example:5000", false, "https://reg.example/", elsewhere, elsewhere},
		{"reg.example", true, "http://reg.example/", origin, origin},
		{"reg.example", true, "https://reg.example/", origin, elsewhere},
		{"reg.example:5000", true, "https://reg.example:5000/", origin, elsewhere},
		{"docker.io", false, "https://index.docker.io/", origin, origin},
		{"docker.io", false, "https://docker.io/", origin, origin},
		{"docker.io", false, "https://auth.docker.io/token", realm, realm},
		{"reg.example", false, "https://auth.docker.io/token", elsewhere, elsewhere},
		{"reg.example", false, "https://index.docker.io/", elsewhere, elsewhere},
		{"reg.example", false, "https://token.example:443/x", realm, realm},
		{"reg.example", false, "http://clear.example/x", elsewhere, elsewhere},
		{"reg.example", true, "http://clear.example/x", realm, realm},
	} {
		tr := New(Config{
			Host: hostOf(t, tt.host), PlainHTTP: tt.plain,
			Realms: []string{"https://token.example/service/token", "http://clear.example", "%zz", "ftp://x"},
		})
		if got := tr.siteOf(mustURL(t, tt.url), false); got != tt.called {
			t.Errorf("%s plain=%t: %s is %d, want %d", tt.host, tt.plain, tt.url, got, tt.called)
		}
		if got := tr.siteOf(mustURL(t, tt.url), true); got != tt.redirected {
			t.Errorf("%s plain=%t: a redirect to %s is %d, want %d", tt.host, tt.plain, tt.url, got, tt.redirected)
		}
	}
}

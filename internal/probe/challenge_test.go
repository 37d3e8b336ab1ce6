package probe

import (
	"maps"
	"testing"
)

func TestParseChallenge(t *testing.T) {
	t.Parallel()
	type params = map[string]string
	for in, want := range map[string]struct {
		scheme string
		params params
	}{
		"":                             {"", params{}},
		"Basic":                        {"basic", params{}},
		`Basic realm="Registry Realm"`: {"basic", params{"realm": "Registry Realm"}},
		`Bearer realm="https://h/service/token",service="harbor-registry"`: {"bearer", params{"realm": "https://h/service/token", "service": "harbor-registry"}},
		`bearer REALM = "a,b" , service=s,scope="x y"`:                     {"bearer", params{"realm": "a,b", "service": "s", "scope": "x y"}},
		`Bearer realm="a\"b\\c"`:                                           {"bearer", params{"realm": `a"b\c`}},
		`Bearer realm="open`:                                               {"bearer", params{"realm": "open"}},
		`Bearer realm="open\`:                                              {"bearer", params{"realm": `open\`}},
		`Bearer realm="a",realm="b"`:                                       {"bearer", params{"realm": "a"}},
		`Bearer realm="a", Basic realm="b"`:                                {"bearer", params{"realm": "a"}},
		`Bearer =x`:                                                        {"bearer", params{}},
		`Bearer "realm"="x"`:                                               {"bearer", params{}},
	} {
		scheme, got := parseChallenge(in)
		if scheme != want.scheme || !maps.Equal(got, want.params) {
			t.Errorf("%s: %q %q", in, scheme, got)
		}
	}
}

func FuzzChallenge(f *testing.F) {
	f.Add(`Bearer realm="https://h/service/token",service="harbor-registry"`)
	f.Add(`Basic realm="\`)
	f.Add(`,,a=b=c "`)
	f.Fuzz(func(t *testing.T, s string) {
		_, params := parseChallenge(s)
		total := 0
		for k, v := range params {
			total += len(k) + len(v)
		}
		if total > 2*len(s)+1 {
			t.Fatalf("%d bytes out of %d", total, len(s))
		}
	})
}

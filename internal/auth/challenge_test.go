package auth

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestChallenges(t *testing.T) {
	t.Parallel()
	type params = map[string]string
	tests := []struct {
		name  string
		lines []string
		want  []challenge
	}{
		{"none", nil, nil},
		{"empty, as Harbor 2.x", []string{""}, nil},
		{"harbor", []string{`Bearer realm="https://h/service/token",service="harbor-registry",scope="repository:demo/app:pull,push"`}, []challenge{
			{"bearer", params{"realm": "https://h/service/token", "service": "harbor-registry", "scope": "repository:demo/app:pull,push"}},
		}},
		{"basic", []string{`Basic realm="harbor"`}, []challenge{{"basic", params{"realm": "harbor"}}}},
		{"scheme alone", []string{"Basic"}, []challenge{{"basic", params{}}}},
		{"several in one line", []string{`Negotiate, Basic realm="a, b", bearer REALM=https://h/t , Service = "s"`}, []challenge{
			{"negotiate", params{}},
			{"basic", params{"realm": "a, b"}},
			{"bearer", params{"realm": "https://h/t", "service": "s"}},
		}},
		{"several lines", []string{`Basic realm="x"`, "", `Bearer realm="y"`}, []challenge{
			{"basic", params{"realm": "x"}}, {"bearer", params{"realm": "y"}},
		}},
		{"token68", []string{`Negotiate YWJj/+==, Basic realm="x"`}, []challenge{
			{"negotiate", params{}}, {"basic", params{"realm": "x"}},
		}},
		{"escapes in quotes", []string{`Basic realm="a\"b\\c\,d"`}, []challenge{{"basic", params{"realm": `a"b\c,d`}}}},
		{"stray commas", []string{`, ,Basic ,, realm="x",,`}, []challenge{{"basic", params{"realm": "x"}}}},
		{"twice the same parameter", []string{`Bearer realm="first",realm="second"`}, []challenge{{"bearer", params{"realm": "first"}}}},
		{"quote never closed", []string{`Bearer service="s",realm="https://h`}, []challenge{{"bearer", params{"service": "s"}}}},
		{"parameter without a scheme", []string{`realm="x", Basic`}, nil},
		{"garbage", []string{"\x00\x1b[31m", `Basic realm="x"`}, []challenge{{"basic", params{"realm": "x"}}}},
		{"garbage behind", []string{`Basic realm="x", @@@, Bearer realm="y"`}, []challenge{{"basic", params{"realm": "x"}}}},
		{"not ASCII", []string{`Ваsic realm="x"`}, nil},
		{"8 KB and more", []string{`Basic realm="` + strings.Repeat("x", 8<<10) + `"`}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := challengesOf(http.Header{"Www-Authenticate": tt.lines})
			if !reflect.DeepEqual(got, tt.want) && len(got)+len(tt.want) > 0 {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

func TestBearerWithARealmIsAnsweredFirst(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		`Basic realm="x", Bearer realm="y"`: "bearer",
		`Bearer service="s", Basic`:         "basic",
		`Bearer service="s"`:                "",
		`Negotiate`:                         "",
	}
	for line, want := range tests {
		c, ok := choose(parseChallenges(line))
		if c.scheme != want || ok != (want != "") {
			t.Errorf("%s: %q %v, want %q", line, c.scheme, ok, want)
		}
	}
}

// What is written by the grammar is read back.
func TestChallengesAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) challenge {
			return challenge{
				scheme: rapid.StringMatching(`[a-z][a-z0-9-]{0,8}`).Draw(t, "scheme"),
				params: rapid.MapOfN(
					rapid.StringMatching(`[a-z_]{1,8}`),
					rapid.StringMatching(`[ -~]{0,20}`), 0, 4).Draw(t, "params"),
			}
		}), 0, 4).Draw(t, "challenges")
		var parts []string
		for _, c := range all {
			var params []string
			for _, k := range slices.Sorted(maps.Keys(c.params)) {
				params = append(params, fmt.Sprintf(`%s="%s"`, k, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(c.params[k])))
			}
			parts = append(parts, strings.TrimSpace(c.scheme+" "+strings.Join(params, ", ")))
		}
		got := parseChallenges(strings.Join(parts, ", "))
		if len(got) != len(all) || (len(all) > 0 && !reflect.DeepEqual(got, all)) {
			t.Fatalf("%q: %v, want %v", parts, got, all)
		}
	})
}

func FuzzChallenge(f *testing.F) {
	for _, seed := range []string{
		"", ",", "Basic", `Basic realm="harbor"`,
		`Bearer realm="https://h/service/token",service="harbor-registry",scope="repository:a/b:pull,push",error="invalid_token"`,
		`Negotiate a==, Basic realm=x`, `Bearer realm="\"\\`, "a=b", "a = b", `x y z="`, "\x00=\"\x1b\"", "Basic realm=\"a\" Bearer realm=\"b\"",
		strings.Repeat("a,", 100), strings.Repeat(`a b="c",`, 100), "Bearer =====",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		all := challengesOf(http.Header{"Www-Authenticate": {line, line}})
		if len(all) > maxChallenges {
			t.Fatalf("%d challenges", len(all))
		}
		for _, c := range all {
			if c.scheme == "" || c.scheme != strings.ToLower(c.scheme) || len(c.params) > maxParams {
				t.Fatalf("%q with %d parameters", c.scheme, len(c.params))
			}
			for k, v := range c.params {
				if k == "" || k != strings.ToLower(k) || len(v) > len(line) {
					t.Fatalf("%q: %q", k, v)
				}
			}
		}
		if c, ok := choose(all); ok && c.scheme == schemeBearer && c.params["realm"] == "" {
			t.Fatal("a Bearer challenge without a realm was chosen")
		}
	})
}

package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestNoVerbShowsASecret(t *testing.T) {
	t.Parallel()
	c := Credentials{Username: "dev\x1b[2J", Password: "canary1", IdentityToken: "canary2", RegistryToken: "canary3"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, value := range []any{c, &c, []Credentials{c}, struct{ C Credentials }{c}, map[string]Credentials{"h": c}} {
			text := fmt.Sprintf(verb, value)
			for _, hidden := range []string{"canary", "63616e617279", "63616E617279", "\x1b"} {
				if strings.Contains(text, hidden) {
					t.Errorf("%s of %T shows %q", verb, value, text)
				}
			}
		}
	}
}

func TestJSONShowsNoSecret(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(Credentials{Username: "dev", Password: "canary1", IdentityToken: "canary2", RegistryToken: "canary3"})
	if err != nil || strings.Contains(string(data), "canary") {
		t.Errorf("%s, %v", data, err)
	}
}

func TestCredentialsThatCannotBeStored(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		c    Credentials
		what string // "" : they can
	}{
		{"usual", Credentials{Username: "u", Password: "p"}, ""},
		{"robot", Credentials{Username: "robot$demo+ci", Password: "p:w"}, ""},
		{"spaces around", Credentials{Username: " u ", Password: " p "}, ""},
		{"not UTF-8", Credentials{Username: "u\xff", Password: "\xfe"}, ""},
		{"long", Credentials{Username: "u", Password: strings.Repeat("x", 64<<10)}, ""},
		{"identity token", Credentials{IdentityToken: "t"}, ""},
		{"nothing", Credentials{}, "user name"},
		{"no user name", Credentials{Password: "canary"}, "user name"},
		{"colon", Credentials{Username: "a:canary", Password: "p"}, "user name"},
		{"line break in the name", Credentials{Username: "canary\n", Password: "p"}, "user name"},
		{"line break", Credentials{Username: "u", Password: "canary\n"}, "password"},
		{"carriage return", Credentials{Username: "u", Password: "canary\r"}, "password"},
		{"NUL", Credentials{Username: "u", Password: "\x00canary"}, "password"},
		{"line break in a token", Credentials{IdentityToken: "canary\n"}, "identity token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := tt.c.Check()
			if tt.what == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			e, ok := errors.AsType[*InputError](err)
			if !ok || e.What != tt.what || strings.Contains(err.Error(), "canary") {
				t.Errorf("%v", err)
			}
		})
	}
}

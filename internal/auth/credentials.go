// Package auth keeps credentials where docker keeps them and spends them
// sparingly: a round-tripper over wire that answers the challenges of one
// registry, and the policy of where a password may go.
package auth

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// tokenUser is the user name under which docker hands an identity token to a
// helper (docker/cli, config/credentials/native_store.go).
const tokenUser = "<token>"

// Credentials are what somebody logged in with. The zero value is none.
// Neither a verb of fmt nor encoding/json shows a secret.
type Credentials struct {
	Username      string
	Password      string `json:"-"`
	IdentityToken string `json:"-"` // an OAuth2 refresh token, instead of a password
	RegistryToken string `json:"-"` // a bearer token to send as it is
}

// IsZero says whether there are no credentials at all.
func (c Credentials) IsZero() bool { return c == Credentials{} }

// String names the user, and hides what is secret.
func (c Credentials) String() string {
	if c.IsZero() {
		return "no credentials"
	}
	return "credentials of " + quote(c.Username)
}

// GoString is String.
func (c Credentials) GoString() string { return c.String() }

// Format writes String, whatever the verb.
func (c Credentials) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// Check says why c cannot be stored or sent, as an [*InputError], or nil. The
// colon ends the user name in HTTP Basic (RFC 7617); helpers read lines.
func (c Credentials) Check() error {
	bad := func(what, why string) error { return &InputError{What: what, Why: why} }
	if c.Username == "" && c.IdentityToken == "" && c.RegistryToken == "" {
		return bad("user name", "it is empty")
	}
	if strings.ContainsRune(c.Username, ':') {
		return bad("user name", "it has a colon in it")
	}
	for _, f := range []struct{ what, value string }{
		{"user name", c.Username},
		{"password", c.Password},
		{"identity token", c.IdentityToken},
		{"registry token", c.RegistryToken},
	} {
		if strings.ContainsAny(f.value, "\n\r\x00") {
			return bad(f.what, "it has a line break or a NUL in it")
		}
	}
	if !utf8.ValidString(c.IdentityToken) || !utf8.ValidString(c.RegistryToken) {
		return bad("token", "it is not text")
	}
	return nil
}

// hasPassword says whether c can answer HTTP Basic.
func (c Credentials) hasPassword() bool { return c.Username != "" && c.Password != "" }

func (c Credentials) isText() bool {
	return utf8.ValidString(c.Username) && utf8.ValidString(c.Password) && utf8.ValidString(c.IdentityToken)
}

// A Source says where credentials were found or put: [SourceEnv],
// [SourceAuthFile], [SourceConfig], "helper NAME", or "" for nowhere.
type Source string

// The sources that are not helpers.
const (
	SourceEnv      Source = "DOCKER_AUTH_CONFIG"
	SourceAuthFile Source = "REGISTRY_AUTH_FILE"
	SourceConfig   Source = "config.json"
)

func sourceOfHelper(name string) Source { return Source("helper " + name) }

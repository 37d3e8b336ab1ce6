package auth

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// maxShown is how much foreign text an error shows, in bytes.
const maxShown = 300

// quote escapes and shortens text that may come from anywhere.
func quote(s string) string {
	if len(s) > maxShown {
		s = s[:maxShown] + "..."
	}
	return strconv.Quote(s)
}

// A DeniedError says that the registry or its token service refused: there are
// no credentials, or they are wrong.
type DeniedError struct {
	Host     string
	Status   int    // 0: not asked again, it had refused before
	Message  string // the server's, raw
	LoggedIn bool   // credentials were sent
}

func (e *DeniedError) Error() string {
	s := "registry " + quote(e.Host) + " wants a login"
	if e.LoggedIn {
		s = "registry " + quote(e.Host) + " refused the credentials"
	}
	if e.Status != 0 {
		s += ": status " + strconv.Itoa(e.Status)
	}
	if e.Message != "" {
		s += ": " + quote(e.Message)
	}
	return s
}

// A RealmError says that the registry names a token service that credentials
// may not go to. Nothing was sent there.
type RealmError struct {
	Host  string
	Realm string // as the registry wrote it: foreign text
	// Origin is what the user can agree to, for [Policy] or a [Mark]; "" if
	// agreeing would not help.
	Origin string
	Why    string
	Err    error // from the transport below, may be nil
}

func (e *RealmError) Error() string {
	return fmt.Sprintf("token service %s of registry %s: %s", quote(withoutUser(e.Realm)), quote(e.Host), e.Why)
}

// withoutUser hides what may be a password in the address of a realm.
func withoutUser(address string) string {
	scheme, rest, ok := strings.Cut(address, "//")
	if !ok {
		scheme, rest = "", address
	} else {
		scheme += "//"
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		return scheme + "..." + rest[at:]
	}
	return address
}

func (e *RealmError) Unwrap() error { return e.Err }

// A ClearTextError says that credentials would go over plain HTTP or over TLS
// that nobody verified. They were not sent.
type ClearTextError struct {
	Host  string
	Plain bool // over plain HTTP, else over TLS
}

func (e *ClearTextError) Error() string {
	return "credentials for " + quote(e.Host) + " would go over a connection that others can read"
}

// A HelperError says that a credential helper is missing, failed, or answered
// nonsense. What it printed is not part of it.
type HelperError struct {
	Helper string // as configured, without docker-credential-
	Why    string
	Err    error // may be nil
}

func (e *HelperError) Error() string {
	return "credential helper " + quote(e.Helper) + ": " + e.Why
}

func (e *HelperError) Unwrap() error { return e.Err }

// A ConfigError says that a file of settings or credentials cannot be used. It
// was left as it is, and nothing of its content is part of the error.
type ConfigError struct {
	Path string // or the name of an environment variable
	Why  string
	Err  error // may be nil; of the file system
}

func (e *ConfigError) Error() string {
	s := quote(e.Path) + ": " + e.Why
	if e.Err != nil {
		s += ": " + causeOf(e.Err)
	}
	return s
}

// causeOf leaves out the path, which may hold any byte.
func causeOf(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

func (e *ConfigError) Unwrap() error { return e.Err }

// An InputError says that credentials as typed cannot be stored or sent.
type InputError struct {
	What string // "user name", "password", ...
	Why  string
}

func (e *InputError) Error() string { return e.What + ": " + e.Why }

// An AnswerError says that the registry or its token service answered
// something that is neither a permission nor a refusal.
type AnswerError struct {
	Host   string
	Status int
	Why    string
}

func (e *AnswerError) Error() string {
	return fmt.Sprintf("%s: status %d: %s", quote(e.Host), e.Status, e.Why)
}

// StatusCode is that of the answer.
func (e *AnswerError) StatusCode() int { return e.Status }

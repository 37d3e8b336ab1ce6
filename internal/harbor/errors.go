package harbor

import (
	"fmt"
	"net/http"
)

// A NoCAError says that Harbor offers no CA for download. It does not mean that
// its certificate is publicly trusted: few installers put the file there.
type NoCAError struct {
	Path string
}

func (e *NoCAError) Error() string { return "harbor offers no CA at " + e.Path }

// A LoginNeededError says that only an administrator may download the CA, as in
// Harbor before 1.7. It tells nothing about whether there is one.
type LoginNeededError struct {
	Status int // 401, or 403 for a user who is no administrator
}

func (e *LoginNeededError) Error() string {
	return "harbor gives its CA to administrators only, as versions before 1.7 do"
}

// A DeniedError says that Harbor refused the administrator's name or password
// (status 401), or knows the user as no administrator (403).
type DeniedError struct {
	Status int
}

func (e *DeniedError) Error() string {
	if e.Status == http.StatusForbidden {
		return "harbor gives its CA to administrators only, and this user is none"
	}
	return "harbor refused the user name or password"
}

// An AnswerError says that an answer is none that Harbor gives there.
type AnswerError struct {
	Path   string
	Status int
	Why    string // empty: the status says it
}

func (e *AnswerError) Error() string {
	if e.Why == "" {
		return fmt.Sprintf("%s answered with status %d", e.Path, e.Status)
	}
	return fmt.Sprintf("%s answered with %s", e.Path, e.Why)
}

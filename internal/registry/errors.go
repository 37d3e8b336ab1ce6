package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/wire"
)

// Codes of an [Error], as registries use them (OCI distribution-spec, "Error
// Codes"; those of Harbor as its API documents them), but the first, which is
// vicr's own word for what Harbor says in several ways.
const (
	CodeProjectNotFound     = "PROJECT_NOT_FOUND"
	CodeNotFound            = "NOT_FOUND" // Harbor 2
	CodeManifestInvalid     = "MANIFEST_INVALID"
	CodeManifestUnknown     = "MANIFEST_UNKNOWN"
	CodeNameUnknown         = "NAME_UNKNOWN"
	CodeBlobUnknown         = "BLOB_UNKNOWN"
	CodeBlobUploadUnknown   = "BLOB_UPLOAD_UNKNOWN"
	CodeManifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN"
	CodeDenied              = "DENIED"
	CodeUnauthorized        = "UNAUTHORIZED"
)

// OpTag is the Op of an [Error] of [Repository.Tag] about one of the new tags.
const OpTag = "tag"

const (
	opTags = "list tags"
	opPush = "push blob"
)

const maxMessage = 300 // bytes of the registry's message that are shown

// An Error is an answer of the registry that is not what was asked for. It
// wraps [transfer.ErrNotFound] if the registry says that something is missing.
type Error struct {
	Op      string // "get manifest", "push blob"
	Image   string // the full name
	Source  string // of [OpTag]: the full name of what was to have the new one
	Status  int    // of HTTP
	Code    string // the registry's, or ""
	Message string // the registry's, raw; or ""
	Refusal Refusal
	Nobody  bool // nobody is logged in
	// RetryAfter is how long the registry asks to wait; 0: it does not say.
	RetryAfter time.Duration
	// Elsewhere is the origin that answered, where that is not the registry's
	// own but one that it sent to; else "".
	Elsewhere string
	Err       error // of the round-tripper, if it had the answer; may be nil
}

func (e *Error) Error() string {
	s := e.Op + ": " + e.Image + ": "
	if why := e.words(); why != "" {
		s += why + ": "
	}
	s += "status " + strconv.Itoa(e.Status)
	if e.Code != "" && e.Code != CodeProjectNotFound { // which no registry said
		s += " " + e.Code
	} else if text := http.StatusText(e.Status); text != "" {
		s += " " + text
	}
	if e.Message != "" {
		s += ": " + strconv.Quote(bounded(e.Message))
	}
	return s
}

func (e *Error) Unwrap() error {
	switch e.Code {
	case CodeProjectNotFound, CodeNotFound, CodeManifestUnknown, CodeNameUnknown, CodeBlobUnknown:
		return transfer.ErrNotFound
	case CodeBlobUploadUnknown, CodeManifestBlobUnknown:
		return nil
	}
	if e.Status == http.StatusNotFound && e.Refusal != UploadAstray {
		return transfer.ErrNotFound
	}
	return e.Err
}

// Reads says whether something was asked for, and nothing was to be written.
func (e *Error) Reads() bool {
	return strings.HasPrefix(e.Op, "get ") || strings.HasPrefix(e.Op, "list ")
}

func bounded(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	s = s[:maxMessage]
	for range utf8.UTFMax {
		if r, size := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || size != 1 {
			break
		}
		s = s[:len(s)-1]
	}
	return s + "..."
}

// fail makes an error of an answer, and closes it.
func (r *Repository) fail(op string, resp *http.Response) *Error {
	e := &Error{Op: op, Image: r.img.String(), Status: resp.StatusCode, RetryAfter: wire.RetryAfter(resp)}
	if op == opTags {
		e.Image = r.img.Name() // of no tag
	}
	body, err := wire.ReadAll(resp.Body, wire.MaxError)
	_ = resp.Body.Close() // nothing more is wanted of it
	if err == nil {
		e.Code, e.Message = parseRefusal(body)
	}
	if e.Code == "" && e.Message == "" && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		e.Message = strings.TrimSpace(string(body))
	}
	e.Nobody = r.nobody()
	e.Refusal = r.refusalOf(e, resp)
	switch {
	case e.Refusal == ProjectMissing:
		e.Code = CodeProjectNotFound
	case e.Status == http.StatusBadRequest && r.base.Scheme == "http" && inClear().Match(body):
		e.Refusal = AskedInClear
	}
	return e
}

var codeShape = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)
})

// parseRefusal reads the errors document of the Distribution API, or the
// {"code":...,"message":...} of Harbor 1's own API.
func parseRefusal(body []byte) (code, message string) {
	type refusal struct {
		Code    any    `json:"code"` // Harbor 1: a number
		Message string `json:"message"`
	}
	var doc struct {
		refusal
		Errors []refusal `json:"errors"`
	}
	if json.Unmarshal(body, &doc) != nil {
		return "", ""
	}
	first := doc.refusal
	if len(doc.Errors) > 0 {
		first = doc.Errors[0]
	}
	if s, ok := first.Code.(string); ok && codeShape().MatchString(s) {
		code = s
	}
	return code, first.Message
}

// A RangeError says that the registry gave another part of a blob than the one
// asked for. It wraps [transfer.ErrOffset].
type RangeError struct {
	Want string // the Content-Range that was to come
	Got  string // the one that came, raw
}

func (e *RangeError) Error() string {
	return fmt.Sprintf("the registry sent %s instead of %q", strconv.Quote(bounded(e.Got)), e.Want)
}

func (e *RangeError) Unwrap() error { return transfer.ErrOffset }

// A PagingError says that a list of names was given up.
type PagingError struct {
	Op    string // "list tags", "list repositories"
	Image string // the full name, or the registry's
	Why   string
}

func (e *PagingError) Error() string { return fmt.Sprintf("%s: %s: %s", e.Op, e.Image, e.Why) }

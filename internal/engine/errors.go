package engine

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrNoEngine says that no engine is configured and nothing is at the default socket.
var ErrNoEngine = errors.New("there is no container engine here")

// An UnavailableError says that an engine that should be there does not answer
// as one. Host and Why may hold foreign bytes.
type UnavailableError struct {
	Host string
	Why  string
	Err  error // may be nil
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("the engine at %s: %s", escaped(e.Host), escaped(e.Why))
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// A LoadError says that an engine did not take an image. Message, the engine's
// own words where it had some, may hold foreign bytes.
type LoadError struct {
	Image   string
	Message string
}

func (e *LoadError) Error() string {
	return fmt.Sprintf("the engine did not load %s: %s", e.Image, escaped(e.Message))
}

// An IndexError says that an engine keeps one platform of an image, and was to
// take several.
type IndexError struct{ Image string }

func (e *IndexError) Error() string {
	return fmt.Sprintf("the engine did not load %s: it keeps one platform of an image, and this is an index of several", e.Image)
}

// A SaveError says that what an engine gave out is no image that can be used.
// Why may hold foreign bytes.
type SaveError struct {
	Image string
	Why   string
	Err   error // may be nil
}

func (e *SaveError) Error() string {
	return fmt.Sprintf("the engine did not give out %s: %s", e.Image, escaped(e.Why))
}

func (e *SaveError) Unwrap() error { return e.Err }

// A ResponseError is a refusal in the engine's own words, which may hold foreign bytes.
type ResponseError struct {
	Message string
	Err     error
}

func (e *ResponseError) Error() string { return "the engine says: " + escaped(e.Message) }

func (e *ResponseError) Unwrap() error { return e.Err }

// escaped makes foreign text fit for a line of an error.
func escaped(s string) string {
	const limit = 1000 // bytes
	if len(s) > limit {
		s = s[:limit] + "..."
	}
	quoted := strconv.QuoteToASCII(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

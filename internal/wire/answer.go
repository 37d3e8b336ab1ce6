package wire

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// maxGot is how much of what is not HTTP an error shows, in bytes.
const maxGot = 80

// An AnswerError says that what a server sent is not HTTP, or has headers that
// are larger than anybody needs.
type AnswerError struct {
	LargeHeader bool
	Got         string // the part of it that could not be read, raw and short; "" if that is not known
	Err         error  // as net/http says it
}

func (e *AnswerError) Error() string {
	switch {
	case e.LargeHeader:
		return fmt.Sprintf("the header of the answer is larger than %d bytes", maxHeaderBytes)
	case e.Got == "":
		return "the answer is not valid HTTP"
	}
	return "the answer is not valid HTTP: it has " + strconv.QuoteToASCII(e.Got)
}

func (e *AnswerError) Unwrap() error { return e.Err }

// answerFault is err, of net/http, which has no types for what it cannot read.
// Where its words quote what was sent, that is quoted as Go writes strings.
func answerFault(err error) *AnswerError {
	text := err.Error()
	e := &AnswerError{Err: err, LargeHeader: strings.Contains(text, "response headers exceeded")}
	if i := strings.IndexByte(text, '"'); i >= 0 {
		if quoted, err := strconv.QuotedPrefix(text[i:]); err == nil {
			e.Got, _ = strconv.Unquote(quoted) // it is one
		}
	}
	if len(e.Got) > maxGot {
		e.Got = e.Got[:maxGot] + "..."
	}
	return e
}

// isConnection says whether err is about the connection, and not about what
// came over it.
func isConnection(err error) bool {
	_, isNet := errors.AsType[net.Error](err)
	return isNet || errors.Is(err, http.ErrBodyReadAfterClose) || connectionBroke(&Error{Kind: Unreachable, Err: err})
}

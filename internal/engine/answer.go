package engine

import (
	"encoding/json"
	"errors"
	"io"
	"iter"
)

const (
	maxMessage = 1 << 20 // bytes of one message of an answer
	maxAnswer  = 1 << 28 // bytes of all of them: a pull reports often
)

// errAnswer says that an answer is longer than any that makes sense.
var errAnswer = errors.New("its answer is too long")

// A message is one of the JSON objects that an engine streams while it works
// (moby api/types/jsonstream, Message).
type message struct {
	Stream   string `json:"stream"`
	Status   string `json:"status"`
	ID       string `json:"id"`
	Progress struct {
		Current int64 `json:"current"`
		Total   int64 `json:"total"`
	} `json:"progressDetail"`
	Error       string `json:"error"`
	ErrorDetail *struct {
		Message string `json:"message"`
	} `json:"errorDetail"`
}

// failed returns the error that a message holds.
func (m message) failed() (text string, failed bool) {
	switch {
	case m.ErrorDetail != nil && m.ErrorDetail.Message != "":
		return m.ErrorDetail.Message, true
	case m.Error != "":
		return m.Error, true
	case m.ErrorDetail != nil:
		return "an error without words", true
	}
	return "", false
}

// messages reads an answer to its end. An error ends it.
func messages(r io.Reader) iter.Seq2[message, error] {
	return func(yield func(message, error) bool) {
		all := &io.LimitedReader{R: r, N: maxAnswer}
		one := &io.LimitedReader{R: all, N: maxMessage}
		d := json.NewDecoder(one)
		for {
			var m message
			err := d.Decode(&m)
			if all.N <= 0 || one.N <= 0 {
				err = errAnswer
			}
			if err == io.EOF {
				return
			}
			if !yield(m, err) || err != nil {
				return
			}
			one.N = maxMessage
		}
	}
}

// Package proof proves what trust has installed: by the road of vicr's own
// transfers, through the tools that read the files, or, in a tree where nothing
// runs, by the files themselves. It asks without credentials and changes nothing.
package proof

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/wire"
)

// An Error says that a tool does not trust the registry although its files are
// in place.
type Error struct {
	Tool    string
	Host    string // as the tool knows it, or a file
	Message string // the tool's words, raw
	// TokenFault says that it is the token server that the tool does not trust:
	// see [engine.Proof].
	TokenFault bool
	// Stale says that a running tool has not taken over what its files say.
	Stale bool
}

func (e *Error) Error() string {
	switch {
	case e.Stale:
		return fmt.Sprintf("%s has not taken over what its configuration says of %s: %s", e.Tool, e.Host, strconv.Quote(e.Message))
	case e.TokenFault:
		return fmt.Sprintf("%s does not trust the token server of %s: %s", e.Tool, e.Host, strconv.Quote(e.Message))
	}
	return fmt.Sprintf("%s does not trust %s: %s", e.Tool, e.Host, strconv.Quote(e.Message))
}

// A Fact is what was found out about one name of the registry.
type Fact struct {
	Host   string
	Proven bool
	Why    string // why not: it was not refused, but could not be asked; raw
}

// Own asks the registry over w, without credentials. Any answer will do: it
// came over TLS that w verified. Errors are those of package wire.
func Own(ctx context.Context, w *wire.Transport) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.Base().JoinPath("/v2/").String(), http.NoBody)
	if err != nil {
		return err
	}
	resp, err := w.RoundTrip(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// judged is what a verdict says of one name: a fact, or an [*Error].
func judged(tool, name string, p engine.Proof) (Fact, error) {
	if p.Verdict == engine.NotTrusted || p.Verdict == engine.DirFault {
		return Fact{}, &Error{Tool: tool, Host: name, Message: p.Message, TokenFault: p.TokenFault}
	}
	return Fact{Host: name, Proven: p.Verdict == engine.Trusted, Why: p.Message}, nil
}

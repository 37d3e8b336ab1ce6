// Package proof proves what trust has installed: by the road of vicr's own
// transfers, through the engine that reads the files, or, in a tree where
// nothing runs, by the files themselves.
package proof

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/wire"
)

const maxCAFile = 1 << 20 // bytes

// An Error says that a tool does not trust the registry although its files are
// in place.
type Error struct {
	Tool    string
	Host    string // as the tool knows it
	Message string // the tool's words, raw
}

func (e *Error) Error() string {
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

// Engine asks the rootful engine of m, whatever engine the user's commands go
// to, for every spelling of h. The error is an [*Error] when it refuses one;
// an engine that does not answer is no error, but proves nothing.
func Engine(ctx context.Context, m machine.Machine, h ref.Host) ([]Fact, error) {
	e, err := rootful(ctx, m)
	var away *engine.UnavailableError
	if errors.Is(err, engine.ErrNoEngine) || errors.As(err, &away) {
		return []Fact{{Host: h.String(), Why: "no Docker engine answers here now"}}, nil
	}
	if err != nil {
		return nil, err
	}
	defer e.Close() //nolint:errcheck // only a connection
	var facts []Fact
	for _, name := range h.Spellings() {
		p, err := e.ProveTrust(ctx, name)
		if err != nil {
			return facts, err
		}
		if p.Verdict == engine.NotTrusted || p.Verdict == engine.DirFault {
			return facts, &Error{Tool: "the Docker engine", Host: name, Message: p.Message}
		}
		facts = append(facts, Fact{Host: name, Proven: p.Verdict == engine.Trusted, Why: p.Message})
	}
	return facts, nil
}

func rootful(ctx context.Context, m machine.Machine) (*engine.Engine, error) {
	if m.Docker.Socket == "" {
		return nil, engine.ErrNoEngine
	}
	e, err := engine.Open("unix://"+m.Docker.Socket, engine.Options{})
	if err != nil {
		return nil, err
	}
	if _, err := e.Ping(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// Files reads back what a plan wrote, as the tool would. The error is an
// [*Error] for a file that does not hold the anchor, or that of reading it.
func Files(t *atomicfile.Tree, p change.Plan, anchor *x509.Certificate) error {
	for _, s := range p {
		data, _, err := t.Read(s.Path, maxCAFile)
		if err != nil {
			return err
		}
		certs, err := pki.ParseBundle(data)
		if err != nil || len(certs) != 1 || !certs[0].Equal(anchor) {
			return &Error{Tool: s.Tool, Host: s.Path, Message: "the file does not hold the CA"}
		}
	}
	return nil
}

package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/moby/moby/client"
)

// proofLimit is how long one question to a registry through the engine may
// take. The containerd store needs 31 s to give up a host that swallows packets.
const proofLimit = 45 * time.Second

// A Verdict says what an engine makes of a registry.
type Verdict int

// The verdicts of [Engine.ProveTrust].
const (
	Unknown     Verdict = iota // the engine's words fit nothing known
	Trusted                    // TLS was made and the registry answered
	NotTrusted                 // its certificate was refused, or it speaks plain HTTP
	Unreachable                // the engine did not get to it
	DirFault                   // a file in the registry's folder of certs.d cannot be used
)

func (v Verdict) String() string {
	switch v {
	case Trusted:
		return "trusted"
	case NotTrusted:
		return "not trusted"
	case Unreachable:
		return "unreachable"
	case DirFault:
		return "fault in certs.d"
	default:
		return "unknown"
	}
}

// A Proof is what an engine said of a registry.
type Proof struct {
	Verdict Verdict
	Message string // the engine's words; foreign bytes
	// TokenFault says that the certificate of the token server was refused, not
	// the registry's. Docker 29.0 to 29.4 with the containerd store ask for
	// tokens with the system's roots alone, whatever certs.d or
	// insecure-registries say (moby c2075797fa, docker/cli#6748).
	TokenFault bool
}

// ProveTrust has the engine ask the registry host, as it is written in an
// image reference, for an image that cannot exist, without credentials. That
// takes the way of a real pull and changes nothing. It takes 45 s at most.
// Errors are about the engine alone: [*UnavailableError], [ErrNoEngine].
func (e *Engine) ProveTrust(ctx context.Context, host string) (Proof, error) {
	if _, err := e.Ping(ctx); err != nil {
		return Proof{}, err
	}
	guarded, stop := e.guard(ctx)
	defer stop()
	short, cancel := context.WithTimeout(guarded, proofLimit)
	defer cancel()

	name := NoImage(host)
	text, pulled, err := e.askFor(short, name)
	switch {
	case guarded.Err() != nil:
		return Proof{}, context.Cause(guarded)
	case short.Err() != nil:
		return Proof{Verdict: Unreachable, Message: "no answer within " + proofLimit.String()}, nil
	case client.IsErrConnectionFailed(err):
		return Proof{}, e.unavailable(plain(err), err)
	case pulled:
		// A registry that has every name: it is not to leave anything behind.
		return Proof{Verdict: Trusted, Message: text}, e.remove(ctx, name)
	case err != nil:
		text = plain(err)
	}
	v := Judge(text, host)
	return Proof{Verdict: v, Message: text, TokenFault: tokenFault(text)}, nil
}

// NoImage is a name on host of which no registry has an image.
func NoImage(host string) string {
	return host + "/vicr-proof-" + random() + "/" + random() + ":" + random()
}

// random is a word that fits in any place of an image reference and, made of
// consonants alone, holds none of the words that [Judge] looks for.
func random() string {
	const letters = "bcdfghjkmpqrvwxz"
	b := make([]byte, 16)
	_, _ = rand.Read(b) // crypto/rand never fails
	for i := range b {
		b[i] = letters[b[i]%byte(len(letters))]
	}
	return string(b)
}

// askFor begins to pull name. It returns the error that the engine put in its
// answer (Podman answers 200 and says it there), or that a pull began.
func (e *Engine) askFor(ctx context.Context, name string) (text string, pulled bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends a pull
	res, err := e.api.ImagePull(ctx, name, client.ImagePullOptions{})
	if err != nil {
		return "", false, err
	}
	defer res.Close() //nolint:errcheck // only read
	for m, err := range messages(res) {
		if err != nil {
			return "", false, unreadable(err)
		}
		if text, failed := m.failed(); failed {
			return text, false, nil
		}
		// moby distribution/pull_v2.go: said once the manifest was found.
		if strings.HasPrefix(m.Status, "Pulling from ") {
			return m.Status, true, nil
		}
	}
	return "the registry has an image of a random name", true, nil
}

func unreadable(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the engine broke off its answer")
	}
	if errors.Is(err, errAnswer) {
		return err
	}
	return errors.New("the engine's answer cannot be read: " + err.Error())
}

// words lists what tells the verdicts apart, in the order in which they are
// asked: a token server's x509 error comes with the registry's own words
// around it, and a fault of the folder may speak of certificates. Collected
// from dockerd 20.10.24, dockerd v2.0.0-beta.1 and beta.24 on both image
// stores, Podman 4.3.1 with Skopeo and Buildah, and ctr 1.6.20 and 2.4.2.
var words = []struct {
	verdict Verdict
	any     []string // lower case
}{
	{DirFault, []string{
		"unable to load ca cert", "unable to read ca cert", "load x509 key pair", "missing key ", "missing client certificate",
	}},
	{NotTrusted, []string{"x509:", "tls:", "certificate", "server gave http response"}},
	{Unreachable, []string{
		"dial tcp", "no route to host", "connection refused", "i/o timeout", "deadline exceeded", "client.timeout", "lookup ",
	}},
	{Trusted, []string{
		"no basic auth credentials", "pull access denied", "insufficient_scope", "unauthorized", "denied", "not found", "manifest unknown", " 401 ",
	}},
}

// unrelated are words about this machine that hold some of those about a registry.
var unrelated = []string{"permission denied", "executable file not found", "command not found"}

// tokenFault knows the words of containerd's resolver, which stand before those
// about the certificate (docker/auth/fetch.go).
func tokenFault(text string) bool {
	_, after, ok := strings.Cut(text, "failed to fetch anonymous token")
	if !ok {
		_, after, ok = strings.Cut(text, "failed to fetch oauth token")
	}
	return ok && strings.Contains(after, "x509:")
}

// Judge reads the message of an engine, or of another tool that pulls, about
// the registry host. What the user typed is taken out first: a host may be
// named certificate.example.
func Judge(text, host string) Verdict {
	text = strings.ToLower(text)
	text = strings.ReplaceAll(text, strings.ToLower(host), "HOST")
	if name, _, _ := strings.Cut(host, ":"); strings.Contains(name, ".") {
		text = strings.ReplaceAll(text, strings.ToLower(name), "HOST")
	}
	for _, own := range unrelated {
		text = strings.ReplaceAll(text, own, "LOCAL")
	}
	text = " " + strings.Join(strings.Fields(text), " ") + " " // 401 counts as a word, not as a part of a port
	for _, w := range words {
		for _, word := range w.any {
			if strings.Contains(text, word) {
				return w.verdict
			}
		}
	}
	return Unknown
}

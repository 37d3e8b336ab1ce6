package engine

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"

	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/relay"
	"github.com/vicr-cli/vicr/internal/transfer"
)

const (
	// hearLimit is how long the engine may take to ask the relay for the nonce.
	hearLimit = 5 * time.Second
	// tidyLimit is how long names of the relay are removed after the end of a
	// call; the next run removes what is left.
	tidyLimit = 800 * time.Millisecond
)

// ErrNoRelay says that an image cannot go through a relay to or from this
// engine: it is to be loaded or saved. Nothing was changed.
var ErrNoRelay = errors.New("no relay to this engine")

// RelayOptions say what a [Relay] goes by.
type RelayOptions struct {
	Names     string          // folder for the names that it gives images; made when it is needed
	Blobs     *memo.Blobs     // may be nil
	Manifests *memo.Manifests // may be nil
	Name      string          // of the image in the engine; "": that in the registry
	// Open opens what the registry that is pushed to has under a name; nil: it is
	// not looked for there.
	Open func(ref.Image) transfer.Source
}

// A Relay has the engine itself pull and push, through a registry on loopback
// that lasts as long as one call (package relay). The engine must be on a unix
// socket and in our own network.
type Relay struct {
	engine *Engine
	o      RelayOptions
}

// Relay returns the engine's relay. Nothing is asked yet.
func (e *Engine) Relay(o RelayOptions) *Relay { return &Relay{engine: e, o: o} }

// named is what the engine calls img.
func (o RelayOptions) named(img ref.Image) string { return cmp.Or(o.Name, img.String()) }

// A Header is a source that says what its name stands for, for less than it
// takes to get that.
type Header interface {
	Head(ctx context.Context) (v1.Descriptor, error)
}

// A RelayTarget is where to it is pushed.
type RelayTarget interface {
	relay.Target
	Header
}

// registryKey is what the memo calls the registry of img.
func registryKey(img ref.Image) string { return img.Host.String() }

// look is what the engine says of an image; nil if it has none of this name or ID.
func (e *Engine) look(ctx context.Context, img string, o ...client.ImageInspectOption) (*image.InspectResponse, error) {
	ctx, stop := e.guard(ctx)
	defer stop()
	res, err := e.api.ImageInspect(ctx, img, o...)
	if err = e.failure(ctx, img+" in the engine", err); errors.Is(err, transfer.ErrNotFound) {
		return nil, nil //nolint:nilnil // it has none
	}
	if err != nil {
		return nil, err
	}
	return &res.InspectResponse, nil
}

// A session is a relay that is open for one image, and the name of that there.
type session struct {
	*relay.Relay
	name   relayed
	tag    string
	record *record
}

// open opens a relay that the engine is proven to reach: it is told a nonce, and
// no password, and has to ask this relay for it. Meanwhile the name that img gets
// is written down. ids are what it may stand for. The error is [ErrNoRelay] if
// the engine does not ask. The caller closes the session.
func (r *Relay) open(ctx context.Context, img ref.Image, ids ...string) (*session, error) {
	e := r.engine
	if !strings.HasPrefix(e.host, "unix://") || r.o.Names == "" {
		return nil, ErrNoRelay
	}
	l, err := relay.Listen(ctx)
	if err != nil {
		return nil, ErrNoRelay // no loopback, or none for us
	}
	s := &session{Relay: l}
	s.name = relayed{Engine: e.host, IDs: ids}
	s.name.Name, s.tag = relayName(l, img)
	written := make(chan error, 1)
	go func() {
		var err error
		s.record, err = newRecord(ctx, r.o.Names, s.name)
		written <- err
	}()
	err = e.hears(ctx, l)
	failed := <-written
	if err == nil && failed == nil {
		return s, nil
	}
	if failed == nil {
		_ = s.record.done() // it was for nothing; the next run sees that too
	}
	_ = l.Close() // nothing was passed on
	if err == nil {
		err = errors.Join(failed, ErrNoRelay)
	}
	return nil, err
}

func (e *Engine) hears(ctx context.Context, s *relay.Relay) error {
	short, cancel := context.WithTimeout(ctx, hearLimit)
	defer cancel()
	nonce, heard := s.Nonce()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		// What it answers does not matter: there is no such image.
		_, _ = e.api.DistributionInspect(short, s.Addr()+"/"+nonce, client.DistributionInspectOptions{})
	}()
	select {
	case <-heard:
	case <-asked:
	}
	cancel()
	<-asked
	select {
	case <-heard:
		return nil
	default:
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return ErrNoRelay
}

// authFor is what tells the engine the relay's password (moby
// api/types/registry, AuthConfig).
func authFor(s *relay.Relay) (string, error) {
	raw, err := json.Marshal(map[string]string{"username": s.User(), "password": s.Password(), "serveraddress": s.Addr()})
	return base64.URLEncoding.EncodeToString(raw), err
}

// ended is what an engine's pull or push ended with: nil, what ended ctx, or the
// engine's words. op says what was asked for.
func (e *Engine) ended(ctx context.Context, op, words string, err error) error {
	if words != "" && err == nil {
		return refusal(op, words)
	}
	return e.failure(ctx, op, err)
}

// refusal is an engine's own words.
func refusal(op, words string) error { return fmt.Errorf("%s: %w", op, &ResponseError{Message: words}) }

// relayTag is the tag of images that have none.
const relayTag = "vicr"

// relayName is what img is called in the relay.
func relayName(s *relay.Relay, img ref.Image) (name, tag string) {
	if tag = img.Tag; tag == "" {
		tag = relayTag
	}
	return s.Addr() + "/" + img.Repository + ":" + tag, tag
}

var relayShape = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^127\.0\.0\.1:[0-9]{1,5}/[a-z0-9][a-z0-9._/-]*:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
})

// follow reads the answer of a pull or push to its end, and returns the error
// in it in the engine's words.
func follow(r io.Reader, on func(message)) (words string, err error) {
	for m, err := range messages(r) {
		if err != nil {
			return "", err
		}
		if text, failed := m.failed(); failed && words == "" {
			words = text
		}
		on(m)
	}
	return words, nil
}

// tell reports what was there already.
func tell(on func(transfer.Event), descs ...v1.Descriptor) {
	if on == nil {
		return
	}
	for _, d := range descs {
		on(transfer.Event{Stage: transfer.Existed, Desc: d, Bytes: d.Size})
	}
}

// has says whether a list has a descriptor of this digest.
func has(list []v1.Descriptor, digest v1.Hash) bool {
	return slices.ContainsFunc(list, func(d v1.Descriptor) bool { return d.Digest == digest })
}

package registry

import (
	"context"
	"errors"
	"net/http"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/memo"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/wire"
)

const (
	// How often in a row something is tried of which the registry has got no
	// further: when the connection breaks, when the other side is silent, when
	// it answers with an error.
	maxBroken = 6
	maxSilent = 2
	maxFailed = 3

	// minGrowth is how many bytes more than ever before are progress.
	minGrowth = 256 << 10
	// keptSize is from how many bytes on an upload is remembered for the next run.
	keptSize = 8 << 20
	// streamedSize is from how many bytes on a blob is sent by PATCH, which may
	// end early and stay valid, and finished by a PUT of its own.
	streamedSize = 32 << 20
	// fallbackChunk is the size of chunks, in bytes, for a registry that forgot
	// an upload which broke: what arrived in a request of its own may stay.
	fallbackChunk = 16 << 20
)

// KeepingUploads has r remember in s where the uploads of large blobs go on, and
// go on with those that are remembered. It returns r, and is called before r is
// used.
func (r *Repository) KeepingUploads(s *memo.Sessions) *Repository {
	r.sessions = s
	return r
}

// PutBlob uploads a blob unless the registry has it. One POST asks for both: to
// mount the blob out of this very repository, or one that is known to have it,
// is to find it there or to begin an upload; then comes one PUT with all of it,
// a PATCH and a PUT for a large one, or as [Repository.InChunks] and
// [Repository.MountFrom] say. A layer that may not be distributed is not sent.
//
// When the connection breaks or the registry fails, the registry is asked how far
// the upload is, which goes on from there, or from the beginning where the
// registry has dropped it. That ends after a few tries without progress. An
// upload that ends so, or with ctx, goes on with the next call if
// [Repository.KeepingUploads] has a place for it; taken is then what was missing.
//
// Errors: [*Error], [*transfer.DigestError] if the registry says that it holds
// something else, those of open and of the round-tripper.
func (r *Repository) PutBlob(ctx context.Context, desc v1.Descriptor, open transfer.Opener) (taken int64, err error) {
	if r.Declines(desc) {
		return 0, nil
	}
	s := r.resumed(ctx, desc, open)
	has, err := s.run(ctx)
	s.leave(ctx, err)
	switch {
	case err != nil:
		return 0, err
	case has && !s.sent:
		return 0, nil
	}
	return desc.Size - s.had, nil
}

// A sending is one blob on its way to the registry, over all its tries.
type sending struct {
	r       *Repository
	desc    v1.Descriptor
	open    transfer.Opener
	session *memo.Session // nil: the upload is not remembered
	noted   int64         // offset at which it was last remembered

	at       *begun // nil: it is to be begun
	sent     bool   // something was: HEAD tells what became of it
	had      int64  // bytes that the registry had of it before
	most     int64  // the largest offset that the registry confirmed
	loose    bool   // not by one PUT with all of it: gone on with, or of unknown length
	anew     bool   // since that was refused
	forgot   bool   // the registry did, what was sent
	answered bool   // the registry was done with what it was sent last
	unread   error  // how reading the blob failed
}

// resumed is a blob's sending as far as it is remembered.
func (r *Repository) resumed(ctx context.Context, desc v1.Descriptor, open transfer.Opener) *sending {
	s := &sending{r: r, desc: desc, open: open}
	if desc.Size < keptSize {
		return s
	}
	s.session = r.sessions.Take(ctx, r.img.Host.String(), r.img.Repository, desc.Digest)
	if at := r.recalled(s.session.URL()); at != nil {
		s.at = &begun{at: at, chunk: r.chunk, unsure: true}
	}
	return s
}

// run sends the blob until it is there, or until that is of no use.
func (s *sending) run(ctx context.Context) (has bool, err error) {
	for try := 1; ; try++ {
		has, err := s.attempt(ctx)
		if err == nil || ctx.Err() != nil {
			return has, err
		}
		if s.unread != nil {
			return false, s.unread
		}
		s.answered = is[*Error](err)
		if s.grew() {
			try = 0
		}
		if !s.mayGoOn(err) || try >= patience(err) {
			return false, err
		}
		if err := s.pause(ctx, try, err); err != nil {
			return false, err
		}
	}
}

// pause waits after a try that failed with failure, and says so.
func (s *sending) pause(ctx context.Context, try int, failure error) error {
	e := transfer.Event{Stage: transfer.Retrying, Desc: s.desc, Try: try + 1, Wait: pauseAfter(try, failure), Err: failure}
	if s.at != nil {
		e.Bytes = s.at.offset
	}
	s.r.watch(e)
	return s.r.wait(ctx, e.Wait)
}

// attempt is one try, from where the last one ended.
func (s *sending) attempt(ctx context.Context) (has bool, err error) {
	if s.at != nil && s.at.unsure {
		if err := s.askStanding(ctx); err != nil {
			return false, err
		}
	}
	if s.at == nil {
		at, err := s.r.begin(ctx, s.desc, s.sent)
		if err != nil || at == nil {
			return err == nil, err
		}
		s.began(at)
	}
	s.sent, s.at.unsure = true, true
	body := newUpload(s.bodyContext(ctx), s.open)
	err = s.send(ctx, body)
	body.end()
	s.unread = body.failure()
	return false, err
}

func (s *sending) began(at *begun) {
	s.at, s.noted = at, 0
	if s.forgot && at.chunk == 0 && s.desc.Size > fallbackChunk {
		at.chunk = max(fallbackChunk, at.least)
	}
	s.remember()
}

// grew says whether the registry has got further than ever.
func (s *sending) grew() bool {
	if s.at == nil || s.at.offset < s.most+minGrowth {
		return false
	}
	s.most = s.at.offset
	return true
}

// mayGoOn says whether a try that failed with err may be followed by another. A
// registry that does not take the rest of an upload, or a PATCH without a length,
// gets all of it by PUT, once.
func (s *sending) mayGoOn(err error) bool {
	if passing(err) {
		return true
	}
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Refusal != Unexplained || !s.loose || s.anew {
		return false
	}
	s.anew = true
	s.drop()
	s.forgot = false // it refused
	return true
}

// passing says whether a request that failed with err may go well in another try.
func passing(err error) bool {
	switch wire.KindOf(err) {
	case wire.Unreachable, wire.Silent:
		return true
	}
	if errors.Is(err, errTookLess) {
		return true
	}
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Refusal != Unexplained {
		return false
	}
	switch {
	case e.Status >= http.StatusInternalServerError, e.Status == http.StatusRequestTimeout,
		e.Status == http.StatusRequestedRangeNotSatisfiable, e.Code == CodeBlobUploadUnknown:
		return e.RetryAfter <= wire.MaxRetryAfter
	case e.Code == codeUploadInvalid: // Distribution 2, of an upload whose state is not the one it has
		return e.Status == http.StatusNotFound
	}
	return false
}

// patience is how many tries in a row may end with errors like err.
func patience(err error) int {
	switch wire.KindOf(err) {
	case wire.Unreachable:
		return maxBroken
	case wire.Silent:
		return maxSilent
	}
	return maxFailed
}

// pauseAfter is the wait after a try; longer than usual if the registry asks so.
func pauseAfter(try int, err error) time.Duration {
	pause := backoff(try)
	if e, ok := errors.AsType[*Error](err); ok {
		pause = max(pause, e.RetryAfter)
	}
	return pause
}

// leave lets go of the upload after err: remembered if it may go on some time,
// cancelled at the registry if not.
func (s *sending) leave(ctx context.Context, err error) {
	defer func() { _ = s.session.Release() }() // its lock ends with the process too
	_, refused := errors.AsType[*Error](err)
	switch {
	case err == nil, s.at == nil:
		_ = s.session.Forget() // what is remembered wrongly costs a request
	case s.session.URL() != "" && (!refused || passing(err)):
		s.noted = -keptSize
		s.remember()
	default:
		_ = s.session.Forget()
		s.r.cancel(ctx, s.at, err)
	}
}

// has says whether the registry has the blob. What it refuses to say here it
// says better, with a body, when the upload is begun.
func (r *Repository) has(ctx context.Context, desc v1.Descriptor) (bool, error) {
	resp, err := r.send(ctx, http.MethodHead, r.url("blobs", desc.Digest.String()), nil)
	if err != nil {
		return false, err
	}
	_ = resp.Body.Close() // HEAD has none
	switch {
	case resp.StatusCode == http.StatusOK:
		return resp.ContentLength < 0 || resp.ContentLength == desc.Size, nil
	case resp.StatusCode >= http.StatusInternalServerError:
		return false, &Error{Op: "look for blob", Image: r.img.String(), Status: resp.StatusCode}
	}
	return false, nil
}

package registry

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/vicr-cli/vicr/internal/wire"
)

const (
	// cancelTime is how long it may take to tell a registry that an upload is over.
	cancelTime = 500 * time.Millisecond
	// standstill is for how long an upload must not grow before it is cancelled or
	// gone on with: a request that was broken off may be read for a while.
	standstill = 20 * time.Millisecond
	// cancelTries is how often a registry is told.
	cancelTries = 2
)

// cancel tells the registry that an upload is over, which failed with err, if
// the registry can be reached. It would expire by itself.
func (r *Repository) cancel(ctx context.Context, u *begun, err error) {
	if u == nil || wire.KindOf(err) != "" {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), r.cancelTime)
	defer stop()
	at, unsure := u.at, u.unsure
	answered := is[*Error](err)
	for range cancelTries {
		if unsure { // it may be elsewhere by now
			if at = r.standing(ctx, at, answered); at == nil {
				return
			}
		}
		resp, err := r.send(ctx, http.MethodDelete, at, nil)
		if err != nil {
			return
		}
		discard(resp)
		if !crossed(resp.StatusCode) {
			return
		}
		unsure, answered = true, false
	}
}

// crossed says whether a registry answers so to what is not about the upload as
// it is by now.
func crossed(status int) bool {
	return status == http.StatusRequestedRangeNotSatisfiable || status == http.StatusConflict ||
		status >= http.StatusInternalServerError
}

var errGone = errors.New("the upload is gone")

// standing waits until an upload stands still and says where it is then; nil if
// it is gone, or cannot be asked about.
func (r *Repository) standing(ctx context.Context, at *url.URL, answered bool) *url.URL {
	err := untilStill(ctx, answered, func() (string, error) {
		resp, err := r.send(ctx, http.MethodGet, at, nil)
		if err != nil {
			return "", err
		}
		discard(resp)
		if !done(resp.StatusCode) {
			return "", errGone
		}
		at, err = r.follow(at, resp)
		return resp.Header.Get("Range"), err
	})
	if err != nil {
		return nil
	}
	return at
}

package wire

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
)

// OpenAhead opens up to so many connections to the registry, TLS included, for
// requests that come later. It waits for nothing, sends no request and shows no
// credentials; what fails is said by the request that needs a connection. Those
// that stay unused are closed as all idle connections are.
func (t *Transport) OpenAhead(ctx context.Context, connections int) {
	var all sync.WaitGroup
	var hops []*hop
	for range min(connections, maxIdlePerHost) {
		if h := t.settleAhead(ctx, &all); h != nil {
			hops = append(hops, h)
		}
	}
	for _, h := range hops {
		go t.openAhead(h)
	}
}

// settleAhead is a hop to the registry, nil if none may go there. Net/http goes
// on dialling for a request that was given up, and keeps the connection for
// another. Where it has an idle one already it would send this request: so that
// has a body which is shorter than it says, which net/http notices before
// anything leaves its buffer. None of all is connected before each was begun
// with, or they would find one another's.
func (t *Transport) settleAhead(ctx context.Context, all *sync.WaitGroup) *hop {
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, t.base.JoinPath("/v2/").String(), io.NopCloser(strings.NewReader("")))
	if err != nil {
		cancel()
		return nil
	}
	req.ContentLength = 1
	h, err := t.settle(req)
	if err != nil {
		cancel()
		return nil
	}
	all.Add(1)
	h.begun = sync.OnceFunc(func() { cancel(); all.Done() })
	h.dialing = func() { h.begun(); all.Wait() }
	return h
}

func (t *Transport) openAhead(h *hop) {
	defer h.begun()
	resp, err := t.via(h).RoundTrip(h.req.WithContext(context.WithValue(h.req.Context(), hopKey{}, h)))
	if err == nil { // a server that answers what it was not asked
		_ = resp.Body.Close()
	}
}

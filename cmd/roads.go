package cmd

import (
	"context"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
)

// sharedRoads are what the images of one command have in common: one road to
// each registry, and the connections that blobs are fetched over.
type sharedRoads struct {
	roads   map[string]*road // by host
	streams *registry.Streams
}

func newSharedRoads(streams int) sharedRoads {
	return sharedRoads{roads: map[string]*road{}, streams: registry.NewStreams(streams)}
}

// to opens the road to h, once.
func (s sharedRoads) to(ctx context.Context, a *app, h ref.Host, t tlsFlags) (*road, error) {
	if r := s.roads[h.String()]; r != nil {
		return r, nil
	}
	r, err := a.road(ctx, h, t)
	if err == nil {
		s.roads[h.String()] = r
	}
	return r, err
}

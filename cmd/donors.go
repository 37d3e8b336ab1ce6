package cmd

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/transfer"
)

// withDonors has the token of a push let blobs be mounted too, out of where they
// are remembered to be. An engine would have to give out the image to tell
// which they are; the push finds that out by itself, with one more token.
func withDonors(ctx context.Context, at place, img ref.Image, dst *registry.Repository, p *v1.Platform) context.Context {
	disk, ok := at.(diskPlace)
	if !ok {
		return ctx
	}
	return auth.WithOptionalScope(ctx, func() []string {
		src, closeSource := disk.source(img)
		defer closeSource() //nolint:errcheck // it was only read
		blobs, err := transfer.Blobs(ctx, src, p)
		if err != nil {
			return nil // the push says so
		}
		var scopes []string
		for _, name := range dst.Donors(blobs) {
			scopes = append(scopes, "repository:"+name+":pull")
		}
		return scopes
	})
}

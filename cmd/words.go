package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
	"github.com/vicr-cli/vicr/internal/transfer"
	"github.com/vicr-cli/vicr/internal/wire"
)

// ofImage says which of several images has no such platform.
func ofImage(img ref.Image, err error) error {
	if is[*transfer.PlatformError](err) && (img != ref.Image{}) {
		return fmt.Errorf("%s: %w", img, err)
	}
	return err
}

// words are err in ours where Go's would say more about sockets than about what is wrong.
func words(err error) string {
	var w *wire.Error
	if errors.As(err, &w) && w.Kind == wire.Unreachable {
		if why := wire.Words(w.Err); why != "" {
			return spokenTo(err, w) + ": " + why
		}
	}
	if w != nil && (w.Kind == wire.TLS || w.Kind == wire.NotHTTPS) && w.Host != "" {
		return spokenTo(err, w) + ": " + w.Why() // whatever was asked for, it was not
	}
	if rate, ok := errors.AsType[*wire.RateError](err); ok && !is[*registry.LimitError](err) && errors.As(err, &w) {
		return fmt.Sprintf("%s: it asks for fewer requests: status %d", spokenTo(err, w), rate.Status)
	}
	var p *fs.PathError
	if errors.As(err, &p) { // without the name of the system call
		return strings.Replace(err.Error(), p.Error(), p.Path+": "+p.Err.Error(), 1)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return "sandbox: another program listens on this port"
	}
	return err.Error()
}

package doctor

import (
	"context"
	"strings"

	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/probe"
	"github.com/vicr-cli/vicr/internal/wire"
)

// buildkit is about docker build, which does not go the way of docker pull.
func (d *doctor) buildkit(ctx context.Context, f facts) outcome {
	m := d.o.Machine
	if !m.Docker.Found && len(m.Docker.Variants) == 0 && !m.BuildKit.Found {
		return skip("neither docker nor buildx is here")
	}
	for _, e := range f.engines {
		if old, known := engine.OlderThan(e.info.ServerVersion, 25, 0); e.err != nil || e.info.Podman || !known || !old {
			continue
		}
		if entry := d.listedInsecure(f, e.info.Insecure); entry != "" && !loopback(entry) {
			// moby cmd/dockerd/daemon.go before 25 takes the entries for URLs (moby#45992).
			return warn("%s stands in the insecure registries of %s, and docker build passes over those before Docker 25: a FROM of an image there fails", entry, e.name).
				try("DOCKER_BUILDKIT=0 docker build .", "or bring Docker to 25 or later")
		}
		o := d.clientTokens(ctx, f)
		if !f.plain() {
			// The same code makes its list of folders when dockerd starts.
			o.Seen += "; before Docker 25 docker build sees a CA in a new folder only when docker was restarted"
		}
		return o
	}
	return d.clientTokens(ctx, f)
}

func loopback(entry string) bool {
	return strings.HasPrefix(entry, "127.") && strings.Contains(entry, "/") || entry == "::1/128"
}

// clientTokens: whoever runs docker build fetches the tokens in that very
// process, which knows the system's roots alone (buildx commands/build.go;
// session/auth/authprovider).
func (d *doctor) clientTokens(ctx context.Context, f facts) outcome {
	m := d.o.Machine
	switch {
	case f.plain():
		return skip("tokens over plain HTTP need no CA")
	case f.scheme != bearer:
		return skip("the registry has no token server")
	case !f.agreed:
		return skip("see realm")
	case f.problem != "":
		return skip("see tls")
	}
	mended := f.report.Verdict == probe.Public
	if wire.OriginOf(f.realm) != wire.New(d.config(f)).Origin() {
		alone := f
		alone.roots = f.system
		_, err := d.askRealm(ctx, alone)
		if err != nil && wire.KindOf(err) != wire.TLS {
			return skip("see realm")
		}
		mended = err == nil
	}
	if mended {
		return ok("the system's own CAs vouch for the token server").with(func(f *facts) { f.mended = true })
	}
	ca := m.Docker.CertsDir + "/" + d.target.Host.String() + "/ca.crt"
	if len(f.sources.Files) > 0 {
		ca = f.sources.Files[0]
	}
	o := warn("docker build fetches tokens with the system's CAs alone, and they do not vouch for the token server: a FROM of a private image fails")
	o = o.try("BUILDKIT_NO_CLIENT_TOKEN=1 docker build .")
	if m.GOOS == "linux" {
		// Not SSL_CERT_DIR: it is a list, and docker's folders have colons in
		// their names. The system's own folder is read besides the file.
		o = o.try("or: SSL_CERT_FILE=" + word(ca) + " docker build .")
	}
	return o.try("or, for every program: vicr trust " + word(d.target.Host.String()) + " --for system")
}

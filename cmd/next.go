package cmd

import (
	"context"
	"strings"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/trust"
)

// next says what can be done from here: for vicr alone and for vicr HOST.
func (a *app) next(ctx context.Context, args []string) error {
	if len(args) == 0 {
		a.say("vicr: say what to do with a registry, for example:")
		a.suggest("registry.example.com",
			"vicr trust HOST", "vicr login HOST", "vicr ls HOST", "vicr pull HOST/library/ubuntu:14.04", "vicr push HOST/demo/ubuntu:14.04")
		a.say("vicr: no registry at hand: %s; all commands: %s", a.typed("vicr sandbox"), a.typed("vicr help"))
		return nil
	}
	if len(args) > 1 || (!strings.ContainsAny(args[0], ".:") && args[0] != "localhost") {
		return usagef("unknown command %q", args[0])
	}
	host, err := ref.ParseHost(args[0])
	if err != nil {
		return err
	}
	return a.atHome(ctx, func() error { return a.nextFor(ctx, host) })
}

// nextFor leaves out what is done already. No registry is asked, and what is
// kept for it is neither used nor complained of.
func (a *app) nextFor(ctx context.Context, host ref.Host) error {
	trusted := len(trust.Anchors(a.machine(), host).Files) > 0
	creds, _, err := a.credentials().Get(ctx, host)
	loggedIn := err == nil && !creds.IsZero()
	done, todo := []string{}, []string{}
	if trusted {
		done = append(done, "its CA is trusted here")
	} else {
		todo = append(todo, "vicr trust HOST")
	}
	switch {
	case !loggedIn:
		todo = append(todo, "vicr login HOST")
	case creds.Username == "":
		done = append(done, "somebody is logged in")
	default:
		done = append(done, creds.Username+" is logged in")
	}
	if len(done) > 0 {
		a.say("vicr: %s: %s", host, strings.Join(done, ", and "))
	}
	a.say("vicr: what can be done with %s:", host)
	a.suggest(host.String(), append(todo, "vicr ls HOST", "vicr pull HOST/PROJECT/NAME:TAG", "vicr push HOST/PROJECT/NAME:TAG")...)
	return nil
}

func (a *app) suggest(host string, commands ...string) {
	for _, c := range commands {
		a.say("  %s", a.typed(strings.ReplaceAll(c, "HOST", host)))
	}
}

package cmd

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/harbor"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/wire"
)

// astrayHints: who redirects what is written has mostly moved as a whole.
func astrayHints(err error, host string) []string {
	var p *wire.PolicyError
	if !errors.As(err, &p) || !p.Writes {
		return nil
	}
	to, bad := url.Parse(p.URL)
	if bad != nil || to.Scheme != "https" {
		return nil
	}
	other, is := otherHost(to.Host, host)
	if !is {
		return nil
	}
	return []string{"ask the administrator of " + host + " whether it is now " + other + "; if so, use that name"}
}

// networkHints name the host that could not be reached, where it is another one
// than the registry.
func networkHints(err error, host string) []string {
	var w *wire.Error
	errors.As(err, &w)
	other, is := otherHost(w.Host, host)
	if !is {
		return unreachableHints(err, host)
	}
	return []string{host + " sends there: check the network: curl -v " + schemeOf(w) + other + "/"}
}

// untrustedHints: where the registry sends elsewhere, its own CA is no help.
func untrustedHints(w *wire.Error, host string) []string {
	if _, is := otherHost(w.Host, host); is {
		return []string{host + " sends there, and another CA vouches for that: --ca-file FILE, with the CAs of both in the file, lets this command go on"}
	}
	return []string{"vicr trust " + host}
}

// otherHost is address as it is typed, if it is another host than the registry.
func otherHost(address, registry string) (string, bool) {
	at, bad := ref.ParseHost(address)
	own, unknown := ref.ParseHost(registry)
	if bad != nil || unknown != nil || registry == anyHost || at.Name() == own.Name() || at.Name() == own.Endpoint().Name() {
		return "", false
	}
	return at.Canonical().String(), true
}

// answerHints: a server that fails says nothing about its address.
func answerHints(err error, host string) []string {
	var tokens *auth.AnswerError
	var api *harbor.AnswerError
	status := 0
	switch {
	case errors.As(err, &tokens):
		status = tokens.Status
	case errors.As(err, &api):
		status = api.Status
	}
	if status < http.StatusInternalServerError {
		return nil
	}
	return []string{"run it again later; if it stays so, the administrator of " + host + " finds the reason in its log"}
}

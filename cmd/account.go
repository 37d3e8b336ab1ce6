package cmd

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/harbor"
	"github.com/vicr-cli/vicr/internal/ref"
)

// asideLimit is how long is waited for what is good to know and no more.
const asideLimit = 5 * time.Second

// whoIs has a Harbor say who has just logged in. What it does not say is left
// open: the login is good without.
func (a *app) whoIs(ctx context.Context, r *road, id auth.Identity, creds auth.Credentials) loginResult {
	res := loginResult{Who: creds.Username}
	if id.Service != harbor.Service || creds.Password == "" {
		return res
	}
	ctx, cancel := context.WithTimeout(ctx, asideLimit)
	defer cancel()
	c := harbor.NewClient(r.wire, r.wire.Base())
	info, _, err := c.Detect(ctx, id.Service)
	if err != nil {
		return res
	}
	account, known, err := c.Account(ctx, info, creds.Username, creds.Password)
	if err != nil || !known {
		return res
	}
	res.Kind, res.Admin = "user", account.Admin
	if account.Name != "" {
		res.Who = account.Name
	}
	if account.Robot {
		res.Kind = "robot"
	}
	if !account.Expires.IsZero() {
		res.Expires = account.Expires.Format(time.RFC3339)
	}
	return res
}

// whoText is who logged in, as in: dev (administrator).
func (r loginResult) whoText() string {
	var more []string
	switch {
	case r.Kind == "robot":
		more = append(more, "robot")
	case r.Admin:
		more = append(more, "administrator")
	}
	if r.Expires != "" {
		more = append(more, "until "+r.Expires)
	}
	if len(more) == 0 {
		return escaped(r.Who)
	}
	return escaped(r.Who) + " (" + strings.Join(more, ", ") + ")"
}

// A refusedLoginError says that the registry refused a login, with what helps
// to tell why.
type refusedLoginError struct {
	user string
	info harbor.Info // zero: no Harbor
	err  error
}

func (e *refusedLoginError) Error() string { return e.err.Error() }
func (e *refusedLoginError) Unwrap() error { return e.err }

// refusedLogin asks the registry, without credentials, what its passwords are.
func refusedLogin(ctx context.Context, r *road, user string, err error) error {
	ctx, cancel := context.WithTimeout(ctx, asideLimit)
	defer cancel()
	info, _, detectErr := harbor.NewClient(r.wire, r.wire.Base()).Detect(ctx, "")
	if detectErr != nil {
		info = harbor.Info{}
	}
	return &refusedLoginError{user: user, info: info, err: err}
}

// refusedLoginHints say what is usually wrong with such a login.
func refusedLoginHints(err error, host string) []string {
	var e *refusedLoginError
	errors.As(err, &e)
	robot := harbor.LooksLikeRobot(e.user)
	switch {
	case harbor.LostDollar(e.user):
		return append([]string{"the name of a robot has a $ in it, which shells take away: " + loginLine(host, "robot$NAME")}, e.personHints(host, robot)...)
	case robot && !e.info.HasRobots():
		return []string{"Harbor " + e.info.Version + " has no robots yet: log in as a user"}
	case robot && strings.Contains(e.user, "$"):
		return []string{robotHint}
	case robot:
		return []string{"the name of a robot begins with robot$, unless an administrator chose something else: " + loginLine(host, "robot$"+e.user), robotHint}
	}
	return e.personHints(host, false)
}

const robotHint = "a robot that was disabled or has expired is refused in the same way: ask whoever made it; its secret was shown once"

func loginLine(host, user string) string {
	return shellLine([]string{"vicr", "login", host, "-u", user})
}

// personHints say what password a person has there, by what the registry tells
// anybody; nothing for a robot.
func (e *refusedLoginError) personHints(host string, robot bool) []string {
	name, domain, _ := strings.Cut(e.user, "@")
	one := func(hint string) []string { return []string{hint} }
	switch {
	case robot:
		return nil
	case e.info.AuthMode == harbor.ModeOIDC && e.user != "admin":
		return one("the password here is the CLI secret: https://" + host + "/, your name at the top right, User Profile, CLI secret")
	case e.info.Admiral && domain == "":
		return one("vSphere Integrated Containers takes names with their domain: vicr login " + host + " -u USER@DOMAIN")
	case e.info.Admiral:
		return one("if the password is right, its appliance may have been switched off hard: Restart Guest OS, in the vSphere client, mends that")
	case e.info.AuthMode == harbor.ModeLDAP && domain != "" && name != "":
		return one("name and password here are those of the company's directory (LDAP), where names mostly have no domain: " + loginLine(host, name))
	case e.info.AuthMode == harbor.ModeLDAP:
		return one("name and password here are those of the company's directory (LDAP)")
	case e.info.AuthMode == harbor.ModeUAA, e.info.AuthMode == harbor.ModeProxy:
		return one("name and password here are those of the company's login service; https://" + host + "/ takes the same")
	case e.info.AuthMode != "":
		return one("https://" + host + "/ takes the same name and password; after a wrong one Harbor refuses also the right one for 1.5 s: wait, then: vicr login " + host)
	}
	return nil
}

// noteOwnName says which name a registry of Harbor 1.x has for itself: it sends
// logins there, whatever name was typed.
func (a *app) noteOwnName(h ref.Host, e *auth.RealmError) {
	if own := ownName(e); own != "" {
		a.note("%s calls itself %s: vicr login %s needs no agreement", h, own, own)
	}
}

// ownName is the name that Harbor 1.x has for itself, if that is what the
// realm's address tells; else "".
func ownName(e *auth.RealmError) string {
	h, ok := auth.RealmHost(e.Realm)
	if !ok || e.Origin == "" || !strings.HasSuffix(strings.TrimSuffix(e.Realm, "/"), "/service/token") {
		return ""
	}
	return h.Canonical().String()
}

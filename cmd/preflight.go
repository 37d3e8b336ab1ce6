package cmd

import (
	"context"
	"errors"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/harbor"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
)

// createFlag is --create-project[=private|public].
type createFlag string

func (f *createFlag) Set(s string) error {
	if s != private && s != public {
		return usagef("--create-project %q: not one of private, public", s)
	}
	*f = createFlag(s)
	return nil
}

func (f *createFlag) String() string { return string(*f) }
func (*createFlag) Type() string     { return "visibility" }

// mayPush finds out before a byte is sent whether the user may push img, and
// makes its project where that was wanted. It costs nothing when all is well:
// the token that it looks at is the one that the push brings along.
func (a *app) mayPush(ctx context.Context, r *road, img ref.Image, asks auth.Asks, create createFlag) error {
	if !harbor.IsService(asks.Service) {
		if create != "" {
			a.note("%s has no projects: none is created", img.Host)
		}
		return nil
	}
	project, err := harbor.ProjectOf(img.Repository)
	if err != nil {
		return err
	}
	err = r.whyNoPush(ctx, img)
	if !mayBeMissing(err) {
		return err
	}
	if create == "" {
		if create, err = a.askToCreate(ctx, img, project, err); create == "" {
			return err
		}
	}
	switch made := r.create(ctx, project, create); {
	case is[*harbor.ProjectExistsError](made) && is[*harbor.PushDeniedError](err):
		return &harbor.PushDeniedError{Project: project}
	case is[*harbor.ProjectExistsError](made): // by somebody else, just now
	case made != nil:
		return made
	default:
		a.note("created %s, %s", img.Host.String()+"/"+project, string(create))
	}
	r.auth.Forget() // the tokens of before know nothing of it
	return r.whyNoPush(ctx, img)
}

// asksFor learns how the registry asks who somebody is. Where nobody is logged
// in, the push finds out with its first request, before it has sent a byte of a
// blob, whether it is let in: then nothing is asked, unless a project is to be
// created, or an engine would have to give out the whole image first.
func (r *road) asksFor(ctx context.Context, create createFlag, from place) (auth.Asks, error) {
	_, engine := from.(enginePlace)
	if r.anonymous && create == "" && !engine {
		return auth.Asks{}, nil
	}
	return r.auth.Learn(ctx)
}

// whyNoLogin is err, or that the registry wants a login from whom nothing was
// asked before.
func (r *road) whyNoLogin(err error) error {
	if r.anonymous && isRefusal(registry.LoginNeeded)(err) {
		return &auth.DeniedError{Host: r.host.String()}
	}
	return err
}

// create makes a project for a push. Harbor 1 makes some in read-only mode too,
// when it takes no push.
func (r *road) create(ctx context.Context, project string, as createFlag) error {
	api, info, err := r.harbor(ctx)
	if err != nil {
		return err
	}
	if info.ReadOnly {
		return &harbor.ProjectDeniedError{Project: project, Why: harbor.ReadOnly}
	}
	return r.createBy(ctx, api, info, project, as == public)
}

// createBy knows a password that was refused from none: to Harbor's API both
// are nobody.
func (r *road) createBy(ctx context.Context, api *harbor.Client, info harbor.Info, project string, isPublic bool) error {
	err := api.CreateProject(ctx, info, project, isPublic)
	if denied, ok := errors.AsType[*harbor.ProjectDeniedError](err); ok && denied.Why == harbor.LoginNeeded && !r.anonymous {
		return &auth.DeniedError{Host: r.host.String(), Status: denied.Status, LoggedIn: true}
	}
	return err
}

// whyNoPush is nil where a push is allowed, or only the push itself can tell.
func (r *road) whyNoPush(ctx context.Context, img ref.Image) error {
	granted, readable, err := r.auth.Ask(ctx, img.Repository, "pull", "push")
	switch {
	case err != nil, !readable, granted.May("push"):
		return err
	case granted.Subject == "":
		return &auth.DeniedError{Host: img.Host.String(), LoggedIn: !r.anonymous}
	}
	api, info, err := r.harbor(ctx)
	if err != nil {
		return err
	}
	return api.WhyNoPush(ctx, info, img.Repository, granted.May("pull"))
}

func mayBeMissing(err error) bool {
	if denied, ok := errors.AsType[*harbor.PushDeniedError](err); ok {
		return denied.Unsure
	}
	return is[*harbor.ProjectMissingError](err)
}

// askToCreate asks the user, where there is one, about a project that is
// missing. Nothing is created unless it says how, and then there is no error.
func (a *app) askToCreate(ctx context.Context, img ref.Image, project string, missing error) (createFlag, error) {
	if !a.interactive() || !is[*harbor.ProjectMissingError](missing) {
		return "", missing
	}
	at := img.Host.String() + "/" + project
	yes, err := a.confirm(ctx, "There is no project "+at+". Create it, "+private+"?")
	switch {
	case err != nil:
		return "", err
	case !yes:
		return "", missing
	}
	return private, nil
}

// createHints say how a project comes into being.
func createHints(err error, host string) []string {
	name := "NAME"
	if missing, ok := errors.AsType[*harbor.ProjectMissingError](err); ok {
		name = missing.Project
	}
	return []string{
		"vicr project create " + host + "/" + name,
		"or have it made on the way, with --create-project",
	}
}

// pushDeniedHints say who can let the user push.
func pushDeniedHints(err error, host string) []string {
	denied, _ := errors.AsType[*harbor.PushDeniedError](err)
	hints := []string{"ask an administrator of project " + denied.Project + " for the role of a developer, or log in as somebody else: vicr login " + host}
	if denied.Unsure {
		hints = append(hints, "if there is no such project: vicr project create "+host+"/"+denied.Project)
	}
	return hints
}

// creatorHints say who can create a project, when this user may not.
func creatorHints(err error, host string) []string {
	denied, _ := errors.AsType[*harbor.ProjectDeniedError](err)
	switch denied.Why {
	case harbor.LoginNeeded:
		return []string{"vicr login " + host}
	case harbor.Administrators:
		return []string{"ask an administrator of " + host + " to create it, or to let everybody create projects"}
	case harbor.VICAdministrators:
		return []string{"ask an administrator of vSphere Integrated Containers to create it in the Management Portal, at port 8282 of the appliance"}
	case harbor.People:
		return []string{"log in as a person: vicr login " + host, "or ask somebody who may to create it"}
	case harbor.SystemRobots:
		return []string{"log in as a person, or as a robot account of the whole system: vicr login " + host}
	case harbor.ReadOnly:
		return []string{"run it again when " + host + " takes changes again; its administrator knows when"}
	}
	return nil
}

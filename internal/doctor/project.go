package doctor

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/harbor"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/registry"
)

// nobodys is a repository that no project has: a permission for it is one for
// all of the project.
const nobodys = "vicr-doctor"

const notAsked = "not asked: no password goes to a server that was not verified"

// repository is the one that permissions are asked for.
func (d *doctor) repository(f facts) ref.Image {
	img := ref.Image{Host: d.target.Host, Repository: d.target.Path, Tag: d.target.Tag, Digest: d.target.Digest}
	if f.harbor != nil && !strings.Contains(img.Repository, "/") {
		img.Repository += "/" + nobodys
	}
	return img
}

// project asks whether a Harbor has the project.
func (d *doctor) project(ctx context.Context, f facts) outcome {
	name := d.target.project()
	missing := d.noProject(f)
	switch {
	case f.session == nil:
		return skip(notAsked)
	case f.harbor == nil:
		return skip("a registry of this kind has no projects")
	}
	there, err := harbor.NewClient(f.session.auth.API(), d.transport(f).Base()).ProjectExists(ctx, *f.harbor, name)
	switch {
	case err == nil && there == harbor.Exists:
		return ok("%s exists", name)
	case err == nil && there == harbor.Missing:
		return missing
	}
	err = d.tags(ctx, f, "pull")
	var refused *registry.Error
	switch {
	case err == nil:
		return ok("%s exists", name)
	case errors.As(err, &refused) && refused.Code == registry.CodeProjectNotFound:
		return missing
	case errors.As(err, &refused) && refused.Status == http.StatusNotFound:
		return ok("%s exists", name)
	}
	return skip("whether %s exists is not told to this user", name)
}

func (d *doctor) noProject(f facts) outcome {
	name := d.target.project()
	return fail("there is no project %s", name).
		try("check the name, or create it: vicr project create " + word(d.target.Host.String()+"/"+name) + f.way())
}

// tags lists the tags with a token for actions.
func (d *doctor) tags(ctx context.Context, f facts, actions string) error {
	_, err := d.listTags(ctx, f, actions)
	return err
}

func (d *doctor) listTags(ctx context.Context, f facts, actions string) ([]string, error) {
	img := d.repository(f)
	ctx = auth.WithScope(ctx, "repository:"+img.Repository+":"+actions)
	return registry.Open(img, f.session.auth, d.transport(f).Base()).Tags(ctx)
}

// pull asks for what a pull needs.
func (d *doctor) pull(ctx context.Context, f facts) outcome {
	if f.session == nil {
		return skip(notAsked)
	}
	tags, err := d.listTags(ctx, f, "pull")
	var refused *registry.Error
	var denied *auth.DeniedError
	img := d.repository(f)
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusNotFound:
		if strings.HasSuffix(img.Repository, "/"+nobodys) && !strings.Contains(d.target.Path, "/") {
			return ok("allowed in %s", d.target.Path)
		}
		o := warn("allowed, but there is no repository %s", img.Repository)
		if img.Tag != "" || img.Digest != "" {
			o.Verdict = Fail
		}
		return o.try("check the name, or push it: vicr push " + word(img.Name()) + ":TAG" + f.way())
	case errors.As(err, &refused) && refused.Code == registry.CodeProjectNotFound:
		return d.noProject(f)
	case errors.As(err, &refused) && (refused.Status == http.StatusUnauthorized || refused.Status == http.StatusForbidden), errors.As(err, &denied):
		return d.denied(f, "pull")
	case err != nil:
		return fail("%s", wireWhy(err, f.limit)).try("run it again later; ask the administrator of " + d.target.Host.String())
	}
	if img.Tag != "" && img.Digest == "" && !slices.Contains(tags, img.Tag) {
		return fail("allowed, but %s has no tag %s", img.Name(), img.Tag).try("vicr ls " + word(img.Name()) + f.way())
	}
	return ok("allowed: %s has %s", img.Repository, plural(len(tags), "tag", "tags"))
}

func (d *doctor) denied(f facts, action string) outcome {
	seen := d.target.Path + ": " + action + " is denied"
	if f.session.anonymous {
		return fail("%s to somebody who is not logged in", seen).try(d.loginLines(f, "")...)
	}
	return fail("%s to this user", seen).
		try("ask an administrator of "+d.target.project()+" to make you a member", "or log in as somebody else: "+d.loginLines(f, "")[0])
}

// push asks for a token with which one could push, and looks what it allows.
// Nothing is pushed.
func (d *doctor) push(ctx context.Context, f facts) outcome {
	switch {
	case f.session == nil:
		return skip(notAsked)
	case f.scheme == "":
		return ok("the registry asks nobody who they are")
	case f.session.anonymous:
		return warn("nobody is logged in here, and a push needs that").try(d.loginLines(f, "")...)
	case f.scheme == basic:
		return skip("the registry does not tell it before somebody pushes")
	}
	err := d.tags(ctx, f, "pull,push")
	var refused *registry.Error
	if err != nil && !errors.As(err, &refused) {
		var denied *auth.DeniedError
		if errors.As(err, &denied) {
			return d.mayNotPush(f)
		}
		return warn("%s", wireWhy(err, f.limit)).try("run it again later; ask the administrator of " + d.target.Host.String())
	}
	granted, readable := f.session.auth.Granted(d.repository(f).Repository)
	switch {
	case !readable:
		return skip("the registry's tokens cannot be read: only a push tells it")
	case granted.May("push"):
		return ok("allowed")
	}
	return d.mayNotPush(f)
}

func (d *doctor) mayNotPush(f facts) outcome {
	return warn("%s: this user may not push", d.target.Path).
		try("ask an administrator of "+d.target.project()+" for the role of a developer", "or log in as somebody else: "+d.loginLines(f, "")[0])
}

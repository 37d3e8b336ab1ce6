package harbor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// A RefusedListError says that Harbor shows a list to others only: not without
// a login (status 401), or not to this user (403). With 404 there is nothing of
// the name, and with 0 it is left out of a list for members.
type RefusedListError struct {
	What    string // "its projects", "the repositories of demo"
	Status  int
	Admiral bool // inside vSphere Integrated Containers, where most lists are for the web page alone
}

func (e *RefusedListError) Error() string {
	switch {
	case e.Status == 0:
		return fmt.Sprintf("the registry shows %s to members alone", e.What)
	case e.Admiral:
		return fmt.Sprintf("the registry shows %s in the Management Portal of vSphere Integrated Containers alone", e.What)
	case e.Status == http.StatusUnauthorized:
		return fmt.Sprintf("the registry does not show %s without a login", e.What)
	case e.Status == http.StatusNotFound:
		return fmt.Sprintf("the registry does not have %s", e.What)
	}
	return fmt.Sprintf("the registry does not show %s to this user", e.What)
}

// A NoProjectError says that Harbor has no such project.
type NoProjectError struct {
	Project string
	Unsure  bool // or that it is one that this user is no member of: Harbor does not tell
}

func (e *NoProjectError) Error() string {
	if e.Unsure {
		return fmt.Sprintf("no project %s, or none that is shown to this user", e.Project)
	}
	return fmt.Sprintf("no project %s", e.Project)
}

// whyRefused finds out what a refusal of a project's list means: Harbor says
// 403 to a user also where there is no such project, and tells any user by HEAD
// whether there is one.
func (c *Client) whyRefused(ctx context.Context, i Info, project string, err error) error {
	var refused *RefusedListError
	if !errors.As(err, &refused) {
		return err
	}
	refused.Admiral = i.Admiral && refused.Status != http.StatusNotFound
	switch refused.Status {
	case http.StatusNotFound:
		return &NoProjectError{Project: project}
	case http.StatusUnauthorized:
		return refused
	}
	switch c.headProject(ctx, i, project) {
	case http.StatusOK:
		return refused
	case http.StatusNotFound:
		return &NoProjectError{Project: project}
	}
	return &NoProjectError{Project: project, Unsure: true}
}

// headProject is the status of the answer to whether there is a project, 0 for none.
func (c *Client) headProject(ctx context.Context, i Info, project string) int {
	api := pathV2
	if i.Generation == 1 {
		api = pathV1
	}
	query := url.Values{"project_name": {project}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, c.base.String()+api+"/projects?"+query, http.NoBody)
	if err != nil {
		return 0
	}
	resp, err := c.rt.RoundTrip(req)
	if err != nil {
		return 0
	}
	closeBody(resp)
	return resp.StatusCode
}

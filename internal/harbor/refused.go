package harbor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// A RefusedListError says that Harbor shows a list to others only: not without
// a login (status 401), or not to this user (403). With 404 there is nothing of
// the name, and with 0 it is left out of a list for members.
type RefusedListError struct {
	What    string // "its projects", "the repositories of demo"
	Status  int
	Unsure  bool // or there is no such project: Harbor does not tell
	Admiral bool // inside vSphere Integrated Containers, where most lists are for the web page alone
}

func (e *RefusedListError) Error() string {
	switch {
	case e.Unsure:
		return fmt.Sprintf("the registry does not show %s, and not whether there is such a project", e.What)
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

// whyRefused finds out what a refusal of a project's list means: Harbor says
// 403 to a user also where there is no such project.
func (c *Client) whyRefused(ctx context.Context, i Info, project string, err error) error {
	refused, ok := errors.AsType[*RefusedListError](err)
	if !ok {
		return err
	}
	refused.Admiral = i.Admiral
	if refused.Status == http.StatusUnauthorized {
		return refused
	}
	if refused.Status != http.StatusNotFound {
		there, err := c.ProjectExists(ctx, i, project)
		refused.Unsure = err != nil || there == Untold
		if there != Missing {
			return refused
		}
	}
	return &ProjectMissingError{Project: project}
}

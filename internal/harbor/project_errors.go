package harbor

import (
	"fmt"
	"strconv"
)

// A ProjectNameError says that no project can have this name.
type ProjectNameError struct {
	Name string // raw
	Why  string
}

func (e *ProjectNameError) Error() string {
	const limit = 120 // bytes that are shown
	return fmt.Sprintf("project name %s: %s", strconv.Quote(e.Name[:min(len(e.Name), limit)]), e.Why)
}

// A NoProjectPartError says that the name of a repository has no project in it,
// which Harbor wants.
type NoProjectPartError struct {
	Repository string
}

func (e *NoProjectPartError) Error() string {
	return fmt.Sprintf("%q names no project, and Harbor keeps images in projects alone", e.Repository)
}

// A NoProjectsError says that a registry is no Harbor.
type NoProjectsError struct{}

func (*NoProjectsError) Error() string { return "this registry is no Harbor and has no projects" }

// A ProjectMissingError says that Harbor has no such project.
type ProjectMissingError struct {
	Project string
}

func (e *ProjectMissingError) Error() string { return fmt.Sprintf("there is no project %q", e.Project) }

// A ProjectExistsError says that there is a project of this name already.
type ProjectExistsError struct {
	Project string
}

func (e *ProjectExistsError) Error() string {
	return fmt.Sprintf("there is a project %q already", e.Project)
}

// A PushDeniedError says that this user may not push to a project.
type PushDeniedError struct {
	Project string
	MayPull bool
	Unsure  bool // there may be no such project: Harbor does not tell this user
}

func (e *PushDeniedError) Error() string {
	switch {
	case e.Unsure:
		return fmt.Sprintf("there is no project %q, or this user may not push to it: Harbor does not tell which", e.Project)
	case e.MayPull:
		return fmt.Sprintf("this user may pull from project %q, and not push to it", e.Project)
	}
	return fmt.Sprintf("this user is no member of project %q, and may not push to it", e.Project)
}

// A Creator says who may create projects in a Harbor, when this user may not.
type Creator string

// Who may create projects. Empty: Harbor did not say.
const (
	LoginNeeded       Creator = "users who are logged in"
	Administrators    Creator = "administrators"
	VICAdministrators Creator = "administrators of vSphere Integrated Containers"
	People            Creator = "people" // and no robot accounts, before 2.0
	SystemRobots      Creator = "people, and robot accounts of the whole system"
	ReadOnly          Creator = "nobody" // for as long as it is in read-only mode
)

// A ProjectDeniedError says that Harbor did not let this user create a project.
type ProjectDeniedError struct {
	Project string
	Status  int
	Why     Creator
	Message string // Harbor's, raw; may be empty
}

func (e *ProjectDeniedError) Error() string {
	s := fmt.Sprintf("project %q was not created: ", e.Project)
	switch e.Why {
	case "":
		s += fmt.Sprintf("status %d", e.Status)
		if e.Message != "" {
			s += ": " + strconv.Quote(e.Message)
		}
		return s
	case People:
		return s + "robot accounts cannot do that in Harbor 1"
	case ReadOnly:
		return s + "Harbor is in read-only mode"
	}
	return s + "only " + string(e.Why) + " may do that here"
}

// A ListError says that a list was given up.
type ListError struct {
	Path string
	Why  string
}

func (e *ListError) Error() string { return fmt.Sprintf("list %s: %s", e.Path, e.Why) }

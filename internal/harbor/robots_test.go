package harbor

import (
	"errors"
	"testing"
)

// What Harbor 1 answers to a robot says nothing; of a person it is a failure.
func TestHarbor1CreatesNoProjectForARobot(t *testing.T) {
	t.Parallel()
	for user, denied := range map[string]bool{"robot$ci": true, "robot$demo+ci": true, "dev": false, "": false} {
		for generation := 1; generation <= 2; generation++ {
			d := harbor216()
			for _, path := range []string{"/api/projects", "/api/v2.0/projects"} {
				d = d.with(path, answer{status: 500, media: textMedia, body: "Internal Server Error"})
			}
			err := d.client().As(user).CreateProject(t.Context(), Info{Generation: generation}, "x", false)
			if denied && generation == 1 {
				sameFacts(t, err, &ProjectDeniedError{Project: "x", Status: 500, Why: People})
			} else if failed, ok := errors.AsType[*AnswerError](err); !ok || failed.Status != 500 {
				t.Errorf("%q, generation %d: %v", user, generation, err)
			}
		}
	}
}

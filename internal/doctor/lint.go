package doctor

import (
	"context"
	"strconv"
	"strings"

	"github.com/vicr-cli/vicr/internal/trust"
)

// folders looks for what lies in the folders of the host and keeps a CA from
// being used, and for folders whose names nearly are the host's.
func (d *doctor) folders(context.Context, facts) outcome {
	notes := trust.Lint(d.o.Machine, d.target.Host)
	near := trust.NearMisses(d.o.Machine, d.target.Host)
	if len(notes)+len(near) == 0 {
		return ok("nothing in the way")
	}
	var seen, remedy []string
	breaks := false
	for _, n := range notes {
		breaks = breaks || n.Breaks
		seen = append(seen, strconv.Quote(n.Path)+": "+n.Text)
		remedy = append(remedy, "ls -la "+word(n.Path))
	}
	for _, name := range near {
		seen = append(seen, strconv.Quote(name)+" is nearly the name of this host, and is not read for it")
		remedy = append(remedy, "ls -la "+word(name))
	}
	o := warn("%s", strings.Join(seen, "; "))
	if breaks {
		o.Verdict = Fail
	}
	return o.try(remedy...)
}

package change

import (
	"slices"

	"github.com/vicr-cli/vicr/internal/edit"
)

// pending are the steps of a plan that are not yet so, and those that are so
// because of another host alone: they are recorded for this one as well, and
// whoever leaves last takes them back.
func (j *Journal) pending(c *content, host string, plan Plan) (Plan, error) {
	pending, err := plan.Pending(j.tree)
	if err != nil {
		return nil, err
	}
	var also Plan
	tools := map[string]bool{}
	for _, step := range plan {
		shared, err := j.shares(c, host, step)
		if err != nil {
			return nil, err
		}
		if shared {
			also, tools[step.Tool] = append(also, step), true
		}
	}
	runs := func(step Step) bool {
		return slices.ContainsFunc(pending, func(p Step) bool { return p.effect() && sameEffect(p, step) })
	}
	for _, step := range plan {
		if step.effect() && tools[step.Tool] && !runs(step) {
			also = append(also, step)
		}
	}
	return append(pending, also...), nil
}

// shares says whether a step is so already, and another host's doing alone.
func (j *Journal) shares(c *content, host string, step Step) (bool, error) {
	if step.Op != OpWrite && step.Op != OpEdit {
		return false, nil
	}
	now, data, err := look(j.tree, step.Path)
	if err != nil {
		return false, err
	}
	held, err := step.holds(now, data)
	if err != nil {
		return false, err
	}
	others, own := c.made(host, step, now)
	return held && others && !own, nil
}

// trustOf is what another host's record of the same file was made for.
func (c *content) trustOf(r Record, fallback Trust) Trust {
	for _, e := range c.Entries {
		for _, known := range e.Records {
			if known.Path == r.Path && known.Trust.Fingerprint == fallback.Fingerprint && known.Trust.How != "" {
				return known.Trust
			}
		}
	}
	return fallback
}

// made says whether an entry of another host made the file as the step wants
// it, which is as is, and whether that of host did.
func (c *content) made(host string, step Step, is *Version) (others, own bool) {
	for _, e := range c.Entries {
		did := slices.ContainsFunc(e.Records, func(r Record) bool {
			if step.Op == OpEdit {
				return r.Path == step.Path && slices.Contains(r.Edits, *step.Edit)
			}
			return r.Path == step.Path && len(r.Edits) == 0 && is != nil && sameBytes(r.After, is)
		})
		if e.Subject.Host == host {
			own = own || did
		} else {
			others = others || did
		}
	}
	return others, own
}

// handOver leaves to the other entries what they have made so as well.
func (c *content) handOver(i int) {
	host, records := c.Entries[i].Subject.Host, c.Entries[i].Records
	c.Entries = cloneEntries(c.Entries)
	c.Entries[i].Records = nil
	var folders []string
	for _, r := range records {
		others, _ := c.made(host, Step{Op: OpWrite, Path: r.Path}, r.After)
		if len(r.Edits) > 0 {
			r.Edits = slices.DeleteFunc(slices.Clone(r.Edits), func(e edit.Edit) bool {
				others, _ := c.made(host, Step{Op: OpEdit, Path: r.Path, Edit: &e}, nil)
				return others
			})
			others = len(r.Edits) == 0
		}
		if others {
			folders = append(folders, r.Folders...)
			continue
		}
		c.Entries[i].Records = append(c.Entries[i].Records, r)
	}
	c.bequeath(folders)
}

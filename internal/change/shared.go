package change

import (
	"slices"

	"github.com/vicr-cli/vicr/internal/edit"
)

// also are the steps of a plan that are so already, because of another host:
// they are recorded for this one as well, and whoever leaves last takes them back.
func (s *session) also(host string, plan Plan) (also Plan, err error) {
	for _, step := range plan {
		if step.Op != OpWrite && step.Op != OpEdit {
			continue
		}
		now, data, err := look(s.tree, step.Path)
		if err != nil {
			return nil, err
		}
		held, err := step.holds(now, data)
		if err != nil {
			return nil, err
		}
		others, own := s.state.made(host, step, now)
		if held && others && !own {
			also = append(also, step)
		}
	}
	return also, nil
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

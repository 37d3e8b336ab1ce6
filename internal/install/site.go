// Package install carries out what was planned to make tools trust a registry,
// and agreed to: the half that is the user's and the half that needs root, each
// recorded in a journal of its own and proven by the tools themselves. Who has
// the rights for which half is decided by the caller.
package install

import (
	"context"
	"path/filepath"
	"slices"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/proof"
	"github.com/vicr-cli/vicr/internal/trust"
)

// A Half is what of a plan is made with one set of rights.
type Half string

// The halves, in the order in which they are made.
const (
	User    Half = "user"
	Machine Half = "machine"
)

// Halves are both, in that order.
func Halves() []Half { return []Half{User, Machine} }

// A Site is where changes are made and recorded: the user's own files and the
// machine's, or those of the tree below --root. Close it.
type Site struct {
	Machine  machine.Machine
	trees    map[Half]*atomicfile.Tree
	journals map[Half]*change.Journal
}

// Open opens the site of m. The error is about the folder of --root.
func Open(m machine.Machine) (*Site, error) {
	own := atomicfile.Machine()
	trees := map[Half]*atomicfile.Tree{User: own, Machine: own}
	if m.Root != "" {
		tree, err := atomicfile.Beneath(m.Root)
		if err != nil {
			return nil, err
		}
		trees[Machine] = tree
	}
	o := change.Options{
		Allow:       func(subject, path string) bool { return trust.MayWrite(m, subject, path) },
		AllowRun:    func(subject string, argv []string) bool { return trust.MayRun(m, subject, argv) },
		AllowReload: func(r change.Reload) bool { return trust.MayReload(m, r) },
		Settled: func(ctx context.Context, _ string, r change.Reload) error {
			return proof.Settled(ctx, m, r)
		},
	}
	return &Site{Machine: m, trees: trees, journals: map[Half]*change.Journal{
		User:    change.OpenJournal(own, filepath.Join(m.Dirs.State, "journal"), o),
		Machine: change.OpenJournal(trees[Machine], m.Dirs.MachineState, o),
	}}, nil
}

// Close lets go of the tree of --root.
func (s *Site) Close() {
	if s.trees[Machine] != s.trees[User] {
		_ = s.trees[Machine].Close() // only a handle on a folder
	}
}

// Journal is that of one half.
func (s *Site) Journal(h Half) *change.Journal { return s.journals[h] }

// Plan is what makes the tools trust the registry. When nobody named tools,
// those that were set up for it before are among them, so that a new CA
// replaces the old one everywhere at once.
func (s *Site) Plan(ctx context.Context, r trust.Request, subject string) (trust.Planned, error) {
	planned, err := trust.Plan(s.Machine, r)
	if err != nil || r.Tools != nil {
		return planned, err
	}
	also := s.recorded(ctx, subject)
	for _, t := range trust.Tools() {
		if slices.Contains(also, t) && !slices.Contains(planned.Tools, t) {
			r.Tools = append(r.Tools, t)
		}
	}
	if r.Tools == nil {
		return planned, nil
	}
	r.Tools = append(slices.Clone(planned.Tools), r.Tools...)
	more, err := trust.Plan(s.Machine, r)
	more.Skipped, more.NotFound, more.Pastes = planned.Skipped, planned.NotFound, planned.Pastes
	more.NotFound = slices.DeleteFunc(slices.Clone(more.NotFound), func(t trust.Tool) bool { return slices.Contains(more.Tools, t) })
	more.Skipped = slices.DeleteFunc(slices.Clone(more.Skipped), func(k trust.Skip) bool { return slices.Contains(more.Tools, k.Tool) })
	return more, err
}

// recorded are the tools that were set up for a registry, as far as the
// journals can be read: root's cannot be by others.
func (s *Site) recorded(ctx context.Context, subject string) (tools []trust.Tool) {
	for _, h := range Halves() {
		entries, err := s.journals[h].Entries(ctx)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.Subject.Host != subject {
				continue
			}
			for _, r := range e.Records {
				tools = append(tools, trust.Tool(r.Tool))
			}
		}
	}
	return tools
}

// Todo is what of a plan is not yet so, and how it is shown.
type Todo struct {
	Plans    map[Half]change.Plan
	Lines    []string // what changes, as people read it
	Remarks  []string // what is odd about the files that change
	replaces []string // the files and the fingerprints of what is replaced
}

// Todo looks what of the plan is not yet so. It only reads.
func (s *Site) Todo(p trust.Planned) (Todo, error) {
	t := Todo{Plans: map[Half]change.Plan{}, Lines: []string{}}
	for _, h := range Halves() {
		pending, err := Of(p, h).Pending(s.trees[h])
		var shown []string
		if err == nil {
			shown, err = pending.Show(s.trees[h])
		}
		if err != nil {
			return Todo{}, err
		}
		t.Plans[h] = pending
		t.Lines = append(t.Lines, shown...)
		t.Remarks = append(t.Remarks, pending.Remarks(s.trees[h])...)
	}
	for _, r := range p.Replaces {
		t.replaces = append(t.replaces, r.Path)
		for _, c := range r.Was {
			t.replaces = append(t.replaces, pki.SHA256(c).String())
		}
	}
	return t, nil
}

// Same says whether what is to be done is what was shown.
func (t Todo) Same(shown Todo) bool {
	return slices.Equal(t.Lines, shown.Lines) && slices.Equal(t.replaces, shown.replaces)
}

// Nothing says that all is as planned.
func (t Todo) Nothing() bool { return len(t.Plans[User])+len(t.Plans[Machine]) == 0 }

// Of is one half of a plan.
func Of(p trust.Planned, h Half) change.Plan {
	if h == User {
		return p.User
	}
	return p.Machine
}

// Tools are those whose trust a half makes. One of which nothing has to be
// written is the machine's, but for vicr itself.
func Tools(p trust.Planned, h Half) []trust.Tool {
	in := func(half Half, t trust.Tool) bool {
		return slices.ContainsFunc(Of(p, half), func(s change.Step) bool { return s.Tool == string(t) })
	}
	return slices.DeleteFunc(slices.Clone(p.Tools), func(t trust.Tool) bool {
		if in(User, t) || in(Machine, t) {
			return !in(h, t)
		}
		return (t == trust.ToolVicr) != (h == User)
	})
}

// Apply makes one half and proves it. When all is in place it writes nothing,
// and the proof decides. Errors are those of [change.Journal.Apply].
func (s *Site) Apply(ctx context.Context, h Half, subject change.Subject, p trust.Planned, prove func(context.Context) error) error {
	return s.journals[h].Apply(ctx, subject, Of(p, h), prove)
}

// Only is one half of a plan alone.
func Only(p trust.Planned, h Half) trust.Planned {
	p.Tools = Tools(p, h)
	if h == User {
		p.Machine = nil
	} else {
		p.User = nil
	}
	p.Replaces = slices.DeleteFunc(slices.Clone(p.Replaces), func(r trust.Replaced) bool {
		return !slices.ContainsFunc(Of(p, h), func(s change.Step) bool { return s.Path == r.Path })
	})
	return p
}

package trust

import (
	"slices"

	"github.com/vicr-cli/vicr/internal/edit"
)

// maxConfig is the largest configuration file that is read, in bytes.
const maxConfig = 1 << 20

// insecureKey is the name of the list in daemon.json.
const insecureKey = "insecure-registries"

// list is what a daemon.json has under the key; nil when the key is absent, or
// there is no file.
func (p *planner) list(path string) ([]string, error) {
	data, err := p.m.ReadFile(path, maxConfig)
	if err != nil || len(data) == 0 {
		return nil, err
	}
	return edit.JSONList(data, insecureKey)
}

// A wish is what a registry's entry in a shared file is to say.
type wish struct{ ca, client, insecure, http bool }

func (p *planner) wish() wish {
	return wish{ca: p.data != nil, client: p.r.Client != nil, insecure: p.r.Insecure, http: p.r.Insecure && p.r.HTTP}
}

// wishes are all that vicr can have written there.
func wishes() []wish {
	return []wish{
		{ca: true}, {ca: true, client: true}, {client: true}, {insecure: true}, {insecure: true, http: true},
	}
}

// turn gives the edits that make the file say what is wished: what vicr wrote
// there for another wish goes first, and all of it for a name that this request
// does not mean. The error is an [*edit.SyntaxError] when somebody else has an
// entry there.
func (p *planner) turn(path, name string, entry func(string, wish) edit.Edit) ([]edit.Edit, error) {
	want, meant := entry(name, p.wish()), slices.Contains(p.namesByScheme(), name)
	data, err := p.m.ReadFile(path, maxConfig)
	switch {
	case err != nil && meant:
		return []edit.Edit{want}, nil //nolint:nilerr // it is new, or root will see
	case err != nil:
		return nil, nil //nolint:nilerr // as above
	}
	var edits []edit.Edit
	for _, w := range wishes() {
		old := entry(name, w)
		if has, err := old.Has(data); err != nil || !has || old == want && meant {
			continue
		}
		old.Remove = true
		if data, err = old.Apply(data); err != nil {
			return nil, err
		}
		edits = append(edits, old)
	}
	if !meant {
		return edits, nil
	}
	if _, err := want.Apply(data); err != nil {
		return nil, err
	}
	return append(edits, want), nil
}

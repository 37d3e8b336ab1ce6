package trust

import (
	"fmt"
	"strings"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/edit"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/ref"
)

// k3s plans for k3s and rke2, which read registries.yaml when they start, and
// make the files of their own containerd of it.
func (p *planner) k3s() {
	if len(p.m.Kubernetes) == 0 {
		if p.named {
			p.skip(ToolK3s, "k3s and rke2 run on Linux alone", "")
		} else {
			p.absent(ToolK3s)
		}
		return
	}
	var all []machine.Kubernetes
	for _, k := range p.m.Kubernetes {
		if k.Found {
			all = append(all, k)
		}
	}
	switch {
	case len(all) == 0 && !p.named:
		p.absent(ToolK3s)
		return
	case len(all) == 0:
		all = p.m.Kubernetes[:1]
	}
	for _, k := range all {
		if !p.named {
			p.later(ToolK3s, k.Name+" ("+plain(k.Evidence)+") has to be restarted before it reads a change")
			continue
		}
		p.kubernetes(k)
	}
}

func (p *planner) kubernetes(k machine.Kubernetes) {
	l, f := p.machine(), filesOf(p.m, k, p.r.Host)
	edits, ok := p.registriesEdits(k, f)
	if !ok {
		return
	}
	r := p.restartOf(k.Name, "restart "+k.Name, true, k.Units...)
	from := len(*l.plan)
	if p.r.Insecure {
		p.forget(ToolK3s, l, f.ca)
	} else {
		p.ca(ToolK3s, l, f.ca)
		p.pair(ToolK3s, l, f.cert, f.key)
	}
	for _, e := range edits {
		p.add(l, change.Step{Tool: string(ToolK3s), Path: k.ConfigFile, Op: change.OpEdit, DirMode: l.mode, Edit: &e})
	}
	for i := range (*l.plan)[from:] {
		if s := &(*l.plan)[from+i]; s.Op != change.OpRemove {
			s.Restart = p.typed(r)
		}
	}
	p.restart(ToolK3s, l, r)
	p.note(ToolK3s, k.ConfigFile, "each node has its own: do the same on all of them")
	p.done(ToolK3s)
}

// registriesEdits are those of registries.yaml; not ok when somebody else has
// an entry for the registry there.
func (p *planner) registriesEdits(k machine.Kubernetes, f kubernetesFiles) (edits []edit.Edit, ok bool) {
	for _, name := range p.r.Host.Spellings() {
		own, err := p.turn(k.ConfigFile, name, func(name string, w wish) edit.Edit {
			return edit.Edit{Format: edit.YAML, Value: name, Body: registries(name, f, w)}
		})
		if err != nil {
			p.skip(ToolK3s, fmt.Sprintf("%q cannot be edited: %s", k.ConfigFile, plain(err.Error())), "")
			p.out.Pastes = append(p.out.Pastes, Paste{
				Tool: k.Name, Why: "to add to " + plain(k.ConfigFile) + " by hand, with files that hold the certificates",
				Lines: lines(registries(name, f, p.wish())),
			})
			return nil, false
		}
		edits = append(edits, own...)
	}
	return edits, true
}

func lines(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") }

// namesByScheme: over plain HTTP a name without a port means port 80, where
// h:443 is something else.
func (p *planner) namesByScheme() []string {
	if p.r.Insecure && p.r.HTTP && !p.r.Host.HasPort() {
		return []string{p.r.Host.String()}
	}
	return p.r.Host.Spellings()
}

type kubernetesFiles struct{ ca, cert, key string }

func filesOf(m machine.Machine, k machine.Kubernetes, h ref.Host) kubernetesFiles {
	base := m.Join(k.Dir, "vicr-"+h.Folder())
	return kubernetesFiles{base + ".crt", base + ".cert", base + ".key"}
}

// registries is what registries.yaml has to say of one name: releases of 2024
// take the TLS settings only of registries that are among the mirrors.
func registries(name string, f kubernetesFiles, w wish) string {
	var b strings.Builder
	scheme := "https"
	if w.http {
		scheme = "http"
	}
	fmt.Fprintf(&b, "mirrors:\n  %q:\n    endpoint:\n      - \"%s://%s\"\n", name, scheme, name)
	if w.http {
		return b.String()
	}
	fmt.Fprintf(&b, "configs:\n  %q:\n    tls:\n", name)
	if w.insecure {
		fmt.Fprint(&b, "      insecure_skip_verify: true\n")
	}
	if w.ca {
		fmt.Fprintf(&b, "      ca_file: %s\n", f.ca)
	}
	if w.client {
		fmt.Fprintf(&b, "      cert_file: %s\n      key_file: %s\n", f.cert, f.key)
	}
	return b.String()
}

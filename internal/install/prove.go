package install

import (
	"context"
	"fmt"
	"slices"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/edit"
	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/proof"
	"github.com/vicr-cli/vicr/internal/trust"
)

// A Prover asks each tool of a half whether it trusts the registry now.
type Prover struct {
	Site    *Site
	Request trust.Request
	Planned trust.Planned
	// Own asks the registry by the road of vicr's own transfers; nil: it is not asked.
	Own func(context.Context) error
	// Fact is told what was found out.
	Fact func(Fact)
}

// A Fact is what one tool said.
type Fact struct {
	Tool trust.Tool
	proof.Fact
}

// Prove asks the tools of a half. In a tree where nothing runs, and for a tool
// that counts only after a restart, the files are read back instead. The error
// is a [*proof.Error] when a tool refuses.
func (p Prover) Prove(ctx context.Context, h Half) error {
	for _, t := range Tools(p.Planned, h) {
		if err := p.tool(ctx, h, t); err != nil {
			return err
		}
	}
	return nil
}

func (p Prover) tool(ctx context.Context, h Half, t trust.Tool) error {
	steps := p.steps(h, t)
	if t == trust.ToolVicr {
		return p.own(ctx)
	}
	err := proof.Files(p.Site.trees[h], steps, p.Request.Anchor.Cert)
	if err != nil || p.Site.Machine.Root != "" {
		return err
	}
	if later := restart(steps); later != "" {
		p.Fact(Fact{t, proof.Fact{Host: p.name(), Why: "it counts after: " + later}})
		return nil
	}
	facts, err := p.ask(ctx, h, t)
	for _, f := range facts {
		p.Fact(Fact{t, f})
	}
	return err
}

func (p Prover) steps(h Half, t trust.Tool) change.Plan {
	return slices.DeleteFunc(slices.Clone(Of(p.Planned, h)), func(s change.Step) bool { return s.Tool != string(t) })
}

func restart(steps change.Plan) string {
	for _, s := range steps {
		if s.Restart != "" {
			return s.Restart
		}
	}
	return ""
}

func (p Prover) own(ctx context.Context) error {
	if p.Own == nil {
		return nil
	}
	if err := p.Own(ctx); err != nil {
		return err
	}
	p.Fact(Fact{trust.ToolVicr, proof.Fact{Host: p.name(), Proven: true}})
	return nil
}

func (p Prover) name() string {
	if p.Request.Network.IsValid() {
		return p.Request.Network.String()
	}
	return p.Request.Host.String()
}

func (p Prover) ask(ctx context.Context, h Half, t trust.Tool) ([]proof.Fact, error) {
	m, host := p.Site.Machine, p.Request.Host
	switch t {
	case trust.ToolDocker:
		return p.docker(ctx, h)
	case trust.ToolPodman:
		return proof.Podman(ctx, m, host, nil)
	case trust.ToolContainerd:
		return proof.Containerd(ctx, m, host)
	case trust.ToolSystem:
		err := proof.System(ctx, m, p.Request.Anchor.Cert)
		return []proof.Fact{{Host: host.String(), Proven: err == nil && m.System.Bundle != "", Why: "its store cannot be read here"}}, err
	}
	return []proof.Fact{{Host: p.name(), Why: "its files are in place, and it cannot be asked"}}, nil
}

// docker asks the engine that runs as root, or the user's own.
func (p Prover) docker(ctx context.Context, h Half) ([]proof.Fact, error) {
	socket := p.Site.Machine.Docker.Socket
	if h == User {
		socket = ""
		for _, v := range p.Site.Machine.Docker.Variants {
			if v.Kind == machine.Rootless {
				socket = v.Socket
			}
		}
	}
	if !p.Request.Insecure {
		return proof.Docker(ctx, proof.Target{Socket: socket}, p.Request.Host)
	}
	names := []string{p.name()}
	if !p.Request.Network.IsValid() {
		names = p.Request.Host.Spellings()
	}
	return proof.DockerInsecure(ctx, socket, names, true)
}

// A BusyError says that an engine is not restarted because containers would end.
type BusyError struct{ Running int }

func (e *BusyError) Error() string {
	return fmt.Sprintf("the engine has to be restarted, and %d running containers would end with it: live-restore is off", e.Running)
}

// An OldEngineError says that an engine would not start with what is planned
// for its daemon.json.
type OldEngineError struct{ Version string } // may hold any byte

func (e *OldEngineError) Error() string {
	return fmt.Sprintf("Docker %q does not know insecure-registries in daemon.json, and would not start with it: 1.12 is the first that does", e.Version)
}

// Ready says whether a plan may be made as far as the running engine goes: the
// error is an [*OldEngineError], or a [*BusyError] when containers run that would
// not survive a restart. An engine that does not answer is no reason against it.
func (s *Site) Ready(ctx context.Context, p trust.Planned) error {
	if err := s.notTooOld(ctx, p); err != nil {
		return err
	}
	restarts := slices.ContainsFunc(p.Machine, func(st change.Step) bool {
		return st.Op == change.OpRun && st.Tool == string(trust.ToolDocker)
	})
	if !restarts || s.Machine.Docker.Socket == "" {
		return nil
	}
	e, err := engine.Open("unix://"+s.Machine.Docker.Socket, engine.Options{})
	if err != nil {
		return err
	}
	defer e.Close() //nolint:errcheck // only a connection
	info, err := e.Info(ctx)
	if err != nil {
		return nil //nolint:nilerr // an engine that does not answer has nothing to lose
	}
	if info.Running > 0 && !info.LiveRestore {
		return &BusyError{Running: info.Running}
	}
	return nil
}

// notTooOld is about a list in daemon.json that is added to. A rootless engine
// is never that old.
func (s *Site) notTooOld(ctx context.Context, p trust.Planned) error {
	listed := slices.ContainsFunc(p.Machine, func(st change.Step) bool {
		return st.Tool == string(trust.ToolDocker) && st.Op == change.OpEdit && st.Edit.Format == edit.JSON && !st.Edit.Remove
	})
	if !listed || s.Machine.Docker.Socket == "" {
		return nil
	}
	e, err := engine.Open("unix://"+s.Machine.Docker.Socket, engine.Options{})
	if err != nil {
		return err
	}
	defer e.Close() //nolint:errcheck // only a connection
	version, err := e.Version(ctx)
	if err == nil && !engine.KnowsInsecureList(version) {
		return &OldEngineError{Version: version}
	}
	return ctx.Err()
}

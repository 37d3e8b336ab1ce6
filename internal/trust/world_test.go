package trust_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/trust"
)

// carryOut makes a plan so in a file system, and says how many steps changed something.
func carryOut(t *testing.T, fsys fstest.MapFS, p change.Plan) (changed int) {
	t.Helper()
	for _, s := range p {
		name := machine.Name(s.Path)
		var now []byte
		if f := fsys[name]; f != nil {
			now = f.Data
		}
		next := now
		switch s.Op {
		case change.OpWrite:
			next = s.Data
		case change.OpRemove:
			if fsys[name] != nil {
				changed++
				delete(fsys, name)
			}
			continue
		case change.OpEdit:
			var err error
			if next, err = s.Edit.Apply(now); err != nil {
				t.Fatalf("%s cannot be edited as planned: %v\n%s", s.Path, err, now)
			}
		default:
			continue
		}
		if fsys[name] == nil || !bytes.Equal(next, now) {
			changed++
		}
		fsys[name] = &fstest.MapFile{Data: next, Mode: 0o644}
	}
	return changed
}

// everything is a machine with all tools.
func everything() map[string]string {
	return join(dockerHere(), systemdHere(), map[string]string{
		"/usr/bin/podman": "", "/usr/bin/containerd": "", "/etc/containerd/config.toml": "version = 2\n",
		"/usr/local/bin/k3s": "", "/etc/systemd/system/k3s.service": "", "/usr/local/bin/buildkitd": "",
		"/home/ann/.docker/buildx/instances/ci": `{"Name":"ci","Driver":"docker-container"}`,
		"/etc/os-release":                       "ID=debian\n", "/usr/sbin/update-ca-certificates": "",
		"/etc/docker/daemon.json":          "{\n  \"debug\": true\n}\n",
		"/etc/rancher/k3s/registries.yaml": "mirrors:\n  docker.io:\n    endpoint:\n      - https://m.corp\n",
	})
}

func TestFromAnyPlanToAnyOtherAndThenNothingIsLeft(t *testing.T) {
	t.Parallel()
	asks := []string{"", "insecure", "http", "client", ""}
	for _, typed := range []string{"registry.corp", "registry.corp:5000", "[2001:db8::2]:5000"} {
		for _, tool := range append(trust.Tools(), "") {
			for _, from := range asks {
				for _, to := range asks {
					t.Run(fmt.Sprintf("%s/%s/%s to %s", typed, tool, from, to), func(t *testing.T) {
						t.Parallel()
						fsys := files(everything())
						for _, ask := range []string{from, to} {
							r := row{host: typed, tools: string(tool), ask: ask}
							q := r.request(t)
							m := look(machine.Options{FS: fsys})
							p := plan(t, m, q)
							carryOut(t, fsys, p.User)
							carryOut(t, fsys, p.Machine)
							again := plan(t, look(machine.Options{FS: fsys}), q)
							if n := carryOut(t, fsys, again.User) + carryOut(t, fsys, again.Machine); n > 0 {
								t.Errorf("%s: once applied, %d steps are left of %v and %v", ask, n, again.User, again.Machine)
							}
							if len(again.Replaces) > 0 || fmt.Sprint(again.Tools) != fmt.Sprint(p.Tools) {
								t.Errorf("%s: once applied, tools %v, before %v; replaces %v", ask, again.Tools, p.Tools, again.Replaces)
							}
							never(t, fsys, tool, q)
						}
					})
				}
			}
		}
	}
}

// never wants that a registry is not verified and insecure at once for a tool.
func never(t *testing.T, fsys fstest.MapFS, tool trust.Tool, q trust.Request) {
	t.Helper()
	var insecure, verified []string
	for name, f := range fsys {
		text := string(f.Data)
		switch {
		case strings.HasSuffix(name, "ca.crt") && !strings.Contains(name, "vicr/certs.d"), strings.Contains(text, "ca_file"), strings.Contains(text, "ca = ["):
			verified = append(verified, name)
		case strings.Contains(text, "insecure") && strings.Contains(text, q.Host.String()), strings.HasSuffix(name, "hosts.toml"),
			strings.Contains(text, "http://"+q.Host.String()), strings.Contains(text, "http = true"):
			insecure = append(insecure, name)
		}
	}
	if len(verified) > 0 && len(insecure) > 0 && (tool != trust.ToolNotary && tool != "") {
		t.Errorf("%s: %q verify and %q do not", tool, verified, insecure)
	}
	if q.Insecure && len(verified) > 0 && tool != trust.ToolNotary || !q.Insecure && len(insecure) > 0 {
		t.Errorf("%s: insecure is %t, and there are %q and %q", tool, q.Insecure, verified, insecure)
	}
}

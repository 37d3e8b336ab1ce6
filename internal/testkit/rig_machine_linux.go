//go:build e2e && linux

package testkit

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A Machine is a Debian with systemd as its first process and docker.service,
// in the network of a rig. It is fresh each time. Containers do not run in it:
// its cgroups are read-only.
type Machine struct {
	*Process
	Root string // its files, as seen from outside
	init string // the number of its first process
}

// BootMachine starts one and waits until its Docker answers. prepare, if given,
// may change its files before.
func (r *Rig) BootMachine(t *testing.T, prepare func(root string)) *Machine {
	t.Helper()
	NeedTool(t, "machine/.done")
	Need(t, "systemd-nspawn", "systemd-container")
	docker := filepath.Join(r.Dir, "machine-docker") // overlayfs does not stack
	root := filepath.Join(r.Dir, "machine")
	for _, d := range []string{root, root + ".upper", root + ".work", docker} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s.upper,workdir=%s.work", filepath.Join(Tools(t), "machine"), root, root)
	if run := r.Run(t, "", "mount", "-t", "overlay", "overlay", "-o", options, root); run.Code != 0 {
		t.Fatal("the machine's files could not be mounted")
	}
	// dockerd wants it, and /proc/sys is read-only in there.
	if run := r.Run(t, "1\n", "tee", "/proc/sys/net/ipv4/ip_forward"); run.Code != 0 {
		t.Fatal("no forwarding")
	}
	m := &Machine{Root: r.Etc(root)}
	if prepare != nil {
		prepare(m.Root)
	}
	m.Process = r.Launch(t, "systemd-nspawn", "-D", root, "--machine=vicr-"+strconv.Itoa(r.holder), "--register=no", "--keep-unit",
		fmt.Sprintf("--network-namespace-path=/proc/%d/ns/net", r.holder), "--capability=CAP_NET_ADMIN",
		"--bind="+docker+":/var/lib/docker", "--boot", "--quiet", "--console=pipe")
	t.Cleanup(func() {
		if t.Failed() {
			m.Run(t, "journalctl", "--no-pager", "--lines=40")
		}
	})
	Until(t, "the machine", func() bool {
		// At first it is another child, which makes this one and ends.
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", m.PID()))
		m.init = strings.TrimSpace(string(b))
		if err != nil || m.init == "" || strings.Contains(m.init, " ") {
			return false
		}
		out, _ := m.command(t.Context(), "systemctl", "is-system-running").Output()
		state := strings.TrimSpace(string(out))
		return (state == "running" || state == "degraded") && m.command(t.Context(), "docker", "version").Run() == nil
	})
	return m
}

func (m *Machine) command(ctx context.Context, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"-t", m.init, "-m", "-u", "-i", "-n", "-p", "-r", "-w", "--"}, argv...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"}
	return cmd
}

// Run runs a program in the machine to its end.
func (m *Machine) Run(t *testing.T, argv ...string) Run {
	t.Helper()
	cmd := m.command(context.WithoutCancel(t.Context()), argv...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	res := Run{Stdout: out.String(), Stderr: errs.String(), Code: cmd.ProcessState.ExitCode()}
	t.Logf("machine# %s\n%s%s[%d, %v]", strings.Join(argv, " "), res.Stdout, res.Stderr, res.Code, err)
	return res
}

// TreeHash is that of [Rig.TreeHash] for a folder of the machine.
func (m *Machine) TreeHash(t *testing.T, dir string) string {
	t.Helper()
	return treeHash(t, m.Root+dir)
}

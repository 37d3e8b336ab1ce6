//go:build e2e && linux

package testkit

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// RigAddress is the registry's address in a [Rig]. It is one of those that
// RFC 5737 keeps for documentation: on 127.0.0.0/8 dockerd trusts anything and
// so proves nothing.
const RigAddress = "192.0.2.2"

// A Rig is a machine of its own for one test: a network namespace without a
// way out, a /run of its own, and private views of /etc, /var/lib and the CAs
// that an administrator adds, so that real engines and registries run in it
// with their usual paths and this machine stays as it is. It has no systemd.
//
// Its addresses are 192.0.2.2 to 192.0.2.5 and 2001:db8::2 to 2001:db8::5.
type Rig struct {
	Dir    string // scratch folder
	holder int    // process that keeps the namespaces
}

// Need fails the test, naming the Debian package, when a program is missing.
func Need(t *testing.T, program, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install %s", program, pkg)
	}
	return path
}

// rigScript makes a rig out of fresh namespaces; $0 is its scratch folder.
const rigScript = `set -e
mount -t overlay overlay -o lowerdir=/etc,upperdir=$0/etc,workdir=$0/etc.work /etc
mount -t overlay overlay -o lowerdir=/var/lib,upperdir=$0/lib,workdir=$0/lib.work /var/lib
cas=/usr/local/share/ca-certificates
mkdir -p $cas
mount -t overlay overlay -o lowerdir=$cas,upperdir=$0/cas,workdir=$0/cas.work $cas
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/docker /run/lock /run/user
ip link set lo up
for n in 2 3 4 5; do
	ip addr add 192.0.2.$n/24 dev lo
	ip -6 addr add 2001:db8::$n/64 dev lo nodad
done
echo ready
exec sleep infinity`

// NewRig makes a rig. It needs root.
func NewRig(t *testing.T) *Rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the end-to-end tests make namespaces and need root")
	}
	Need(t, "ip", "iproute2")
	Need(t, "nsenter", "util-linux")
	// Not t.TempDir: a container's own mounts may hold the folder a moment longer.
	dir, err := os.MkdirTemp("", "vicr-rig-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // other users run programs in it
		t.Fatal(err)
	}
	r := &Rig{Dir: dir}
	t.Cleanup(func() { removeAll(t, dir) })
	for _, d := range []string{"etc", "etc.work", "lib", "lib.work", "cas", "cas.work", "home"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	storage := "[storage]\ndriver = \"vfs\"\ngraphroot = \"" + dir + "/containers\"\nrunroot = \"/run/containers/storage\"\n"
	if err := os.WriteFile(filepath.Join(dir, "storage.conf"), []byte(storage), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", rigScript, dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line := make([]byte, len("ready\n"))
	if _, err := out.Read(line); err != nil || string(line) != "ready\n" {
		cmd.Wait()
		t.Fatalf("the namespaces could not be made: %s", stderr.String())
	}
	r.holder = cmd.Process.Pid
	return r
}

func removeAll(t *testing.T, dir string) {
	t.Helper()
	var err error
	for range 50 {
		if err = os.RemoveAll(dir); err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("left behind: %v", err)
}

// Command is a program that runs inside the rig with a private home.
func (r *Rig) Command(ctx context.Context, argv ...string) *exec.Cmd {
	pid := strconv.Itoa(r.holder)
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"-t", pid, "-n", "-m", "--wd=" + r.Dir, "--"}, argv...)...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(r.Dir, "home"), "LANG=C.UTF-8",
		"CONTAINERS_STORAGE_CONF=" + filepath.Join(r.Dir, "storage.conf"), // overlayfs does not stack for podman
	}
	return cmd
}

// A Run is what a program said and how it ended.
type Run struct {
	Stdout, Stderr string
	Code           int
}

// Run runs a program inside the rig to its end. stdin may be empty.
func (r *Rig) Run(t *testing.T, stdin string, argv ...string) Run {
	t.Helper()
	cmd := r.Command(t.Context(), argv...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	res := Run{Stdout: out.String(), Stderr: errs.String(), Code: cmd.ProcessState.ExitCode()}
	t.Logf("$ %s\n%s%s[%d, %v]", strings.Join(argv, " "), res.Stdout, res.Stderr, res.Code, err)
	return res
}

// A Process is a program that [Rig.Launch] started.
type Process struct {
	cmd  *exec.Cmd
	log  string
	once sync.Once
	wait sync.Once
}

// Wait waits for it to end by itself, for a minute, and returns its exit code.
func (p *Process) Wait(t *testing.T) int {
	t.Helper()
	done := make(chan struct{})
	go func() { p.reap(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		p.cmd.Process.Kill()
		<-done
		t.Fatal("it does not end")
	}
	p.once.Do(func() {}) // there is nothing to stop
	return p.cmd.ProcessState.ExitCode()
}

// Signal sends it a signal.
func (p *Process) Signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func (p *Process) reap() { p.wait.Do(func() { p.cmd.Wait() }) }

// Start runs a program inside the rig until the test ends: TERM, then KILL.
// What it said is shown when the test fails.
func (r *Rig) Start(t *testing.T, argv ...string) *exec.Cmd {
	t.Helper()
	return r.Launch(t, argv...).cmd
}

// Launch is [Rig.Start] for a process that the test has more to do with.
func (r *Rig) Launch(t *testing.T, argv ...string) *Process {
	t.Helper()
	name := filepath.Join(r.Dir, filepath.Base(argv[0])+"-"+strconv.FormatInt(time.Now().UnixNano(), 36)+".log")
	logFile, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{cmd: r.Command(context.WithoutCancel(t.Context()), argv...), log: name}
	p.cmd.Stdout, p.cmd.Stderr = logFile, logFile
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Stop()
		logFile.Close()
		if t.Failed() {
			t.Logf("%s said:\n%s", argv[0], tail([]byte(p.Log()), 2000))
		}
	})
	return p
}

// PID is the process's number: there is one PID namespace, and nsenter becomes
// the program.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log is what it said so far.
func (p *Process) Log() string {
	b, _ := os.ReadFile(p.log)
	return string(b)
}

// Stop ends it, by TERM and after 15 s by KILL.
func (p *Process) Stop() { p.once.Do(func() { stop(p.cmd) }) }

func stop(cmd *exec.Cmd) {
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-done:
	case <-time.After(15 * time.Second):
		cmd.Process.Kill()
		<-done
	}
}

func tail(b []byte, n int) []byte {
	if len(b) > n {
		return b[len(b)-n:]
	}
	return b
}

// Etc is the rig's view of a path, as seen from outside it.
func (r *Rig) Etc(path string) string {
	return filepath.Join("/proc", strconv.Itoa(r.holder), "root", path)
}

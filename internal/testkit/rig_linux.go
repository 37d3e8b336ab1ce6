//go:build e2e && linux

package testkit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// RigAddress is the registry's address in a [Rig]. It is one of those that
// RFC 5737 keeps for documentation: on 127.0.0.0/8 dockerd trusts anything and
// so proves nothing.
const RigAddress = "192.0.2.2"

// A Rig is a machine of its own for one test: a network namespace without a
// way out, and private views of /etc and /var/lib, so that real engines and
// registries run in it and this machine stays as it is.
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
	for _, d := range []string{"etc", "etc.work", "lib", "lib.work", "home"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script := `set -e
mount -t overlay overlay -o lowerdir=/etc,upperdir=$0/etc,workdir=$0/etc.work /etc
mount -t overlay overlay -o lowerdir=/var/lib,upperdir=$0/lib,workdir=$0/lib.work /var/lib
mkdir -p /run/docker; mount -t tmpfs tmpfs /run/docker
ip link set lo up
ip addr add ` + RigAddress + `/24 dev lo
ip -6 addr add 2001:db8::2/64 dev lo nodad
echo ready
exec sleep infinity`
	cmd := exec.Command("unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", script, dir)
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
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(r.Dir, "home"), "LANG=C.UTF-8"}
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

// Start runs a program inside the rig until the test ends: TERM, then KILL.
// What it said is shown when the test fails.
func (r *Rig) Start(t *testing.T, argv ...string) *exec.Cmd {
	t.Helper()
	name := filepath.Join(r.Dir, filepath.Base(argv[0])+"-"+strconv.FormatInt(time.Now().UnixNano(), 36)+".log")
	logFile, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	cmd := r.Command(context.WithoutCancel(t.Context()), argv...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop(cmd)
		logFile.Close()
		if t.Failed() {
			b, _ := os.ReadFile(name)
			t.Logf("%s said:\n%s", argv[0], tail(b, 4000))
		}
	})
	return cmd
}

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

// Until waits until ready says so.
func Until(t *testing.T, what string, ready func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if ready() {
			return
		}
	}
	t.Fatalf("%s: not ready after 30 s", what)
}

// Dockerd starts an engine of the rig's own and returns its DOCKER_HOST.
func (r *Rig) Dockerd(t *testing.T) string {
	t.Helper()
	dockerd := Need(t, "dockerd", "docker.io")
	socket := filepath.Join(r.Dir, "docker.sock")
	r.Start(t, dockerd,
		"--data-root", filepath.Join(r.Dir, "docker-data"), "--exec-root", filepath.Join(r.Dir, "docker-exec"),
		"--pidfile", filepath.Join(r.Dir, "docker.pid"), "-H", "unix://"+socket,
		"--iptables=false", "--ip6tables=false", "--bridge=none")
	host := "unix://" + socket
	Until(t, "dockerd", func() bool {
		return exec.Command("docker", "-H", host, "version").Run() == nil
	})
	return host
}

// Etc is the rig's view of a path, as seen from outside it.
func (r *Rig) Etc(path string) string {
	return filepath.Join("/proc", strconv.Itoa(r.holder), "root", path)
}

// TreeHash sums up all below a folder of the rig: names, kinds, modes, owners,
// bytes. A folder that does not exist has a sum too.
func (r *Rig) TreeHash(t *testing.T, dir string) string {
	t.Helper()
	sum := sha256.New()
	root := r.Etc(dir)
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if os.IsNotExist(err) && path == root {
			fmt.Fprintln(sum, "absent")
			return nil
		}
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(sum, "%q %s %d %d\n", strings.TrimPrefix(path, root), info.Mode(), st.Uid, st.Gid)
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(sum, "%x\n", sha256.Sum256(b))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

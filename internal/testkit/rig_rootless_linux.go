//go:build e2e && linux

package testkit

import (
	"path/filepath"
	"strings"
	"testing"
)

// A User of the rig who is not root.
type User struct {
	Name, UID, Home string
}

// AddUser makes one, with a range of numbers for user namespaces.
func (r *Rig) AddUser(t *testing.T, name string) User {
	t.Helper()
	Need(t, "useradd", "passwd")
	u := User{Name: name, Home: filepath.Join(r.Dir, name)}
	if run := r.Run(t, "", "useradd", "--create-home", "--home-dir", u.Home, name); run.Code != 0 {
		t.Fatalf("useradd: exit %d", run.Code)
	}
	u.UID = strings.TrimSpace(r.Run(t, "", "id", "-u", name).Stdout)
	runtime := u.runtime()
	if run := r.Run(t, "", "install", "-d", "-m", "0700", "-o", u.UID, "-g", u.UID, runtime); run.Code != 0 {
		t.Fatalf("%s could not be made", runtime)
	}
	return u
}

func (u User) runtime() string { return "/run/user/" + u.UID }

// As is a command of that user, with the environment of a login.
func (u User) As(argv ...string) []string {
	return append([]string{
		"setpriv", "--reuid=" + u.UID, "--regid=" + u.UID, "--clear-groups",
		"env", "HOME=" + u.Home, "XDG_RUNTIME_DIR=" + u.runtime(), "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
	}, argv...)
}

// DockerHost is the user's own engine.
func (u User) DockerHost() string { return "unix://" + u.runtime() + "/docker.sock" }

// RootlessDockerd starts Debian's engine as a user, by its own script.
func (r *Rig) RootlessDockerd(t *testing.T, u User) *Process {
	t.Helper()
	Need(t, "rootlesskit", "rootlesskit")
	Need(t, "slirp4netns", "slirp4netns")
	Need(t, "newuidmap", "uidmap")
	// As udev makes it where there is udev.
	if run := r.Run(t, "", "sh", "-c", "mount -t tmpfs tmpfs /dev/net && mknod -m 666 /dev/net/tun c 10 200"); run.Code != 0 {
		t.Fatal("no /dev/net/tun")
	}
	p := r.Launch(t, u.As("sh", "/usr/share/docker.io/contrib/dockerd-rootless.sh", "--iptables=false", "--ip6tables=false", "--bridge=none")...)
	Until(t, "rootless dockerd", func() bool { return r.Answers(u.runtime()+"/docker.sock", "/_ping") })
	return p
}

//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A peer is a program that vicr is measured beside, built from a fixed version.
type peer struct{ name, module string }

func peers() []peer {
	return []peer{
		{"crane", "github.com/google/go-containerregistry/cmd/crane@v0.22.1"},
		{"regctl", "github.com/regclient/regclient/cmd/regctl@v0.11.7"},
		{"oras", "oras.land/oras/cmd/oras@v1.3.6"},
	}
}

// installPeers builds what the cache lacks.
func installPeers(ctx context.Context, bin string) error {
	for _, p := range peers() {
		_, version, _ := strings.Cut(p.module, "@")
		stamp := filepath.Join(bin, "."+p.name)
		if have, err := os.ReadFile(stamp); err == nil && string(have) == version {
			continue
		}
		cmd := exec.CommandContext(ctx, "go", "install", p.module)
		cmd.Env = append(os.Environ(), "GOBIN="+bin, "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go install %s: %w: %s", p.module, err, last(string(out), 600))
		}
		if err := os.WriteFile(stamp, []byte(version), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// A site is where a registry is reached, and how it is to be trusted.
type site struct {
	addr string
	ca   string // file; "" for plain HTTP
}

func (s site) ref(name string) string { return s.addr + "/bench/" + name }

// argv of each tool for each errand; nil: the tool cannot do it. Flags are the
// ones that its documentation has for a registry without TLS; with TLS all of
// them find the CA by SSL_CERT_FILE.

func plain(s site, flags ...string) []string {
	if s.ca != "" {
		return nil
	}
	return flags
}

func join(parts ...[]string) []string {
	var all []string
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// pullLayout is for image:name of s into an OCI layout at dir.
func pullLayout(tool string, s site, name, dir string) []string {
	return pullTag(tool, s, name, name, dir)
}

// pullTag is for one tag of a repository of s into an OCI layout at dir.
func pullTag(tool string, s site, repository, name, dir string) []string {
	from := s.ref(repository) + ":" + name
	switch tool {
	case "vicr":
		return join([]string{"vicr", "pull", "--to", "oci:" + dir + ":" + name}, plain(s, "--plain-http"), []string{from})
	case "crane":
		return join([]string{"crane", "pull", "--format=oci"}, plain(s, "--insecure"), []string{from, dir})
	case "regctl":
		return []string{"regctl", "image", "copy", from, "ocidir://" + dir + ":" + name}
	case "oras":
		return join([]string{"oras", "cp"}, plain(s, "--from-plain-http"), []string{"--to-oci-layout", from, dir + ":" + name})
	case "skopeo":
		return join([]string{"skopeo", "copy"}, plain(s, "--src-tls-verify=false"), []string{"docker://" + from, "oci:" + dir + ":" + name})
	}
	return nil
}

// pushLayout is for the image in the layout at dir, to repository in s.
func pushLayout(tool string, s site, dir, tag, repository string) []string {
	to := s.ref(repository) + ":" + tag
	switch tool {
	case "vicr":
		return join([]string{"vicr", "push", "--from", "oci:" + dir}, plain(s, "--plain-http"), []string{to})
	case "crane":
		return join([]string{"crane", "push"}, plain(s, "--insecure"), []string{dir, to})
	case "regctl":
		return []string{"regctl", "image", "copy", "ocidir://" + dir + ":" + tag, to}
	case "oras":
		return join([]string{"oras", "cp", "--from-oci-layout"}, plain(s, "--to-plain-http"), []string{dir + ":" + tag, to})
	case "skopeo":
		return join([]string{"skopeo", "copy"}, plain(s, "--dest-tls-verify=false"), []string{"oci:" + dir + ":" + tag, "docker://" + to})
	}
	return nil
}

// retag gives an image of s one more tag.
func retag(tool string, s site, name, tag string) []string {
	from := s.ref(name) + ":" + name
	switch tool {
	case "vicr":
		return join([]string{"vicr", "tag", "--remote"}, plain(s, "--plain-http"), []string{from, s.ref(name) + ":" + tag})
	case "crane":
		return join([]string{"crane", "tag"}, plain(s, "--insecure"), []string{from, tag})
	case "regctl":
		return []string{"regctl", "image", "copy", from, s.ref(name) + ":" + tag}
	case "oras":
		return join([]string{"oras", "tag"}, plain(s, "--plain-http"), []string{from, tag})
	case "skopeo":
		return join([]string{"skopeo", "copy"}, plain(s, "--src-tls-verify=false", "--dest-tls-verify=false"),
			[]string{"docker://" + from, "docker://" + s.ref(name) + ":" + tag})
	}
	return nil
}

// remoteCopy is from one registry to a repository of another.
func remoteCopy(tool string, a, b site, name, repository string) []string {
	from, to := a.ref(name)+":"+name, b.ref(repository)+":"+name
	switch tool {
	case "vicr":
		return join([]string{"vicr", "copy"}, plain(a, "--src-plain-http"), plain(b, "--dest-plain-http"), []string{from, to})
	case "crane":
		return join([]string{"crane", "cp"}, plain(a, "--insecure"), []string{from, to})
	case "regctl":
		return []string{"regctl", "image", "copy", from, to}
	case "oras":
		return join([]string{"oras", "cp"}, plain(a, "--from-plain-http"), plain(b, "--to-plain-http"), []string{from, to})
	case "skopeo":
		return join([]string{"skopeo", "copy"}, plain(a, "--src-tls-verify=false"), plain(b, "--dest-tls-verify=false"),
			[]string{"docker://" + from, "docker://" + to})
	}
	return nil
}

// A home is a tool's own: what it remembers there is its own business, until
// a row that measures first times forgets it.
func (b *bench) home(tool string) string { return filepath.Join(b.dir, "home", tool) }

// forget empties the home of a tool, but for what tells it of plain registries.
func (b *bench) forget(tool string) error {
	home := b.home(tool)
	if err := os.RemoveAll(home); err != nil {
		return err
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	if tool != "regctl" {
		return nil
	}
	var hosts []string
	for _, addr := range b.plain {
		hosts = append(hosts, fmt.Sprintf(`%q: {"tls": "disabled"}`, addr))
	}
	dir := filepath.Join(home, ".regctl")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"hosts": {`+strings.Join(hosts, ", ")+`}}`), 0o600)
}

// env is what a tool is started with.
func (b *bench) env(tool string, more ...string) []string {
	env := []string{"HOME=" + b.home(tool), "PATH=" + b.bin + ":/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR=" + b.dir}
	if tool == "skopeo" {
		// As root it would keep what it knows of blobs in /var/lib/containers,
		// where it is neither this program's to empty nor forgotten between rows.
		env = append(env, "_CONTAINERS_ROOTLESS_UID=1")
	}
	return append(env, more...)
}

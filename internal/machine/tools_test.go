package machine_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/vicr-cli/vicr/internal/machine"
)

func TestPodmanFamilyIsFoundByItsPrograms(t *testing.T) {
	t.Parallel()
	o := machine.Options{GOOS: "linux", Home: "/home/ann", FS: tree("/usr/bin/podman", "/usr/bin/skopeo", "/etc/containers/"), Getenv: env("XDG_CONFIG_HOME", "/x")}
	want := machine.PodmanFamily{
		Found: true, Evidence: "program /usr/bin/podman, program /usr/bin/skopeo",
		Programs:  map[string]string{"podman": "/usr/bin/podman", "skopeo": "/usr/bin/skopeo"},
		UserCerts: "/home/ann/.config/containers/certs.d", CertsDir: "/etc/containers/certs.d",
		UserConf: "/home/ann/.config/containers/registries.conf.d", ConfDir: "/etc/containers/registries.conf.d",
	}
	if got := machine.Look(o).Podman; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	o.FS = tree("/usr/bin/podman", "/usr/bin/skopeo", "/home/ann/.config/containers/registries.conf")
	if got := machine.Look(o).Podman; !got.UserOnly {
		t.Errorf("the user's own registries.conf is not seen: %+v", got)
	}
	o.Root, want.UserCerts, want.UserConf = "/srv/image", "", ""
	if got := machine.Look(o).Podman; !reflect.DeepEqual(got, want) {
		t.Errorf("in a tree\ngot  %+v\nwant %+v", got, want)
	}
	if got := machine.Look(machine.Options{GOOS: "linux", FS: tree("/etc/containers/")}).Podman; got.Found {
		t.Errorf("a folder is no program: %+v", got)
	}
	for goos, at := range map[string]string{"darwin": "/opt/podman/bin/podman", "windows": `C:\Program Files\RedHat\Podman\podman.exe`} {
		got := machine.Look(machine.Options{GOOS: goos, FS: tree(at), LookPath: func(name string) (string, error) {
			if name != "podman" {
				return "", errors.New("not in PATH")
			}
			return at, nil
		}})
		if !got.Podman.Machine || got.Podman.CertsDir != "" || len(got.Elsewhere) != 1 || got.Elsewhere[0].Name != "podman machine" {
			t.Errorf("%s: got %+v and %+v", goos, got.Podman, got.Elsewhere)
		}
	}
}

func TestBuildersAreThoseOfBuildx(t *testing.T) {
	t.Parallel()
	content := func(dir string) map[string]string {
		return map[string]string{
			dir + "/instances/ci":      `{"Name":"ci","Driver":"docker-container","Nodes":[{"Name":"ci0","Endpoint":"unix:///var/run/docker.sock"}],"Dynamic":false}`,
			dir + "/instances/cluster": `{"Driver":"kubernetes"}`,
			dir + "/instances/usual":   `{"Name":"usual","Driver":"docker"}`,
			dir + "/instances/broken":  `{"Name":`,
			dir + "/instances/other":   `[1]`,
			dir + "/instances/.tmp":    `{"Name":"tmp","Driver":"docker-container"}`,
			dir + "/instances/dir/x":   `{"Name":"x","Driver":"docker-container"}`,
		}
	}
	want := []machine.Builder{{Name: "ci", Driver: "docker-container"}, {Name: "cluster", Driver: "kubernetes"}}
	for name, tt := range map[string]struct {
		env func(string) string
		dir string
	}{
		"home":          {nil, "/home/ann/.docker/buildx"},
		"DOCKER_CONFIG": {env("DOCKER_CONFIG", "/srv/docker"), "/srv/docker/buildx"},
		"BUILDX_CONFIG": {env("DOCKER_CONFIG", "/srv/docker", "BUILDX_CONFIG", "/srv/bx"), "/srv/bx"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := machine.Options{GOOS: "linux", Home: "/home/ann", Getenv: tt.env, FS: files(content(tt.dir))}
			b := machine.Look(o).BuildKit
			if !b.Found || b.Standalone || !slices.Equal(b.Builders, want) || b.UserConfig != tt.dir+"/buildkitd.default.toml" ||
				b.Evidence != `builder "ci", builder "cluster"` || b.ConfigFile != "/etc/buildkit/buildkitd.toml" {
				t.Errorf("got %+v", b)
			}
			o.Root = "/srv/image"
			if b := machine.Look(o).BuildKit; b.Found || b.UserConfig != "" {
				t.Errorf("in a tree: %+v", b)
			}
		})
	}
	for _, sign := range []string{"/etc/buildkit/", "/usr/local/bin/buildkitd"} {
		if b := machine.Look(machine.Options{GOOS: "linux", FS: tree(sign)}).BuildKit; !b.Found || !b.Standalone {
			t.Errorf("%s: got %+v", sign, b)
		}
	}
}

func TestKubernetesIsFoundByProgramFolderAndUnits(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		paths    []string
		found    []string
		units    []string
		evidence string
	}{
		"none":       {[]string{"/etc/hosts"}, nil, nil, ""},
		"k3s":        {[]string{"/usr/local/bin/k3s", "/etc/systemd/system/k3s.service"}, []string{"k3s"}, []string{"k3s"}, "program /usr/local/bin/k3s, unit k3s"},
		"k3s agent":  {[]string{"/etc/rancher/k3s/", "/etc/systemd/system/k3s-agent.service"}, []string{"k3s"}, []string{"k3s-agent"}, "folder /etc/rancher/k3s, unit k3s-agent"},
		"rke2":       {[]string{"/usr/local/lib/systemd/system/rke2-server.service", "/usr/local/lib/systemd/system/rke2-agent.service"}, []string{"rke2"}, []string{"rke2-server", "rke2-agent"}, "unit rke2-server, unit rke2-agent"},
		"rke2's dir": {[]string{"/etc/rancher/rke2/"}, []string{"rke2"}, nil, "folder /etc/rancher/rke2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, root := range []string{"", "/srv/image"} {
				all := machine.Look(machine.Options{GOOS: "linux", Root: root, FS: tree(tt.paths...)}).Kubernetes
				if len(all) != 2 || all[0].ConfigFile != "/etc/rancher/k3s/registries.yaml" || all[1].Dir != "/etc/rancher/rke2" {
					t.Fatalf("got %+v", all)
				}
				var found []string
				for _, k := range all {
					if k.Found {
						found = append(found, k.Name)
						if !slices.Equal(k.Units, tt.units) || k.Evidence != tt.evidence {
							t.Errorf("got %+v", k)
						}
					}
				}
				if !slices.Equal(found, tt.found) {
					t.Errorf("found %q, want %q", found, tt.found)
				}
			}
		})
	}
}

func TestSystemStoreFollowsTheFamily(t *testing.T) {
	t.Parallel()
	const bundle = "/etc/ssl/certs/ca-certificates.crt"
	debian := machine.System{
		Family: "debian", Dir: "/usr/local/share/ca-certificates", Ext: ".crt", Bundle: bundle,
		Update: []string{"/usr/sbin/update-ca-certificates"}, Undo: []string{"/usr/sbin/update-ca-certificates", "--fresh"},
	}
	rhel := machine.System{
		Family: "rhel", Dir: "/etc/pki/ca-trust/source/anchors", Ext: ".pem", Bundle: "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
		Update: []string{"/usr/bin/update-ca-trust"}, Undo: []string{"/usr/bin/update-ca-trust"},
	}
	alpine, missing := debian, debian
	alpine.Family, missing.Update, missing.Undo = "alpine", nil, nil
	for name, tt := range map[string]struct {
		goos    string
		content map[string]string
		want    machine.System
	}{
		"Debian":             {"linux", map[string]string{"/etc/os-release": "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n", "/usr/sbin/update-ca-certificates": "x"}, debian},
		"Mint":               {"linux", map[string]string{"/etc/os-release": "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "/usr/sbin/update-ca-certificates": "x"}, debian},
		"Debian without it":  {"linux", map[string]string{"/usr/lib/os-release": "ID='debian'\n"}, missing},
		"Alpine":             {"linux", map[string]string{"/etc/os-release": "ID=alpine\n", "/usr/sbin/update-ca-certificates": "x"}, alpine},
		"Rocky":              {"linux", map[string]string{"/etc/os-release": "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "/usr/bin/update-ca-trust": "x"}, rhel},
		"Amazon Linux":       {"linux", map[string]string{"/etc/os-release": "ID=\"amzn\"\n", "/bin/update-ca-trust": "x", "/usr/bin/update-ca-trust": "x"}, rhel},
		"RHEL 6 by folder":   {"linux", map[string]string{"/etc/pki/ca-trust/source/anchors": "", "/usr/bin/update-ca-trust": "x"}, rhel},
		"by folder":          {"linux", map[string]string{"/etc/os-release": "ID=own\n", "/usr/local/share/ca-certificates": "", "/usr/sbin/update-ca-certificates": "x"}, debian},
		"not known":          {"linux", map[string]string{"/etc/os-release": "ID=nixos\n"}, machine.System{}},
		"garbage":            {"linux", map[string]string{"/etc/os-release": "ID=\nID_LIKE='\x00\xff"}, machine.System{}},
		"macOS":              {"darwin", map[string]string{"/usr/bin/security": "x"}, machine.System{Family: "macos", Ext: ".crt", Update: []string{"/usr/bin/security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", "/Library/Keychains/System.keychain"}, Undo: []string{"/usr/bin/security", "delete-certificate", "-t", "-Z"}, Keychain: "/Library/Keychains/System.keychain", Gone: "Unable to delete certificate matching"}},
		"Windows":            {"windows", map[string]string{`C:\Windows\System32\certutil.exe`: "x"}, machine.System{Family: "windows", Ext: ".crt", Update: []string{`C:\Windows\System32\certutil.exe`, "-addstore", "-f", "Root"}, Undo: []string{`C:\Windows\System32\certutil.exe`, "-delstore", "Root"}, Gone: "0x80092004"}},
		"Windows without it": {"windows", map[string]string{"/x": "x"}, machine.System{Family: "windows", Ext: ".crt"}},
		"openSUSE": {"linux", map[string]string{"/etc/os-release": "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n", "/usr/sbin/update-ca-certificates": "x"}, machine.System{
			Family: "suse", Dir: "/etc/pki/trust/anchors", Ext: ".pem", Bundle: "/etc/ssl/ca-bundle.pem",
			Update: []string{"/usr/sbin/update-ca-certificates"}, Undo: []string{"/usr/sbin/update-ca-certificates"},
		}},
		"Arch": {"linux", map[string]string{"/etc/os-release": "ID=arch\n", "/usr/bin/update-ca-trust": "x"}, machine.System{
			Family: "arch", Dir: "/etc/ca-certificates/trust-source/anchors", Ext: ".crt", Bundle: bundle,
			Update: []string{"/usr/bin/update-ca-trust"}, Undo: []string{"/usr/bin/update-ca-trust"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := machine.Look(machine.Options{GOOS: tt.goos, FS: files(tt.content)}).System; !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
			want := tt.want
			if tt.goos != "linux" {
				want = machine.System{}
			}
			if got := machine.Look(machine.Options{GOOS: tt.goos, Root: "/srv/image", FS: files(tt.content)}).System; !reflect.DeepEqual(got, want) {
				t.Errorf("a tree has %+v", got)
			}
		})
	}
}

func TestToolsInMachinesOfTheirOwn(t *testing.T) {
	t.Parallel()
	const kube = "apiVersion: v1\nclusters:\n- cluster:\n    server: https://127.0.0.1:1\n  name: kind-dev\ncontexts:\n- context:\n    cluster: kind-dev\n    user: kind-dev\n  name: kind-dev\n- context: {}\n  name: \"kind-ci.2\"\nusers:\n- name: prod\n"
	o := machine.Options{GOOS: "linux", Home: "/home/ann", FS: files(map[string]string{
		"/home/ann/.kube/config":                       kube,
		"/home/ann/.minikube/profiles/minikube/config": "x",
		"/home/ann/.config/containers/podman/machine":  "",
		"/home/ann/.colima/default/colima.yaml":        "x",
		"/home/ann/.colima/_lima/x":                    "x",
		"/home/ann/vic/vic-machine-linux":              "x",
		"/home/ann/.lima/default/lima.yaml":            "x",
		"/home/ann/.lima/_config/user":                 "x",
		"/home/ann/.rd/bin/rdctl":                      "x",
	})}
	want := []machine.Elsewhere{
		{Name: "kind", Evidence: "file /home/ann/.kube/config", Detail: []string{"ci.2", "dev"}},
		{Name: "minikube", Evidence: "folder /home/ann/.minikube", Detail: []string{"minikube"}},
		{Name: "podman machine", Evidence: "folder /home/ann/.config/containers/podman/machine"},
		{Name: "colima", Evidence: "folder /home/ann/.colima", Detail: []string{"default"}},
		{Name: "vic-machine", Evidence: "program /home/ann/vic/vic-machine-linux"},
		{Name: "lima", Evidence: "folder /home/ann/.lima", Detail: []string{"default"}},
		{Name: "rancher desktop", Evidence: "folder /home/ann/.rd"},
	}
	if got := machine.Look(o).Elsewhere; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	o.Root = "/srv/image"
	if got := machine.Look(o).Elsewhere; got != nil {
		t.Errorf("a tree has %+v", got)
	}
	o = machine.Options{GOOS: "linux", Home: "/home/ann", FS: files(map[string]string{"/srv/k": `{"contexts":[{"name":"kind-a","context":{}}]}`, "/usr/local/bin/minikube": "x"}), Getenv: env("KUBECONFIG", "rel:/none:/srv/k")}
	want = []machine.Elsewhere{{Name: "kind", Evidence: "file /srv/k", Detail: []string{"a"}}, {Name: "minikube", Evidence: "program /usr/local/bin/minikube"}}
	if got := machine.Look(o).Elsewhere; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestUsersFoldersAreNotThoseOfATree(t *testing.T) {
	t.Parallel()
	o := machine.Options{GOOS: "linux", Home: "/home/ann/", FS: tree()}
	if m := machine.Look(o); m.Home != "/home/ann" || m.Notary != "/home/ann/.docker/tls" {
		t.Errorf("home %q, notary %q", m.Home, m.Notary)
	}
	o.Getenv = env("DOCKER_CONFIG", "/srv/docker")
	if m := machine.Look(o); m.Notary != "/srv/docker/tls" {
		t.Errorf("notary %q", m.Notary)
	}
	o.Root = "/srv/image"
	if m := machine.Look(o); m.Home != "" || m.Notary != "" {
		t.Errorf("in a tree: home %q, notary %q", m.Home, m.Notary)
	}
}

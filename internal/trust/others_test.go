package trust_test

import (
	"testing"

	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/testkit"
)

func TestPodmanPlansAreGolden(t *testing.T) {
	t.Parallel()
	podman := map[string]string{"/usr/bin/podman": ""}
	ca := string(certificatePEM(t))
	const own, etc = "/home/ann/.config/containers/", "/etc/containers/"
	drop := "# made by vicr\n[[registry]]\nlocation = \"registry.corp:5000\"\ninsecure = true\n"
	golden(t, map[string]row{
		"podman":                   {fs: podman},
		"podman-443":               {fs: podman, host: "registry.corp", tools: "podman"},
		"podman-client":            {fs: podman, tools: "podman", ask: "client"},
		"podman-as-root":           {fs: podman, tools: "podman", root: true},
		"podman-as-root-shadowed":  {fs: join(podman, map[string]string{own + "certs.d/registry.corp:5000/": ""}), tools: "podman", root: true},
		"podman-empty-folder":      {fs: join(podman, map[string]string{own + "certs.d/registry.corp:5000/": ""}), tools: "podman"},
		"podman-hides":             {fs: join(podman, map[string]string{"/etc/docker/certs.d/registry.corp:5000/client.cert": "", "/etc/docker/certs.d/registry.corp:5000/client.key": "", "/etc/docker/certs.d/registry.corp:5000/old.crt": ca + ca}), tools: "podman"},
		"podman-root":              {fs: podman, o: machine.Options{Root: "/srv/image"}},
		"podman-not-found":         {fs: nothing(), tools: "podman"},
		"podman-was-insecure":      {fs: join(podman, map[string]string{own + "registries.conf.d/50-vicr-registry.corp_5000_.conf": drop}), tools: "podman"},
		"podman-http":              {fs: podman, ask: "http"},
		"podman-insecure":          {fs: join(podman, map[string]string{own + "certs.d/registry.corp:5000/ca.crt": ca}), ask: "insecure", tools: "podman"},
		"podman-insecure-bare":     {fs: podman, ask: "insecure", host: "registry.corp", tools: "podman"},
		"podman-insecure-443":      {fs: podman, ask: "insecure", host: "registry.corp:443", tools: "podman"},
		"podman-insecure-ipv6":     {fs: podman, ask: "http", host: "[2001:db8::2]:5000", tools: "podman"},
		"podman-insecure-as-root":  {fs: join(podman, map[string]string{"/usr/bin/crio": "", own + "registries.conf": ""}), ask: "http", tools: "podman", root: true},
		"podman-insecure-foreign":  {fs: join(podman, map[string]string{own + "registries.conf.d/50-vicr-registry.corp_5000_.conf": "x"}), ask: "http", tools: "podman"},
		"podman-insecure-root":     {fs: podman, o: machine.Options{Root: "/srv/image"}, ask: "http", tools: "podman"},
		"podman-darwin":            {o: machine.Options{GOOS: "darwin"}, fs: map[string]string{"/opt/podman/bin/podman": "", etc: ""}},
		"podman-darwin-skopeo":     {o: machine.Options{GOOS: "darwin"}, fs: map[string]string{"/opt/podman/bin/podman": "", "/opt/homebrew/bin/skopeo": ""}, tools: "podman"},
		"podman-windows-not-found": {o: machine.Options{GOOS: "windows"}, fs: nothing(), tools: "podman"},
	})
}

// A tool that is not named stays as it is, and is spoken of when that is not
// what the others get.
func TestToolsThatStayAsTheyAreAreGolden(t *testing.T) {
	t.Parallel()
	const own, etc = "/home/ann/.config/containers/certs.d/registry.corp:5000/ca.crt", "/etc/docker/certs.d/registry.corp:5000/ca.crt"
	same, other := string(certificatePEM(t)), string(pki.EncodePEM(certificate(t, "leaf.crt")))
	both := join(dockerHere(), map[string]string{"/usr/bin/podman": ""})
	golden(t, map[string]row{
		"others-have-another":       {fs: join(both, map[string]string{own: other}), tools: "docker"},
		"others-have-another-root":  {fs: join(both, map[string]string{"/etc/containers/certs.d/registry.corp:5000/ca.crt": other}), tools: "docker", o: machine.Options{Root: "/srv/image"}},
		"others-have-the-same":      {fs: join(both, map[string]string{own: same}), tools: "docker"},
		"others-go-on":              {fs: join(both, map[string]string{own: same}), tools: "docker", ask: "insecure"},
		"others-are-not-left-alone": {fs: join(both, map[string]string{own: other, etc: other})},
	})
}

func TestContainerdPlansAreGolden(t *testing.T) {
	t.Parallel()
	const config = "/etc/containerd/config.toml"
	const v2 = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n"
	const mirrors = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n  endpoint = [\"https://m.corp\"]\n"
	at := func(config string, more ...map[string]string) map[string]string {
		return join(append(more, map[string]string{"/usr/bin/containerd": "", "/run/containerd/containerd.sock=": "", "/etc/containerd/config.toml": config}, systemdHere())...)
	}
	const dir = "/etc/containerd/certs.d/registry.corp:5000/"
	ca := string(certificatePEM(t))
	golden(t, map[string]row{
		"containerd":                 {fs: at(v2)},
		"containerd-443":             {fs: at(v2), host: "registry.corp", tools: "containerd"},
		"containerd-client":          {fs: at(v2), tools: "containerd", ask: "client"},
		"containerd-list":            {fs: at("version = 3\n[plugins.\"io.containerd.cri.v1.images\".registry]\nconfig_path = \"/etc/containerd/certs.d:/etc/docker/certs.d\"\n"), tools: "containerd"},
		"containerd-of-docker":       {fs: at("disabled_plugins = [\"cri\"]\n")},
		"containerd-of-docker-named": {fs: at("disabled_plugins = [\"cri\"]\n"), tools: "containerd"},
		"containerd-unset":           {fs: at("version = 2\n")},
		"containerd-unset-v2":        {fs: at("version = 2\n"), tools: "containerd"},
		"containerd-unset-v3":        {fs: at("version = 3\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n"), tools: "containerd", restart: true},
		"containerd-mirrors":         {fs: at(mirrors), tools: "containerd"},
		"containerd-broken":          {fs: at("version = "), tools: "containerd"},
		"containerd-no-config":       {fs: map[string]string{"/usr/bin/containerd": ""}, tools: "containerd"},
		"containerd-hosts-toml":      {fs: at(v2, map[string]string{dir + "hosts.toml": "server = \"https://m.corp\"\n"}), tools: "containerd", ask: "client"},
		"containerd-was-insecure":    {fs: at(v2, map[string]string{dir + "hosts.toml": "# made by vicr\nserver = \"http://registry.corp:5000\"\n"}), tools: "containerd"},
		"containerd-shadow":          {fs: at(v2, map[string]string{"/etc/containerd/certs.d/registry.corp_5000_/": ""}), tools: "containerd"},
		"containerd-http":            {fs: at(v2), ask: "http"},
		"containerd-http-bare":       {fs: at(v2), ask: "http", host: "registry.corp", tools: "containerd"},
		"containerd-insecure":        {fs: at(v2, map[string]string{dir + "ca.crt": ca}), ask: "insecure", tools: "containerd"},
		"containerd-insecure-443":    {fs: at(v2), ask: "insecure", host: "registry.corp", tools: "containerd"},
		"containerd-insecure-theirs": {fs: at(v2, map[string]string{dir + "hosts.toml": "server = \"https://m.corp\"\n"}), ask: "insecure", tools: "containerd"},
		"containerd-root":            {fs: at(v2), o: machine.Options{Root: "/srv/image"}},
		"containerd-not-found":       {fs: nothing(), tools: "containerd"},
		"nerdctl":                    {fs: at("version = 2\n", map[string]string{"/usr/local/bin/nerdctl": ""})},
		"nerdctl-rootless":           {fs: map[string]string{"/usr/local/bin/nerdctl": ""}},
		"containerd-darwin":          {o: machine.Options{GOOS: "darwin"}, fs: nothing(), tools: "containerd"},
	})
}

func TestKubernetesPlansAreGolden(t *testing.T) {
	t.Parallel()
	k3s := map[string]string{"/usr/local/bin/k3s": "", "/etc/systemd/system/k3s.service": "", "/usr/bin/systemctl": ""}
	rke2 := map[string]string{"/usr/local/bin/rke2": "", "/usr/local/lib/systemd/system/rke2-server.service": "", "/usr/local/lib/systemd/system/rke2-agent.service": "", "/usr/bin/systemctl": ""}
	golden(t, map[string]row{
		"k3s-found":     {fs: k3s},
		"k3s":           {fs: k3s, tools: "k3s"},
		"k3s-443":       {fs: k3s, tools: "k3s", host: "registry.corp"},
		"k3s-restart":   {fs: k3s, tools: "k3s", restart: true, root: true},
		"k3s-client":    {fs: k3s, tools: "k3s", ask: "client"},
		"k3s-http":      {fs: k3s, tools: "k3s", ask: "http"},
		"k3s-http-bare": {fs: k3s, tools: "k3s", ask: "http", host: "registry.corp"},
		"k3s-insecure":  {fs: join(k3s, map[string]string{"/etc/rancher/k3s/vicr-registry.corp_5000_.crt": string(certificatePEM(t))}), tools: "k3s", ask: "insecure"},
		"k3s-not-found": {fs: nothing(), tools: "k3s"},
		"k3s-and-rke2":  {fs: join(k3s, rke2), tools: "k3s", restart: true},
		"k3s-root":      {fs: k3s, o: machine.Options{Root: "/srv/image"}, tools: "k3s"},
		"k3s-ipv6":      {fs: k3s, tools: "k3s", host: "[2001:db8::2]:5000"},
		"k3s-foreign":   {fs: join(k3s, map[string]string{"/etc/rancher/k3s/registries.yaml": "mirrors:\n  \"registry.corp:5000\":\n    endpoint: [\"https://m.corp\"]\n"}), tools: "k3s", ask: "client"},
		"k3s-was-http":  {fs: join(k3s, map[string]string{"/etc/rancher/k3s/registries.yaml": "mirrors:\n  \"registry.corp:5000\":\n    endpoint:\n      - \"http://registry.corp:5000\"\n"}), tools: "k3s"},
		"k3s-windows":   {o: machine.Options{GOOS: "windows"}, fs: nothing(), tools: "k3s"},
	})
}

func TestBuildKitPlansAreGolden(t *testing.T) {
	t.Parallel()
	builders := map[string]string{
		"/home/ann/.docker/buildx/instances/ci":   `{"Name":"ci","Driver":"docker-container"}`,
		"/home/ann/.docker/buildx/instances/far":  `{"Name":"far","Driver":"remote"}`,
		"/home/ann/.docker/buildx/instances/evil": `{"Name":"a'; rm -rf ~","Driver":"docker-container"}`,
	}
	standalone := map[string]string{"/usr/local/bin/buildkitd": "", "/etc/systemd/system/buildkit.service": "", "/run/systemd/system/": "", "/usr/bin/systemctl": ""}
	const user = "/home/ann/.docker/buildx/buildkitd.default.toml"
	golden(t, map[string]row{
		"buildkit-found":      {fs: builders},
		"buildkit":            {fs: builders, tools: "buildkit"},
		"buildkit-443":        {fs: builders, tools: "vicr,buildkit", host: "registry.corp"},
		"buildkit-client":     {fs: nothing(), tools: "buildkit", ask: "client"},
		"buildkit-http":       {fs: nothing(), tools: "buildkit", ask: "http"},
		"buildkit-insecure":   {fs: nothing(), tools: "buildkit", ask: "insecure"},
		"buildkit-ours":       {fs: map[string]string{user: "[registry.\"other.corp\"]\nca = [\"/home/ann/.config/vicr/certs.d/other.corp_443_/ca.crt\"]\n"}, tools: "buildkit"},
		"buildkit-foreign":    {fs: map[string]string{user: "debug = true\n"}, tools: "buildkit"},
		"buildkit-other":      {fs: map[string]string{user: "[registry.\"registry.corp:5000\"]\nhttp = true\n"}, tools: "buildkit"},
		"buildkit-broken":     {fs: map[string]string{user: "[registry"}, tools: "buildkit"},
		"buildkit-standalone": {fs: standalone, tools: "buildkit", ask: "client"},
		"buildkit-restart":    {fs: standalone, tools: "buildkit", restart: true, root: true},
		"buildkit-root":       {fs: nothing(), o: machine.Options{Root: "/srv/image"}, tools: "buildkit"},
		"buildkit-windows":    {o: machine.Options{GOOS: "windows"}, fs: nothing(), tools: "buildkit"},
		"buildkit-darwin":     {o: machine.Options{GOOS: "darwin"}, fs: nothing(), tools: "buildkit"},
	})
}

func TestNotaryPlansAreGolden(t *testing.T) {
	t.Parallel()
	golden(t, map[string]row{
		"notary":          {fs: nothing(), tools: "notary", host: "registry.corp"},
		"notary-found":    {fs: map[string]string{"/home/ann/.docker/tls/": ""}},
		"notary-ipv6":     {fs: nothing(), tools: "notary", host: "[2001:db8::2]:5000"},
		"notary-client":   {fs: nothing(), tools: "notary", ask: "client"},
		"notary-insecure": {fs: nothing(), tools: "notary", ask: "insecure"},
		"notary-root":     {o: machine.Options{Root: "/srv"}, fs: nothing(), tools: "notary"},
		"notary-darwin":   {o: machine.Options{GOOS: "darwin"}, fs: nothing(), tools: "notary"},
		"notary-windows":  {o: machine.Options{GOOS: "windows"}, fs: nothing(), tools: "notary"},
	})
}

func TestSystemPlansAreGolden(t *testing.T) {
	t.Parallel()
	system := func(id, program string) map[string]string {
		return map[string]string{"/etc/os-release": "ID=" + id + "\n", program: "", "/usr/bin/dockerd": ""}
	}
	debian := system("debian", "/usr/sbin/update-ca-certificates")
	mac, win := machine.Options{GOOS: "darwin"}, machine.Options{GOOS: "windows"}
	golden(t, map[string]row{
		"system-debian":      {fs: debian, tools: "system"},
		"system-rhel":        {fs: system("rhel", "/usr/bin/update-ca-trust"), tools: "system"},
		"system-suse":        {fs: system("opensuse-leap", "/usr/sbin/update-ca-certificates"), tools: "system"},
		"system-arch":        {fs: system("arch", "/usr/bin/update-ca-trust"), tools: "system"},
		"system-alpine":      {fs: system("alpine", "/usr/sbin/update-ca-certificates"), tools: "system", host: "[2001:db8::2]"},
		"system-debian-root": {fs: debian, o: machine.Options{Root: "/srv/my image"}, tools: "system"},
		"system-no-program":  {fs: map[string]string{"/etc/os-release": "ID=debian\n"}, tools: "system"},
		"system-unknown":     {fs: nothing(), tools: "system"},
		"system-leaf":        {fs: debian, tools: "system", ask: "leaf"},
		"system-insecure":    {fs: debian, tools: "system", ask: "insecure"},
		"system-client":      {fs: debian, tools: "system", ask: "client"},
		"system-pair-alone":  {fs: debian, tools: "system", ask: "client alone"},
		"system-darwin":      {o: mac, fs: map[string]string{"/usr/bin/security": ""}, tools: "system"},
		"system-darwin-other": {o: mac, fs: map[string]string{
			"/usr/bin/security": "", "/Library/Application Support/vicr-ca/vicr-registry.corp_5000_.crt": string(testkit.NewCA(t).PEM()),
		}, tools: "system"},
		"system-windows":     {o: win, fs: map[string]string{"C:/Windows/System32/certutil.exe": ""}, tools: "system"},
		"system-windows-bad": {o: win, fs: nothing(), tools: "system"},
	})
}

func TestPlansForWhatLiesElsewhereAreGolden(t *testing.T) {
	t.Parallel()
	all := map[string]string{
		"/home/ann/.kube/config":                  "contexts:\n- name: kind-kind\n- name: kind-ci\n",
		"/home/ann/.minikube/profiles/minikube/x": "", "/home/ann/.minikube/profiles/two/x": "",
		"/home/ann/.config/containers/podman/machine/x": "",
		"/home/ann/.colima/default/x":                   "",
		"/home/ann/.lima/default/x":                     "",
		"/home/ann/.rd/bin/":                            "",
		"/home/ann/vic/vic-machine-linux":               "",
	}
	golden(t, map[string]row{
		"elsewhere":          {fs: all, host: "registry.corp"},
		"elsewhere-ipv6":     {fs: all, host: "[2001:db8::2]:5000"},
		"elsewhere-insecure": {fs: all, ask: "http"},
		"elsewhere-named":    {fs: all, tools: "vicr"},
		"elsewhere-leaf":     {fs: all, ask: "leaf"},
	})
}

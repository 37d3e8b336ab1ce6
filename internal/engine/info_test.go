package engine_test

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/vicr-cli/vicr/internal/engine"
)

const (
	infoOfDocker = `{"ContainersRunning":3,"Driver":"overlayfs","DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]],
"DockerRootDir":"/var/lib/docker","OperatingSystem":"Debian GNU/Linux 12 (bookworm)","ServerVersion":"29.4.3","LiveRestoreEnabled":true,
"SecurityOptions":["name=apparmor","name=seccomp,profile=builtin","name=rootless"],
"RegistryConfig":{"IndexConfigs":{"docker.io":{"Name":"docker.io","Mirrors":[],"Secure":true,"Official":true},
"[2001:db8::2]:5000":{"Name":"[2001:db8::2]:5000","Secure":false},"192.0.2.2:5000":{"Name":"192.0.2.2:5000","Secure":false},"null":null},
"InsecureRegistryCIDRs":["::1/128","127.0.0.0/8"],"Mirrors":null}}`
	infoOf2010   = `{"Driver":"overlay2","DriverStatus":[["Backing Filesystem","extfs"]],"ServerVersion":"library-import","SecurityOptions":["name=rootlesslike"]}`
	infoOfPodman = `{"Driver":"overlay","ServerVersion":"4.3.1","RegistryConfig":{"IndexConfigs":{},"InsecureRegistryCIDRs":[],"Mirrors":[]}}`
	versionOf    = `{"Version":"x","ApiVersion":"1.41","Os":"linux","Arch":"amd64","Components":[{"Name":"%s","Version":"x"}]}`
)

func TestInfoSaysWhatTheEngineIs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		info, name string
		want       engine.Info
	}{
		{infoOfDocker, "Engine", engine.Info{
			ServerVersion: "29.4.3", OperatingSystem: "Debian GNU/Linux 12 (bookworm)", Driver: "overlayfs", ContainerdStore: true,
			DataRoot: "/var/lib/docker", Insecure: []string{"127.0.0.0/8", "192.0.2.2:5000", "::1/128", "[2001:db8::2]:5000"},
			LiveRestore: true, Running: 3, Rootless: true,
		}},
		{infoOf2010, "Engine", engine.Info{ServerVersion: "library-import", Driver: "overlay2"}},
		{infoOfPodman, "Podman Engine", engine.Info{ServerVersion: "4.3.1", Driver: "overlay", Podman: true}},
	} {
		f := newFake(t, false)
		f.instead["/info"] = func(w http.ResponseWriter, _ *http.Request) bool { fmt.Fprint(w, tt.info); return true }
		f.instead["/version"] = func(w http.ResponseWriter, _ *http.Request) bool { fmt.Fprintf(w, versionOf, tt.name); return true }
		got, err := f.open(t, engine.Options{}).Info(t.Context())
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\n got %+v\nwant %+v (%v)", tt.want.ServerVersion, got, tt.want, err)
		}
	}
}

func TestInfoOfAnEngineThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	e, err := engine.Open("unix://"+filepath.Join(t.TempDir(), "none"), engine.Options{})
	must(t, err)
	defer e.Close()
	if _, err := e.Info(t.Context()); !errors.Is(err, engine.ErrNoEngine) {
		t.Errorf("without a socket: %v", err)
	}
	f := newFake(t, false)
	f.instead["/info"] = func(w http.ResponseWriter, _ *http.Request) bool {
		refuse(w, http.StatusInternalServerError, "the moon is full")
		return true
	}
	_, err = f.open(t, engine.Options{}).Info(t.Context())
	if e, ok := errors.AsType[*engine.ResponseError](err); !ok || e.Message != "the moon is full" {
		t.Errorf("that refuses: %v", err)
	}
}

func TestOlderThanKnowsNumbersAlone(t *testing.T) {
	t.Parallel()
	for version, want := range map[string][2]bool{
		"29.4.3":          {true, true},
		"29.4":            {true, true},
		"20.10.24+dfsg1":  {true, true},
		"29.4-ce":         {true, true},
		"29.5.0":          {false, true},
		"29.5.0-rc.1":     {false, true},
		"29.10.0":         {false, true},
		"30.0.0":          {false, true},
		"":                {false, false},
		"dev":             {false, false},
		"library-import":  {false, false},
		"29":              {false, false},
		"29.":             {false, false},
		"29.x":            {false, false},
		"v29.4.3":         {false, false},
		"-1.2":            {false, false},
		"4.3.1":           {false, false},
		"2.0.0-beta.24":   {false, false},
		"99999999999.1.0": {false, false},
	} {
		if older, known := engine.OlderThan(version, 29, 5); [2]bool{older, known} != want {
			t.Errorf("%q: older %t, known %t", version, older, known)
		}
	}
}

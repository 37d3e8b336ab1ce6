//go:build unix

package change_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/change"
)

// plant changes the record of one file in the journal.
func plant(t *testing.T, root, path string, change func(record map[string]any)) {
	t.Helper()
	file := filepath.Join(root, journalAt, "journal.json")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, e := range c["entries"].([]any) {
		for _, r := range e.(map[string]any)["records"].([]any) {
			if r := r.(map[string]any); r["path"] == path {
				change(r)
				found = true
			}
		}
	}
	if data, err = json.Marshal(c); err != nil || !found {
		t.Fatalf("%s is not in %s: %v", path, data, err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Whoever can plant a journal must not have root make a program that runs with
// root's rights, nor remove folders that are none of vicr's.
func TestPlantedModesAndFoldersAreNotBelieved(t *testing.T) {
	t.Parallel()
	const config = "/etc/docker/daemon.json"
	mode := func(version string, special fs.FileMode) func(map[string]any) {
		return func(r map[string]any) {
			v, _ := r[version].(map[string]any)
			if v == nil { // bytes that the journal has a backup of
				v = map[string]any{"sha256": r["before"].(map[string]any)["sha256"], "size": 9}
				r[version] = v
			}
			v["mode"] = uint32(special | 0o755)
		}
	}
	folder := func(paths ...any) func(map[string]any) { return func(r map[string]any) { r["folders"] = paths } }
	for name, tt := range map[string]struct {
		spoil func(record map[string]any)
		doubt string
	}{
		"set-user-ID before":      {mode("before", fs.ModeSetuid), "special mode"},
		"set-group-ID before":     {mode("before", fs.ModeSetgid), "special mode"},
		"sticky before":           {mode("before", fs.ModeSticky), "special mode"},
		"a device before":         {mode("before", fs.ModeDevice), "special mode"},
		"set-user-ID after":       {mode("after", fs.ModeSetuid), "special mode"},
		"set-user-ID in between":  {mode("interim", fs.ModeSetuid), "special mode"},
		"a folder elsewhere":      {folder("/etc/docker", "/srv/empty"), "does not hold"},
		"a folder beside it":      {folder("/etc/docker/certs.d"), "does not hold"},
		"a folder named alike":    {folder("/etc/dock"), "does not hold"},
		"the file as a folder":    {folder(config), "does not hold"},
		"a folder that holds it":  {folder("/etc", "/etc/docker"), ""},
		"another mode, but usual": {mode("before", 0), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := world(t)
			for _, dir := range []string{"srv/empty", "etc/docker/certs.d", "etc/dock"} {
				if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			_, j := open(t, root)
			apply(t, j, hostA, change.Plan{writeStep(config, `{"new":1}`, 0)})
			plant(t, root, config, tt.spoil)
			made := look(t, root)
			if e := entries(t, j); len(e) != 1 || (e[0].Doubt == "") != (tt.doubt == "") || !strings.Contains(e[0].Doubt, tt.doubt) {
				t.Errorf("doubted is %+v, want %q", e, tt.doubt)
			}
			_, err := j.Undo(t.Context(), hostA, false)
			if tt.doubt == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var doubt *change.DoubtError
			if !errors.As(err, &doubt) || doubt.Host != hostA || !strings.Contains(doubt.Why, tt.doubt) {
				t.Errorf("%v, want a *DoubtError", err)
			}
			wantPicture(t, "refused", look(t, root), made)
		})
	}
}

// What a failed change has to leave is added to what is known of a registry
// that is trusted, which stays so.
func TestFailedChangeTakesNothingFromAnEntry(t *testing.T) {
	t.Parallel()
	root := world(t)
	_, j := open(t, root)
	before := look(t, root)
	apply(t, j, hostA, planA())
	first := entries(t, j)[0]
	later := subject(hostA)
	later.Fingerprint, later.NotAfter = "sha256:11", time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)
	const added = "/etc/containers/certs.d/" + hostA + "/ca.crt"
	err := j.Apply(t.Context(), later, planA2(), func(context.Context) error {
		put(t, root, added, "somebody's", 0o644)
		return errProof
	})
	var left *change.RollbackError
	if !errors.As(err, &left) || len(left.Left) != 1 || left.Left[0] != added {
		t.Fatalf("%v", err)
	}
	e := entries(t, j)
	if len(e) != 1 || e[0].State != change.StateDone || e[0].Subject != first.Subject || !e[0].Time.Equal(first.Time) || len(e[0].Records) != len(first.Records)+1 {
		t.Errorf("recorded is %+v, before %+v", e, first)
	}
	undo(t, j, hostA, true)
	wantPicture(t, "forced", look(t, root), before)
}

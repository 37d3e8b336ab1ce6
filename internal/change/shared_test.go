//go:build unix

package change_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/edit"
)

// Files as people write them: taking an edit back does not bring each of them
// back to the byte by itself.
var daemonFiles = []string{
	"", "{}", "{ }\n", "{\n\n}\n", `{"old":1}`, "{\r\n\t\"old\": 1\r\n}\r\n", `{"insecure-registries":[]}`,
	"{\n  \"insecure-registries\": [ \"a.example\",\n\n \"b.example\" ],\n  \"x\": {}\n}", "none",
}

func lists(t *rapid.T, root, host string) bool {
	data, err := os.ReadFile(filepath.Join(root, daemonJSON))
	if err != nil {
		return false
	}
	has, err := edit.Edit{Format: edit.JSON, Key: listKey, Value: host}.Has(data)
	if err != nil {
		t.Fatal(err)
	}
	return has
}

// Several hosts edit one file and are undone in any order: it holds the edits of
// those that are left, and after the last it is as before, to the byte.
func TestSharedFileComesBackInAnyOrder(t *testing.T) {
	t.Parallel()
	const all = "all.example.com" // what each of them wants too
	hosts := []string{hostA, hostB, "third.example.com", "10.0.0.0/8"}
	rapid.Check(t, func(rt *rapid.T) {
		root := world(t)
		if first := rapid.SampledFrom(daemonFiles).Draw(rt, "file"); first == "none" {
			if err := os.RemoveAll(filepath.Join(root, "etc/docker")); err != nil {
				rt.Fatal(err)
			}
		} else {
			put(t, root, daemonJSON, first, 0o640)
		}
		tree, err := atomicfile.Beneath(root)
		if err != nil {
			rt.Fatal(err)
		}
		defer tree.Close() //nolint:errcheck // only a handle on a folder
		j := change.OpenJournal(tree, journalAt, options(root))
		before, trusted := look(t, root), map[string]bool{}
		undo := func(host string) {
			if u, err := j.Undo(t.Context(), host, false); err != nil || len(u.Changed) > 0 {
				rt.Fatalf("%+v, %v", u, err)
			}
			delete(trusted, host)
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			host := rapid.SampledFrom(hosts).Draw(rt, "host")
			if trusted[host] && rapid.Bool().Draw(rt, "undo") {
				undo(host)
			} else if err := j.Apply(t.Context(), subject(host), change.Plan{editStep(host), editStep(all), reloadStep()}, nil); err != nil {
				rt.Fatal(err)
			} else {
				trusted[host] = true
			}
			if lists(rt, root, all) != (len(trusted) > 0) {
				rt.Fatalf("trusted are %v, and the common one is listed: %v", trusted, len(trusted) == 0)
			}
			for _, host := range hosts {
				if lists(rt, root, host) != trusted[host] {
					rt.Fatalf("%s: trusted %v, listed %v", host, trusted[host], !trusted[host])
				}
			}
		}
		for _, host := range rapid.Permutation(hosts).Draw(rt, "last") {
			undo(host)
		}
		if after := look(t, root); !maps.Equal(after, before) {
			rt.Fatalf("the machine is\n%swant\n%s", after, before)
		}
	})
}

// Somebody else edits the file between our changes: what they wrote stays, and
// what we wrote goes.
func TestEditsOfOthersStay(t *testing.T) {
	t.Parallel()
	hosts := []string{hostA, hostB, "third.example.com"}
	rapid.Check(t, func(rt *rapid.T) {
		root := world(t)
		tree, err := atomicfile.Beneath(root)
		if err != nil {
			rt.Fatal(err)
		}
		defer tree.Close() //nolint:errcheck // only a handle on a folder
		j := change.OpenJournal(tree, journalAt, options(root))
		theirs, trusted := []string{`"old":1`}, map[string]bool{}
		for i := range rapid.IntRange(1, 10).Draw(rt, "steps") {
			host := rapid.SampledFrom(hosts).Draw(rt, "host")
			switch rapid.IntRange(0, 2).Draw(rt, "what") {
			case 0:
				if err := j.Apply(t.Context(), subject(host), change.Plan{editStep(host), reloadStep()}, nil); err != nil {
					rt.Fatal(err)
				}
				trusted[host] = true
			case 1:
				if u, err := j.Undo(t.Context(), host, false); err != nil || len(u.Changed) > 0 {
					rt.Fatalf("%+v, %v", u, err)
				}
				delete(trusted, host)
			case 2:
				path := filepath.Join(root, daemonJSON)
				data, err := os.ReadFile(path)
				if err != nil {
					rt.Fatal(err)
				}
				key := fmt.Sprintf(`"their%d":%d`, i, i)
				theirs = append(theirs, key)
				if err := os.WriteFile(path, bytes.Replace(data, []byte("{"), []byte("{"+key+","), 1), 0o640); err != nil {
					rt.Fatal(err)
				}
			}
		}
		for _, host := range rapid.Permutation(hosts).Draw(rt, "last") {
			if u, err := j.Undo(t.Context(), host, false); err != nil || len(u.Changed) > 0 {
				rt.Fatalf("%+v, %v", u, err)
			}
		}
		data, err := os.ReadFile(filepath.Join(root, daemonJSON))
		if err != nil {
			rt.Fatal(err)
		}
		for _, host := range hosts {
			if bytes.Contains(data, []byte(host)) {
				rt.Fatalf("%s is still in %s", host, data)
			}
		}
		for _, key := range theirs {
			if !bytes.Contains(data, []byte(key)) {
				rt.Fatalf("%s is not in %s", key, data)
			}
		}
		if e := entries(t, j); len(e) > 0 {
			rt.Fatalf("recorded %+v", e)
		}
	})
}

func TestFileThatSomebodyEditedLosesOurEditAlone(t *testing.T) {
	t.Parallel()
	root := world(t)
	_, j := open(t, root)
	apply(t, j, hostA, change.Plan{editStep(hostA)})
	mine, err := os.ReadFile(filepath.Join(root, daemonJSON))
	if err != nil {
		t.Fatal(err)
	}
	put(t, root, daemonJSON, strings.Replace(string(mine), "{", `{"theirs": true, `, 1), 0o640)
	want := []string{"take back the edit of " + daemonJSON}
	if u, err := j.UndoPlan(t.Context(), hostA, false); err != nil || !slices.Equal(u.Lines, want) {
		t.Errorf("%+v, %v", u, err)
	}
	if u := undo(t, j, hostA, false); !slices.Equal(u.Lines, want) {
		t.Errorf("%+v", u)
	}
	if data, err := os.ReadFile(filepath.Join(root, daemonJSON)); err != nil || string(data) != `{"theirs": true, "old":1}` {
		t.Errorf("%s, %v", data, err)
	}
}

func TestFileThatCannotBeReadAnyMoreIsLeftUnlessForced(t *testing.T) {
	t.Parallel()
	root := world(t)
	_, j := open(t, root)
	before := look(t, root)
	apply(t, j, hostA, change.Plan{editStep(hostA)})
	put(t, root, daemonJSON, "{ torn", 0o640)
	for range 2 {
		if u := undo(t, j, hostA, false); !slices.Equal(u.Changed, []string{daemonJSON}) || len(u.Lines) > 0 {
			t.Errorf("%+v", u)
		}
	}
	if e := entries(t, j); len(e) != 1 || e[0].State != change.StateLeft || len(e[0].Records) != 1 {
		t.Errorf("%+v", e)
	}
	if u := undo(t, j, hostA, true); len(u.Changed) > 0 {
		t.Errorf("%+v", u)
	}
	wantPicture(t, "forced", look(t, root), before)
}

func TestRollBackKeepsWhatSomebodyEditedMeanwhile(t *testing.T) {
	t.Parallel()
	root := world(t)
	_, j := open(t, root)
	err := j.Apply(t.Context(), subject(hostA), change.Plan{editStep(hostA)}, func(context.Context) error {
		data, err := os.ReadFile(filepath.Join(root, daemonJSON))
		if err != nil {
			return err
		}
		put(t, root, daemonJSON, strings.Replace(string(data), "{", `{"theirs": true, `, 1), 0o640)
		return errProof
	})
	if !errors.Is(err, errProof) || !errors.As(err, new(*change.RolledBackError)) {
		t.Errorf("%v", err)
	}
	if data, err := os.ReadFile(filepath.Join(root, daemonJSON)); err != nil || string(data) != `{"theirs": true, "old":1}` {
		t.Errorf("%s, %v", data, err)
	}
	if e := entries(t, j); len(e) > 0 {
		t.Errorf("%+v", e)
	}
}

func TestSeveralEditsOfOneFileAreOneChange(t *testing.T) {
	t.Parallel()
	root := world(t)
	tree, j := open(t, root)
	before := look(t, root)
	plan := change.Plan{editStep(hostA), editStep(hostA + ":443")}
	apply(t, j, hostA, plan)
	if left, err := plan.Pending(tree); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	if e := entries(t, j); len(e) != 1 || len(e[0].Records) != 1 || len(e[0].Records[0].Edits) != 2 {
		t.Errorf("%+v", e)
	}
	undo(t, j, hostA, false)
	wantPicture(t, "after", look(t, root), before)
}

// They put a file of their own there, without our edit, and we make it again:
// what they wrote is not what was there at first.
func TestEditThatIsMadeAgainInAnotherFileLeavesThatFile(t *testing.T) {
	t.Parallel()
	root := world(t)
	_, j := open(t, root)
	apply(t, j, hostA, change.Plan{editStep(hostA)})
	put(t, root, daemonJSON, `{"theirs": true}`, 0o640)
	apply(t, j, hostA, change.Plan{editStep(hostA)})
	undo(t, j, hostA, false)
	if data, err := os.ReadFile(filepath.Join(root, daemonJSON)); err != nil || string(data) != `{"theirs": true}` {
		t.Errorf("%s, %v", data, err)
	}
}

// Two hosts want the very same of one file: it holds that until the last one
// leaves, and is then as it was, to the byte.
func TestWhatTwoHostsWantAlikeGoesWithTheLast(t *testing.T) {
	t.Parallel()
	const config = "/etc/containerd/config.toml"
	set := change.Step{Tool: "containerd", Path: config, Op: change.OpEdit, Mode: 0o644, DirMode: 0o755, Edit: &edit.Edit{
		Format: edit.Set, Key: "plugins.cri.registry", Value: "config_path", Body: `"/etc/containerd/certs.d"`,
	}}
	write := change.Step{Tool: "containerd", Path: config, Op: change.OpWrite, Mode: 0o644, DirMode: 0o755, Data: []byte("# ours\n")}
	for name, tt := range map[string]struct {
		before string
		step   change.Step
		own    bool // each host edits the file for itself too
		holds  string
	}{
		"an edit":                  {"version = 1\n", set, false, "config_path"},
		"an edit of an empty file": {"", set, false, "config_path"},
		"a new file":               {"none", write, false, "# ours"},
		"a file of others":         {"theirs\n", write, false, "# ours"},
		"beside edits of its own":  {"version = 1\n", set, true, "config_path"},
	} {
		for _, order := range [][]string{{hostA, hostB}, {hostB, hostA}} {
			t.Run(name+", first "+order[0], func(t *testing.T) {
				t.Parallel()
				root := world(t)
				_, j := open(t, root)
				if tt.before != "none" {
					put(t, root, config, tt.before, 0o600)
				}
				before := look(t, root)
				for _, host := range []string{hostA, hostB} {
					plan := change.Plan{tt.step, writeStep(certAt(host), host, 0o644)}
					if tt.own {
						plan = append(plan, change.Step{Tool: "containerd", Path: config, Op: change.OpEdit, Edit: &edit.Edit{
							Format: edit.Set, Key: "", Value: "of-" + host[:5], Body: "1",
						}})
					}
					apply(t, j, host, plan)
				}
				for i, host := range order {
					if u := undo(t, j, host, false); len(u.Changed) > 0 {
						t.Errorf("%s: %+v", host, u)
					}
					data, err := os.ReadFile(filepath.Join(root, config))
					if err != nil && !errors.Is(err, os.ErrNotExist) {
						t.Fatal(err)
					}
					if has := strings.Contains(string(data), tt.holds); has != (i == 0) {
						t.Errorf("without %s it holds %q", host, data)
					}
				}
				wantPicture(t, "after both", look(t, root), before)
			})
		}
	}
}

// A change that fails takes nothing from the host that wanted the same before.
func TestFailedChangeLeavesWhatAnotherHostWants(t *testing.T) {
	t.Parallel()
	root := world(t)
	_, j := open(t, root)
	before := look(t, root)
	apply(t, j, hostA, change.Plan{editStep("both")})
	wanted := look(t, root).machine()
	plan := change.Plan{editStep("both"), writeStep(certAt(hostB), "x", 0o644)}
	err := j.Apply(t.Context(), subject(hostB), plan, func(context.Context) error { return errProof })
	if !errors.As(err, new(*change.RolledBackError)) {
		t.Errorf("%v", err)
	}
	wantPicture(t, "rolled back", look(t, root).machine(), wanted)
	undo(t, j, hostA, false)
	wantPicture(t, "after", look(t, root), before)
}

// Trusting and untrusting leaves nothing behind, however often.
func TestManyChangesLeaveNothing(t *testing.T) {
	t.Parallel()
	root := world(t)
	_, j := open(t, root)
	before := look(t, root)
	for range 200 {
		apply(t, j, hostA, change.Plan{writeStep(certAt(hostA), "x", 0o644), editStep(hostA)})
		undo(t, j, hostA, false)
	}
	wantPicture(t, "after all", look(t, root), before)
}

// The second registry finds all in place, because of the first: it has its part
// in it all the same, whoever leaves first.
func TestWhatIsInPlaceForAnotherIsRecordedToo(t *testing.T) {
	t.Parallel()
	for _, order := range [][]string{{hostA, hostB}, {hostB, hostA}} {
		root := world(t)
		before := look(t, root)
		_, j := open(t, root)
		plan := change.Plan{writeStep("/etc/notary/ca.crt", "ca", 0o644)}
		apply(t, j, hostA, plan)
		made := look(t, root).machine()
		silent := subject(hostB)
		silent.How = "" // nobody was asked
		if err := j.Apply(t.Context(), silent, plan, nil); err != nil {
			t.Fatal(err)
		}
		recorded := entries(t, j)
		if len(recorded) != 2 || recorded[1].Subject.Host != hostB || recorded[1].Records[0].Trust.How != "fingerprint" {
			t.Fatalf("recorded: %+v", recorded)
		}
		undo(t, j, order[0], false)
		wantPicture(t, "the first left", look(t, root).machine(), made)
		undo(t, j, order[1], false)
		wantPicture(t, "both left", look(t, root), before)
	}
}

package cmd_test

import (
	"encoding/json"
	"errors"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vicr-cli/vicr/internal/doctor"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// TestDoctorScripts has the scripts about doctor, with a word of their own:
//
//	verdict FILE CHECK ok|warn|fail|skip [TEXT]
//
// looks into the JSON of a report.
func TestDoctorScripts(t *testing.T) {
	t.Parallel()
	words := scriptCommands()
	words["verdict"] = verdict
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("..", "testdata", "doctor"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               privateHome,
		Cmds:                words,
	})
}

func verdict(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: verdict FILE CHECK VERDICT [TEXT]")
	}
	var r doctor.Report
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &r))
	i := slices.IndexFunc(r.Checks, func(c doctor.Check) bool { return c.Name == args[1] })
	if i < 0 {
		ts.Fatalf("there is no check %s", args[1])
	}
	c := r.Checks[i]
	if string(c.Verdict) != args[2] {
		ts.Fatalf("%s is %s, not %s: %s", c.Name, c.Verdict, args[2], c.Seen)
	}
	if len(args) == 4 && !strings.Contains(c.Seen+"\n"+strings.Join(c.Remedy, "\n"), args[3]) {
		ts.Fatalf("%s has no %q: %s %q", c.Name, args[3], c.Seen, c.Remedy)
	}
}

// TestDoctorEndsAtADeadHost uses the limits that users have.
func TestDoctorEndsAtADeadHost(t *testing.T) {
	t.Parallel()
	silent := testkit.NewEvil(t, "", testkit.Swallow)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() }) // accepts nothing
	for name, host := range map[string]string{"silent": silent.Addr(), "never accepts": l.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			c := exec.CommandContext(t.Context(), "vicr", "doctor", host+"/demo/x:1") // which TestMain puts into PATH
			c.Env = []string{"HOME=" + home, "DOCKER_HOST=unix://" + home + "/none.sock", "PATH=" + home}
			begin := time.Now()
			out, err := c.CombinedOutput()
			if took := time.Since(begin); took > 15*time.Second {
				t.Errorf("it took %s", took)
			}
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("%v", err)
			}
			if !strings.Contains(string(out), "fail  scheme        it takes connections and then says nothing") {
				t.Errorf("%s", out)
			}
		})
	}
}

package cmd_test

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vicr-cli/vicr/cmd"
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

// TestDoctorsRemediesAreCommands reads each command of vicr's own out of the
// reports that package doctor keeps: it has to be one that can be typed.
func TestDoctorsRemediesAreCommands(t *testing.T) {
	t.Parallel()
	reports, err := filepath.Glob(filepath.Join("..", "internal", "doctor", "testdata", "*.golden"))
	if err != nil || len(reports) == 0 {
		t.Fatal(reports, err)
	}
	command := regexp.MustCompile(`(?m)^    (?:.*: )?(vicr [a-z]+ .*?)(?:   #.*|, .*)?$`)
	fill := strings.NewReplacer("HOST", "registry.example:5000", "PROJECT/REPO", "demo/app", "PORT", "5000", "FP", exampleFingerprint)
	found := 0
	for _, name := range reports {
		report, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range command.FindAllStringSubmatch(string(report), -1) {
			found++
			typed := strings.Fields(fill.Replace(line[1]))[1:]
			if err := cmd.Parse(typed); err != nil {
				t.Errorf("%s: %s: %v", filepath.Base(name), line[1], err)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d commands were found", found)
	}
}

const exampleFingerprint = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// TestDoctorEndsAtADeadHost uses the limits that users have. Where one more
// thing is dead, all are: the engine takes connections and says nothing, and so
// does the program that keeps the passwords.
func TestDoctorEndsAtADeadHost(t *testing.T) {
	t.Parallel()
	silent := testkit.NewEvil(t, "", testkit.Swallow)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() }) // accepts nothing
	const says = "fail  scheme        it takes connections and then says nothing"
	for name, tt := range map[string]struct {
		host, says string
		allDead    bool
	}{
		"silent":                    {silent.Addr(), says, false},
		"never accepts":             {l.Addr().String(), says, false},
		"silent, as is all else":    {silent.Addr(), says, true},
		"drops all, as is all else": {blackHole(t), "fail  tcp           ", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			c := exec.CommandContext(t.Context(), "vicr", "doctor", tt.host+"/demo/x:1") // which TestMain puts into PATH
			c.Env = []string{"HOME=" + home, "DOCKER_HOST=unix://" + home + "/none.sock", "PATH=" + home}
			if tt.allDead {
				c.Env = []string{"HOME=" + home, "DOCKER_HOST=unix://" + stuckEngine(t), "PATH=" + home}
				stuckHelper(t, home)
			}
			begin := time.Now()
			out, err := c.CombinedOutput()
			if took := time.Since(begin); took > 15*time.Second {
				t.Errorf("it took %s", took)
			}
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("%v", err)
			}
			if !strings.Contains(string(out), tt.says) {
				t.Errorf("%s", out)
			}
			if tt.allDead && (!strings.Contains(string(out), "fail  credentials   credential helper") || !strings.Contains(string(out), "skip  engine store  no engine answers")) {
				t.Errorf("%s", out)
			}
		})
	}
}

// stuckEngine takes connections and says nothing.
func stuckEngine(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vicr") //nolint:usetesting // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "e.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// stuckHelper makes docker's configuration name a credential helper that hangs.
func stuckHelper(t *testing.T, home string) {
	t.Helper()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skipf("the helper that hangs is sleep, which is not here: %v", err)
	}
	for name, text := range map[string]string{
		".docker/config.json":     `{"credsStore": "stuck"}`,
		"docker-credential-stuck": "#!/bin/sh\nexec " + sleep + " 60\n",
	} {
		path := filepath.Join(home, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
}

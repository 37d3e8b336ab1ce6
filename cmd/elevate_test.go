package cmd

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/testkit"
	"github.com/vicr-cli/vicr/internal/trust"
)

// Windows has no sudo that vicr could ask, and PowerShell, where a line is
// pasted, no <.
func TestTheLineForTheMachinesHalf(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t).Certificate
	host, err := ref.ParseHost("registry.corp:5000")
	if err != nil {
		t.Fatal(err)
	}
	given := filepath.Join(t.TempDir(), "given.crt")
	fp := "--fingerprint " + pki.SHA256(ca).String()
	own := change.Plan{{Tool: "vicr", Path: `C:\Users\Ann Lee\ca.crt`}}
	const (
		exe  = `C:\tools\vicr.exe`
		half = " --half machine --no-input "
	)
	for name, tt := range map[string]struct {
		goos, exe string
		o         trustOptions
		user      change.Plan
		want      string
	}{
		"Linux, vicr's own file": {
			"linux", "/bin/vicr",
			trustOptions{},
			change.Plan{{Tool: "vicr", Path: "/home/ann/ca.crt"}},
			"sudo /bin/vicr trust registry.corp:5000 --offline --for docker,system" + half + "--ca-file - " + fp + " --keep-recorded < /home/ann/ca.crt",
		},
		"Linux, no file": {"linux", "/bin/vicr", trustOptions{}, nil, "sudo /bin/vicr trust registry.corp:5000 --for docker,system " + fp},
		"Linux, insecure": {
			"linux", "/bin/vicr",
			trustOptions{insecure: true, speaks: "http"},
			nil,
			"sudo /bin/vicr trust registry.corp:5000 --offline --for docker,system" + half + "--insecure --yes --speaks http",
		},
		"vicr's own file": {
			"windows", exe,
			trustOptions{restart: true},
			own,
			exe + ` trust registry.corp:5000 --offline --for "docker,system"` + half + `--ca-file "C:\Users\Ann Lee\ca.crt" ` + fp + " --restart --keep-recorded",
		},
		"the file that was given": {
			"windows", exe,
			trustOptions{caFile: given},
			nil,
			exe + ` trust registry.corp:5000 --offline --for "docker,system"` + half + "--ca-file " + given + " " + fp + " --keep-recorded",
		},
		"standard input": {
			"windows", exe,
			trustOptions{caFile: "-"},
			nil,
			exe + ` trust registry.corp:5000 --for "docker,system" ` + fp,
		},
		"a key is no CA": {
			"windows", exe,
			trustOptions{},
			change.Plan{{Tool: "vicr", Path: "k", Secret: true}},
			exe + ` trust registry.corp:5000 --for "docker,system" ` + fp,
		},
		"no word for PowerShell": {
			"windows", `C:\Program Files\vicr.exe`,
			trustOptions{},
			nil,
			`vicr trust registry.corp:5000 --for "docker,system" ` + fp,
		},
		"insecure": {
			"windows", exe,
			trustOptions{insecure: true, speaks: "http"},
			nil,
			exe + ` trust registry.corp:5000 --offline --for "docker,system"` + half + "--insecure --yes --speaks http",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := trusting{target: target{host: host}, o: tt.o}
			r.request.Anchor.Cert = ca
			r.planned = trust.Planned{
				Tools: []trust.Tool{"docker", "system"}, User: tt.user,
				Machine: change.Plan{{Tool: "docker", Path: "d"}, {Tool: "system", Path: "s"}},
			}
			got := rootLine(tt.goos, tt.exe, r)
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if err := Parse(wordsOf(got)); err != nil {
				t.Errorf("%s: %v", got, err)
			}
		})
	}
}

// wordsOf is a line's words from trust on, but for what the shell itself reads.
func wordsOf(line string) []string {
	_, line, _ = strings.Cut(line, " trust ")
	line, _, _ = strings.Cut(line, " < ")
	return append([]string{"trust"}, strings.Fields(strings.ReplaceAll(line, "Ann Lee", "Ann"))...)
}

func TestWordsForOtherRights(t *testing.T) {
	t.Parallel()
	argv := []string{`C:\vicr.exe`, "untrust", "registry.corp", "--no-input"}
	for _, tt := range []struct{ got, want string }{
		{restHint("linux", withRights("linux", []string{"/bin/vicr", "untrust", "h"})), "the rest needs root: sudo /bin/vicr untrust h"},
		{restHint("windows", withRights("windows", argv)), `the rest needs an administrator; type in a terminal started as administrator: C:\vicr.exe untrust registry.corp --no-input`},
		{unseenHint("darwin", "status"), "what is recorded for the whole machine is for root to read: sudo vicr status"},
		{unseenHint("windows", "status"), "what is recorded for the whole machine is for an administrator to read; type in a terminal started as administrator: vicr status"},
		{permissionHint("linux", "/etc/x"), "ls -ld /etc/x shows who may write there; sudo vicr does it where the folder is the machine's"},
		{permissionHint("windows", `C:\x`), `icacls C:\x shows who may write there; the same command in a terminal started as administrator does it where the folder is the machine's`},
	} {
		if tt.got != tt.want {
			t.Errorf("got  %s\nwant %s", tt.got, tt.want)
		}
	}
	if argv[0] != `C:\vicr.exe` {
		t.Error("the caller's own words were changed")
	}
}

func TestWhoIsRootAndWhoCalledSudo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		goos string
		euid int
		uid  string
		sudo bool
		on   int // what tools go by
	}{
		{"linux", 0, "1000", true, 0},
		{"linux", 0, "0", false, 0},
		{"linux", 0, "", false, 0},
		{"linux", 1000, "1000", false, 1000},
		{"darwin", 0, "501", true, 0},
		{"windows", 0, "1000", false, -1},
		{"windows", -1, "1000", false, -1},
	} {
		if got := underSudo(tt.goos, tt.euid, func(string) string { return tt.uid }); got != tt.sudo {
			t.Errorf("%+v: under sudo: %t", tt, got)
		}
		if got := uidOn(tt.goos, tt.euid); got != tt.on {
			t.Errorf("%+v: %d", tt, got)
		}
	}
}

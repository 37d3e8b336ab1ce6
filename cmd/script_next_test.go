package cmd_test

import (
	"strings"
	"testing"

	"github.com/vicr-cli/vicr/internal/sandbox"
)

// vicr HOST names no step that was taken already, and asks no registry.
func TestWhatIsNextForARegistry(t *testing.T) {
	t.Parallel()
	seen := &requests{}
	host, ca := openShop(t, sandbox.Options{Users: []sandbox.User{{Name: "dev", Password: canary}}, OnRequest: seen.add})
	d := newDesk(t)
	next := func(want string) {
		t.Helper()
		seen.take()
		code, out, errs := d.says(t, "", host)
		lines := strings.Split(strings.ReplaceAll(errs, host, "HOST"), "\n")
		got := ""
		for _, l := range lines {
			if command, ok := strings.CutPrefix(l, "  vicr "); ok {
				got += " " + strings.Fields(command)[0]
			}
		}
		if asked, _ := seen.take(); code != 0 || out != "" || len(asked) > 0 || got != want || strings.Contains(errs, canary) {
			t.Errorf("exit code %d, asked %q, next%s, want%s\n%s%s", code, asked, got, want, out, errs)
		}
	}
	must := func(password string, args ...string) {
		t.Helper()
		if code, _, errs := d.says(t, password, args...); code != 0 {
			t.Fatalf("%q: %s", args, errs)
		}
	}
	next(" trust login ls pull push")
	must("", "trust", "--for", "vicr", "--accept-new", "--ca-file", ca, host)
	next(" login ls pull push")
	must(canary, "login", host, "-u", "dev", "--password-stdin")
	next(" ls pull push")
	must("", "untrust", host)
	next(" trust ls pull push")
}

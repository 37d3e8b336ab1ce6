package cmd_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vicr-cli/vicr/internal/sandbox"
)

// A screen is what somebody sees, and answers each question once it stands there.
type screen struct {
	mu      sync.Mutex
	seen    bytes.Buffer
	answers []string // question, answer, ...
	keys    *os.File
	asked   int
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen.Write(p)
	for s.asked+1 < len(s.answers) && strings.Contains(s.seen.String(), s.answers[s.asked]) {
		if _, err := s.keys.WriteString(s.answers[s.asked+1] + "\r"); err != nil {
			return 0, err
		}
		s.asked += 2
	}
	return len(p), nil
}

// attends runs vicr with somebody at the terminal who answers questions, and
// gives what the screen shows.
func (d *desk) attends(t *testing.T, answers []string, args ...string) (code int, shown string, asked int) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	defer keys.Close()
	fd := int(keys.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	hangUp := time.AfterFunc(30*time.Second, func() { keys.Close() }) // a question that nobody answers
	defer hangUp.Stop()
	s := &screen{answers: answers, keys: keys}
	d.stdin, d.terminal = tty, true
	code, stdout := d.run(s, args...)
	return code, s.seen.String() + stdout, s.asked / 2
}

// Harbor before 1.7 gives its CA to administrators: one may log in once a
// fingerprint has named the very certificate that is served, and not before.
func TestAnAdministratorFetchesTheCAAtATerminal(t *testing.T) {
	t.Parallel()
	const wrong = "wr0ng-" + canary
	for _, like := range []sandbox.Like{sandbox.Harbor11, sandbox.Harbor17} {
		var mu sync.Mutex
		var statuses []int
		host, caFile := openShop(t, sandbox.Options{
			Like: like, Users: []sandbox.User{{Name: "admin", Password: canary}, {Name: "dev", Password: canary}},
			OnRequest: func(_, path string, status int) {
				if path == "/api/systeminfo/getcert" {
					mu.Lock()
					defer mu.Unlock()
					statuses = append(statuses, status)
				}
			},
		})
		leaf, ca := leafOf(t, host, caFile), fingerprintOf(t, caFile)
		who, password := "Administrator of "+host+":", "Password:"
		tests := []struct {
			name, fingerprint string
			answers           []string
			asked, code       int
			words             string
			statuses          []int
		}{
			{"admin", leaf, []string{who, "admin", password, canary}, 2, 0, "trusted for vicr (" + ca + ")", []int{401, 200}},
			{"a wrong password", leaf, []string{who, "admin", password, wrong}, 2, 4, "harbor refused the user name or password", []int{401, 401}},
			{"no administrator", leaf, []string{who, "dev", password, canary}, 2, 4, "and this user is none", []int{401, 403}},
			{"nothing typed", leaf, []string{who, "", password, canary}, 2, 2, "user name", []int{401}},
			{"another's fingerprint", strings.Repeat("0", 64), []string{who, "admin", password, canary}, 0, 3, "is neither that of the certificate served", []int{401}},
			{"the CA's fingerprint", ca, []string{who, "admin", password, canary}, 0, 3, "is neither that of the certificate served", []int{401}},
			{"none", "", []string{who, "admin", password, canary}, 0, 3, "no CA was found", []int{401}},
		}
		if like == sandbox.Harbor17 { // anybody gets it
			tests = tests[:1]
			tests[0].asked, tests[0].statuses = 0, []int{200}
		}
		for _, tt := range tests {
			statuses = nil
			args := []string{"trust", "-D", "--for", "vicr", host}
			if tt.fingerprint != "" {
				args = append(args, "--fingerprint", tt.fingerprint)
			}
			d := newDesk(t)
			code, shown, asked := d.attends(t, tt.answers, args...)
			if code != tt.code || asked != tt.asked || !strings.Contains(shown, tt.words) || !slices.Equal(statuses, tt.statuses) {
				t.Errorf("%s, %s: exit %d, %d questions, getcert %v: %s", like, tt.name, code, asked, statuses, shown)
			}
			if strings.Contains(shown, canary) {
				t.Errorf("%s, %s: the password was printed: %s", like, tt.name, shown)
			}
			if code != 0 {
				nothingIn(t, d.home)
			}
		}
	}
}

// A dangling question would hold a script up.
func TestNoInputAsksNoAdministrator(t *testing.T) {
	t.Parallel()
	host, caFile := openShop(t, sandbox.Options{Like: sandbox.Harbor11})
	start := time.Now()
	code, shown, _ := newDesk(t).attends(t, nil, "trust", "--no-input", "--for", "vicr", host, "--fingerprint", leafOf(t, host, caFile))
	if code != 3 || strings.Contains(shown, "Administrator of") || time.Since(start) > 10*time.Second {
		t.Errorf("exit %d: %s", code, shown)
	}
}

// The realm on another name, at a terminal: the name to use is said before the question.
func TestAForeignRealmIsAskedAbout(t *testing.T) {
	t.Parallel()
	host, ca := openShop(t, sandbox.Options{Like: sandbox.Harbor15, Users: []sandbox.User{{Name: "dev", Password: canary}}})
	typed := strings.Replace(host, "127.0.0.1", "localhost", 1)
	question := typed + " checks passwords at https://" + host + ". May it have yours?"
	for answer, want := range map[string]int{"n": 8, "y": 0} {
		d := newDesk(t)
		code, shown, asked := d.attends(t, []string{"Password:", canary, question, answer}, "login", typed, "-u", "dev", "--ca-file", ca)
		said := strings.Index(shown, typed+" calls itself "+host+": vicr login "+host+" needs no agreement")
		if code != want || asked != 2 || said < 0 || said > strings.Index(shown, question) || strings.Contains(shown, canary) {
			t.Errorf("%s: exit %d, %d questions: %s", answer, code, asked, shown)
		}
	}
}

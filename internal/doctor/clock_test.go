package doctor_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vicr-cli/vicr/internal/doctor"
	"github.com/vicr-cli/vicr/internal/testkit"
)

// The clock of this machine is blamed only by what a server says that the time
// is, and when the certificate is valid then.
func TestTheClockIsBlamedOnlyByAServersDate(t *testing.T) {
	t.Parallel()
	const clock = "the clock of this machine seems wrong"
	now := time.Now()
	year := now.AddDate(1, 0, 0).Sub(now)
	for name, tt := range map[string]struct {
		from, to time.Time
		date     []string // nil: none is sent
		blamed   bool
	}{
		"the server is ahead":                  {now.Add(year), now.Add(3 * year), []string{now.Add(2 * year).UTC().Format(http.TimeFormat)}, true},
		"the server is behind":                 {now.Add(-3 * year), now.Add(-year), []string{now.Add(-2 * year).UTC().Format(http.TimeFormat)}, true},
		"it has not begun by the server's too": {now.Add(2 * year), now.Add(3 * year), []string{now.Add(year).UTC().Format(http.TimeFormat)}, false},
		"the server thinks it is today":        {now.Add(-3 * year), now.Add(-year), []string{now.UTC().Format(http.TimeFormat)}, false},
		"it has ended by the server's too":     {now.Add(-3 * year), now.Add(-2 * year), []string{now.Add(-year).UTC().Format(http.TimeFormat)}, false},
		"the two are a little apart":           {now.Add(-year), now.Add(-time.Hour), []string{now.Add(-2 * time.Hour).UTC().Format(http.TimeFormat)}, false},
		"the server says nothing":              {now.Add(-3 * year), now.Add(-year), nil, false},
		"the server says no time":              {now.Add(-3 * year), now.Add(-year), []string{"today"}, false},
		"nothing, and valid since ever":        {time.Date(0, 1, 2, 0, 0, 0, 0, time.UTC), now.Add(-year), nil, false},
		"no time, and valid since ever":        {time.Date(0, 1, 2, 0, 0, 0, 0, time.UTC), now.Add(-year), []string{"today"}, false},
		"today's, and it was valid for ever":   {time.Date(0, 1, 2, 0, 0, 0, 0, time.UTC), now.Add(-year), []string{now.UTC().Format(http.TimeFormat)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, testkit.SANs("127.0.0.1"), testkit.Validity(tt.from, tt.to))
			w.front.Always(testkit.On("", "/v2/"), testkit.Fault{Status: http.StatusUnauthorized, Header: http.Header{"Date": tt.date}})
			c := check(t, w.trusting().run(t, ""), "tls")
			if blamed := strings.HasPrefix(c.Seen, clock); c.Verdict != doctor.Fail || blamed != tt.blamed {
				t.Errorf("%+v", c)
			}
		})
	}
}

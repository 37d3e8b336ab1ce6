package cmd

import (
	"io"
	"strings"
	"testing"
	"time"
)

func TestWhoWaitsIsToldWhatFor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		takes time.Duration
		flags globalFlags
		want  string
	}{
		{"slow", time.Second, globalFlags{}, "vicr: the list of h takes its time; -D shows each request\n"},
		{"at once", 0, globalFlags{}, ""},
		{"quiet", time.Second, globalFlags{quiet: true}, ""},
		{"with each request", time.Second, globalFlags{debug: true}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var said strings.Builder
			a := &app{env: Env{Stderr: &said, Getenv: func(string) string { return "" }}, flags: tt.flags}
			after := 50 * time.Millisecond
			if tt.takes == 0 {
				after = time.Hour
			}
			err := a.patiently(after, "the list of h", func() error { time.Sleep(tt.takes); return io.EOF })
			if err == nil || said.String() != tt.want {
				t.Errorf("%v, %q, want %q", err, said.String(), tt.want)
			}
		})
	}
}

package auth

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// roleVariable makes the test binary play another program.
const roleVariable = "VICR_AUTH_TEST_ROLE"

// raceSetting lets a program built with -race end without a second's pause.
const raceSetting = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "helper":
		os.Exit(playHelper(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	case "login":
		os.Exit(playLogin())
	}
	goleak.VerifyTestMain(m)
}

package cmd

import (
	"errors"

	"github.com/spf13/pflag"
)

// notTaken says what a flag takes in place of a value that it refused with err.
// That of a switch is not repeated: in --password-stdin=... it may be a password.
func notTaken(f *pflag.Flag, value string, err error) error {
	if ours, ok := errors.AsType[*usageError](err); ok {
		return ours
	}
	switch f.Value.Type() {
	case "bool":
		return usagef("--%s takes no value but true and false", f.Name)
	case "int":
		return usagef("--%s %q: not a number that it takes", f.Name, value)
	case "duration":
		return usagef("--%s %q: write a time, as in 90s or 2m", f.Name, value)
	}
	return usagef("--%s %q: %s", f.Name, value, err)
}

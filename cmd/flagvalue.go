package cmd

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/pflag"
)

// flagWhy says why a flag does not take a value, where Go's parsers have words of
// their own for that. What was given to a switch may have been meant as a secret.
func flagWhy(err error) string {
	invalid, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err.Error()
	}
	f, value := invalid.GetFlag(), strconv.Quote(invalid.GetValue())
	switch f.Value.Type() {
	case "bool":
		return fmt.Sprintf("--%s takes true or false, and needs neither", f.Name)
	case "int":
		return fmt.Sprintf("--%s %s: not a number", f.Name, value)
	case "duration":
		return fmt.Sprintf("--%s %s: not a time such as 30s or 2m", f.Name, value)
	}
	return err.Error()
}

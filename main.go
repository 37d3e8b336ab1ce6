// Vicr brings a machine and a private image registry together: it installs
// the registry's CA, logs in, and moves images, with Docker or without.
package main

import (
	"os"

	"github.com/vicr-cli/vicr/cmd"
)

func main() {
	os.Exit(cmd.Main(os.Args[1:], cmd.OS()))
}

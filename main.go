// Vicr brings a machine and a private image registry together: it installs
// the registry's CA, logs in, and moves images, with Docker or without.
package main

import (
	"math"
	"os"
	"runtime/debug"

	"github.com/vicr-cli/vicr/cmd"
)

// memory is what the heap is kept to where collecting more often is enough for
// that, in bytes. Layers that are compressed while they are sent leave large
// buffers behind: measured on a push of 660 MB out of an engine, 156 MB without
// a limit, 79 MB with it, in the same time.
const memory = 64 << 20

func main() {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 { // GOMEMLIMIT says nothing else
		debug.SetMemoryLimit(memory)
	}
	os.Exit(cmd.Main(os.Args[1:], cmd.OS()))
}

// Vicr brings a machine and a private image registry together: it installs
// the registry's CA, logs in, and moves images, with Docker or without.
package main

import (
	"math"
	"os"
	"runtime/debug"

	"github.com/vicr-cli/vicr/cmd"
)

// memory is what the runtime is kept to where collecting more often is enough for
// that, in bytes. Layers that are compressed while they are sent leave large
// buffers behind: measured on a push of 100 MB out of an archive, a peak of 74 MiB
// with 64 MiB, 42 with 32, in the same time; and a layer of 10 GiB that comes in
// parts stays below 48.
const memory = 32 << 20

func main() {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 { // GOMEMLIMIT says nothing else
		debug.SetMemoryLimit(memory)
	}
	os.Exit(cmd.Main(os.Args[1:], cmd.OS()))
}

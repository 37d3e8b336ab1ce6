package cmd

import (
	"os"
	"runtime/debug"
)

// What the runtime is kept to where collecting more often is enough for that, in
// bytes. Layers that are compressed while they are sent leave large buffers
// behind: measured on a push of 100 MB out of an archive, a peak of 74 MiB with
// 64, 42 with 32, in the same time; and a layer of 10 GiB that comes in parts
// stays below 48. What an engine gives out waits in memory too: with 32 a push of
// it takes a tenth longer.
const (
	usualMemory  = 32 << 20
	engineMemory = 64 << 20
)

// keepMemory does so unless GOMEMLIMIT says something else.
func keepMemory(limit int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
}

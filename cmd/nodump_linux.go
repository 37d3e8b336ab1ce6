package cmd

import "golang.org/x/sys/unix"

// noDump keeps this process, which may hold a password, from leaving its memory
// behind when it crashes, and other programs of the user from reading it. The
// limit alone does not do it: a core_pattern that is a program ignores it
// (core(5)). Programs that this one starts can be dumped again when they raise
// the limit. What cannot be set stays as it is: it is a second line of defence.
func noDump() {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err == nil {
		limit.Cur = 0
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &limit)
	}
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}

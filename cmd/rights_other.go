//go:build !windows

package cmd

import "os"

func euid() int { return os.Geteuid() }

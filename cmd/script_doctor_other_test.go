//go:build !linux

package cmd_test

import "testing"

// blackHole is in TEST-NET-1, where nobody answers.
func blackHole(*testing.T) string { return "192.0.2.1:5000" }

//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// A profile says what all processors of the machine did while a program ran:
// client, registry and engine share them, and a profile of the client alone would
// not say what it waits for. Read it with perf report.
type profile struct {
	name string // of the files, without their number
	runs int
}

type profileKey struct{}

// profiled makes run take profiles of what it runs with the context returned.
func (b *bench) profiled(ctx context.Context, row facts, tool string) context.Context {
	if b.profiles == "" {
		return ctx
	}
	b.number++
	name := fmt.Sprintf("%s-%s-%s-%d", row.Group, row.Name, tool, b.number)
	return context.WithValue(ctx, profileKey{}, &profile{name: filepath.Join(b.profiles, strings.ReplaceAll(name, "+", "-"))})
}

// recorded is argv, under perf if a profile is wanted.
func recorded(ctx context.Context, argv []string) []string {
	p, ok := ctx.Value(profileKey{}).(*profile)
	if !ok {
		return argv
	}
	p.runs++
	const timesASecond = "499"
	data := fmt.Sprintf("%s.%d.data", p.name, p.runs)
	return append([]string{"perf", "record", "--quiet", "--all-cpus", "-g", "-F", timesASecond, "-o", data, "--"}, argv...)
}

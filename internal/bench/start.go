//go:build linux

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// start starts the registries and the lines to them, and fills them.
func (b *bench) start(ctx context.Context, distribution3 string) error {
	b.log("registries")
	if err := b.startRegistries(ctx, distribution3); err != nil {
		return err
	}
	if err := b.startLines(ctx); err != nil {
		return err
	}
	for _, tool := range append([]string{"docker"}, clients...) {
		if err := b.forget(tool); err != nil {
			return err
		}
	}
	return b.fill(ctx)
}

func (b *bench) startRegistries(ctx context.Context, distribution3 string) (err error) {
	memory := filepath.Join(b.dir, "storage")
	for _, r := range []struct {
		at      **registry
		program string
		storage string
		tls     bool
	}{
		{&b.memory, debianRegistry, memory, false},
		{&b.other, debianRegistry, filepath.Join(b.dir, "other"), false},
		{&b.tls, debianRegistry, memory, true},
		{&b.disk, debianRegistry, filepath.Join(b.diskDir, "storage"), false},
		{&b.keeping, distribution3, filepath.Join(b.dir, "keeping"), false},
	} {
		if r.program == distribution3 && !isFile(distribution3) {
			continue
		}
		b.number++
		if *r.at, err = startRegistry(ctx, r.program, filepath.Join(b.dir, fmt.Sprint("registry", b.number)), r.storage, r.tls); err != nil {
			return err
		}
		b.stops = append(b.stops, (*r.at).stop)
		if !r.tls {
			b.plain = append(b.plain, (*r.at).addr)
		}
	}
	return nil
}

func (b *bench) startLines(ctx context.Context) (err error) {
	const mbit = 1e6 / 8
	far := link{rtt: 20 * time.Millisecond, rate: 1000 * mbit}
	if b.lag, err = startLag(ctx, b.memory.addr, far); err != nil {
		return err
	}
	far.perConn = 200 * mbit
	if b.capped, err = startLag(ctx, b.memory.addr, far); err != nil {
		return err
	}
	if b.gate, err = startGate(ctx, b.memory.addr); err != nil {
		return err
	}
	b.stops = append(b.stops, b.lag.close, b.capped.close, b.gate.close)
	b.plain = append(b.plain, b.lag.addr(), b.capped.addr(), b.gate.addr())
	if b.keeping == nil {
		return nil
	}
	if b.keepingGate, err = startGate(ctx, b.keeping.addr); err != nil {
		return err
	}
	b.stops = append(b.stops, b.keepingGate.close)
	b.plain = append(b.plain, b.keepingGate.addr())
	return nil
}

// fill brings the images into the registries, by a peer.
func (b *bench) fill(ctx context.Context) error {
	seed := func(s site, layout, tag, repository string) error {
		_, err := run(ctx, b.env("crane"), pushLayout("crane", s, filepath.Join(b.layout, layout), tag, repository)...)
		return err
	}
	for _, img := range images() {
		if err := seed(b.site(b.memory), img.name, img.name, img.name); err != nil {
			return err
		}
	}
	for _, img := range batch() {
		if err := seed(b.site(b.memory), filepath.Join("batch", img.name), img.name, "batch"); err != nil {
			return err
		}
	}
	return seed(b.site(b.disk), "big", "big", "big")
}

func (b *bench) site(r *registry) site { return site{r.addr, r.ca} }

// fresh is a name that was not used before.
func (b *bench) fresh(what string) string {
	b.number++
	return fmt.Sprintf("%s%d", what, b.number)
}

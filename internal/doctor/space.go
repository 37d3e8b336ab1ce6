package doctor

import (
	"context"
	"fmt"
	"strings"
)

const leastSpace = 5 << 30 // bytes: a large image and its unpacked layers

// space looks how much room there is where images go.
func (d *doctor) space(_ context.Context, f facts) outcome {
	type place struct{ name, dir string }
	var places []place
	if dir := d.o.Machine.Dirs.Data; dir != "" {
		places = append(places, place{"vicr's store", d.existing(dir)})
	}
	for _, e := range f.engines {
		// That of an engine in a machine of its own is not a folder here.
		if dir := e.info.DataRoot; dir != "" && d.existing(dir) == dir {
			places = append(places, place{e.name, dir})
		}
	}
	var seen []string
	o := ok("")
	for _, p := range places {
		free, err := d.o.Free(p.dir)
		if err != nil {
			seen = append(seen, p.name+": not known")
			continue
		}
		seen = append(seen, fmt.Sprintf("%s: %s free", p.name, gib(free)))
		if free < leastSpace {
			o.Verdict = Warn
			o = o.try("df -h " + word(p.dir))
		}
	}
	if len(seen) == 0 {
		return skip("no folder for images is known")
	}
	o.Seen = strings.Join(seen, ", ")
	return o
}

func gib(n uint64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d GiB", n>>30)
}

// existing is dir or the nearest folder above it that is there.
func (d *doctor) existing(dir string) string {
	for dir != "" {
		if _, err := d.o.Machine.Stat(dir); err == nil {
			return dir
		}
		i := strings.LastIndexAny(dir, `/\`)
		if i <= 0 {
			break
		}
		dir = dir[:i]
	}
	return d.o.Machine.Join("/")
}

package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/vicr-cli/vicr/internal/transfer"
)

// progress shows the events of one transfer; how is how bars do it. The function it returns waits
// until what is shown is complete.
func (a *app) progress(how ...mpb.ContainerOption) (onEvent func(transfer.Event), done func()) {
	mode := a.flags.progress
	if mode == "auto" {
		mode = "plain"
		if a.env.Terminal {
			mode = "tty"
		}
		if a.flags.quiet {
			mode = "none"
		}
	}
	switch mode {
	case "tty":
		return bars(a.env.Stderr, how...)
	case "plain":
		return plainLines(a.env.Stderr), func() {}
	case "json":
		return jsonLines(a.env.Stderr), func() {}
	}
	return nil, func() {}
}

func short(e transfer.Event) string {
	const digits = 12 // as docker shows
	if h := e.Desc.Digest.Hex; len(h) > digits {
		return h[:digits]
	}
	return e.Desc.Digest.Hex
}

// plainLines say what is over, and what goes wrong: of the connections that fetch one
// blob all may break at once, and the first one says so for all.
func plainLines(w io.Writer) func(transfer.Event) {
	var mu sync.Mutex
	told := map[v1.Hash]int{} // the highest try since bytes came last
	return func(e transfer.Event) {
		mu.Lock()
		defer mu.Unlock()
		var said string
		switch e.Stage {
		case transfer.Existed, transfer.Done:
			said = ended(e)
		case transfer.Resumed:
			said = happened(e)
		case transfer.Retrying:
			if e.Try <= told[e.Desc.Digest] {
				return
			}
			told[e.Desc.Digest], said = e.Try, happened(e)
		case transfer.Progress:
			delete(told, e.Desc.Digest)
			return
		default:
			return
		}
		_, _ = fmt.Fprintf(w, "%s: %s\n", short(e), said) // may be lost
	}
}

// ended says how a blob ended. An engine that pushes tells no size of what is there.
func ended(e transfer.Event) string {
	word := "done"
	if e.Stage == transfer.Existed {
		word = "already there"
	}
	if e.Desc.Size == 0 {
		return word
	}
	return fmt.Sprintf("%s (%s)", word, size(e.Desc.Size))
}

func jsonLines(w io.Writer) func(transfer.Event) {
	var mu sync.Mutex
	enc := json.NewEncoder(w)
	names := map[transfer.Stage]string{
		transfer.Started: "started", transfer.Progress: "progress",
		transfer.Existed: "existed", transfer.Done: "done",
		transfer.Resumed: "resumed", transfer.Retrying: "retrying",
	}
	return func(e transfer.Event) {
		mu.Lock()
		defer mu.Unlock()
		line := map[string]any{"stage": names[e.Stage], "digest": e.Desc.Digest.String(), "bytes": e.Bytes, "size": e.Desc.Size}
		if e.Stage == transfer.Retrying {
			line["try"], line["wait"], line["why"] = e.Try, e.Wait.Seconds(), words(e.Err)
		}
		_ = enc.Encode(line) // progress may be lost
	}
}

// happened says what is seen of a blob beside how far it is.
func happened(e transfer.Event) string {
	switch {
	case e.Stage == transfer.Resumed:
		return fmt.Sprintf("goes on at %s of %s", size(e.Bytes), size(e.Desc.Size))
	case e.Wait > 0:
		return fmt.Sprintf("try %d in %s: %s", e.Try, e.Wait.Round(100*time.Millisecond), words(e.Err))
	}
	return fmt.Sprintf("goes on at %s: %s", size(e.Bytes), words(e.Err))
}

func bars(w io.Writer, how ...mpb.ContainerOption) (func(transfer.Event), func()) {
	p := mpb.New(append(how, mpb.WithOutput(w), mpb.WithWidth(40))...)
	var mu sync.Mutex
	open := map[string]*mpb.Bar{}
	var beside sync.Map // what stands beside a bar; mu is held while one is waited for
	return func(e transfer.Event) {
			mu.Lock()
			defer mu.Unlock()
			key := e.Desc.Digest.String()
			b := open[key]
			if b == nil {
				b = p.AddBar(e.Desc.Size,
					mpb.PrependDecorators(decor.Name(short(e)+" ")),
					mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f"), decor.Any(func(decor.Statistics) string {
						why, _ := beside.Load(key)
						text, _ := why.(string)
						return text
					})))
				open[key] = b
			}
			switch e.Stage {
			case transfer.Resumed:
				b.SetCurrent(e.Bytes)
				b.SetRefill(e.Bytes)
			case transfer.Progress:
				b.SetCurrent(e.Bytes)
				beside.Delete(key)
			case transfer.Retrying:
				beside.Store(key, "  "+happened(e))
			case transfer.Existed, transfer.Done:
				b.SetTotal(e.Desc.Size, true)
			}
		}, func() {
			mu.Lock()
			for _, b := range open {
				if !b.Completed() {
					b.Abort(false)
				}
			}
			mu.Unlock()
			p.Wait()
		}
}

// size is a number of bytes for people.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	div, exp := int64(unit), 0
	for m := n / unit; m >= unit; m /= unit {
		div *= unit
		exp++
	}
	return fmt.Sprintf("%.1f %ciB", float64(n)/float64(div), "KMGTPE"[exp])
}

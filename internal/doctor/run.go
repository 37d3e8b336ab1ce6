package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	stepLimit = 2 * time.Second        // of a check that asks this machine alone
	grace     = 300 * time.Millisecond // for a check that was told to end
)

// A step is one check and what it has to wait for.
type step struct {
	name   string
	hidden bool // it is no line of the report
	limit  time.Duration
	needs  []string // it is skipped when one of them failed
	after  []string // it only waits for them
	do     func(context.Context, facts) outcome
}

// An outcome is what a step has to say.
type outcome struct {
	Check // without a name

	learn  func(*facts) // may be nil
	goesOn bool         // what needs it can go on although it failed
}

func ok(format string, args ...any) outcome   { return outcome{Check: said(OK, format, args)} }
func skip(format string, args ...any) outcome { return outcome{Check: said(Skip, format, args)} }
func warn(format string, args ...any) outcome { return outcome{Check: said(Warn, format, args)} }
func fail(format string, args ...any) outcome { return outcome{Check: said(Fail, format, args)} }

func said(v Verdict, format string, args []any) Check {
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	return Check{Verdict: v, Seen: format}
}

func (o outcome) try(lines ...string) outcome {
	o.Remedy = append(o.Remedy, lines...)
	return o
}

func (o outcome) with(learn func(*facts)) outcome {
	o.learn = learn
	return o
}

// A runner runs steps, each as soon as what it waits for is done.
type runner struct {
	each time.Duration

	mu     sync.Mutex
	facts  facts
	done   map[string]chan struct{}
	checks map[string]Check
	cause  map[string]string // of a step that others cannot go on from: the check that failed
}

func (d *doctor) run(ctx context.Context, steps []step) []Check {
	ctx, cancel := context.WithTimeout(ctx, d.o.Whole)
	defer cancel()
	r := &runner{each: d.o.Each, done: map[string]chan struct{}{}, checks: map[string]Check{}, cause: map[string]string{}}
	for _, s := range steps {
		r.done[s.name] = make(chan struct{})
	}
	for _, s := range steps {
		go r.step(ctx, s)
	}
	for _, s := range steps {
		<-r.done[s.name]
	}
	shown := []Check{}
	for _, s := range steps {
		if !s.hidden || r.checks[s.name].Verdict == Fail {
			shown = append(shown, r.checks[s.name])
		}
	}
	secrets := r.facts.secrets()
	for i := range shown {
		shown[i] = presentable(shown[i], secrets)
	}
	return shown
}

// step waits for what s waits for, and makes the check.
func (r *runner) step(ctx context.Context, s step) {
	defer close(r.done[s.name])
	for _, names := range [][]string{s.needs, s.after} {
		for _, name := range names {
			if done := r.done[name]; done != nil {
				<-done
			}
		}
	}
	r.mu.Lock()
	known := r.facts
	for _, name := range s.needs {
		if cause := r.cause[name]; cause != "" {
			r.checks[s.name] = Check{Name: s.name, Verdict: Skip, Seen: "not checked, since " + cause + " failed"}
			r.cause[s.name] = cause
			r.mu.Unlock()
			return
		}
	}
	r.mu.Unlock()
	o := r.make(ctx, s, known)
	o.Name = s.name
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checks[s.name] = o.Check
	if o.Verdict == Fail && !o.goesOn {
		r.cause[s.name] = s.name
	}
	if o.learn != nil {
		o.learn(&r.facts)
	}
}

// make runs the check within its limit. One that does not end when it is told
// to, as at a file system that does not answer, is left behind.
func (r *runner) make(ctx context.Context, s step, known facts) outcome {
	if ctx.Err() != nil {
		return skip("not checked: no time was left")
	}
	limit := s.limit
	if limit == 0 {
		limit = stepLimit
	}
	if r.each > 0 {
		limit = min(limit, r.each)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	known.limit = limit
	result := make(chan outcome, 1)
	go func() { result <- s.do(ctx, known) }()
	select {
	case o := <-result:
		return o
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case o := <-result:
		return o
	case <-timer.C:
		return fail("no answer within %s", limit).try("run it again; if it stays, look at what this check is about by hand")
	}
}

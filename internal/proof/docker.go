package proof

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/edit"
	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/ref"
)

const (
	docker = "the Docker engine"

	// settleLimit is how long an engine may take to read its configuration
	// anew; dockerd 20.10 and 29 need 30 to 40 ms.
	settleLimit = 5 * time.Second
	settlePause = 50 * time.Millisecond

	// noReference is said where a host cannot stand in the name of an image: an
	// IPv6 address in those of dockerd 20.10.
	noReference = "invalid reference format"

	maxConfig  = 4 << 20 // bytes of daemon.json, as many as change takes
	maxPIDFile = 64      // bytes
)

// A Target is a Docker engine by its socket, whoever runs it and whatever
// engine the user's commands go to.
type Target struct{ Socket string } // path; "" if none was seen

func (t Target) open(ctx context.Context) (*engine.Engine, error) {
	if t.Socket == "" {
		return nil, engine.ErrNoEngine
	}
	e, err := engine.Open("unix://"+t.Socket, engine.Options{})
	if err != nil {
		return nil, err
	}
	if _, err := e.Ping(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// away says whether err is that of an engine that does not answer.
func away(err error) bool {
	_, ok := errors.AsType[*engine.UnavailableError](err)
	return ok || errors.Is(err, engine.ErrNoEngine)
}

func nobody(name string) []Fact {
	return []Fact{{Host: name, Why: "no Docker engine answers here now"}}
}

// Docker asks an engine for every spelling of h. The error is an [*Error] when
// it refuses one; an engine that does not answer is no error, but proves nothing.
func Docker(ctx context.Context, t Target, h ref.Host) ([]Fact, error) {
	e, err := t.open(ctx)
	if away(err) {
		return nobody(h.String()), nil
	}
	if err != nil {
		return nil, err
	}
	defer e.Close() //nolint:errcheck // only a connection
	return askEngine(ctx, e, h.Spellings())
}

func askEngine(ctx context.Context, e *engine.Engine, names []string) ([]Fact, error) {
	var facts []Fact
	for _, name := range names {
		p, err := e.ProveTrust(ctx, name)
		if err != nil {
			return facts, err
		}
		f, err := judged(docker, name, p)
		if err != nil {
			return facts, err
		}
		facts = append(facts, f)
	}
	return facts, nil
}

// DockerInsecure waits until the engine at socket has all of hosts, which may be
// networks too, in its list of registries that it does not verify, or with want
// false none of them; 5 s at most. Those that it has it is asked for, as by
// [Docker]. An engine that has them does not verify them, even where its words
// say nothing: 20.10 reports how its fall-back to plain HTTP ended. The error is
// an [*Error] when the list stays otherwise, or the registry is refused all the
// same; an engine that does not answer is no error, but proves nothing.
func DockerInsecure(ctx context.Context, socket string, hosts []string, want bool) ([]Fact, error) {
	e, err := Target{Socket: socket}.open(ctx)
	if away(err) {
		return nobody(strings.Join(hosts, ", ")), nil
	}
	if err != nil {
		return nil, err
	}
	defer e.Close() //nolint:errcheck // only a connection
	if err := inList(ctx, e, hosts, want); err != nil || !want {
		return nil, err
	}
	var facts []Fact
	for _, name := range hosts {
		if network(name) {
			facts = append(facts, Fact{Host: name, Proven: true})
			continue
		}
		p, err := e.ProveTrust(ctx, name)
		if err != nil {
			return facts, err
		}
		f, err := judged(docker, name, p)
		if err != nil {
			return facts, err
		}
		f.Proven = f.Proven || p.Verdict == engine.Unknown && !strings.Contains(p.Message, noReference)
		facts = append(facts, f)
	}
	return facts, nil
}

// inList waits until hosts are in the engine's list, or are not.
func inList(ctx context.Context, e *engine.Engine, hosts []string, want bool) error {
	wrong := func(now []string) string {
		for _, h := range hosts {
			n := entry(h)
			switch has := slices.Contains(now, n); {
			case want && !has:
				return fmt.Sprintf("%q is not in its list of insecure registries, %q", h, now)
			case !want && has && !implied(n):
				return fmt.Sprintf("%q is still in its list of insecure registries", h)
			}
		}
		return ""
	}
	return settle(ctx, e, strings.Join(hosts, ", "), wrong)
}

// settle asks the engine for its list of insecure registries until wrong finds
// nothing against it. The error is an [*Error] when that takes too long.
func settle(ctx context.Context, e *engine.Engine, what string, wrong func(now []string) string) error {
	short, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	why := "it does not answer"
	for {
		i, err := e.Info(short)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			now := make([]string, len(i.Insecure))
			for k, s := range i.Insecure {
				now[k] = entry(s)
			}
			if why = wrong(now); why == "" {
				return nil
			}
		case !away(err) && short.Err() == nil:
			return err
		}
		select {
		case <-short.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &Error{Tool: docker, Host: what, Message: why + ", " + settleLimit.String() + " after it was told", Stale: true}
		case <-time.After(settlePause):
		}
	}
}

// entry is an entry of the list as the engine keeps it: dockerd drops the
// scheme and writes a network by its first address; a host stays to the letter
// (moby daemon/pkg/registry/config.go, loadInsecureRegistries).
func entry(s string) string {
	for _, scheme := range []string{"http://", "https://"} {
		if len(s) > len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) {
			s = s[len(scheme):]
			break
		}
	}
	if _, n, err := net.ParseCIDR(s); err == nil {
		return n.String()
	}
	return s
}

func network(s string) bool {
	_, _, err := net.ParseCIDR(s)
	return err == nil
}

// implied are the networks that every engine has in its list by itself.
func implied(entry string) bool { return entry == "127.0.0.0/8" || entry == "::1/128" }

// Settled waits until the engine that r reloads has the list of insecure
// registries that its daemon.json has now, for 5 s at most. There is nothing to
// wait for where the file has no such key (the engine then keeps what it had),
// where no engine runs, and for reloads of other programs. The error is an
// [*Error] when the engine's list stays otherwise, or that of reading the file.
func Settled(ctx context.Context, m machine.Machine, r change.Reload) error {
	config, socket := behind(m, r)
	if config == "" || socket == "" {
		return nil
	}
	data, err := m.ReadFile(config, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	list, err := edit.JSONList(data, "insecure-registries")
	if err != nil {
		return fmt.Errorf("%q: %w", config, err)
	}
	if list == nil {
		return nil
	}
	e, err := engine.Open("unix://"+socket, engine.Options{})
	if err != nil {
		return err
	}
	defer e.Close() //nolint:errcheck // only a connection
	if _, err := e.Ping(ctx); errors.Is(err, engine.ErrNoEngine) || away(err) && !runs(m, r.PIDFile) {
		return nil
	}
	want := distinct(list)
	return settle(ctx, e, config, func(now []string) string {
		if now = distinct(now); !slices.Equal(now, want) {
			return fmt.Sprintf("its list of insecure registries is %q, not %q", now, want)
		}
		return ""
	})
}

// behind finds the engine that a reload is for: its daemon.json and its socket,
// "" where it is not an engine or they are not known.
func behind(m machine.Machine, r change.Reload) (config, socket string) {
	d := m.Docker
	if r.PIDFile == "" {
		return "", ""
	}
	if d.Daemon.PIDFile == r.PIDFile {
		return either(d.Daemon.ConfigFile, d.ConfigFile), d.Socket
	}
	for _, v := range d.Variants {
		if v.Daemon.PIDFile == r.PIDFile {
			return either(v.Daemon.ConfigFile, v.ConfigFile), v.Socket
		}
	}
	return "", ""
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// runs says whether there is a process of the number in pidfile.
func runs(m machine.Machine, pidfile string) bool {
	data, err := m.ReadFile(pidfile, maxPIDFile)
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return false
	}
	_, err = m.Stat("/proc/" + strconv.Itoa(pid))
	return err == nil
}

// distinct are the entries of a list in order, without the implied ones.
func distinct(list []string) []string {
	var l []string
	for _, s := range list {
		if s = entry(s); !implied(s) {
			l = append(l, s)
		}
	}
	slices.Sort(l)
	return slices.Compact(l)
}

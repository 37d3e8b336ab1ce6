// Package doctor runs the checks of the whole road between this machine and a
// registry, each a named fact with its evidence and, where it is no good, what
// to type next. It changes nothing, here or there.
package doctor

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/vicr-cli/vicr/internal/auth"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/wire"
)

// wholeLimit is how long all checks together may take.
const wholeLimit = 12 * time.Second

// A Verdict is the one word about a check.
type Verdict string

// The verdicts.
const (
	OK   Verdict = "ok"
	Warn Verdict = "warn" // works, or may work, and is not as it should be
	Fail Verdict = "fail"
	Skip Verdict = "skip" // not checked, or there is nothing to check
)

// A Check is one fact about the road. Its texts are escaped: they can go to a
// terminal.
type Check struct {
	Name    string
	Verdict Verdict
	Seen    string
	Remedy  []string // lines to type, or whom to ask; empty unless Warn or Fail
}

// A Report is all that was found out, in the order of the road.
type Report struct {
	Host   string
	Checks []Check
}

// Failed is how many checks failed.
func (r Report) Failed() int {
	n := 0
	for _, c := range r.Checks {
		if c.Verdict == Fail {
			n++
		}
	}
	return n
}

// A Target is what is checked: a registry, or a project, repository or image in it.
type Target struct {
	Typed string // may hold any byte
	Host  ref.Host
	Path  string // PROJECT or PROJECT/REPO, as one repository; "" for the registry alone
	Tag   string
	// Digest is "" unless one was typed.
	Digest string
}

// ParseTarget reads HOST[/PROJECT[/REPO[:TAG]]]. The error is a [*ref.Error].
func ParseTarget(s string) (Target, error) {
	host, rest, _, err := ref.CutHost(s)
	if err != nil || rest == "" {
		return Target{Typed: s, Host: host}, err
	}
	img, err := ref.ParseImage("registry.invalid/" + rest) // the host is read, by other rules than docker's
	if err != nil {
		why := "not in the form HOST/PROJECT/REPO[:TAG]"
		return Target{}, &ref.Error{What: "target", Input: s, Why: why}
	}
	t := Target{Typed: s, Host: host, Path: img.Repository, Tag: img.Tag, Digest: img.Digest}
	if img.Tag == "latest" && !strings.HasSuffix(rest, ":latest") {
		t.Tag = ""
	}
	return t, nil
}

// project is what a Harbor calls so.
func (t Target) project() string {
	name, _, _ := strings.Cut(t.Path, "/")
	return name
}

// A Resolver looks names up, as [net.Resolver] does.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Options are what the checks work with: nothing is read from the environment.
type Options struct {
	Machine machine.Machine
	// Wire is how this user's connections to the host are made, with the
	// client certificate if there is one. Its Roots do not matter.
	Wire        wire.Config
	Credentials *auth.Store // nil: they are not looked at, for the reason in NoCredentials
	Marks       auth.Marks
	Environ     []string // all of the environment, as NAME=VALUE; values are not shown
	Dropped     []string // variables that were set and do not count under sudo
	Sudo        bool     // root through sudo

	NoCredentials string
	Now           func() time.Time // nil: time.Now
	Resolver      Resolver         // nil: the system's
	Dial          func(ctx context.Context, network, address string) (net.Conn, error)
	// Free is how many bytes are free where a folder is; nil: the system's answer.
	Free func(dir string) (uint64, error)

	Whole time.Duration // for all checks; 0: 12 s
	Each  time.Duration // for one check at most; 0: each has a limit of its own
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Free == nil {
		o.Free = free
	}
	if o.Whole <= 0 {
		o.Whole = wholeLimit
	}
	if o.Wire.Proxy == nil {
		o.Wire.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	}
	return o
}

// env is the value of a variable, by either case of its name where that is usual.
func (o Options) env(names ...string) string {
	for _, name := range names {
		for _, kv := range o.Environ {
			if k, v, ok := strings.Cut(kv, "="); ok && k == name && v != "" {
				return v
			}
		}
	}
	return ""
}

// Run checks the road to t. It never takes longer than [Options.Whole] and a
// little. What fails is in the report.
func Run(ctx context.Context, t Target, o Options) Report {
	d := &doctor{target: t, o: o.withDefaults()}
	return Report{Host: t.Host.String(), Checks: d.run(ctx, d.steps())}
}

// A doctor makes the checks of one target.
type doctor struct {
	target Target
	o      Options
}

// steps are the checks in the order in which they are shown. Those without a
// name only learn what others need.
func (d *doctor) steps() []step {
	all := []step{
		{name: "address", do: d.address},
		{name: "dns", limit: 3 * time.Second, after: []string{"proxy"}, do: d.dns},
		{name: "proxy", do: d.proxy},
		{name: "tcp", limit: 4 * time.Second, needs: []string{"dns", "proxy"}, do: d.tcp},
		{name: anchors, hidden: true, do: d.anchors},
		{name: engines, hidden: true, limit: 4 * time.Second, do: d.engines},
		{name: "scheme", limit: 6 * time.Second, needs: []string{"tcp"}, after: []string{anchors}, do: d.scheme},
		{name: "tls", limit: 3 * time.Second, needs: []string{"scheme", anchors}, do: d.tls},
		{name: "ca", needs: []string{"scheme", anchors}, after: []string{"tls"}, do: d.ca},
		{name: "api", limit: 4 * time.Second, needs: []string{"scheme"}, after: []string{"tls"}, do: d.api},
		{name: "realm", limit: 4 * time.Second, needs: []string{"api"}, after: []string{"tls"}, do: d.realm},
		{name: kept, hidden: true, limit: 5 * time.Second, do: d.keep},
		{name: "credentials", after: []string{kept, "tls"}, do: d.credentials},
		{name: "login", limit: 5 * time.Second, needs: []string{"api", "realm", "credentials"}, do: d.login},
	}
	if d.target.Path != "" {
		all = append(all,
			step{name: "project", limit: 4 * time.Second, needs: []string{"api", "realm", "login"}, do: d.project},
			step{name: "pull", limit: 4 * time.Second, needs: []string{"api", "realm", "login", "project"}, do: d.pull},
			step{name: "push", limit: 4 * time.Second, needs: []string{"api", "realm", "login", "project"}, after: []string{"pull"}, do: d.push},
		)
	}
	return append(
		all,
		step{name: "engine", limit: 8 * time.Second, needs: []string{"scheme"}, after: []string{engines, "ca"}, do: d.engine},
		step{name: "engine store", after: []string{"engine", "realm", "buildkit"}, do: d.engineStore},
		step{name: "buildkit", limit: 4 * time.Second, needs: []string{"scheme"}, after: []string{"realm", "dns", anchors, engines}, do: d.buildkit},
		step{name: "folders", do: d.folders},
		step{name: "insecure", after: []string{engines, anchors, "dns", "scheme"}, do: d.insecure},
		step{name: "space", limit: 2 * time.Second, after: []string{engines}, do: d.space},
		step{name: "environment", do: d.environment},
	)
}

// The hidden steps.
const (
	kept    = "credential store"
	anchors = "anchors"
	engines = "engines"
)

// Package status compares what vicr recorded with what is there now: files,
// certificates, processes, and what lies beside them. It reads the machine and
// changes nothing.
package status

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/pki"
	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/trust"
)

// How long before its end a CA is spoken of. A month is what it takes to get a
// new one from elsewhere; two weeks before the end somebody has to act.
const (
	renewDays  = 30 // told, and all is well
	urgentDays = 14 // no longer well
)

// Options are what [Of] needs to know beside the journals and the machine.
type Options struct {
	Now   time.Time
	Hosts []string                    // as in [change.Subject]; nil: all that are recorded
	User  func(ref.Host) (who string) // who is logged in, "" for nobody; nil: not asked

	// Unread says that the machine has a journal that this user may not read.
	// What it must hold for the registries of the user's own is then taken from
	// the files.
	Unread bool
}

// A Report is what was found, for programs too: fields are added, never renamed.
type Report struct {
	Registries []Registry // by host
	OK         bool       // no finding counts, see [Finding.Counts]
}

// A Registry is what was recorded for one, and what became of it.
type Registry struct {
	Host     string
	Trust           // that was agreed to last; tools may have another
	User     string // who is logged in; "" for nobody
	Tools    []Tool
	Findings []Finding
}

// A Trust is the CA that a registry is trusted by, and how it came to be.
type Trust struct {
	Fingerprint string // of the CA; "" where none was installed
	How         string // "fingerprint", "asked", "accept-new", "insecure"
	NotAfter    string // of the CA, RFC 3339; "" where none was installed
	DaysLeft    int    // until NotAfter, rounded down: below 0 it is over
}

// A State says how a tool's part is.
type State string

// The states of a [Tool].
const (
	OK      State = "ok"
	Pending State = "pending" // in place, and something has to be restarted or finished
	Drift   State = "drift"   // not as vicr left it
)

// A Tool is the part of one container tool.
type Tool struct {
	Tool  string
	State State
	Trust
	Files   []File
	Restart string // what has to be typed before the files count; "" if nothing
}

// A FileState says how a file is.
type FileState string

// The states of a [File].
const (
	FileOK      FileState = "ok"
	FileGone    FileState = "gone"
	FileChanged FileState = "changed"
	FileMode    FileState = "mode"   // its bytes are right, its permissions or its owner are not
	FileUnread  FileState = "unread" // this user cannot read it
)

// A File is one that was changed.
type File struct {
	Path  string // may hold any byte
	State FileState
}

// Of compares what is recorded with what is there. The entries are those of
// the user's own journal first: they know how a CA came to be trusted, where
// the machine's know what they were told.
func Of(entries []change.Entry, m machine.Machine, o Options) Report {
	c := &checker{m: m, o: o}
	for _, e := range entries {
		if o.Hosts == nil || slices.Contains(o.Hosts, e.Subject.Host) {
			c.entry(c.of(e), e)
		}
	}
	for _, host := range o.Hosts {
		if !slices.ContainsFunc(c.all, func(r *registry) bool { return r.Host == host }) {
			c.unrecorded(host)
		}
	}
	out := Report{Registries: []Registry{}, OK: true}
	for _, r := range c.all {
		if len(r.recorded) > 0 || len(r.Tools) > 0 {
			c.trusts(r)
			c.beside(r)
		}
		out.Registries = append(out.Registries, r.Registry)
		out.OK = out.OK && !slices.ContainsFunc(r.Findings, Finding.Counts)
	}
	slices.SortFunc(out.Registries, func(a, b Registry) int { return cmp.Compare(a.Host, b.Host) })
	return out
}

// checker is one run of [Of].
type checker struct {
	m         machine.Machine
	o         Options
	all       []*registry
	processes *processes // nil: not yet looked
}

// registry is a [Registry] that is being made.
type registry struct {
	Registry
	host     ref.Host // zero: the entry is about something else, such as a network
	time     time.Time
	recorded []string // the paths of all its records
}

// of is what a tool has; that of the registry for one that is not recorded.
func (r *registry) of(tool string) Trust {
	if i := slices.IndexFunc(r.Tools, func(t Tool) bool { return t.Tool == tool && t.How != "" }); i >= 0 {
		return r.Tools[i].Trust
	}
	return r.Trust
}

// anchor is the CA of that; zero where nothing is verified.
func (r *registry) anchor(tool string) pki.Fingerprint {
	fp, _ := pki.ParseFingerprint(r.of(tool).Fingerprint)
	return fp
}

// of finds the registry of an entry, or adds it. What was agreed to last is its
// CA; where one half does not verify it, the CA of the other.
func (c *checker) of(e change.Entry) *registry {
	i := slices.IndexFunc(c.all, func(r *registry) bool { return r.Host == e.Subject.Host })
	if i < 0 {
		r := c.newRegistry(e.Subject.Host)
		r.Trust, r.time = c.trust(e.Subject.Trust), e.Time
		return r
	}
	r := c.all[i]
	if r.Fingerprint == "" || e.Subject.Fingerprint != "" && e.Subject.Fingerprint != r.Fingerprint && e.Time.After(r.time) {
		r.Trust, r.time = c.trust(e.Subject.Trust), e.Time
	}
	return r
}

func (c *checker) trust(t change.Trust) Trust {
	out := Trust{Fingerprint: t.Fingerprint, How: t.How}
	if !t.NotAfter.IsZero() {
		out.NotAfter = t.NotAfter.UTC().Format(time.RFC3339)
		out.DaysLeft = int(math.Floor(t.NotAfter.Sub(c.o.Now).Hours() / 24))
	}
	return out
}

// trusts says which CA a tool has, and finds two tools of a registry with
// different ones.
func (c *checker) trusts(r *registry) {
	verified := func(t Tool) bool { return t.Fingerprint != "" }
	if i := slices.IndexFunc(r.Tools, verified); i >= 0 && r.Fingerprint == "" { // the others were told to stop
		r.Trust = r.Tools[i].Trust
	}
	for i := range r.Tools {
		t := &r.Tools[i]
		if !verified(*t) || t.Fingerprint == r.Fingerprint {
			continue
		}
		r.add("", Finding{
			Kind: KindDiffers, Text: t.Tool + " has another CA than the one that was agreed to last, " + t.Fingerprint,
			Remedy: c.again(r, "") + " --for " + t.Tool,
		})
	}
}

func (c *checker) newRegistry(host string) *registry {
	r := &registry{Registry: Registry{Host: host, Tools: []Tool{}, Findings: []Finding{}}}
	r.host, _ = ref.ParseHost(host) // a network is no host
	if c.o.User != nil && !r.host.IsZero() {
		r.User = c.o.User(r.host)
	}
	c.all = append(c.all, r)
	return r
}

// unrecorded speaks of a host that was named and is in no journal that can be read.
func (c *checker) unrecorded(host string) {
	r := c.newRegistry(host)
	if c.o.Unread && trust.InMachine(c.m, r.host) {
		f := Finding{
			Kind: KindUnseen, Text: "what is recorded for the whole machine is for root to read",
			Remedy: "sudo vicr status " + c.quote(host),
		}
		if c.m.GOOS == "windows" {
			f.Text = "what is recorded for the whole machine is for an administrator to read"
			f.Remedy = "in a terminal started as administrator: vicr status " + c.quote(host)
		}
		r.add("", f)
		return
	}
	if found, err := trust.RecordedAnchor(c.m, r.host); err == nil && !found.IsZero() {
		r.add("", Finding{Kind: KindNote, Path: found.Path, Text: "a CA for " + string(found.Tool) + " that vicr did not put there"})
		return
	}
	r.add("", Finding{Kind: KindUnrecorded, Text: "not recorded here: vicr set nothing up for it", Remedy: c.again(r, "")})
}

// entry adds what one journal knows of a registry.
func (c *checker) entry(r *registry, e change.Entry) {
	if e.State == change.StateOpen {
		r.add("", Finding{
			Kind: KindInterrupted, Text: "a change is under way, or was interrupted: the next run puts it in order",
			Remedy: c.again(r, ""),
		})
	}
	if e.Doubt != "" {
		r.add("", Finding{
			Kind: KindDoubt, Text: "the journal is not believed: " + e.Doubt,
			Remedy: "vicr untrust " + c.quote(r.Host) + " --force" + c.root(),
		})
	}
	for _, rec := range e.Records {
		r.recorded = append(r.recorded, rec.Path)
		t := r.tool(rec.Tool)
		if trusted := rec.Trust; trusted != (change.Trust{}) {
			t.Trust = c.trust(trusted)
		} else { // written before records had it
			t.Trust = c.trust(e.Subject.Trust)
		}
		state, finding := c.file(r, rec)
		if e.State == change.StateOpen {
			// Half of it may be done: what is missing is not somebody's doing.
			state, finding = FileOK, nil
			t.worse(Pending)
		}
		t.Files = append(t.Files, File{Path: rec.Path, State: state})
		if finding != nil {
			if e.State == change.StateLeft {
				c.left(r, finding)
			}
			r.add(rec.Tool, *finding)
		}
		if e.State != change.StateOpen {
			c.restart(r, e, rec)
		}
	}
}

// left is about a file that an untrust did not take back.
func (c *checker) left(r *registry, f *Finding) {
	f.Kind = KindLeft
	f.Text += "; vicr untrust left it as it is"
	f.Remedy = "vicr untrust " + c.quote(r.Host) + " --force" + c.root()
}

// tool finds one of a registry's, or adds it. They stand in the order of [trust.Tools].
func (r *registry) tool(name string) *Tool {
	i := slices.IndexFunc(r.Tools, func(t Tool) bool { return t.Tool == name })
	if i < 0 {
		rank := func(t Tool) int {
			if i := slices.Index(trust.Tools(), trust.Tool(t.Tool)); i >= 0 {
				return i
			}
			return len(trust.Tools())
		}
		r.Tools = append(r.Tools, Tool{Tool: name, State: OK, Files: []File{}})
		slices.SortStableFunc(r.Tools, func(a, b Tool) int { return rank(a) - rank(b) })
		i = slices.IndexFunc(r.Tools, func(t Tool) bool { return t.Tool == name })
	}
	return &r.Tools[i]
}

func (r *registry) has(tool string) bool {
	return slices.ContainsFunc(r.Tools, func(t Tool) bool { return t.Tool == tool })
}

// worse makes the state s, unless it is worse already.
func (t *Tool) worse(s State) {
	if t.State == OK || s == Drift {
		t.State = s
	}
}

// add takes in a finding about one of the tools, or about none.
func (r *registry) add(tool string, f Finding) {
	if !slices.Contains(r.Findings, f) { // two tools may read the same file
		r.Findings = append(r.Findings, f)
	}
	if tool == "" {
		return
	}
	switch t := r.tool(tool); {
	case f.Kind == KindRestart, f.Kind == KindRestarted:
		t.worse(Pending)
	case f.Counts():
		t.worse(Drift)
	}
}

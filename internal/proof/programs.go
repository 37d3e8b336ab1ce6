package proof

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/change"
	"github.com/vicr-cli/vicr/internal/engine"
	"github.com/vicr-cli/vicr/internal/machine"
	"github.com/vicr-cli/vicr/internal/ref"
)

const (
	// askLimit is how long a program may take for one name. Podman tries an
	// absent host four times.
	askLimit = 45 * time.Second
	askGrace = 2 * time.Second // between asking it to end and ending it
	endLimit = 10 * time.Second

	scratchIn = "/tmp"

	maxOutput = 64 << 10 // bytes of output that are kept, the last ones
	maxWords  = 1 << 10  // bytes of it that are shown
)

// A question is how one program is asked for an image that no registry has.
type question struct {
	tool   string
	path   string
	global []string // go before args and forget
	args   []string // the name comes after them
	keeps  bool     // it keeps what it needs in folders that it can be told of
	pauses bool     // it leaves a process that holds its namespace
	forget []string // takes away what it pulled of a registry that has every name; the name comes after; nil: it pulls nothing
	prefix string   // before the name
	env    []string
	user   *change.User
	broken []string // words of this program that a file of its configuration cannot be read
}

// Podman asks one of the programs that read through containers/image for every
// spelling of h, as another user if as is not nil: skopeo, which keeps nothing,
// else podman, else buildah. It takes 45 s a name at most. The error is an
// [*Error] when it refuses; where none of them can be asked, or what it says
// cannot be understood, the facts are not proven. The latter two work in a
// scratch folder and leave nothing behind; they are not asked as another user,
// who could not enter it.
func Podman(ctx context.Context, m machine.Machine, h ref.Host, as *change.User) ([]Fact, error) {
	q, why := podmanQuestion(m)
	if why == "" && as != nil && q.keeps {
		why = "skopeo is not here to be asked as another user"
	}
	if why != "" {
		return []Fact{{Host: h.String(), Why: why}}, nil
	}
	if as == nil {
		q.env = homeOf(m)
	}
	q.user = as
	q.broken = []string{"registries configuration", "registries.conf"}
	if !q.keeps {
		return q.all(ctx, h)
	}
	return q.contained(ctx, h)
}

// containersConf keeps podman and buildah from leaving locks, settings of
// networks and events outside of a folder (containers.conf(5)).
const containersConf = `[engine]
lock_type = "file"
events_logger = "none"
tmp_dir = %[1]q
volume_path = %[1]q
[network]
network_config_dir = %[1]q
`

// contained asks with all that the program keeps in a scratch folder.
func (q question) contained(ctx context.Context, h ref.Host) (facts []Fact, err error) {
	folder, err := atomicfile.NewScratchFolder(scratchIn)
	if err != nil {
		return []Fact{{Host: h.String(), Why: q.tool + " cannot be asked: " + err.Error()}}, nil
	}
	defer func() { err = errors.Join(err, folder.Remove()) }()
	dir := folder.Path()
	conf := dir + "/containers.conf"
	if err := atomicfile.Machine().Write(conf, fmt.Appendf(nil, containersConf, dir+"/state"), 0o600); err != nil {
		return []Fact{{Host: h.String(), Why: q.tool + " cannot be asked: " + err.Error()}}, nil
	}
	q.global = []string{"--root", dir + "/root", "--runroot", dir + "/run", "--storage-driver", "vfs"}
	q.env = append(q.env, "CONTAINERS_CONF="+conf, "XDG_RUNTIME_DIR="+dir)
	if q.pauses {
		defer func() {
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLimit)
			defer cancel()
			_, _, merr := q.run(end, []string{"system", "migrate"}) // ends that process
			err = errors.Join(err, merr)
		}()
	}
	return q.all(ctx, h)
}

func podmanQuestion(m machine.Machine) (q question, why string) {
	programs := m.Podman.Programs
	switch {
	case m.Root != "":
		return q, "nothing is started in a tree"
	case m.Podman.Machine:
		return q, "podman runs in a virtual machine, which reads files of its own"
	case programs["skopeo"] != "":
		return question{tool: "skopeo", path: programs["skopeo"], args: []string{"inspect", "--no-creds"}, prefix: "docker://"}, ""
	case programs["podman"] != "":
		return question{
			tool: "podman", path: programs["podman"], args: []string{"pull", "-q"}, forget: []string{"rmi"}, keeps: true, pauses: m.Euid != 0,
		}, ""
	case programs["buildah"] != "":
		// Without the policy it takes what it has.
		return question{tool: "buildah", path: programs["buildah"], args: []string{"pull", "--policy=always"}, forget: []string{"rmi"}, keeps: true}, ""
	}
	return q, "neither skopeo nor podman nor buildah is here to be asked"
}

// homeOf is HOME for a program that runs with our rights. Under sudo the
// machine's home is that of the user, where root has nothing to read or write.
func homeOf(m machine.Machine) []string {
	home := m.Home
	if info, err := m.Stat(home); err == nil {
		if o, ok := atomicfile.OwnerOf(info); ok && o.UID != m.Euid {
			home = ""
		}
	}
	if home == "" {
		if u, err := user.LookupId(strconv.Itoa(m.Euid)); err == nil {
			home = u.HomeDir
		}
	}
	if home == "" {
		return nil
	}
	return []string{"HOME=" + home}
}

// Containerd has ctr, which comes with containerd, ask for every spelling of h
// by the files that are in containerd's folder of hosts. It takes 45 s a name
// at most. The error is an [*Error] when it refuses; where it cannot be asked,
// or what it says cannot be understood, the facts are not proven.
func Containerd(ctx context.Context, m machine.Machine, h ref.Host) ([]Fact, error) {
	return containerd(ctx, m, h, []string{"/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin", "/usr/local/sbin", "/sbin"})
}

func containerd(ctx context.Context, m machine.Machine, h ref.Host, folders []string) ([]Fact, error) {
	ctr, why := "", ""
	for _, dir := range folders {
		if info, err := m.Stat(dir + "/ctr"); err == nil && info.Mode().IsRegular() {
			ctr = dir + "/ctr"
			break
		}
	}
	switch c := m.Containerd; {
	case m.Root != "":
		why = "nothing is started in a tree"
	case c.Socket == "":
		why = "no containerd answers here now"
	case ctr == "":
		why = "ctr is not here to be asked"
	case c.CertsDir == "":
		why = "its folder of hosts is not known"
	case m.Euid != 0:
		why = "only root may ask containerd"
	}
	if why != "" {
		return []Fact{{Host: h.String(), Why: why}}, nil
	}
	at := []string{"--address", m.Containerd.Socket, "images"}
	return question{
		tool: "containerd", path: ctr,
		args:   append(at, "pull", "--hosts-dir", m.Containerd.CertsDir),
		forget: append(at[:len(at):len(at)], "rm"),
	}.all(ctx, h)
}

// all asks for every spelling of h.
func (q question) all(ctx context.Context, h ref.Host) ([]Fact, error) {
	var facts []Fact
	for _, name := range h.Spellings() {
		p, err := q.ask(ctx, name, askLimit)
		if err != nil {
			return facts, err
		}
		f, err := judged(q.tool, name, p)
		if err != nil {
			return facts, err
		}
		facts = append(facts, f)
	}
	return facts, nil
}

// ask asks for one name. Only the words count: every failure has the same code.
func (q question) ask(ctx context.Context, name string, limit time.Duration) (engine.Proof, error) {
	short, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	image := engine.NoImage(name)
	code, text, err := q.run(short, append(q.args[:len(q.args):len(q.args)], q.prefix+image))
	switch {
	case ctx.Err() != nil:
		return engine.Proof{}, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return engine.Proof{Verdict: engine.Unreachable, Message: q.tool + " has no answer within " + limit.String()}, nil
	case err != nil:
		return engine.Proof{Message: q.tool + " cannot be asked: " + err.Error()}, nil
	}
	if code == 0 && q.forget != nil {
		if _, _, err := q.run(ctx, append(q.forget[:len(q.forget):len(q.forget)], image)); err != nil {
			return engine.Proof{}, err
		}
	}
	p := engine.Proof{Verdict: engine.Judge(text, name), Message: words(text)}
	for _, b := range q.broken {
		if strings.Contains(text, b) {
			p.Verdict = engine.DirFault
		}
	}
	if p.Verdict == engine.Unknown && code == 0 {
		p.Verdict = engine.Trusted
	}
	if p.Message == "" {
		p.Message = q.tool + " said nothing, and ended with code " + strconv.Itoa(code)
	}
	return p, nil
}

func (q question) run(ctx context.Context, args []string) (code int, text string, err error) {
	var out tail
	code, err = change.Run(ctx, change.Program{
		Path: q.path, Args: slices.Concat(q.global, args), Env: q.env, User: q.user, Stdout: &out, Stderr: &out, Grace: askGrace,
	})
	return code, out.String(), err
}

// words is what of an output is shown: its last line, which says why; those
// before it are about progress and tries.
func words(text string) string {
	text = strings.TrimSpace(text)
	text = text[strings.LastIndexByte(text, '\n')+1:]
	return strings.ToValidUTF8(text[max(0, len(text)-maxWords):], "")
}

// A tail keeps the end of what is written to it.
type tail struct{ b bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if n > maxOutput {
		p = p[n-maxOutput:]
	}
	if over := t.b.Len() + len(p) - maxOutput; over > 0 {
		t.b.Next(over)
	}
	t.b.Write(p)
	return n, nil
}

func (t *tail) String() string { return t.b.String() }

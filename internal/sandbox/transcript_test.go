package sandbox

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A recorded file holds what real servers were asked, in order, and answered.
type recorded struct {
	LeftOut []struct{ Request, Why string } `json:"left_out"`
	Cases   []recordedCase
}

type recordedCase struct {
	Section, Name, Note string
	Setup               string // which sandbox it is asked of
	Before              string // what is done first
	Method, Path        string
	Who                 string // "", "dev", "dev:wrong"
	Token               *recordedToken
	Bearer              string
	Type, Body          string
	Upload              string // the path goes on behind the Location of an upload to this repository
	Answers             []recordedAnswer
	Then                map[Like]json.RawMessage // the new project, as a list shows it; or the empty list
}

type recordedToken struct {
	Scope, As, Sub string
	Actions        []string // nil: not recorded
}

type recordedAnswer struct {
	Like   []Like
	Status int
	Header map[string]string
	JSON   json.RawMessage
	Text   string
	Title  string // of a page
	Is     string // "ca"
}

const bigBlob = 3001120 // bytes of the layer that was too large for its project

// The double is held against what Harbor answered.
func TestTheDoubleAnswersAsRecorded(t *testing.T) {
	t.Parallel()
	for file, likes := range map[string][]Like{
		"harbor-1.x.json":  {Harbor11, Harbor15, Harbor17},
		"harbor-2.16.json": {Harbor216},
	} {
		raw, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		var r recorded
		if err := json.Unmarshal(raw, &r); err != nil || len(r.Cases) == 0 {
			t.Fatalf("%s: %d cases, %v", file, len(r.Cases), err)
		}
		for _, like := range likes {
			t.Run(string(like), func(t *testing.T) {
				t.Parallel()
				d := double{whole: t, like: like, boxes: map[string]*box{}}
				for _, c := range r.Cases {
					t.Run(strings.Join([]string{c.Section, c.Name, c.Note, c.Method, c.Path}, " "), func(t *testing.T) { d.replay(t, c) })
				}
			})
		}
	}
}

// A double is the sandboxes of one generation, one for each setup.
type double struct {
	whole *testing.T // which the sandboxes last as long as
	like  Like
	boxes map[string]*box
	words *strings.Replacer // what stands for digests in paths and bodies
}

func (d *double) replay(t *testing.T, c recordedCase) {
	t.Helper()
	b := d.box(t, c.Setup)
	asks := []ask{}
	if c.Who != "" {
		asks = append(asks, b.login(c.Who))
	}
	if c.Token != nil {
		asks = append(asks, bearing(b.recordedToken(t, *c.Token)))
	}
	if c.Bearer != "" {
		asks = append(asks, bearing(c.Bearer))
	}
	if c.Method == "" { // a token was all
		return
	}
	path := d.words.Replace(c.Path)
	content := []byte(d.words.Replace(c.Body))
	if c.Body == "BIG" {
		content = make([]byte, bigBlob)
	}
	switch {
	case c.Before == "push-as-agents":
		b.pushAsAgents(t)
	case c.Before == "push-immut":
		b.pushImage(t, "immut/app", ociManifest, "v1")
	case c.Upload != "":
		where := b.do(t, "POST", "/v2/"+c.Upload+"/blobs/uploads/", asks...).wants(t, 202).header.Get("Location")
		if c.Before == "patch" {
			where = b.do(t, "PATCH", where, append(asks, body(make([]byte, bigBlob)))...).wants(t, 202).header.Get("Location")
		}
		path = where + path
	}
	if c.Type != "" {
		asks = append(asks, header("Content-Type", c.Type))
	}
	if len(content) > 0 {
		asks = append(asks, body(content))
	}
	got := b.do(t, c.Method, path, asks...)
	i := slices.IndexFunc(c.Answers, func(a recordedAnswer) bool { return slices.Contains(a.Like, d.like) })
	if i < 0 {
		t.Fatal("no answer was recorded")
	}
	b.compare(t, got, c.Answers[i])
	if then, ok := c.Then[d.like]; ok {
		b.compareProject(t, c, then)
	}
}

// box makes the sandbox that a setup names.
func (d *double) box(t *testing.T, setup string) *box {
	t.Helper()
	if b, ok := d.boxes[setup]; ok {
		return b
	}
	o := Options{Like: d.like, Projects: []Project{{Name: "library", Public: true}, {Name: "demo", Images: []string{"dk:1", "x:1", "sk:1"}}}}
	if d.like == Harbor216 {
		o.Users = []User{{Name: "viewer"}, {Name: "stranger"}, {Name: "robot$demo+ci", Kind: Robot}}
		o.Projects = []Project{
			{Name: "library", Public: true},
			{Name: "demo", Members: map[string]Role{"dev": Developer, "viewer": Guest, "robot$demo+ci": Developer}},
			{Name: "pub", Public: true},
			{Name: "quota", Quota: 1 << 20},
			{Name: "immut", Immutable: []string{"v*"}},
		}
	}
	immut := &o.Projects[len(o.Projects)-1]
	switch setup {
	case "no-ca":
		o.Policy.NoCA = true
	case "adminonly":
		o.Policy.AdminOnly = true
	case "read-only":
		o.Policy.ReadOnly = true
	case "unsigned":
		immut.Unsigned, immut.Images = "cosign", []string{"app:v1"}
	case "unscanned":
		immut.Prevent = "Low"
	}
	b := start(d.whole, o)
	d.boxes[setup] = b
	layer, manifest := zeroDigest, zeroDigest
	if d.like == Harbor216 && setup == "" {
		layer, manifest = b.pushImage(t, "demo/app", ociManifest, "v1", "dev")
		b.pushImage(t, "demo/dk", dockerManifest, "1")
	}
	if d.words == nil {
		d.words = strings.NewReplacer("LAYER", layer, "MANIFEST", manifest, "BIG", digestOf(make([]byte, bigBlob)), "SMALL", "{}")
	}
	return b
}

// login is name, or name:wrong for one with another password.
func (b *box) login(who string) ask {
	name, wrong, _ := strings.Cut(who, ":")
	if wrong != "" {
		return wrongly(name)
	}
	return b.as(name)
}

// recordedToken gets a token and holds its claims against the recorded ones.
func (b *box) recordedToken(t *testing.T, want recordedToken) string {
	t.Helper()
	var who ask
	if want.As != "" {
		who = b.login(want.As)
	}
	token := b.token(t, who, want.Scope)
	if want.Actions == nil {
		return token
	}
	c, ok := b.site.tokens.read(token)
	if !ok || len(c.Access) != 1 || c.Subject != want.Sub {
		t.Fatalf("claims %+v", c)
	}
	got := []string{}
	for _, a := range c.Access[0].Actions {
		got = append(got, string(a))
	}
	slices.Sort(got)
	slices.Sort(want.Actions)
	if a := c.Access[0]; !slices.Equal(got, want.Actions) || !strings.HasPrefix(want.Scope, a.Type+":"+a.Name+":") {
		t.Errorf("%s: access %+v, want %q", want.Scope, a, want.Actions)
	}
	return token
}

const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"

// pushImage pushes a small image as admin, and returns the digests of its layer
// and of its manifest.
func (b *box) pushImage(t *testing.T, repo, media string, tags ...string) (layer, manifest string) {
	t.Helper()
	admin := b.as("admin")
	for _, content := range []string{"{}", "layer"} {
		where := b.do(t, "POST", "/v2/"+repo+"/blobs/uploads/", admin).wants(t, 202).header.Get("Location")
		b.do(t, "PUT", where+"&digest="+digestOf([]byte(content)), admin, body([]byte(content))).wants(t, 201)
	}
	layer = digestOf([]byte("layer"))
	raw := string(manifestOf(t, digestOf([]byte("{}")), layer))
	if media == dockerManifest {
		raw = strings.NewReplacer(ociManifest, media, "application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json",
			"application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.docker.image.rootfs.diff.tar.gzip").Replace(raw)
	}
	for _, tag := range tags {
		b.do(t, "PUT", "/v2/"+repo+"/manifests/"+tag, admin, body([]byte(raw)), header("Content-Type", media)).wants(t, 201)
	}
	return layer, digestOf([]byte(raw))
}

// pushAsAgents copies demo/sk by three clients, of which Harbor up to 1.6 lists
// the pushes of one.
func (b *box) pushAsAgents(t *testing.T) {
	t.Helper()
	for agent, name := range map[string]string{"skopeo/1": "demo/uaskopeo1", "docker/20.10": "demo/uadocker1", "Go-http-client/1.1": "demo/uaohttpclient1"} {
		token := bearing(b.token(t, b.as("admin"), "repository:demo/sk:pull", "repository:"+name+":pull,push"))
		a := b.do(t, "GET", "/v2/demo/sk/manifests/1", token).wants(t, 200)
		var m parts
		a.decode(t, &m)
		for _, d := range append(m.Layers, m.Config) {
			b.do(t, "POST", "/v2/"+name+"/blobs/uploads/?mount="+d.Digest.String()+"&from=demo/sk", token).wants(t, 201)
		}
		b.do(t, "PUT", "/v2/"+name+"/manifests/1", token, body([]byte(a.body)), header("User-Agent", agent), header("Content-Type", a.header.Get("Content-Type"))).wants(t, 201)
	}
}

// comparedHeaders have to be there, or not, as they were.
var comparedHeaders = []string{
	"Content-Type", "Www-Authenticate", "Docker-Distribution-Api-Version", "Location", "X-Total-Count", "Link",
	"Docker-Content-Digest", "Content-Disposition", "Docker-Upload-Uuid", "Range", "Etag", "Accept-Ranges", "Cache-Control",
}

func (b *box) compare(t *testing.T, got answer, want recordedAnswer) {
	t.Helper()
	if got.status != want.Status {
		t.Fatalf("status %d, want %d; body %s", got.status, want.Status, got.body)
	}
	for _, key := range comparedHeaders {
		values, there := got.header[key]
		wanted, wantThere := want.Header[key]
		if there != wantThere || there && b.steady(values[0]) != b.steady(wanted) {
			t.Errorf("%s: %q, want %q (there: %v)", key, values, wanted, wantThere)
		}
	}
	// How long a blob is hangs on the blob.
	if length, ok := want.Header["Content-Length"]; ok && want.Header["Cache-Control"] == "" && got.header.Get("Content-Length") != length {
		t.Errorf("Content-Length %s, want %s", got.header.Get("Content-Length"), length)
	}
	switch {
	case want.Is == "ca":
		if got.body != string(b.site.caPEM) {
			t.Errorf("body %q is not the CA", got.body)
		}
	case want.Title != "":
		if !strings.Contains(got.body, "<title>"+want.Title+"</title>") {
			t.Errorf("body %q, want a page %q", got.body, want.Title)
		}
	case want.JSON != nil:
		if g, w := b.steadyJSON(t, []byte(got.body)), b.steadyJSON(t, want.JSON); g != w {
			t.Errorf("body\n%s, want\n%s", g, w)
		}
	default:
		if strings.TrimSuffix(got.body, "\n") != want.Text {
			t.Errorf("body %q, want %q", got.body, want.Text)
		}
	}
}

// compareProject looks at what came of the creation of a project.
func (b *box) compareProject(t *testing.T, c recordedCase, want json.RawMessage) {
	t.Helper()
	m := regexp.MustCompile(`name":"([^"]+)"`).FindStringSubmatch(c.Body)
	if m == nil {
		t.Fatalf("body %s names no project", c.Body)
	}
	a := b.do(t, "GET", "/api/projects?"+url.Values{b.site.gen.v1.filter: {m[1]}}.Encode(), b.as("admin")).wants(t, 200)
	var wanted map[string]any
	if json.Unmarshal(want, &wanted) != nil || wanted == nil {
		if a.body != string(want) {
			t.Errorf("the list is %s, want %s", a.body, want)
		}
		return
	}
	var all []map[string]any
	a.decode(t, &all)
	i := slices.IndexFunc(all, func(p map[string]any) bool { return p["name"] == m[1] })
	if i < 0 {
		t.Fatalf("no project %s in %s", m[1], a.body)
	}
	wanted["name"] = m[1]
	for key, value := range wanted {
		g, _ := json.Marshal(all[i][key])
		if w, _ := json.Marshal(value); string(g) != string(w) {
			t.Errorf("%s is %s, want %s", key, g, w)
		}
	}
}

// unsteady are the parts that differ from one server to the next.
var unsteady = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`sha256:[0-9a-f]{63}[1-9a-f]`), "DIGEST"},
	{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`_state=[^&]*`), "_state=S"},
	{regexp.MustCompile(`^(/api/projects/)[0-9]+$`), "${1}N"},
	{regexp.MustCompile(`^(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}T.*`), "TIME"},
	{regexp.MustCompile(`push,pull`), "pull,push"}, // 1.1 says them in the order of a Go map
}

func (b *box) steady(s string) string {
	s = strings.ReplaceAll(s, b.Host(), "H")
	for _, u := range unsteady {
		s = u.re.ReplaceAllString(s, u.with)
	}
	return s
}

// unsteadyKeys name values that only have to be there.
var unsteadyKeys = []string{
	"id", "user_id", "artifact_id", "repository_id", "pull_count", "used", "size", "total", "free", "docker_version",
	"token", "email", "realname", "comment",
}

// steadyJSON is a body with what differs from one server to the next taken out.
func (b *box) steadyJSON(t *testing.T, raw []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	out, err := json.MarshalIndent(b.steadyValue(v), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func (b *box) steadyValue(v any) any {
	switch v := v.(type) {
	case string:
		return b.steady(v)
	case []any:
		for i := range v {
			v[i] = b.steadyValue(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = b.steadyValue(v[key])
			if slices.Contains(unsteadyKeys, key) {
				v[key] = "?"
			}
			if layers, ok := v[key].([]any); key == "layers" && ok {
				v[key] = layers[:1] // another image has other layers
			}
			if _, text := v[key].(string); key == "config" && text {
				v[key] = "?"
			}
		}
	}
	return v
}

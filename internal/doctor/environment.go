package doctor

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
)

// environment reports the variables that change what vicr and its neighbours
// believe. Their values are not shown.
func (d *doctor) environment(context.Context, facts) outcome {
	o := ok("")
	var seen []string
	say := func(text string, remedy ...string) {
		seen = append(seen, text)
		o.Verdict = Warn
		o = o.try(remedy...)
	}
	if len(d.o.Dropped) > 0 {
		say("not read under sudo: "+strings.Join(slices.Sorted(slices.Values(d.o.Dropped)), ", "),
			"type flags instead, or run it without sudo: vicr doctor "+word(d.target.Host.String()))
	}
	if d.o.Sudo && d.o.env("HTTPS_PROXY", "https_proxy") != "" {
		say("HTTPS_PROXY came along with sudo and counts", "sudo env -u HTTPS_PROXY -u https_proxy vicr doctor "+word(d.target.Host.String()))
	}
	for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR"} {
		value := d.o.env(name)
		if value == "" {
			continue
		}
		missing := ""
		if _, err := d.o.Machine.Stat(value); name == "SSL_CERT_FILE" && filepath.IsAbs(value) && err != nil {
			missing = ", to a file that cannot be read"
		}
		say(name+" is set"+missing+": it changes which CAs vicr takes for the system's, and docker's engine does not see it", "unset "+name)
	}
	if strings.Contains(d.o.env("GODEBUG"), "x509") {
		say("GODEBUG changes how certificates are verified", "unset GODEBUG")
	}
	for _, dir := range filepath.SplitList(d.o.env("PATH")) {
		if !filepath.IsAbs(dir) {
			say("PATH has a folder in it that depends on where one is: "+word(dir), "take it out of PATH: credential helpers are looked for there")
			break
		}
	}
	if names := d.own(); len(names) > 0 && !d.o.Sudo {
		seen = append(seen, "flags are also set by "+strings.Join(names, ", "))
	}
	o.Seen = strings.Join(seen, "; ")
	if len(seen) == 0 {
		o.Seen = "nothing that changes what is believed"
	}
	return o
}

// own are the names of vicr's own variables.
func (d *doctor) own() []string {
	var names []string
	for _, kv := range d.o.Environ {
		if name, value, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "VICR_") && value != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

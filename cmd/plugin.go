package cmd

import (
	"encoding/json"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// The protocol between docker and its plugins (docker/cli,
// cli-plugins/metadata): a plugin is asked who it is by one argument, and is
// run with all of docker's own arguments, the plugin's name among them.
const (
	pluginProgram  = "docker-vicr"
	pluginMetadata = "docker-cli-plugin-metadata"
	pluginName     = "vicr"
)

// A pluginAnswer is what docker reads; the names are docker's.
type pluginAnswer struct {
	SchemaVersion    string
	Vendor           string
	Version          string
	ShortDescription string
	URL              string
}

// isPlugin says whether this program was started under the name of a plugin.
func isPlugin(program string) bool {
	return strings.TrimSuffix(strings.ToLower(filepath.Base(program)), ".exe") == pluginProgram
}

// asPlugin answers docker's question, or takes over what docker was told; then
// the run goes on.
func (a *app) asPlugin() (done bool, code int) {
	if len(a.args) > 0 && a.args[0] == pluginMetadata {
		if err := writePluginMetadata(a.env.Stdout); err != nil {
			a.fail(err)
			return true, exitCode(err)
		}
		return true, codeDone
	}
	args, env, err := fromDocker(a.args, a.env)
	if err != nil {
		a.fail(err)
		return true, exitCode(err)
	}
	a.plugin = len(args) != len(a.args)
	a.args, a.env = args, env
	return false, codeDone
}

// ownCommand is where a text has a command of vicr's to type.
var ownCommand = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(^|[\s:;(])vicr ([a-z])`)
})

// typed is text with vicr's commands as they are typed here.
func (a *app) typed(text string) string {
	if !a.plugin {
		return text
	}
	return ownCommand().ReplaceAllString(text, "${1}docker vicr ${2}")
}

func writePluginMetadata(w io.Writer) error {
	return json.NewEncoder(w).Encode(pluginAnswer{
		SchemaVersion: "0.1.0", Vendor: "vicr", Version: version,
		ShortDescription: "Trust a private registry, log in, pull, tag and push", URL: "https://github.com/vicr-cli/vicr",
	})
}

// dockerFlags are those that docker takes before the name of a plugin and hands
// on: the variable of the environment that says the same, "" if none does, or
// that it is refused.
var dockerFlags = map[string]struct {
	variable string
	bare     bool // takes no value
	refused  bool
}{
	"--config": {variable: "DOCKER_CONFIG"}, "--context": {variable: "DOCKER_CONTEXT"}, "-c": {variable: "DOCKER_CONTEXT"},
	"--host": {variable: "DOCKER_HOST"}, "-H": {variable: "DOCKER_HOST"},
	"--log-level": {}, "-l": {}, "--debug": {bare: true}, "-D": {bare: true},
	"--tls": {bare: true, refused: true}, "--tlsverify": {bare: true, refused: true},
	"--tlscacert": {refused: true}, "--tlscert": {refused: true}, "--tlskey": {refused: true},
}

// fromDocker turns the arguments that docker hands to a plugin into vicr's own.
// What docker's flags say is added to the environment. Without the plugin's
// name the arguments are vicr's already: it was called by its file name.
func fromDocker(args []string, e Env) ([]string, Env, error) {
	set := map[string]string{}
	debug := false
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		if !strings.HasPrefix(name, "--") && len(name) > 2 && strings.HasPrefix(name, "-") {
			name, value, joined = name[:2], strings.TrimPrefix(args[i][2:], "="), true // -Htcp://...
		}
		f, known := dockerFlags[name]
		switch {
		case args[i] == pluginName:
			rest := args[i+1:]
			if debug {
				rest = append([]string{"--debug"}, rest...)
			}
			return rest, withEnv(e, set), nil
		case !known && i+1 < len(args) && args[i+1] == pluginName && slices.Contains([]string{"help", "__complete", "__completeNoDesc"}, name):
			return append([]string{name}, args[i+2:]...), withEnv(e, set), nil
		case !known:
			return args, e, nil
		case f.refused:
			return nil, e, &usageError{
				text: "docker's flag " + name + " has no meaning for vicr",
				hint: "put the engine's certificates into a docker context: docker context create, then docker --context NAME vicr ...",
			}
		}
		debug = debug || f.bare
		if f.bare || f.variable == "" && joined {
			continue
		}
		if !joined {
			if i++; i == len(args) {
				return args, e, nil
			}
			value = args[i]
		}
		if was, twice := set[f.variable]; twice && f.variable == "DOCKER_HOST" && was != value {
			return nil, e, usagef("docker's flag %s was given twice: vicr speaks to one engine", name)
		}
		if f.variable != "" {
			set[f.variable] = value
		}
	}
	return args, e, nil
}

// withEnv is e with variables of the environment replaced. A context that was
// named counts more than a host in the environment, as docker has it.
func withEnv(e Env, set map[string]string) Env {
	if len(set) == 0 {
		return e
	}
	if _, context := set["DOCKER_CONTEXT"]; context {
		if _, host := set["DOCKER_HOST"]; !host {
			set["DOCKER_HOST"] = ""
		}
	}
	getenv := e.Getenv
	e.Getenv = func(name string) string {
		if v, ok := set[name]; ok {
			return v
		}
		return getenv(name)
	}
	e.Environ = slices.DeleteFunc(slices.Clone(e.Environ), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		_, ok := set[name]
		return ok
	})
	for name, value := range set {
		if value != "" {
			e.Environ = append(e.Environ, name+"="+value)
		}
	}
	return e
}

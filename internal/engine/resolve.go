package engine

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/docker/cli/cli/context/store"

	"github.com/vicr-cli/vicr/internal/atomicfile"
)

const (
	defaultContext = "default" // docker/cli cli/command/defaultcontextstore.go: the one that is in no store
	dockerEndpoint = "docker"  // docker/cli cli/context/docker/constants.go
	maxConfig      = 4 << 20   // bytes of config.json
)

// ResolveOptions are what an engine's address is found from.
type ResolveOptions struct {
	DockerHost string // value of DOCKER_HOST
	Context    string // value of DOCKER_CONTEXT
	ConfigDir  string // docker's own configuration folder
}

// A ContextError says that the docker context that is in use cannot be read.
type ContextError struct {
	Name string // "" when config.json does not get that far
	Err  error
}

func (e *ContextError) Error() string {
	if e.Name == "" {
		return "docker's config.json: " + escaped(e.Err.Error())
	}
	return fmt.Sprintf("docker context %q: %s", e.Name, escaped(e.Err.Error()))
}

func (e *ContextError) Unwrap() error { return e.Err }

// Resolve finds the engine in use as docker does: DOCKER_HOST, then the context
// that DOCKER_CONTEXT names, then the current one of config.json
// (docker/cli cli/command/cli.go, resolveContextName). host is "" and
// configured is false when none of them says anything. Errors are [*ContextError].
func Resolve(o ResolveOptions) (host string, configured bool, err error) {
	name, err := contextName(o)
	if err != nil {
		return "", false, err
	}
	if name == "" {
		return o.DockerHost, o.DockerHost != "", nil
	}
	end, err := readEndpoint(o.ConfigDir, name)
	if err != nil {
		return "", false, err
	}
	return end.Host, true, nil
}

// ResolveTLS returns what a context holds for TLS with its engine, nil when
// [Resolve] takes no context or the context holds nothing of the kind.
// Errors are [*ContextError].
func ResolveTLS(o ResolveOptions) (*tls.Config, error) {
	name, err := contextName(o)
	if name == "" || err != nil {
		return nil, err
	}
	end, err := readEndpoint(o.ConfigDir, name)
	if err != nil {
		return nil, err
	}
	c, err := endpointTLS(contexts(o.ConfigDir), name, end)
	if err != nil {
		return nil, &ContextError{name, err}
	}
	return c, nil
}

// contextName is the context in use, "" if there is none but the default.
func contextName(o ResolveOptions) (string, error) {
	if o.DockerHost != "" {
		return "", nil
	}
	name := o.Context
	if name == "" {
		var err error
		if name, err = currentContext(o.ConfigDir); err != nil {
			return "", &ContextError{Err: err}
		}
	}
	if name == defaultContext {
		return "", nil
	}
	return name, nil
}

func currentContext(dir string) (string, error) {
	// Many keep the file elsewhere and link to it.
	path := filepath.Join(dir, "config.json")
	file, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err == nil {
		file, err = filepath.Abs(file)
	}
	if err != nil {
		return "", plainFault(path, err)
	}
	data, _, err := atomicfile.Machine().Read(file, maxConfig)
	if err != nil {
		return "", plainFault(file, err)
	}
	if len(data) == 0 {
		return "", nil
	}
	var c struct {
		CurrentContext string `json:"currentContext"`
	}
	if json.Unmarshal(data, &c) != nil {
		// The library's words may quote the file, which holds passwords.
		return "", errors.New("not valid JSON")
	}
	return c.CurrentContext, nil
}

// plainFault is err, of reading path, in plain words: those of Go name calls of
// the system, and for links that lead in a circle a function of its library.
func plainFault(path string, err error) error {
	if _, circle := os.Stat(path); errors.Is(circle, syscall.ELOOP) {
		return fmt.Errorf("%s: %w", path, syscall.ELOOP)
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return err
}

// endpoint is what a context says of its engine (docker/cli cli/context, EndpointMetaBase).
type endpoint struct {
	Host          string
	SkipTLSVerify bool
}

func contexts(configDir string) *store.ContextStore {
	return store.New(filepath.Join(configDir, "contexts"), store.NewConfig(
		func() any { return &map[string]any{} },
		store.EndpointTypeGetter(dockerEndpoint, func() any { return &endpoint{} }),
	))
}

func readEndpoint(configDir, name string) (endpoint, error) {
	meta, err := contexts(configDir).GetMetadata(name)
	if errdefs.IsNotFound(err) {
		err = errors.New("there is no such context")
	}
	if err != nil {
		return endpoint{}, &ContextError{name, err}
	}
	end, ok := meta.Endpoints[dockerEndpoint].(endpoint)
	if !ok {
		return endpoint{}, &ContextError{name, errors.New("it names no docker engine")}
	}
	return end, nil
}

// endpointTLS is what docker/cli makes of the files ca.pem, cert.pem and
// key.pem of a context (cli/context/docker/load.go, tlsConfig).
func endpointTLS(s *store.ContextStore, name string, end endpoint) (*tls.Config, error) {
	listed, err := s.ListTLSFiles(name)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, file := range []string{"ca.pem", "cert.pem", "key.pem"} {
		if slices.Contains(listed[dockerEndpoint], file) {
			if files[file], err = s.GetTLSData(name, dockerEndpoint, file); err != nil {
				return nil, err
			}
		}
	}
	if len(files) == 0 && !end.SkipTLSVerify {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: end.SkipTLSVerify} //nolint:gosec // the context says so
	if ca := files["ca.pem"]; ca != nil {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("its ca.pem holds no certificate")
		}
	}
	if files["cert.pem"] != nil && files["key.pem"] != nil {
		pair, err := tls.X509KeyPair(files["cert.pem"], files["key.pem"])
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

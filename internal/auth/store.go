package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/docker/cli/cli/config/types"

	"github.com/vicr-cli/vicr/internal/atomicfile"
	"github.com/vicr-cli/vicr/internal/ref"
)

const (
	configName = "config.json"
	lockSuffix = ".lock"
	lockWait   = 30 * time.Second

	secretFile = 0o600
	secretDir  = 0o700
)

// Options say where credentials lie. Nothing is read from the environment.
type Options struct {
	Dir        string                       // docker's configuration folder
	AuthConfig string                       // the value of DOCKER_AUTH_CONFIG
	AuthFile   string                       // the path in REGISTRY_AUTH_FILE
	HelperEnv  []string                     // all of the environment that helpers get
	LookPath   func(string) (string, error) // finds helpers; nil: there are none
}

// A Store is the user's credentials, in the places that docker uses.
type Store struct {
	options     Options
	tree        *atomicfile.Tree
	helperLimit time.Duration
}

// OpenStore returns the store that o describes; it opens nothing yet.
func OpenStore(o Options) *Store {
	return &Store{options: o, tree: atomicfile.Machine(), helperLimit: helperLimit}
}

// Get returns the credentials for h and where they were found: in
// DOCKER_AUTH_CONFIG, else in REGISTRY_AUTH_FILE, else in config.json, where
// each of the files may name a helper that keeps them instead. None found are
// the zero Credentials and no error. Errors are [*ConfigError] and [*HelperError].
func (s *Store) Get(ctx context.Context, h ref.Host) (Credentials, Source, error) {
	if s.options.AuthConfig != "" {
		d, err := s.fromEnv()
		if err != nil {
			return Credentials{}, "", err
		}
		c, err := d.find(string(SourceEnv), h)
		if err != nil || !c.IsZero() {
			return c, SourceEnv, err
		}
	}
	if s.options.AuthFile != "" {
		c, source, err := s.getFrom(ctx, s.options.AuthFile, SourceAuthFile, h)
		if err != nil || !c.IsZero() {
			return c, source, err
		}
	}
	if s.options.Dir == "" {
		return Credentials{}, "", nil
	}
	return s.getFrom(ctx, s.configPath(), SourceConfig, h)
}

func (s *Store) fromEnv() (document, error) {
	if len(s.options.AuthConfig) > maxConfig {
		return document{}, &ConfigError{Path: string(SourceEnv), Why: "it is larger than 8 MiB"}
	}
	return parse(string(SourceEnv), []byte(s.options.AuthConfig))
}

func (s *Store) getFrom(ctx context.Context, path string, source Source, h ref.Host) (Credentials, Source, error) {
	d, err := load(s.tree, path)
	if err != nil {
		return Credentials{}, "", err
	}
	c := Credentials{}
	if name := d.helperOf(keysOf(h)); name != "" {
		c, err = s.getFromHelper(ctx, name, h)
		source = sourceOfHelper(name)
	} else {
		c, err = d.find(path, h)
	}
	if err != nil || c.IsZero() {
		return Credentials{}, "", err
	}
	return c, source, nil
}

func (s *Store) getFromHelper(ctx context.Context, name string, h ref.Host) (Credentials, error) {
	p, err := s.openHelper(name)
	if err != nil {
		return Credentials{}, err
	}
	for _, key := range keysOf(h) {
		c, err := p.get(ctx, key)
		if err != nil || !c.IsZero() {
			return c, err
		}
	}
	return Credentials{}, nil
}

// Put stores c for h where docker would: with the helper that config.json
// names, else in config.json itself, whose other content stays byte for byte.
// A helper that is missing or fails is a [*HelperError], and nothing is written
// in its stead. Other errors are [*InputError], [*ConfigError] and those of
// package atomicfile.
func (s *Store) Put(ctx context.Context, h ref.Host, c Credentials) (Source, error) {
	if err := c.Check(); err != nil {
		return "", err
	}
	name, err := s.helperFor(h)
	if err != nil {
		return "", err
	}
	entry, source := encode(c), SourceConfig
	if name != "" {
		if err := s.putInHelper(ctx, name, h, c); err != nil {
			return "", err
		}
		// docker leaves an empty entry beside the helper: it says that there
		// is a login, and removes what lay there in clear.
		entry, source = types.AuthConfig{}, sourceOfHelper(name)
	}
	err = s.edit(ctx, func(d document, e *editor) error {
		if d.helperOf(keysOf(h)) != name {
			return &ConfigError{Path: s.configPath(), Why: "somebody changed the credential helper meanwhile"}
		}
		return e.set(keyOf(h), entry)
	})
	if err != nil {
		return "", err
	}
	return source, nil
}

// helperFor is the name of the helper that config.json has for h. A file that
// could not be written in the end is an error already here.
func (s *Store) helperFor(h ref.Host) (string, error) {
	if s.options.Dir == "" {
		return "", &ConfigError{Path: configName, Why: "there is no folder for it"}
	}
	if err := s.writable(); err != nil {
		return "", err
	}
	d, err := load(s.tree, s.configPath())
	return d.helperOf(keysOf(h)), err
}

func (s *Store) putInHelper(ctx context.Context, name string, h ref.Host, c Credentials) error {
	fail := func(why string, err error) error { return &HelperError{Helper: name, Why: why, Err: err} }
	switch {
	case c.RegistryToken != "":
		return fail("helpers cannot keep a registry token", nil)
	case !c.isText():
		return fail("helpers cannot keep a user name or password that is not text", nil)
	}
	p, err := s.openHelper(name)
	if err != nil {
		return err
	}
	key := keyOf(h)
	before, err := p.get(ctx, key)
	if err != nil {
		return err
	}
	if err := p.store(ctx, key, c); err != nil {
		return err
	}
	after, err := p.get(ctx, key)
	if err == nil && sameSecret(after, c) {
		return nil
	}
	if before.IsZero() {
		err = errors.Join(err, p.erase(ctx, key))
	} else {
		err = errors.Join(err, p.store(ctx, key, before))
	}
	return fail("it did not keep what it was given", err)
}

// sameSecret says whether a helper gave back what it was given: of credentials
// with an identity token, it keeps nothing else.
func sameSecret(kept, given Credentials) bool {
	if given.IdentityToken != "" {
		given = Credentials{IdentityToken: given.IdentityToken}
	}
	equal := func(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
	return equal(kept.Username, given.Username) && equal(kept.Password, given.Password) &&
		equal(kept.IdentityToken, given.IdentityToken)
}

// Erase forgets what config.json and its helper have for h, under every key
// that [Store.Get] would read, and says whether there was anything. It does
// not touch the file that REGISTRY_AUTH_FILE names.
func (s *Store) Erase(ctx context.Context, h ref.Host) (bool, error) {
	name, err := s.helperFor(h)
	if err != nil {
		return false, err
	}
	erased := false
	if name != "" {
		erased, err = s.eraseFromHelper(ctx, name, h)
		if err != nil {
			return false, err
		}
	}
	data, err := read(s.tree, s.configPath())
	if err != nil || data == nil && tidy(s.tree, s.configPath()) {
		return erased, err
	}
	err = s.edit(ctx, func(_ document, e *editor) error {
		found, err := e.drop(func(key string) bool { return slices.Contains(keysOf(h), key) || meansHost(key, h) })
		erased = erased || found
		return err
	})
	return erased, err
}

func (s *Store) eraseFromHelper(ctx context.Context, name string, h ref.Host) (bool, error) {
	p, err := s.openHelper(name)
	if err != nil {
		return false, err
	}
	erased := false
	for _, key := range keysOf(h) {
		c, err := p.get(ctx, key) // helpers differ in what they say when there is nothing to erase
		if err == nil && !c.IsZero() {
			err = p.erase(ctx, key)
			erased = true
		}
		if err != nil {
			return false, err
		}
	}
	return erased, nil
}

// Hosts lists the registries that config.json and its helpers have credentials
// for, sorted.
func (s *Store) Hosts(ctx context.Context) ([]string, error) {
	if s.options.Dir == "" {
		return nil, nil
	}
	d, err := load(s.tree, s.configPath())
	if err != nil {
		return nil, err
	}
	keys, err := s.keptByHelpers(ctx, d)
	if err != nil {
		return nil, err
	}
	for key, entry := range d.Auths {
		if entry != (types.AuthConfig{}) {
			keys = append(keys, key)
		}
	}
	hosts := []string{}
	for _, key := range keys {
		if host, ok := hostOfKey(key); ok {
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), nil
}

// keptByHelpers lists the keys that the default helper has, and those that are
// given to another one that has them.
func (s *Store) keptByHelpers(ctx context.Context, d document) (keys []string, err error) {
	lists, err := s.listsOf(ctx, d)
	if err != nil {
		return nil, err
	}
	keys = slices.Collect(maps.Keys(lists[d.CredsStore]))
	for key, name := range d.CredHelpers {
		if _, ok := lists[name][key]; ok {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// listsOf is what each helper that d names keeps: by helper and key, the user.
func (s *Store) listsOf(ctx context.Context, d document) (map[string]map[string]string, error) {
	lists := map[string]map[string]string{}
	for _, name := range append(slices.Collect(maps.Values(d.CredHelpers)), d.CredsStore) {
		if name == "" || lists[name] != nil {
			continue
		}
		p, err := s.openHelper(name)
		if err != nil {
			return nil, err
		}
		if lists[name], err = p.list(ctx); err != nil {
			return nil, err
		}
	}
	return lists, nil
}

func (s *Store) configPath() string { return filepath.Join(s.options.Dir, configName) }

// writable refuses a config.json that is a symbolic link: replacing it would
// cut the link, and writing through it would change a file that nobody named.
func (s *Store) writable() error {
	info, err := s.tree.Stat(s.configPath())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return &ConfigError{Path: s.configPath(), Why: "it cannot be read", Err: err}
	case info.Mode()&fs.ModeSymlink != 0:
		return &ConfigError{Path: s.configPath(), Why: "it is a symbolic link, through which vicr does not write"}
	}
	return nil
}

// tidy says whether no killed run left its lock or a temporary file beside path.
func tidy(tree *atomicfile.Tree, path string) bool {
	_, err := tree.Stat(path + lockSuffix)
	left, lerr := tree.Leftovers(filepath.Dir(path))
	return errors.Is(err, fs.ErrNotExist) && lerr == nil && len(left) == 0
}

// edit changes config.json under a lock: what is changed is read under it, so
// that of several logins at once none is lost.
func (s *Store) edit(ctx context.Context, change func(document, *editor) error) (err error) {
	path := s.configPath()
	if _, err := s.tree.MkdirAll(s.options.Dir, secretDir); err != nil {
		return err
	}
	lock, err := atomicfile.Lock(ctx, path+lockSuffix, lockWait)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Remove()) }()
	// What a killed login left holds a password.
	if _, err := s.tree.Sweep(s.options.Dir); err != nil {
		return err
	}
	if err := s.writable(); err != nil {
		return err
	}
	data, err := read(s.tree, path)
	if err != nil {
		return err
	}
	d, err := parse(path, data)
	if err != nil {
		return err
	}
	e, err := newEditor(path, data)
	if err != nil {
		return err
	}
	if err := change(d, e); err != nil {
		return err
	}
	after, changed, err := e.bytes()
	if err != nil || !changed {
		return err
	}
	return s.tree.Write(path, after, secretFile)
}

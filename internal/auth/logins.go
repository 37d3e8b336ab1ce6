package auth

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/docker/cli/cli/config/types"
)

// A Login is a registry that there are credentials for.
type Login struct {
	Host string
	User string // "" where only a token is kept
}

// Logins lists the registries that there are credentials for in any of the
// places of [Store.Get], and whose, by host. Helpers are asked for their lists,
// not for what they keep. Errors are [*ConfigError] and [*HelperError].
func (s *Store) Logins(ctx context.Context) ([]Login, error) {
	found := map[string]string{}
	if s.options.AuthConfig != "" {
		d, err := s.fromEnv()
		if err != nil {
			return nil, err
		}
		if err := s.addLogins(ctx, d, found); err != nil {
			return nil, err
		}
	}
	paths := []string{}
	if s.options.AuthFile != "" {
		paths = append(paths, s.options.AuthFile)
	}
	if s.options.Dir != "" {
		paths = append(paths, s.configPath())
	}
	for _, path := range paths {
		d, err := load(s.tree, path)
		if err != nil {
			return nil, err
		}
		if err := s.addLogins(ctx, d, found); err != nil {
			return nil, err
		}
	}
	all := []Login{}
	for host, user := range found {
		all = append(all, Login{Host: host, User: user})
	}
	slices.SortFunc(all, func(a, b Login) int { return cmp.Compare(a.Host, b.Host) })
	return all, nil
}

// addLogins adds those of d for hosts that have none yet.
func (s *Store) addLogins(ctx context.Context, d document, found map[string]string) error {
	kept, err := s.listsOf(ctx, d)
	if err != nil {
		return err
	}
	users := map[string]string{} // by key
	maps.Copy(users, kept[d.CredsStore])
	for key, entry := range d.Auths {
		if c, ok := decode(entry); ok && entry != (types.AuthConfig{}) {
			users[key] = c.Username
		}
	}
	for key, name := range d.CredHelpers {
		delete(users, key) // what else has it does not count
		if user, ok := kept[name][key]; ok {
			users[key] = user
		}
	}
	for _, key := range slices.Sorted(maps.Keys(users)) {
		host, ok := hostOfKey(key)
		if _, before := found[host]; !ok || before {
			continue
		}
		found[host] = users[key]
		if users[key] == tokenUser {
			found[host] = ""
		}
	}
	return nil
}

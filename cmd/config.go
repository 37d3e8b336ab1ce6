package cmd

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vicr-cli/vicr/internal/ref"
	"github.com/vicr-cli/vicr/internal/settings"
	"github.com/vicr-cli/vicr/internal/trust"
)

const configWords = "vicr config view or set"

// settable are the flags whose default may be kept: how and where something is
// done, never what, and nothing that consents or weakens.
var settable = []string{
	"chunk-size", "color", "for", "from", "in", "jobs", "no-input", "progress", "quiet", "timeout", "to",
}

type configResult struct {
	File     string
	Settings []setting
}

type setting struct {
	Name  string
	Value string // "" for each command's own default
	From  string // "default", "settings" or the name of a variable
}

func newConfig(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "config view|set",
		Short: "Show and keep the defaults of flags",
		Long: `Show and keep the defaults of flags. What is typed wins, then the variable
VICR_ and the name of the flag, then the setting. Settings are in settings.json
in vicr's folder for configuration; under sudo root reads none. Flags that
consent to something or weaken something cannot be set.`,
		Example: `  vicr config view
  vicr config set to store
  vicr config set jobs 4`,
		Args: cobra.ArbitraryArgs,
		RunE: func(*cobra.Command, []string) error {
			return &usageError{text: "config: say what to do: view or set", hint: configWords}
		},
	}
	c.AddCommand(newConfigView(a), newConfigSet(a))
	return c
}

func newConfigView(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "view",
		Short:   "Show the defaults of flags, and where each is from",
		Example: "  vicr config view\n  vicr config view --format json",
		Args:    exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.atHome(c.Context(), func() error { return runConfigView(a, c.Root()) })
		},
	}
}

func runConfigView(a *app, root *cobra.Command) error {
	if err := a.checkFormat(configResult{Settings: []setting{{}}}); err != nil {
		return err
	}
	file := a.settingsFile()
	kept, err := settings.Load(file)
	if err != nil {
		return err
	}
	res := configResult{File: file}
	var rows [][]string
	for _, name := range settable {
		s := setting{Name: name, From: "default"}
		if f := flagOf(root, name); name != "jobs" { // pull has another than push
			s.Value = f.DefValue
		}
		if v, ok := kept[name]; ok {
			s.Value, s.From = v, "settings"
		}
		if v := a.env.Getenv(twin(name)); v != "" {
			s.Value, s.From = v, twin(name)
		}
		res.Settings = append(res.Settings, s)
		rows = append(rows, []string{s.Name, s.Value, s.From})
	}
	return a.result(res, func(w io.Writer) error {
		return a.table(w, []string{"SETTING", "VALUE", "FROM"}, rows)
	})
}

func newConfigSet(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "set NAME [VALUE]",
		Short: "Keep the default of a flag, or without VALUE forget it",
		Long: `Keep the default of a flag, or without VALUE forget it. The names are those
that vicr config view shows.`,
		Example: `  vicr config set to store
  vicr config set to`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%s takes a name, and a value", c.CommandPath())
			}
			return atMost(2, "a name and a value")(c, args)
		},
		ValidArgs: settable,
		RunE: func(c *cobra.Command, args []string) error {
			value := ""
			if len(args) == 2 {
				value = args[1]
			}
			return a.atHome(c.Context(), func() error { return runConfigSet(c.Context(), a, args[0], value) })
		},
	}
}

func runConfigSet(ctx context.Context, a *app, name, value string) error {
	if !slices.Contains(settable, name) {
		return &usageError{text: fmt.Sprintf("config: no setting is called %q", name), hint: "these are: " + strings.Join(settable, ", ")}
	}
	if value != "" {
		if err := checkSetting(a.env, name, value); err != nil {
			return err
		}
	}
	if err := settings.Set(ctx, a.settingsFile(), name, value); err != nil {
		return err
	}
	if value == "" {
		return a.result(setting{Name: name, From: "default"}, line("%s is no longer set", name))
	}
	return a.result(setting{Name: name, Value: value, From: "settings"}, line("%s is %s", name, value))
}

// checkSetting says whether the flag would take the value if it was typed.
func checkSetting(env Env, name, value string) error {
	other := &app{env: env}
	if err := setFlag(newRoot(other), name, value); err != nil {
		return usagef("%s", flagWhy(err))
	}
	switch name {
	case "from", "in", "to":
		_, err := ref.ParsePlace(value)
		return err
	case "for":
		_, err := trust.ParseTools(value)
		return err
	case "chunk-size":
		_, err := parseChunk(value)
		return err
	case "jobs":
		if n, err := strconv.Atoi(value); err != nil || n < 1 {
			return usagef("jobs %q: not a number from 1 on", value)
		}
	}
	return other.flags.check()
}

// flagOf is a flag of any command, as it is when nothing is typed.
func flagOf(root *cobra.Command, name string) *pflag.Flag {
	if f := root.PersistentFlags().Lookup(name); f != nil {
		return f
	}
	for _, c := range root.Commands() {
		if f := c.Flags().Lookup(name); f != nil {
			return f
		}
	}
	return nil
}

// setFlag sets a flag of any command.
func setFlag(root *cobra.Command, name, value string) error {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.AddFlag(flagOf(root, name))
	return flags.Set(name, value)
}

// settingsFile is "" without a home.
func (a *app) settingsFile() string {
	dir := a.dirs().Config
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "settings.json")
}

// fromSettings sets flags that neither were typed nor have a variable from what
// the user keeps in file. Under sudo that is somebody else's.
func (a *app) fromSettings(c *cobra.Command, file string) error {
	if a.underSudo() || file == "" || c.Parent() != nil && c.Parent().Name() == "config" {
		return nil
	}
	kept, err := settings.Load(file)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		value := kept[name]
		f := c.Flags().Lookup(name)
		if f == nil || f.Changed || !slices.Contains(settable, name) {
			continue
		}
		err := checkSetting(a.env, name, value) // the file may have been written by hand
		if err == nil {
			err = c.Flags().Set(name, value)
		}
		if err != nil {
			return &usageError{text: file + ": " + err.Error(), hint: "vicr config set " + name + " forgets it"}
		}
		f.Changed = false // a default: tag --remote refuses an --in that was given
	}
	return nil
}

package cmd

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const about = `vicr brings a machine and a private image registry together: it installs the
registry's CA where each tool looks, logs in, and moves images, with Docker or
without any engine. Every change is shown before it is made and can be taken
back.`

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "vicr",
		Short:         "Trust a private registry, log in, pull, tag and push",
		Long:          about,
		Args:          cobra.ArbitraryArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if err := a.fromEnvironment(c); err != nil {
				return err
			}
			if err := a.fromSettings(c, a.settingsFile()); err != nil {
				return err
			}
			a.flags.waits = c.Flags().Changed("timeout")
			if err := a.flags.check(); err != nil {
				return err
			}
			if err := a.checkSudo(); err != nil {
				return err
			}
			return a.needHome()
		},
		RunE: func(c *cobra.Command, args []string) error { return a.next(c.Context(), args) },
	}
	a.flags.register(root.PersistentFlags())
	root.SetIn(a.env.Stdin)
	root.SetOut(a.env.Stdout)
	root.SetErr(a.env.Stderr)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(newHelp(root))
	root.AddCommand(
		newTrust(a), newUntrust(a), newLogin(a), newLogout(a),
		newPull(a), newPush(a), newTag(a), newCopy(a), newList(a), newInspect(a), newProject(a), newStore(a),
		newSandbox(a), newConfig(a), newVersion(a), newCompletion(a),
		newStatus(a), newOnboard(a),
		newDoctor(a),
	)
	return root
}

func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the words and flags of a command",
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("unknown command %q", strings.Join(args, " "))
			}
			return c.Help()
		},
	}
}

// flagError has our exit code, and repeats no password.
func flagError(_ *cobra.Command, err error) error {
	var ours *usageError
	if errors.As(err, &ours) {
		return ours
	}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "" {
		// The letters that follow may be a password.
		return usagef("unknown flag -%s", unknown.GetSpecifiedName())
	}
	return usagef("%s", flagWhy(err))
}

// exactly, atMost and atLeast are cobra's checks with our words and exit code.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("%s takes %s", c.CommandPath(), what)
		}
		return nil
	}
}

func atMost(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > n {
			return usagef("%s takes no more than %s", c.CommandPath(), what)
		}
		return nil
	}
}

func atLeast(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < n {
			return usagef("%s takes %s", c.CommandPath(), what)
		}
		return nil
	}
}

// each reads every argument before anything is done with the first.
func each[T any](args []string, parse func(string) (T, error)) ([]T, error) {
	all := make([]T, len(args))
	for i, arg := range args {
		v, err := parse(arg)
		if err != nil {
			return nil, err
		}
		all[i] = v
	}
	return all, nil
}

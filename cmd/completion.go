package cmd

import "github.com/spf13/cobra"

func newCompletion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:       "completion bash|zsh|fish|powershell",
		Short:     "Print the completion script for a shell",
		Example:   "  vicr completion bash > /etc/bash_completion.d/vicr",
		Args:      exactly(1, "the name of a shell: bash, zsh, fish or powershell"),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(c *cobra.Command, args []string) error {
			return writeCompletion(c.Root(), args[0], a.env.Stdout)
		},
	}
}

package cmd

import (
	"io"

	"github.com/spf13/cobra"
)

// writeCompletion writes the completion script of one shell.
func writeCompletion(root *cobra.Command, shell string, w io.Writer) error {
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(w, true)
	case "zsh":
		return root.GenZshCompletion(w)
	case "fish":
		return root.GenFishCompletion(w, true)
	case "powershell":
		return root.GenPowerShellCompletionWithDesc(w)
	}
	return usagef("no completion for the shell %q: bash, zsh, fish or powershell", shell)
}

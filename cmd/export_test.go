package cmd

// Parse reads a command line as far as it goes without being run.
func Parse(args []string) error {
	c, rest, err := newRoot(&app{env: Env{Getenv: func(string) string { return "" }}}).Find(args)
	if err != nil {
		return err
	}
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	return c.ValidateArgs(c.Flags().Args())
}

// Update says whether golden files are written instead of compared.
func Update() bool { return *update }

package cmd

import (
	"errors"
	"os"

	"github.com/AlecAivazis/survey/v2"
	"github.com/AlecAivazis/survey/v2/terminal"
)

// Questions go to standard error, so that a result can be piped on. This file
// alone knows the library that asks them.

func (a *app) stdio() (survey.AskOpt, error) {
	in, okIn := a.env.Stdin.(*os.File)
	out, okOut := a.env.Stderr.(*os.File)
	if !okIn || !okOut {
		return nil, errors.New("standard input and standard error are no terminal")
	}
	return survey.WithStdio(in, out, out), nil
}

func (a *app) ask(p survey.Prompt, answer any) error {
	stdio, err := a.stdio()
	if err != nil {
		return err
	}
	err = survey.AskOne(p, answer, stdio)
	if errors.Is(err, terminal.InterruptErr) {
		return errSignal{os.Interrupt}
	}
	return err
}

// confirm asks a question whose answer is no unless the user says yes.
func (a *app) confirm(question string) (bool, error) {
	yes := false
	err := a.ask(&survey.Confirm{Message: escaped(question)}, &yes)
	return yes, err
}

func (a *app) askText(question string) (string, error) {
	var s string
	err := a.ask(&survey.Input{Message: escaped(question)}, &s)
	return s, err
}

// askSecret shows nothing of what is typed.
func (a *app) askSecret(question string) (string, error) {
	var s string
	err := a.ask(&survey.Password{Message: escaped(question)}, &s)
	return s, err
}

package main

import (
	"errors"
	"fmt"

	"weir/cmd/weir/config"
)

type checkCmd struct {
	Files []string `arg:"" name:"file" help:"Config files."`
	Kind  string   `enum:"origin,edge,auto" default:"auto" help:"Kind of the files: origin, edge or auto (by their keys)."`
	Quiet bool     `short:"q" help:"Say only what is wrong."`
}

// Help implements kong's HelpProvider.
func (checkCmd) Help() string {
	return `Reads each file as the node would, with all the key files it names, and prints the config
in effect, defaults included and secrets left out. What is wrong goes to standard error, one line
each: FILE:LINE: KEY: what is wrong and what is allowed.

Exit codes: 0 all files are right (there may be warnings), 1 something is wrong, 2 wrong command line.

Examples:
  weir check /etc/weir/edge.yaml
  weir check -q /etc/weir/*.yaml && systemctl reload weir`
}

// Run implements the command.
func (c *checkCmd) Run(e env) error {
	bad := false
	for _, file := range c.Files {
		text, warn, err := c.check(file)
		for _, w := range warn {
			fmt.Fprintf(e.err, "warning: %s\n", w)
		}
		if err != nil {
			fmt.Fprintln(e.err, err)
			bad = true
			continue
		}
		if !c.Quiet {
			fmt.Fprintf(e.out, "# %s: valid\n%s", file, text)
		}
	}
	if bad {
		return errFound
	}
	return nil
}

func (c *checkCmd) check(file string) (effective []byte, warn []string, err error) {
	kind := c.Kind
	if kind == "auto" {
		if kind, err = config.Detect(file); err != nil {
			return nil, nil, err
		}
	}
	var places config.Problems
	switch kind {
	case config.KindOrigin:
		var o *config.Origin
		if o, places, err = config.LoadOrigin(file); err == nil {
			effective, warn = o.Effective(), o.Warnings()
		}
	case config.KindEdge:
		var o *config.Edge
		if o, places, err = config.LoadEdge(file); err == nil {
			effective, warn = o.Effective(), o.Warnings()
		}
	default:
		return nil, nil, errors.New(file + ": has no key that only an origin or only an edge has: say --kind origin or --kind edge")
	}
	for i := range warn {
		warn[i] = file + ": " + warn[i]
	}
	for _, p := range places {
		warn = append(warn, p.String())
	}
	return effective, warn, err
}

// Command weir is an HLS origin and an edge cache: it takes streams from
// FFmpeg and carries each object to any number of viewers once.
//
// Exit codes: 0 when all went well, 1 when something failed or a check found
// something wrong, 2 when the command line or a node's configuration is wrong
// and nothing was started.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"weir/cmd/weir/config"
)

// version is set by the linker: -X main.version=v1.2.3. Without it, what the
// build recorded of the repository is told.
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends weir at once
	os.Exit(run(ctx, env{in: os.Stdin, out: os.Stdout, err: os.Stderr}, os.Args[1:]))
}

// env is what a command may use of the process it runs in.
type env struct {
	in       io.Reader
	out, err io.Writer
}

// The exit codes.
const (
	exitOK    = 0
	exitFail  = 1
	exitUsage = 2
)

// usageError is an error of the command line or configuration: nothing was started.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// errFound says that a check found something wrong and has told it already.
var errFound = errors.New("found something wrong")

// run runs one command and returns its exit code.
func run(ctx context.Context, e env, args []string) (code int) {
	type exit int // kong ends the process after --help; here it ends the call
	defer func() {
		if r := recover(); r != nil {
			c, ok := r.(exit)
			if !ok {
				panic(r)
			}
			code = int(c)
		}
	}()
	args = usual(args)
	var cli commands
	parser, err := kong.New(&cli,
		kong.Name("weir"),
		kong.Description(description),
		kong.Writers(e.out, e.err),
		kong.Exit(func(c int) { panic(exit(c)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100, NoExpandSubcommands: true}),
		kong.Bind(e),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	k, err := parser.Parse(args)
	if err != nil {
		hint := "weir --help"
		var pe *kong.ParseError
		if errors.As(err, &pe) && pe.Context != nil && pe.Context.Selected() != nil {
			hint = pe.Context.Selected().FullPath() + " --help"
		}
		text := strings.Replace(err.Error(), "unexpected argument ", "unknown command ", 1)
		if hint != "weir --help" { // after a command it is an argument
			text = err.Error()
		}
		fmt.Fprintf(e.err, "weir: %s\nTry: %s\n", text, hint)
		return exitUsage
	}
	err = k.Run()
	var usage usageError
	var problems config.Problems
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errFound):
		return exitFail
	case errors.As(err, &problems):
		fmt.Fprintf(e.err, "%v\nweir: nothing was started: %d to put right\n", err, len(problems))
		return exitUsage
	case errors.As(err, &usage):
		fmt.Fprintf(e.err, "weir: %v\n", err)
		return exitUsage
	}
	fmt.Fprintf(e.err, "weir: %v\n", err)
	return exitFail
}

// usual takes what people type into any program's command line.
func usual(args []string) []string {
	switch {
	case len(args) == 0:
		return []string{"--help"}
	case args[0] == "help":
		return append(slices.Clone(args[1:]), "--help")
	case args[0] == "--version" || args[0] == "-V":
		return []string{"version"}
	}
	return args
}

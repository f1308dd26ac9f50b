package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mattn/go-isatty"

	"weir/cmd/weir/api"
	"weir/cmd/weir/config"
)

// operatorFlags are what all commands have that ask a running origin.
type operatorFlags struct {
	Admin      string `default:"http://127.0.0.1:9180" placeholder:"URL" help:"The origin's admin listener (default ${default})."`
	AdminToken string `placeholder:"FILE" help:"File with the token of its admin.token_file: what changes something needs it."`
	JSON       bool   `name:"json" help:"Print JSON, for scripts."`
}

// client returns what asks the origin.
func (f *operatorFlags) client() (*api.Client, error) {
	var token string
	if f.AdminToken != "" {
		text, err := readSmall(f.AdminToken)
		if err == nil {
			token, err = config.ParseSecret(f.AdminToken, text, 1)
		}
		if err != nil {
			return nil, usageError{fmt.Errorf("--admin-token: %v", err)} // not as a problem of a config
		}
	}
	c, err := api.New(api.Options{URL: f.Admin, Token: token})
	if err != nil {
		return nil, usageError{fmt.Errorf("--admin: %w", err)}
	}
	return c, nil
}

// readSmall reads a file of a line or two.
func readSmall(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 64<<10))
}

// told adds to an error of the API what to do about it.
func told(err error) error {
	if e, ok := errors.AsType[*api.Error](err); ok && e.Reason == "admin_token" {
		return fmt.Errorf("%w (--admin-token FILE sends it)", err)
	}
	return err
}

// printJSON prints what scripts read.
func printJSON(e env, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "%s\n", text)
	return err
}

// A table is lines of columns for people.
type table struct {
	b bytes.Buffer
	w *tabwriter.Writer
}

func newTable(head ...any) *table {
	t := &table{}
	t.w = tabwriter.NewWriter(&t.b, 0, 8, 2, ' ', 0)
	if len(head) > 0 {
		t.line(head...)
	}
	return t
}

func (t *table) line(cells ...any) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(t.w, "\t")
		}
		fmt.Fprint(t.w, c)
	}
	fmt.Fprintln(t.w)
}

func (t *table) print(w io.Writer) error {
	_ = t.w.Flush() // a bytes.Buffer does not fail
	for l := range bytes.Lines(t.b.Bytes()) {
		if _, err := fmt.Fprintf(w, "%s\n", bytes.TrimRight(l, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// atTerminal reports whether a person is at the other end of standard input.
func atTerminal(e env) bool {
	f, ok := e.in.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// sure returns an error where a person asks for what cannot be undone without saying so.
func sure(e env, yes bool, what string) error {
	if yes || !atTerminal(e) {
		return nil
	}
	return usageError{errors.New(what + ", for good: say --yes")}
}

// ago says when something was, for people.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return span(now.Sub(t)) + " ago"
}

// at says when something is, exactly and for people.
func at(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	s := t.UTC().Format("2006-01-02 15:04:05Z")
	if d := t.Sub(now); d >= 0 {
		return s + " (in " + span(d) + ")"
	}
	return s + " (" + ago(t, now) + ")"
}

// span says how long something is, to two units.
func span(d time.Duration) string {
	d = d.Abs().Round(time.Second)
	switch {
	case d < time.Minute:
		return d.String()
	case d < time.Hour:
		return fmt.Sprintf("%dm %ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh %dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd %dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// bytesOf says how much something is.
func bytesOf(n int64) string {
	f := float64(n)
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if f < 1000 {
			if f < 10 && unit != "B" {
				return fmt.Sprintf("%.1f %s", f, unit)
			}
			return fmt.Sprintf("%.0f %s", f, unit)
		}
		f /= 1024
	}
	return fmt.Sprintf("%.1f TiB", f)
}

// rate says how many bits a second there are.
func rate(n int64) string {
	if n >= 1e6 {
		return fmt.Sprintf("%.1f Mbit/s", float64(n)/1e6)
	}
	return fmt.Sprintf("%d kbit/s", n/1000)
}

// when is a time on the command line.
type when struct{ time.Time }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (w *when) UnmarshalText(p []byte) error {
	s := string(p)
	now := time.Now()
	if s == "now" {
		w.Time = now
		return nil
	}
	if strings.HasPrefix(s, "+") || strings.HasPrefix(s, "-") {
		if d, err := time.ParseDuration(s); err == nil {
			w.Time = now.Add(d)
			return nil
		}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return fmt.Errorf("%.40q is no time: it is now, +30s, -2h, or as in 2026-11-25T20:15:00Z or 2026-11-25T21:15:00+01:00", s)
	}
	w.Time = t
	return nil
}

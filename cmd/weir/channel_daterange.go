package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"weir/cmd/weir/api"
)

type dateRangeCmd struct {
	Name      string         `arg:"" help:"The channel."`
	ID        string         `name:"id" required:"" help:"Its name: never used twice on a channel. Of one that is told already, attributes are added."`
	Class     string         `help:"What kind it is, as in com.example.ad."`
	Start     when           `placeholder:"TIME" help:"When it begins: 2026-11-25T20:15:00Z, now, +30s, -10s. Required for a new one."`
	End       when           `placeholder:"TIME" help:"When it ends."`
	Duration  *time.Duration `placeholder:"D" help:"How long it is, as in 29.96s."`
	Planned   *time.Duration `name:"planned-duration" placeholder:"D" help:"How long it is expected to be."`
	EndOnNext bool           `help:"It ends where the next of its class begins."`
	Cue       string         `placeholder:"CUE" help:"PRE, POST, ONCE, or one of the former two and ONCE, with a comma between."`
	SCTE35Out string         `name:"scte35-out" placeholder:"HEX" help:"Splice information, as in 0xFC30..."`
	SCTE35In  string         `name:"scte35-in" placeholder:"HEX" help:"Likewise, of the way back."`
	SCTE35Cmd string         `name:"scte35-cmd" placeholder:"HEX" help:"Likewise, of any other command."`
	Set       []string       `sep:"none" placeholder:"X-NAME=VALUE" help:"An attribute of your own: a number, 0x and hexadecimal digits, or text. May be repeated."`

	operatorFlags `embed:""`
}

// Help implements kong's HelpProvider.
func (dateRangeCmd) Help() string {
	return `Every playlist of the channel tells it (EXT-X-DATERANGE) from now on, also before it begins,
as long as a segment of its time is listed. What was told of an ID cannot be taken back or
changed: attributes are only added, as an end that was not known. One without an end stays.
Negative times need a "=": --start=-10s.

Examples:
  weir channel daterange news --id break-7 --class com.example.ad --start +30s --planned-duration 90s
  weir channel daterange news --id break-7 --duration 88.5s
  weir channel daterange news --id show-12 --class show --start now --end-on-next --set X-TITLE="Late Show"`
}

// Run implements the command.
func (c *dateRangeCmd) Run(ctx context.Context, e env) error {
	d := api.DateRange{
		ID: c.ID, Class: c.Class, Start: c.Start.Time, End: c.End.Time, Duration: (*api.Seconds)(c.Duration), Planned: (*api.Seconds)(c.Planned),
		EndOnNext: c.EndOnNext, Cue: c.Cue, SCTE35Cmd: c.SCTE35Cmd, SCTE35Out: c.SCTE35Out, SCTE35In: c.SCTE35In,
	}
	for _, s := range c.Set {
		name, value, ok := strings.Cut(s, "=")
		if !ok || !strings.HasPrefix(name, "X-") {
			return usageError{fmt.Errorf("--set: %.40q is no attribute: it is X-NAME=VALUE", s)}
		}
		if d.X == nil {
			d.X = map[string]any{}
		}
		d.X[name] = value
		if f, err := strconv.ParseFloat(value, 64); err == nil && strings.Trim(value, "0123456789.") == "" {
			d.X[name] = f
		}
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	all, created, err := client.AddDateRange(ctx, c.Name, d)
	if err != nil {
		return told(err)
	}
	if c.JSON {
		return printJSON(e, all)
	}
	what := "is told"
	if !created {
		what = "was told before; what is new of it is added"
	}
	if _, err := fmt.Fprintf(e.out, "Date range %s %s:\n", all.ID, what); err != nil {
		return err
	}
	return printRanges(e, []api.DateRange{all}, time.Now())
}

package main

import (
	"context"
	"fmt"
	"time"

	"weir/cmd/weir/api"
)

type channelCmd struct {
	List      channelListCmd   `cmd:"" help:"What is published, and in which state."`
	Show      channelShowCmd   `cmd:"" help:"One channel: its renditions, gaps, date ranges."`
	End       channelEndCmd    `cmd:"" help:"End it: viewers play to its end, encoders are refused."`
	Resume    channelResumeCmd `cmd:"" help:"Let encoders push again to a channel that was ended."`
	Remove    channelRemoveCmd `cmd:"" help:"Take it from viewers at once."`
	DateRange dateRangeCmd     `cmd:"" name:"daterange" help:"Tell players what is at a time: an ad break, a programme."`
}

type channelListCmd struct {
	operatorFlags `embed:""`
}

// Help implements kong's HelpProvider.
func (channelListCmd) Help() string {
	return `Asks a running origin. A channel without renditions was ended, and all its media are gone; its
name stays closed to encoders until it is resumed or removed.

Examples:
  weir channel list
  weir channel list --admin http://origin1:9180 --admin-token admin.token
  weir channel list --json | jq -r '.channels[] | select(.state == "ended") | .channel'`
}

// Run implements the command.
func (c *channelListCmd) Run(ctx context.Context, e env) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	all, err := client.Channels(ctx)
	if err != nil {
		return told(err)
	}
	if c.JSON {
		return printJSON(e, api.Channels{Channels: all})
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(e.out, "No channels: one appears when its encoder first pushes.")
		return err
	}
	now := time.Now()
	t := newTable("CHANNEL", "STATE", "RENDITIONS", "LAST PUSH", "GAPS", "MEMORY")
	for i := range all {
		x := &all[i]
		var gaps uint64
		for _, r := range x.Renditions {
			gaps += r.Gaps
		}
		t.line(x.Name, stateOf(x, now), len(x.Renditions), ago(x.LastPush, now), gaps, bytesOf(x.Bytes))
	}
	return t.print(e.out)
}

// stateOf says in which state a channel is and since when.
func stateOf(c *api.Channel, now time.Time) string {
	switch {
	case c.State == api.Live && !c.GoneAt.IsZero():
		return "withdrawn, its encoder is gone"
	case c.State == api.Live && c.Complete:
		return "live, ended with its encoder"
	case c.State == api.Live || c.StateSince.IsZero():
		return c.State
	}
	return c.State + " " + ago(c.StateSince, now)
}

type channelShowCmd struct {
	Name          string `arg:"" help:"The channel."`
	operatorFlags `embed:""`
}

// Run implements the command.
func (c *channelShowCmd) Run(ctx context.Context, e env) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	x, err := client.Channel(ctx, c.Name)
	if err != nil {
		return told(err)
	}
	if c.JSON {
		return printJSON(e, x)
	}
	ranges, err := client.DateRanges(ctx, c.Name)
	if err != nil && len(x.Renditions) > 0 {
		return told(err)
	}
	now := time.Now()
	t := newTable()
	t.line("channel", x.Name)
	t.line("state", stateOf(&x, now))
	if !x.GoneAt.IsZero() {
		t.line("media gone", at(x.GoneAt, now))
	}
	if len(x.Renditions) > 0 {
		t.line("publishes since", at(x.Since, now))
		t.line("last push", at(x.LastPush, now))
		t.line("target duration", span(x.TargetDuration.Duration()))
		t.line("memory", bytesOf(x.Bytes))
	}
	if err := t.print(e.out); err != nil || len(x.Renditions) == 0 {
		return err
	}
	fmt.Fprintln(e.out)
	t = newTable("RENDITION", "SEGMENTS", "LAST", "GAPS", "PENDING", "WAITING", "PEAK", "AVERAGE", "CODECS")
	for _, r := range x.Renditions {
		last := ago(r.LastPublished, now)
		if r.Dead {
			last += ", gone"
		}
		segments := "none"
		if r.Last >= r.First {
			segments = fmt.Sprintf("%d-%d", r.First, r.Last)
		}
		t.line(r.Name, segments, last, r.Gaps, r.Pending, r.Waiting, rate(r.Bandwidth), rate(r.Average), r.Codecs)
	}
	if err := t.print(e.out); err != nil || len(ranges) == 0 {
		return err
	}
	fmt.Fprintln(e.out)
	return printRanges(e, ranges, now)
}

func printRanges(e env, ranges []api.DateRange, now time.Time) error {
	t := newTable("DATE RANGE", "CLASS", "START", "LENGTH")
	for _, d := range ranges {
		t.line(d.ID, dash(d.Class), at(d.Start, now), lengthOf(&d))
	}
	return t.print(e.out)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func lengthOf(d *api.DateRange) string {
	switch {
	case d.Duration != nil:
		return d.Duration.Duration().String()
	case !d.End.IsZero():
		return d.End.Sub(d.Start).String()
	case d.EndOnNext:
		return "to the next of its class"
	case d.Planned != nil:
		return d.Planned.Duration().String() + " planned, no end yet"
	}
	return "no end yet"
}

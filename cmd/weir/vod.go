package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"weir/cmd/weir/api"
)

type vodCmd struct {
	List   vodListCmd   `cmd:"" help:"The finished programmes there are."`
	Cut    vodCutCmd    `cmd:"" help:"Make one of what a channel showed between two times."`
	Remove vodRemoveCmd `cmd:"" help:"Remove one."`
}

type vodListCmd struct {
	operatorFlags `embed:""`
}

// Run implements the command.
func (c *vodListCmd) Run(ctx context.Context, e env) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	all, err := client.Assets(ctx)
	if err != nil {
		return told(err)
	}
	if c.JSON {
		return printJSON(e, api.Assets{Assets: all})
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(e.out, "No assets: weir vod cut makes one of a channel.")
		return err
	}
	return printAssets(e, all)
}

func printAssets(e env, all []api.Asset) error {
	now := time.Now()
	t := newTable("ASSET", "CHANNEL", "START", "LENGTH", "GAPS", "DISK", "RENDITIONS", "MADE")
	for _, a := range all {
		t.line(a.Name, a.Channel, a.Start.UTC().Format("2006-01-02 15:04:05Z"), span(a.Duration.Duration()), a.Gaps, bytesOf(a.Bytes),
			strings.Join(a.Renditions, ","), ago(a.Made, now))
	}
	return t.print(e.out)
}

type vodCutCmd struct {
	Channel string `arg:"" help:"The channel."`
	Asset   string `arg:"" help:"Name of what is made: a-z, 0-9, - and _."`
	Start   when   `placeholder:"TIME" help:"From when on: 2026-11-25T20:15:00Z, now, -2h (default: the oldest that is kept)."`
	End     when   `placeholder:"TIME" help:"Until when (default: now)."`

	operatorFlags `embed:""`
}

// Help implements kong's HelpProvider.
func (vodCutCmd) Help() string {
	return `The programme is played at /vod/ASSET/index.m3u8, from when the command is back. It begins and
ends at segments, takes no room on disk beyond its channel's as long as that keeps them (media are
shared, not copied), and stays until it is removed. The channel may go on, or be gone: what its dvr
keeps counts. Times before now need a "=": --start=-2h.

Examples:
  weir vod cut news news-2026-11-25 --start 2026-11-25T20:00:00+01:00 --end 2026-11-25T20:30:00+01:00
  weir vod cut match-7 match-7 --start=-2h`
}

// Run implements the command.
func (c *vodCutCmd) Run(ctx context.Context, e env) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	a, err := client.MakeAsset(ctx, api.AssetRequest{Asset: c.Asset, Channel: c.Channel, Start: c.Start.Time, End: c.End.Time})
	if err != nil {
		return told(err)
	}
	if c.JSON {
		return printJSON(e, a)
	}
	if _, err := fmt.Fprintf(e.out, "%s is made: %s\n", a.Name, a.Path); err != nil {
		return err
	}
	return printAssets(e, []api.Asset{a})
}

type vodRemoveCmd struct {
	Asset string `arg:"" help:"The asset."`
	Yes   bool   `short:"y" help:"Do it: needed where a person types."`

	operatorFlags `embed:""`
}

// Help implements kong's HelpProvider.
func (vodRemoveCmd) Help() string {
	return `The origin answers 410 for its playlists at once, and takes its media away when whoever plays it may
be through. Edges and CDNs may show what they have for up to an hour more.

Examples:
  weir vod remove news-2026-11-25 --yes --admin-token admin.token`
}

// Run implements the command.
func (c *vodRemoveCmd) Run(ctx context.Context, e env) error {
	if err := sure(e, c.Yes, "this removes asset "+c.Asset); err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	if err := client.RemoveAsset(ctx, c.Asset); err != nil {
		return told(err)
	}
	if c.JSON {
		return printJSON(e, map[string]string{"removed": c.Asset})
	}
	_, err = fmt.Fprintln(e.out, c.Asset+" is removed.")
	return err
}

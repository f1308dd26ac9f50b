package main

import (
	"context"
	"fmt"
	"time"

	"weir/cmd/weir/api"
)

type channelEndCmd struct {
	Name          string `arg:"" help:"The channel."`
	operatorFlags `embed:""`
}

// Help implements kong's HelpProvider.
func (channelEndCmd) Help() string {
	return `What is wholly there is published, then every playlist gets its end and never changes again:
viewers play to it and stop. Uploads are refused (409 channel_ended) until weir channel resume.
Playlists stay for an hour. Stop the encoder too: FFmpeg does not notice that it is refused.

Examples:
  weir channel end match-7 --admin-token /etc/weir/admin.token`
}

// Run implements the command.
func (c *channelEndCmd) Run(ctx context.Context, e env) error {
	return c.change(e, func(client *api.Client) (api.Channel, error) { return client.End(ctx, c.Name) },
		func(x api.Channel) string {
			return fmt.Sprintf("%s is ended: viewers play to its end, encoders are refused.\nweir channel resume %s lets them push again.", x.Name, x.Name)
		})
}

type channelResumeCmd struct {
	Name          string `arg:"" help:"The channel."`
	operatorFlags `embed:""`
}

// Help implements kong's HelpProvider.
func (channelResumeCmd) Help() string {
	return `What encoders push from now on is another stream under the same name, with numbers and dates
that go on. Until the first segment is there viewers see the old end.

Examples:
  weir channel resume news --admin-token /etc/weir/admin.token`
}

// Run implements the command.
func (c *channelResumeCmd) Run(ctx context.Context, e env) error {
	return c.change(e, func(client *api.Client) (api.Channel, error) { return client.Resume(ctx, c.Name) },
		func(x api.Channel) string { return x.Name + " is open: encoders may push." })
}

type channelRemoveCmd struct {
	Name          string `arg:"" help:"The channel."`
	Yes           bool   `short:"y" help:"Do it: needed where a person types."`
	operatorFlags `embed:""`
}

// Help implements kong's HelpProvider.
func (channelRemoveCmd) Help() string {
	return `Its playlists are 410 at once. Media that were listed stay fetchable as long as a player that
has a playlist may need them; then the channel is gone and its name free. Until then uploads are
refused (410 channel_removed). To stop it for its viewers in good order, end it instead.

Examples:
  weir channel remove test --yes --admin-token /etc/weir/admin.token`
}

// Run implements the command.
func (c *channelRemoveCmd) Run(ctx context.Context, e env) error {
	if err := sure(e, c.Yes, "this removes channel "+c.Name+" and all its media"); err != nil {
		return err
	}
	return c.change(e, func(client *api.Client) (api.Channel, error) { return client.Remove(ctx, c.Name) },
		func(x api.Channel) string {
			if x.GoneAt.IsZero() {
				return x.Name + " is removed, and its name free."
			}
			return fmt.Sprintf("%s is removed: its playlists are gone, its media go, its name is free at %s.", x.Name, at(x.GoneAt, time.Now()))
		})
}

// change does something to a channel, and says what became of it.
func (f *operatorFlags) change(e env, do func(*api.Client) (api.Channel, error), say func(api.Channel) string) error {
	client, err := f.client()
	if err != nil {
		return err
	}
	x, err := do(client)
	if err != nil {
		return told(err)
	}
	if f.JSON {
		return printJSON(e, x)
	}
	_, err = fmt.Fprintln(e.out, say(x))
	return err
}

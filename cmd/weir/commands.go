package main

const description = `Self-hosted HLS: an origin that FFmpeg pushes to, and edges that carry its streams to any number of viewers.

See all of it on this machine: weir demo. Or by hand, without a config:

  weir origin
  ffmpeg -re -i in.mp4 -c copy -f hls -method PUT http://127.0.0.1:8081/ingest/test/index.m3u8
  weir edge --origin http://127.0.0.1:8080
  ffplay http://127.0.0.1:8090/live/test/index.m3u8

When something is wrong:

  weir check /etc/weir/edge.yaml                  is the config right, and what does it say?
  curl -s localhost:9190/-/ready                  does the edge serve, and if not, why? (origin: 9180)
  curl -s localhost:9190/debug/cluster            which edges live?
  weir channel list                               what does the origin publish?
  weir token verify --config edge.yaml TOKEN      why is a viewer refused?`

// commands are all of weir, as kong reads them.
type commands struct {
	Demo    demoCmd    `cmd:"" help:"Show all of it on this machine: origin, edges, a live channel, a player page."`
	Origin  originCmd  `cmd:"" help:"Run an origin: takes streams from encoders, serves them to edges."`
	Edge    edgeCmd    `cmd:"" help:"Run an edge: serves viewers, asks origins and other edges once for each object."`
	Channel channelCmd `cmd:"" help:"See, end, resume and remove the channels of a running origin, mark ad breaks."`
	VOD     vodCmd     `cmd:"" name:"vod" help:"Make finished programmes of channels."`
	Check   checkCmd   `cmd:"" help:"Check config files and print what they mean."`
	Token   tokenCmd   `cmd:"" help:"Make and check viewers' tokens and the keys for them."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

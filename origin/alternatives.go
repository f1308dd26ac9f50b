package origin

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"weir/internal/cmaf"
	"weir/playlist"
)

// alternatives describes the audio or subtitle renditions of a group, in the order of the
// encoder's choice. What the bytes do not tell is taken from what the encoder said.
func (c *channel) alternatives(kind, group string, renditions []*rendition) (list []playlist.Rendition) {
	for i, r := range renditions {
		x := c.alternative(kind, group, r)
		// "A set of one or more EXT-X-MEDIA tags with the same GROUP-ID ... MUST NOT have
		// more than one member with a DEFAULT attribute of YES" (HLSbis 4.4.6.1.1). Sound
		// there has to be; captions only who asks for them wants.
		switch {
		case slices.ContainsFunc(list, func(y playlist.Rendition) bool { return y.Default }):
			x.Default = false
		case kind == "AUDIO":
			x.Default = x.Default || i == 0
		}
		// "All EXT-X-MEDIA tags in the same Group MUST have different NAME attributes."
		if slices.ContainsFunc(list, func(y playlist.Rendition) bool { return y.Name == x.Name }) {
			x.Name += " (" + r.name + ")"
		}
		list = append(list, x)
	}
	return list
}

func (c *channel) alternative(kind, group string, r *rendition) playlist.Rendition {
	x := playlist.Rendition{Type: kind, GroupID: group, URI: r.name + "/index.m3u8", Autoselect: true}
	var told playlist.Rendition
	if c.expected != nil {
		told = c.expected.media[r.path]
	}
	x.Default, x.Forced = told.Default, told.Forced && kind == "SUBTITLES"
	code := told.Language
	for _, t := range r.tracks {
		if t.Kind == cmaf.Audio && t.Channels > 0 {
			x.Channels = strconv.Itoa(t.Channels)
		}
		code = cmp.Or(code, t.Language)
	}
	var name string
	x.Language, name = language(code)
	if generic(told.Name) {
		told.Name = ""
	}
	x.Name = cmp.Or(told.Name, name, r.name)
	return x
}

// generic reports whether a NAME is one that FFmpeg makes up: audio_0, subtitle_0.
func generic(name string) bool {
	for _, kind := range []string{"audio_", "subtitle_"} {
		if rest, ok := strings.CutPrefix(name, kind); ok && strings.Trim(rest, "0123456789") == "" {
			return true
		}
	}
	return false
}

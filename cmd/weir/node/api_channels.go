package node

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/cmd/weir/api"
	"weir/origin"
	"weir/playlist"
)

// channelAPI is what operators do to channels.
type channelAPI struct{ origin func() *origin.Origin }

func (a channelAPI) routes() []apiRoute {
	one := api.ChannelsPath + "/{channel}"
	return []apiRoute{
		{api.ChannelsPath, map[string]apiCall{http.MethodGet: a.list}},
		{one, map[string]apiCall{http.MethodGet: a.show, http.MethodDelete: a.do((*origin.Origin).Remove)}},
		{one + "/end", map[string]apiCall{http.MethodPost: a.do((*origin.Origin).End)}},
		{one + "/resume", map[string]apiCall{http.MethodPost: a.do((*origin.Origin).Resume)}},
		{one + "/dateranges", map[string]apiCall{http.MethodGet: a.ranges, http.MethodPost: a.addRange}},
	}
}

func (a channelAPI) list(*http.Request) (int, any, error) {
	out := api.Channels{Channels: []api.Channel{}}
	for _, s := range a.origin().Streams() {
		out.Channels = append(out.Channels, channelOf(s))
	}
	return http.StatusOK, out, nil
}

func (a channelAPI) show(r *http.Request) (int, any, error) {
	s, err := a.origin().Stream(r.PathValue("channel"))
	return http.StatusOK, channelOf(s), err
}

// do does what f does to a channel, and answers with what became of it.
func (a channelAPI) do(f func(*origin.Origin, string) error) apiCall {
	return func(r *http.Request) (int, any, error) {
		name := r.PathValue("channel")
		if err := f(a.origin(), name); err != nil {
			return 0, nil, err
		}
		s, err := a.origin().Stream(name)
		if err != nil { // done, and nothing is left of it
			return http.StatusOK, api.Channel{Name: name, State: api.Removed, Renditions: []api.Rendition{}}, nil
		}
		return http.StatusOK, channelOf(s), nil
	}
}

func channelOf(s origin.StreamInfo) api.Channel {
	c := api.Channel{
		Name: s.Channel, State: s.State.String(), StateSince: s.StateSince, GoneAt: s.GoneAt, Complete: s.Ended,
		TargetDuration: api.Seconds(s.TargetDuration), Since: s.Since, LastPush: s.LastPush, Bytes: s.Bytes,
		Renditions: []api.Rendition{},
	}
	for _, r := range s.Renditions {
		c.Renditions = append(c.Renditions, api.Rendition{
			Name: r.Name, Codecs: r.Codecs, First: r.First, Last: r.Last, Gaps: r.Gaps, Bandwidth: r.Bandwidth,
			Average: r.Average, Pending: r.Pending, Waiting: r.Waiting, LastPublished: r.LastPublished, Dead: r.Dead,
		})
	}
	return c
}

func (a channelAPI) ranges(r *http.Request) (int, any, error) {
	list, err := a.origin().DateRanges(r.PathValue("channel"))
	out := api.DateRanges{DateRanges: []api.DateRange{}}
	for i := range list {
		out.DateRanges = append(out.DateRanges, rangeOf(&list[i]))
	}
	return http.StatusOK, out, err
}

func (a channelAPI) addRange(r *http.Request) (int, any, error) {
	var asked api.DateRange
	if err := readBody(r, &asked); err != nil {
		return 0, nil, err
	}
	d, err := playlistRange(&asked)
	if err != nil {
		return 0, nil, err
	}
	all, created, err := a.origin().AddDateRange(r.PathValue("channel"), d)
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return status, rangeOf(&all), err
}

// rangeOf is a date range as the API has it.
func rangeOf(d *playlist.DateRange) api.DateRange {
	out := api.DateRange{
		ID: d.ID, Class: d.Class, Start: d.Start, End: d.End, Duration: (*api.Seconds)(d.Duration), Planned: (*api.Seconds)(d.Planned),
		EndOnNext: d.EndOnNext, Cue: d.Cue, SCTE35Cmd: d.SCTE35Cmd, SCTE35Out: d.SCTE35Out, SCTE35In: d.SCTE35In,
	}
	for _, x := range d.X {
		if out.X == nil {
			out.X = map[string]any{}
		}
		out.X[x.Name] = valueOf(x.Value)
	}
	return out
}

// playlistRange is the date range that an operator asks for.
func playlistRange(a *api.DateRange) (playlist.DateRange, error) {
	d := playlist.DateRange{
		ID: a.ID, Class: a.Class, Start: a.Start, End: a.End, Duration: (*time.Duration)(a.Duration), Planned: (*time.Duration)(a.Planned),
		EndOnNext: a.EndOnNext, Cue: a.Cue, SCTE35Cmd: a.SCTE35Cmd, SCTE35Out: a.SCTE35Out, SCTE35In: a.SCTE35In,
	}
	for _, name := range slices.Sorted(maps.Keys(a.X)) {
		value, err := attributeOf(a.X[name])
		if err != nil {
			return d, badBody("x: %.40q: %w", name, err)
		}
		d.X = append(d.X, playlist.Attribute{Name: name, Value: value})
	}
	return d, nil
}

// valueOf is an attribute's value, as it is written, as JSON has it: see [api.DateRange].
func valueOf(written string) any {
	text, quoted := strings.CutPrefix(written, `"`)
	if quoted {
		if text = strings.TrimSuffix(text, `"`); isHex(text) {
			return written
		}
		return text
	}
	if f, err := strconv.ParseFloat(written, 64); err == nil && !isHex(written) {
		if json.Valid([]byte(written)) {
			return json.Number(written)
		}
		return f
	}
	return written
}

// attributeOf is the reverse of valueOf.
func attributeOf(v any) (written string, err error) {
	switch v := v.(type) {
	case string:
		if strings.HasPrefix(v, `"`) || isHex(v) {
			return v, nil
		}
		return `"` + v + `"`, nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	}
	return "", errors.New("a value is text or a number")
}

func isHex(s string) bool { return strings.HasPrefix(s, "0x") || strings.HasPrefix(s, "0X") }

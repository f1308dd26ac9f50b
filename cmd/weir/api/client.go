package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Bounds of what a client takes.
const (
	maxAnswer = 16 << 20
	slow      = 5 * time.Minute // to make an asset of many files
)

// Options configures a [Client].
type Options struct {
	URL     string        // of an origin's admin listener, as in http://127.0.0.1:9180
	Token   string        // of its admin.token_file; "": none is sent
	Timeout time.Duration // of one request, connecting included. 0: 15 s
}

// A Client asks one origin.
type Client struct {
	base    string
	token   string
	timeout time.Duration
	http    http.Client
}

// New returns a client. It asks nothing yet.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%q is no URL of an admin listener: it is http://HOST:PORT, as in http://127.0.0.1:9180", o.URL)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
		return nil, fmt.Errorf("%q: leave out all behind the port", u.Redacted())
	}
	c := &Client{base: u.Scheme + "://" + u.Host, token: o.Token, timeout: o.Timeout}
	if c.timeout == 0 {
		c.timeout = 15 * time.Second
	}
	c.http.Transport = &http.Transport{ // without a proxy: an admin listener is asked directly
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableKeepAlives:      true,
	}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// Channels returns all channels, by name.
func (c *Client) Channels(ctx context.Context) ([]Channel, error) {
	var a Channels
	_, err := c.ask(ctx, http.MethodGet, ChannelsPath, nil, &a)
	return a.Channels, err
}

// Channel returns one.
func (c *Client) Channel(ctx context.Context, name string) (a Channel, err error) {
	_, err = c.ask(ctx, http.MethodGet, channelPath(name), nil, &a)
	return a, err
}

// End ends a channel, and returns what became of it.
func (c *Client) End(ctx context.Context, name string) (a Channel, err error) {
	_, err = c.ask(ctx, http.MethodPost, channelPath(name)+"/end", nil, &a)
	return a, err
}

// Resume opens a channel that was ended to its encoders again.
func (c *Client) Resume(ctx context.Context, name string) (a Channel, err error) {
	_, err = c.ask(ctx, http.MethodPost, channelPath(name)+"/resume", nil, &a)
	return a, err
}

// Remove removes a channel.
func (c *Client) Remove(ctx context.Context, name string) (a Channel, err error) {
	_, err = c.ask(ctx, http.MethodDelete, channelPath(name), nil, &a)
	return a, err
}

// DateRanges returns the date ranges that a channel's playlists tell.
func (c *Client) DateRanges(ctx context.Context, name string) ([]DateRange, error) {
	var a DateRanges
	_, err := c.ask(ctx, http.MethodGet, channelPath(name)+"/dateranges", nil, &a)
	return a.DateRanges, err
}

// AddDateRange tells one, or adds to it; created: there was none of its ID.
func (c *Client) AddDateRange(ctx context.Context, name string, d DateRange) (all DateRange, created bool, err error) {
	status, err := c.ask(ctx, http.MethodPost, channelPath(name)+"/dateranges", d, &all)
	return all, status == http.StatusCreated, err
}

// Assets returns all assets, by name.
func (c *Client) Assets(ctx context.Context) ([]Asset, error) {
	var a Assets
	_, err := c.ask(ctx, http.MethodGet, AssetsPath, nil, &a)
	return a.Assets, err
}

// MakeAsset makes one, and is back when it can be played.
func (c *Client) MakeAsset(ctx context.Context, r AssetRequest) (a Asset, err error) {
	_, err = c.ask(ctx, http.MethodPost, AssetsPath, r, &a)
	return a, err
}

// RemoveAsset removes one.
func (c *Client) RemoveAsset(ctx context.Context, name string) error {
	_, err := c.ask(ctx, http.MethodDelete, AssetsPath+"/"+url.PathEscape(name), nil, nil)
	return err
}

func channelPath(name string) string { return ChannelsPath + "/" + url.PathEscape(name) }

// ask makes one request, and reads its answer into what answer points to.
func (c *Client) ask(ctx context.Context, method, path string, body, answer any) (status int, err error) {
	timeout := c.timeout
	if method == http.MethodPost && path == AssetsPath {
		timeout = max(timeout, slow)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v", timeout))
	defer cancel()
	var send io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		send = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, send)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, c.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return resp.StatusCode, c.unreachable(ctx, err)
	case len(text) > maxAnswer:
		return resp.StatusCode, fmt.Errorf("%s answers with more than %d MiB", c.base, maxAnswer>>20)
	case resp.StatusCode == http.StatusNoContent:
		return resp.StatusCode, nil
	case !isJSON(resp.Header.Get("Content-Type")):
		return resp.StatusCode, c.notAnAPI(resp.StatusCode, text)
	case resp.StatusCode/100 != 2:
		e := &Error{Status: resp.StatusCode}
		if json.Unmarshal(text, e) != nil || e.Text == "" {
			return resp.StatusCode, c.notAnAPI(resp.StatusCode, text)
		}
		return resp.StatusCode, e
	case answer == nil:
		return resp.StatusCode, nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return resp.StatusCode, fmt.Errorf("%s answers what is none of its API's answers: %w", c.base, err)
	}
	return resp.StatusCode, nil
}

// unreachable names who was asked, and where to look.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	return fmt.Errorf("%s: %w (is the origin up, and is this its admin.listen?)", c.base, err)
}

func (c *Client) notAnAPI(status int, text []byte) error {
	line, _, _ := strings.Cut(string(text[:min(len(text), 200)]), "\n")
	return fmt.Errorf("%s answers %d without JSON: %q (is this the admin listener of an origin? An edge has no channels)", c.base, status, line)
}

func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && kind == "application/json"
}

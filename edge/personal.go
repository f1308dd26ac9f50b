package edge

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"weir/internal/web"
	"weir/playlist"
)

// personalise makes of an answer that is a playlist one viewer's own, in which
// every URI has the query added: so a token in the query of a playlist reaches
// what the playlist names. Such an answer is for nobody else and is not to be
// kept. Every other answer stays as it is.
func personalise(ctx context.Context, resp *web.Response, query string) error {
	if resp.Status != http.StatusOK || resp.Body == nil || !isPlaylist(resp.Get("Content-Type")) {
		return nil
	}
	text, err := web.ReadAll(ctx, resp.Body, playlist.MaxBytes)
	if err != nil {
		return fmt.Errorf("read a playlist to hand the token down: %w", err)
	}
	switch coding := resp.Get("Content-Encoding"); {
	case coding == "", strings.EqualFold(coding, "identity"):
	case strings.EqualFold(coding, "gzip"): // although identity was asked for
		if text, err = gunzip(text); err != nil {
			return fmt.Errorf("unpack a playlist to hand the token down: %w", err)
		}
	default:
		return fmt.Errorf("a playlist in the coding %q cannot hand the token down: %w", coding, web.ErrAborted)
	}
	resp.Body.Close()
	resp.Body = web.Bytes(playlist.AppendQuery(make([]byte, 0, 2*len(text)), text, query))
	resp.Header.Set("Cache-Control", "private, no-store")
	// It is no longer what the validators name, and no cache on its way may keep it.
	for _, name := range [...]string{"ETag", "Last-Modified", "Expires", "CDN-Cache-Control", "Surrogate-Control", "Content-Encoding"} {
		resp.Header.Set(name, "")
	}
	return nil
}

func isPlaylist(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	switch strings.ToLower(strings.Trim(kind, " \t")) {
	case playlist.MIMEType, "application/x-mpegurl", "application/mpegurl", "audio/mpegurl", "audio/x-mpegurl":
		return true
	}
	return false
}

func gunzip(p []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(p))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r, playlist.MaxBytes+1))
	if err == nil && len(text) > playlist.MaxBytes {
		err = web.ErrTooLarge
	}
	return text, err
}

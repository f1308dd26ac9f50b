package playlist

import "bytes"

// AppendQuery appends playlist to dst with query (without "?") added to every URI in it,
// on lines of their own and in URI attributes, and returns it: so a token in the query of a
// playlist reaches what the playlist names. A URI that may lead to another host, or is no
// place to ask a host at all (data:, skd:), is left alone, whoever wrote it. What cannot
// stand in a URI is escaped. The text grows by up to three times the query for each URI:
// callers bound the query (a token has at most 4 KiB).
func AppendQuery(dst, playlist []byte, query string) []byte {
	if query == "" {
		return append(dst, playlist...)
	}
	for len(playlist) > 0 {
		end := bytes.IndexByte(playlist, '\n') + 1
		if end == 0 {
			end = len(playlist)
		}
		line := playlist[:end]
		playlist = playlist[end:]
		text := bytes.TrimRight(line, " \t\r\n")
		switch {
		case len(text) == 0:
		case text[0] != '#':
			dst = appendWithQuery(dst, text, query)
		case bytes.HasPrefix(text, []byte("#EXT")):
			dst = appendTagWithQuery(dst, text, query)
		default:
			dst = append(dst, text...)
		}
		dst = append(dst, line[len(text):]...)
	}
	return dst
}

// appendTagWithQuery finds the URI attribute, outside of other attributes' quotes.
func appendTagWithQuery(dst, tag []byte, query string) []byte {
	quoted := false
	for i := 0; i < len(tag); i++ {
		switch c := tag[i]; {
		case c == '"':
			quoted = !quoted
		case quoted || c != ':' && c != ',' && c != ' ':
		case bytes.HasPrefix(tag[i+1:], []byte(`URI="`)):
			start := i + 1 + len(`URI="`)
			end := bytes.IndexByte(tag[start:], '"')
			if end < 0 {
				return append(dst, tag...)
			}
			dst = append(dst, tag[:start]...)
			dst = appendWithQuery(dst, tag[start:start+end], query)
			return append(dst, tag[start+end:]...)
		case c == ':' && bytes.HasPrefix(tag, []byte("#EXTINF:")):
			return append(dst, tag...) // a title is no attribute list
		}
	}
	return append(dst, tag...)
}

func appendWithQuery(dst, uri []byte, query string) []byte {
	if !sameHost(uri) {
		return append(dst, uri...)
	}
	at := bytes.IndexByte(uri, '#')
	if at < 0 {
		at = len(uri)
	}
	dst = append(dst, uri[:at]...)
	switch mark := bytes.IndexByte(uri[:at], '?'); {
	case mark < 0:
		dst = append(dst, '?')
	case mark < at-1:
		dst = append(dst, '&')
	}
	for i := 0; i < len(query); i++ {
		if c := query[i]; uriByte(c) && c != '#' {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(dst, uri[at:]...)
}

// sameHost says whether uri is sure to be relative to the playlist's host, for browsers
// too: they read "\" as "/" and skip control characters and spaces.
func sameHost(uri []byte) bool {
	if len(uri) == 0 {
		return false
	}
	slash := func(c byte) bool { return c == '/' || c == '\\' }
	if len(uri) > 1 && slash(uri[0]) && slash(uri[1]) {
		return false
	}
	for i, c := range uri {
		switch {
		case c <= 0x20 || c == 0x7f:
			return false
		case bytes.HasPrefix(uri[i:], []byte("{$")):
			return false // a variable may hold anything
		}
	}
	// A scheme ends in the first colon, before any slash, question mark or hash.
	end := bytes.IndexAny(uri, ":/?#\\")
	return end < 0 || uri[end] != ':'
}

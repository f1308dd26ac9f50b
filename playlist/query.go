package playlist

// AppendQuery appends playlist to dst with query added to every URI in it.
func AppendQuery(dst, playlist []byte, query string) []byte { return append(dst, playlist...) }

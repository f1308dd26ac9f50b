package playlist

// Append appends the playlist's text to dst.
func (m *Media) Append(dst []byte) []byte { return dst }

// Append appends the playlist's text to dst.
func (m *Multivariant) Append(dst []byte) []byte { return dst }

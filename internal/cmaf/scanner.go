package cmaf

// Chunk is a moof and its mdat.
type Chunk struct {
	// Offset is where the chunk begins in the stream: at the first box after the chunk
	// before, so that styp, prft, sidx and emsg belong to the chunk they precede.
	Offset int64
	// Size runs to the end of the mdat.
	Size   int64
	Tracks []Timing
	// Independent says that a decoder can start here: the first video sample is a sync
	// sample, or there is no video.
	Independent bool
}

// Scanner finds the chunks of a stream as its bytes flow by. It holds the boxes that it
// has to read (moov, moof), never media.
type Scanner struct{ init *Init }

// NewScanner starts at a box boundary. init is that of the tracks; with nil, the stream's
// own moov is used once it came, and durations that only it can tell are 0 until then.
func NewScanner(init *Init) *Scanner { return &Scanner{init: init} }

// Write takes the next bytes and returns the chunks that they complete. An error is final.
func (s *Scanner) Write(p []byte) ([]Chunk, error) { return nil, nil }

// Init is the init segment in use, nil before there is one.
func (s *Scanner) Init() *Init { return s.init }

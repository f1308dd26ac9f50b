package edge

import "io"

// sinkWriter remembers that it was not upstream that failed.
type sinkWriter struct {
	w   io.Writer
	err error
}

// Write implements [io.Writer].
func (s *sinkWriter) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.err = err
	return n, err
}

// ReadFrom implements [io.ReaderFrom]: where the bytes are to lie they are read to.
func (s *sinkWriter) ReadFrom(r io.Reader) (int64, error) {
	to, ok := s.w.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{s}, r)
	}
	src := &sourceReader{r: r}
	n, err := to.ReadFrom(src)
	if err != nil && src.err == nil {
		s.err = err
	}
	return n, err
}

// sourceReader remembers that it was upstream that failed.
type sourceReader struct {
	r   io.Reader
	err error
}

// Read implements [io.Reader].
func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

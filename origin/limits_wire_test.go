package origin

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/internal/wire"
)

// Over a real connection: an upload that is slowed down is not taken for one that stalled, and
// is answered 200 in the end.
func TestASlowedUploadIsNotAStalledOne(t *testing.T) {
	t.Parallel()
	r := newRig(t, limited(Limits{Rate: 100_000}))
	n, err := wire.NewNet(wire.NetOptions{Handler: r.o.Ingest(), BeforeBody: r.o.BeforeBody, ProgressTimeout: 150 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = n.Serve(ln) }()
	defer func() {
		ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
		defer stop()
		_ = n.Shutdown(ctx)
		r.close()
	}()
	began := time.Now()
	req, err := http.NewRequestWithContext(t.Context(), "PUT", "http://"+ln.Addr().String()+small+"c/x.ts", strings.NewReader(strings.Repeat("x", 1_200_000)))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if d := time.Since(began); resp.StatusCode != 200 || d < 1500*time.Millisecond || d > 5*time.Second {
		t.Errorf("12 s of media: %d after %v", resp.StatusCode, d)
	}
}

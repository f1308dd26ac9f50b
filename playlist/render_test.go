package playlist

import (
	"strings"
	"testing"
	"time"
)

// A player that begins anew at a discontinuity finds the initialization section
// there, also where it is the one before.
func TestTheMapIsNamedAgainAfterADiscontinuity(t *testing.T) {
	init := &Map{URI: "init.mp4"}
	m := Media{TargetDuration: 2, Segments: []Segment{
		{URI: "0.m4s", Duration: 2 * time.Second, Map: init},
		{URI: "1.m4s", Duration: 2 * time.Second, Map: init},
		{URI: "2.m4s", Duration: 2 * time.Second, Map: init, Discontinuity: true},
		{URI: "3.m4s", Duration: 2 * time.Second, Map: init},
	}}
	text := string(m.Append(nil))
	if n := strings.Count(text, "#EXT-X-MAP:"); n != 2 || !strings.Contains(text, "#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init.mp4\"\n") {
		t.Errorf("%d maps in\n%s", n, text)
	}
}

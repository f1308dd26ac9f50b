package origin

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"weir/internal/web"
)

// What the wire says of an upload that is cut, stalled or too large names no object. What
// the encoder is told and the operator reads does, and a cut counts as one.
func TestWhatTheWireSaysOfAnUploadGetsItsName(t *testing.T) {
	r := newRig(t, Options{MaxUpload: 1000})
	defer r.close()
	f := func(file string, status int, reason, knob, result string) {
		t.Helper()
		said := &web.Error{Status: status, Reason: "words_of_the_wire", Err: errors.New("the request's body has a fault")}
		before := r.metric("weir_origin_uploads_total", result)
		_, err := r.send("PUT", "/ingest/c/"+file, broken{strings.NewReader("half of it"), said})
		if web.StatusOf(err) != status || web.ReasonOf(err) != reason || !strings.Contains(err.Error(), "channel c: "+file) || !strings.Contains(err.Error(), knob) {
			t.Errorf("%s: %d %s %v", file, web.StatusOf(err), web.ReasonOf(err), err)
		}
		r.logged("channel=c", "path="+file, "reason="+reason, knob)
		if n := r.metric("weir_origin_uploads_total", result) - before; n != 1 {
			t.Errorf("%s: %v counted as %s", file, n, result)
		}
	}
	f("cut.ts", http.StatusBadRequest, "upload_cut", "after 10 bytes", "cut")
	f("stalled.ts", http.StatusRequestTimeout, "upload_stalled", "ingest.stall_timeout", "cut")
	f("large.ts", http.StatusRequestEntityTooLarge, "too_large", "ingest.max_upload", "refused")
	f("cut.m3u8", http.StatusBadRequest, "upload_cut", "after 10 bytes", "cut")
	f("large.m3u8", http.StatusRequestEntityTooLarge, "too_large", "-hls_list_size", "refused")
}

// An upload whose length is told is refused before its body, like one without a key; a
// stranger learns nothing of the limit.
func TestUploadTooLongIsRefusedBeforeItsBody(t *testing.T) {
	r := newRig(t, Options{MaxUpload: 1000, Publishers: func() []Publisher { return []Publisher{{Name: "a", Secret: "secret-of-a"}} }})
	defer r.close()
	f := func(file, length, key string, status int) {
		t.Helper()
		err := r.o.BeforeBody(&web.Request{Method: "PUT", Path: "/ingest/k/" + key + "/c/" + file, Header: web.NewHeader("Content-Length", length)})
		if err == nil && status != 200 || err != nil && web.StatusOf(err) != status {
			t.Errorf("%s of %s bytes: %v, want %d", file, length, err, status)
		}
	}
	f("x.ts", "1000", "secret-of-a", 200)
	f("x.ts", "1001", "secret-of-a", 413)
	f("x.ts", "1001", "secret-of-b", 403)
	f("x.m3u8", "600000", "secret-of-a", 413)
}

// A key that the operator of an encoder put at a wrong place of the URL looks like the name
// of a channel or a file. It is told to nobody, and what is wrong is.
func TestMisplacedKeyIsNotLogged(t *testing.T) {
	r := newRig(t, Options{Publishers: func() []Publisher { return []Publisher{{Name: "a", Secret: "secret-of-a"}} }})
	defer r.close()
	for _, p := range []string{
		"/ingest/secret-of-a/c/x.ts", "/ingest/c/secret-of-a/x.ts", "/ingest/K/secret-of-a/c/x.ts", "/k/secret-of-a/c/x.ts",
		"/ingest/k/c/secret-of-a/x.ts", "/ingest/k/secret-of-a/secret-of-a/x.exe",
	} {
		if _, err := r.send("PUT", p, strings.NewReader("x")); err == nil {
			t.Errorf("%s was taken", p)
		}
	}
	if strings.Contains(r.log.String(), "secret-of-a") {
		t.Errorf("a key is in the log:\n%s", r.log.String())
	}
	r.logged("wrong place of the path")
	_, _ = r.send("PUT", "/ingest/k/secret-of-a/Bad/x.ts", strings.NewReader("x"))
	r.logged("Bad", "reason=bad_path")
}

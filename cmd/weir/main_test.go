package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the expected texts in testdata")

// weir runs one command as a shell would.
func weir(t *testing.T, stdin string, args ...string) (code int, out, errs string) {
	t.Helper()
	t.Setenv("COLUMNS", "80")
	var o, e bytes.Buffer
	code = run(t.Context(), env{strings.NewReader(stdin), &o, &e}, args)
	return code, o.String(), e.String()
}

// What an operator reads first at night is written down: every --help, and what
// is said to common mistakes (testdata/*.txt).
func TestHelpAndMistakes(t *testing.T) {
	cases := map[string][]string{
		"help":              {"--help"},
		"help-none":         {},
		"help-demo":         {"help", "demo"},
		"help-origin":       {"origin", "--help"},
		"help-edge":         {"edge", "--help"},
		"help-check":        {"check", "--help"},
		"help-token":        {"token", "--help"},
		"help-token-keygen": {"token", "keygen", "--help"},
		"help-token-sign":   {"token", "sign", "--help"},
		"help-token-verify": {"token", "verify", "--help"},
		"help-channel":      {"channel", "--help"},
		"help-channel-list": {"channel", "list", "--help"},
		"help-channel-end":  {"channel", "end", "--help"},
		"help-channel-rm":   {"channel", "remove", "--help"},
		"help-daterange":    {"channel", "daterange", "--help"},
		"help-vod":          {"vod", "--help"},
		"help-vod-cut":      {"vod", "cut", "--help"},
		"bad-when":          {"vod", "cut", "news", "a", "--start", "20:15"},
		"bad-unreachable":   {"channel", "list", "--admin", "http://127.0.0.1:1"},
		"bad-admin-url":     {"channel", "list", "--admin", "origin1:9180"},
		"bad-admin-token":   {"channel", "list", "--admin-token", "testdata/right.yaml"},
		"bad-set":           {"channel", "daterange", "news", "--id", "a", "--set", "TITLE=x"},
		"bad-command":       {"orgin"},
		"bad-flag":          {"edge", "--orign", "http://o:8080"},
		"bad-no-origin":     {"edge"},
		"bad-addresses":     {"edge", "--origin", "o:8080", "--listen", "8090", "--join", "e1"},
		"bad-ingest":        {"origin", "--ingest", "0.0.0.0:8081"},
		"bad-no-file":       {"edge", "--config", "testdata/none.yaml"},
		"bad-admin":         {"origin", "--admin", ":9180"},
		"bad-check":         {"check", "testdata/wrong.yaml", "testdata/right.yaml"},
		"check":             {"check", "testdata/right.yaml"},
		"check-quiet":       {"check", "-q", "testdata/right.yaml"},
		"bad-kind":          {"check", "testdata/either.yaml"},
		"bad-typo":          {"check", "testdata/typo.yaml"},
		"bad-other-kind":    {"origin", "--config", "testdata/right.yaml"},
		"bad-token":         {"token", "verify", "x.y.z"},
	}
	for name, args := range cases {
		t.Run(name, func(t *testing.T) {
			code, out, errs := weir(t, "", args...)
			got := "$ weir " + strings.Join(args, " ") + "\n" + out
			if errs != "" {
				got += "--- standard error\n" + errs
			}
			got += "--- exit code " + string(rune('0'+code)) + "\n"
			golden := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, _ := os.ReadFile(golden)
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("-want +got (run with -update to accept):\n%s", d)
			}
			if strings.HasPrefix(name, "bad-") == (code == 0) {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// A key made here signs a token that is good where the edge's config says so,
// and is refused with the viewer's reason code where it does not.
func TestTokensFromKeyToVerdict(t *testing.T) {
	for _, alg := range []string{"ES256", "EdDSA", "HS256"} {
		dir := t.TempDir()
		t.Chdir(dir)
		code, snippet, errs := weir(t, "", "token", "keygen", "--alg", alg, "--out", "k1")
		if code != 0 {
			t.Fatal(errs)
		}
		code, _, errs = weir(t, "", "token", "keygen", "--alg", alg, "--out", "k1")
		if code != 1 || !strings.Contains(errs, "exists") {
			t.Errorf("a key was overwritten: %d %s", code, errs)
		}
		private := "k1.pem"
		if alg == "HS256" {
			private = "k1.secret"
		}
		if info, err := os.Stat(private); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v %v", info, err)
		}
		if err := os.WriteFile("edge.yaml", []byte("origins: [http://o:8080]\n"+snippet), 0o644); err != nil {
			t.Fatal(err)
		}
		if code, _, errs := weir(t, "", "check", "-q", "edge.yaml"); code != 0 {
			t.Fatal("what keygen prints is no config: ", errs)
		}
		code, raw, errs := weir(t, "", "token", "sign", "--key", private, "--path", "/live/news/", "--ttl", "1h", "--subject", "ann")
		if code != 0 {
			t.Fatal(errs)
		}
		raw = strings.TrimSpace(raw)
		code, out, errs := weir(t, "", "token", "verify", "--config", "edge.yaml", "--path", "/live/news/index.m3u8", raw)
		if code != 0 || !strings.Contains(out, `"sub": "ann"`) || !strings.Contains(errs, "good for another") {
			t.Errorf("%d %s %s", code, out, errs)
		}
		refused := func(reason, stdin string, args ...string) {
			t.Helper()
			code, _, errs := weir(t, stdin, append([]string{"token", "verify", "--config", "edge.yaml"}, args...)...)
			if code != 1 || !strings.Contains(errs, "refused: "+reason) {
				t.Errorf("want %s: %d %s", reason, code, errs)
			}
		}
		refused("token_path", "", "--path", "/live/sport/index.m3u8", raw)
		refused("token_path", raw+"\n", "--path", "/live/newsroom", "-")
		refused("token_", "", raw[:len(raw)-8]+"AAAAAAAA")
		code, url, _ := weir(t, "", "token", "sign", "--key", private, "--path", "/live/", "--url", "http://e:8090/live/a/index.m3u8")
		if want := "http://e:8090/t/"; code != 0 || !strings.HasPrefix(url, want) || !strings.HasSuffix(url, "/live/a/index.m3u8\n") {
			t.Errorf("%d %s", code, url)
		}
		if code, _, errs := weir(t, "", "token", "verify", "--config", "edge.yaml", strings.TrimSpace(url)); code != 0 {
			t.Error(errs)
		}
		if code, _, _ := weir(t, "", "token", "sign", "--key", private, "--path", "/live/", "--ttl", "-1h"); code != 2 {
			t.Error("a token that has expired was signed")
		}
	}
}

func TestVersionIsTold(t *testing.T) {
	code, out, _ := weir(t, "", "version")
	if code != 0 || !strings.HasPrefix(out, "weir ") {
		t.Error(code, out)
	}
}

// lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// await waits until the log has a line with all the words.
func (l *lines) await(t *testing.T, words ...string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
	next:
		for line := range strings.Lines(l.String()) {
			for _, w := range words {
				if !strings.Contains(line, w) {
					continue next
				}
			}
			return
		}
	}
	t.Fatalf("no line with %q in\n%s", words, l)
}

// SIGHUP is how an operator's tools reload a node: the log says what it did.
func TestHangupReloads(t *testing.T) {
	file := filepath.Join(t.TempDir(), "edge.yaml")
	write := func(text string) {
		t.Helper()
		const rest = "listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\norigins: [http://127.0.0.1:1]\ndrain: {delay: 0s}\n"
		if err := os.WriteFile(file, []byte(rest+text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	ctx, stop := context.WithCancel(t.Context())
	var log lines
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, env{strings.NewReader(""), io.Discard, &log}, []string{"edge", "--config", file})
	}()
	log.await(t, "ready", "127.0.0.1:")
	hangup := func() {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	write("log: {level: debug}\nquery: all\n")
	hangup()
	log.await(t, "reload: applied", "log.level")
	log.await(t, "need a restart", "query")
	write("lgo: {}\n")
	hangup()
	log.await(t, "nothing changed", "edge.yaml:5: lgo: unknown key, did you mean log?")
	stop()
	if code := <-done; code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A node started by the command says what an operator must know, and ends with
// code 0 when it is told to.
func TestCommandRunsANode(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "origin.yaml")
	if err := os.WriteFile(file, []byte("drain: {delay: 0s}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ warning, cmd string }{
		{"no publisher key", "origin --config " + file + " --listen 127.0.0.1:0 --ingest :0 --admin 127.0.0.1:0"},
		{"no token key", "edge --listen 127.0.0.1:0 --admin 127.0.0.1:0 --origin http://127.0.0.1:1 --log-format json"},
	} {
		ctx, stop := context.WithCancel(t.Context())
		var log lines
		done := make(chan int, 1)
		go func() { done <- run(ctx, env{strings.NewReader(""), io.Discard, &log}, strings.Fields(c.cmd)) }()
		log.await(t, "ready", "127.0.0.1:")
		if n := strings.Count(log.String(), c.warning); n != 1 {
			t.Errorf("%q is said %d times:\n%s", c.warning, n, &log)
		}
		stop()
		select {
		case code := <-done:
			if code != 0 {
				t.Errorf("exit code %d:\n%s", code, &log)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("does not end:\n", &log)
		}
	}
}

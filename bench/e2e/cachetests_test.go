package e2e

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The edge as a general cache, judged by strangers: the tests that browsers and
// CDNs are compared by (cache-tests.fyi) run through `weir edge --query all`.
// What it does otherwise than they expect is listed, with its reason, and
// nothing else may be; what is listed and holds after all must leave the list.
func TestTheCacheTestsOfTheWebPass(t *testing.T) {
	need(t, "node")
	const suite = "judge-cache/node_modules/http-cache-tests"
	if _, err := os.Stat(suite); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("the cache tests are not installed, and CI installs them (make node-tools)")
		}
		t.Skip("the cache tests are not installed (make node-tools)")
	}
	out, err := exec.Command("node", "judge-cache/kinds.mjs").Output()
	if err != nil {
		t.Fatal(err)
	}
	var tests map[string]struct{ Kind, Name string }
	if err := json.Unmarshal(out, &tests); err != nil || len(tests) < 300 {
		t.Fatalf("%d tests: %v", len(tests), err)
	}

	port := ports(t, 3)
	upstream, view, admin := port(), port(), port()
	settings := append(os.Environ(), "npm_config_protocol=http", "npm_config_base=http://"+view, "npm_package_config_id=",
		"npm_config_port="+upstream[strings.LastIndexByte(upstream, ':')+1:], "npm_config_pidfile="+filepath.Join(t.TempDir(), "pid"))
	server := start(t, "upstream of the cache tests", "env", append(settings[len(settings)-5:], "node", filepath.Join(suite, "server/server.mjs"))...)
	start(t, "edge", weirBinary, "edge", "--listen", view, "--admin", admin, "--query", "all", "--origin", "http://"+upstream)
	eventually(t, 20*time.Second, "edge and upstream", func() error {
		_, err := get(t.Context(), "http://"+admin+"/-/ready")
		if err != nil {
			return err
		}
		c, err := net.Dial("tcp", upstream)
		if err == nil {
			_ = c.Close()
		}
		return err
	})

	client := exec.CommandContext(t.Context(), "node", "--no-warnings", filepath.Join(suite, "cli.mjs"))
	client.Env = settings
	var stderr bytes.Buffer
	client.Stderr = &stderr
	said, err := client.Output()
	if err != nil {
		t.Fatalf("%v\n%.2000s", err, stderr.String())
	}
	var results map[string]any
	if err := json.Unmarshal(said[max(0, slices.Index(said, '{')):], &results); err != nil {
		t.Fatalf("%v in\n%.2000s", err, said)
	}
	passed := map[string]int{}
	for id, test := range tests {
		result, ran := results[id]
		ok := result == true
		switch why := otherwise[id]; {
		case !ran:
			t.Errorf("%s was not run", id)
		case test.Kind == "check": // it asks what a cache does, not whether that is right
		case ok && why != "":
			t.Errorf("%s passes: take it off the list of what weir does otherwise", id)
		case !ok && why == "":
			t.Errorf("%s (%s): %s: %v", id, test.Kind, test.Name, result)
		}
		if ok {
			passed[test.Kind]++
		}
	}
	t.Logf("passed: %v of %d tests", passed, len(tests))
	if server.cmd.ProcessState != nil {
		t.Errorf("the upstream of the cache tests has ended:\n%s", server.tail(2000))
	}
}

// Why weir does otherwise. The tests are of 2021; where they contradict RFC 9111,
// which came after, weir follows that.
const (
	remembered = "an upstream in trouble is not asked by every viewer again: for half a second others get an error of the edge's own"
	ownError   = "the edge answers 504 by itself, which the test takes for something from the cache"
	invalidAge = "a cache SHOULD ignore an invalid Age, and of a list take the first (RFC 9111 section 5.1)"
	perViewer  = "a session that is opened for one viewer is shown to no other"
	wholes     = "a miss fetches the whole object, or an aligned slice of a large one, not what one viewer asked for"
)

// otherwise lists the tests that weir does not pass, and why.
var otherwise = map[string]string{
	"heuristic-502-not_cached":   remembered,
	"heuristic-503-not_cached":   remembered,
	"heuristic-504-not_cached":   remembered,
	"heuristic-599-not_cached":   remembered,
	"status-500-stale":           remembered,
	"status-502-stale":           remembered,
	"status-503-stale":           remembered,
	"status-504-stale":           remembered,
	"status-599-stale":           remembered,
	"status-599-must-understand": remembered,

	"stale-close-must-revalidate":  ownError,
	"stale-close-no-cache":         ownError,
	"stale-close-proxy-revalidate": ownError,
	"stale-close-s-maxage=2":       ownError,

	"age-parse-dup-0":             invalidAge,
	"age-parse-dup-0-twoline":     invalidAge,
	"age-parse-dup-old":           invalidAge,
	"age-parse-float":             invalidAge,
	"age-parse-negative":          invalidAge,
	"age-parse-nonnumeric":        invalidAge,
	"age-parse-numeric-parameter": invalidAge,
	"age-parse-parameter":         invalidAge,
	"age-parse-prefix-twoline":    invalidAge,

	"headers-store-Set-Cookie":            perViewer,
	"304-etag-update-response-Set-Cookie": perViewer,

	"partial-store-partial-complete":                wholes,
	"partial-store-partial-reuse-partial":           wholes,
	"partial-store-partial-reuse-partial-absent":    wholes,
	"partial-store-partial-reuse-partial-byterange": wholes,
	"partial-store-partial-reuse-partial-suffix":    wholes,

	"304-etag-update-response-Content-MD5": "of what a 304 says all is taken over but what RFC 9111 section 3.2 excepts",
	"304-etag-update-response-ETag":        "a 304 with a strong ETag of something else is about nothing that is kept (RFC 9111 section 4.3.4): it is asked for again",
	"conditional-lm-fresh-no-lm":           "it wants 304 although the answer's Date is later",
	"headers-store-Transfer-Encoding":      "an answer with a transfer coding that nobody knows cannot be understood",
	"method-POST":                          "an answer to POST is not kept for GET",
	"vary-normalise-lang-order":            "of languages of equal weight the first may be preferred",
	"vary-normalise-lang-select":           "which language an upstream would choose is not guessed",
}

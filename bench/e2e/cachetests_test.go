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

// otherwise lists the tests that weir does not pass, and why.
var otherwise = map[string]string{}

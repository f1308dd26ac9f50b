package config

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"weir/token"
)

var update = flag.Bool("update", false, "rewrite the expected texts in testdata")

// write puts files into a new directory, as name, content pairs.
func write(t *testing.T, pairs ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(pairs); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, pairs[i]), []byte(pairs[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func problems(t *testing.T, err error) Problems {
	t.Helper()
	ps, ok := errors.AsType[Problems](err)
	if !ok {
		t.Fatalf("%v is no list of problems", err)
	}
	return ps
}

// Every way to write a file wrong is told with its line, its key and what is
// allowed: testdata/bad/*.yaml with the expected text beside it.
func TestWrongFilesAreToldLineByLine(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no testdata/bad/*.yaml", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			var err error
			var warn Problems
			if strings.HasPrefix(filepath.Base(file), "origin") {
				_, warn, err = LoadOrigin(file)
			} else {
				_, warn, err = LoadEdge(file)
			}
			var got strings.Builder
			if err != nil {
				got.WriteString(err.Error() + "\n")
			}
			for _, w := range warn {
				if strings.Contains(w.Text, "chmod") {
					continue // a checkout may leave the key files readable
				}
				got.WriteString("warning: " + w.String() + "\n")
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, _ := os.ReadFile(golden)
			if d := cmp.Diff(string(want), got.String()); d != "" {
				t.Errorf("-want +got (run with -update to accept):\n%s", d)
			}
			for line := range strings.Lines(got.String()) {
				if !strings.Contains(line, file) {
					t.Errorf("no file named in %q", line)
				}
			}
		})
	}
}

// An empty file is a config: everything has its default but an edge's origins.
func TestEmptyFileIsTheDefaults(t *testing.T) {
	dir := write(t, "origin.yaml", "# nothing\n", "edge.yaml", "origins: [http://o:8080]\ntokens:\n  # keys: later\n")
	o, _, err := LoadOrigin(filepath.Join(dir, "origin.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(DefaultOrigin(), o, cmpopts.IgnoreUnexported(Origin{})); d != "" {
		t.Error(d)
	}
	e, _, err := LoadEdge(filepath.Join(dir, "edge.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultEdge()
	want.Origins = []string{"http://o:8080"}
	if d := cmp.Diff(want, e, cmpopts.IgnoreUnexported(Edge{})); d != "" {
		t.Error(d)
	}
}

// The example of the design works word for word where its keys exist.
func TestFileSaysEverything(t *testing.T) {
	_, pub, err := token.GenerateKey(token.ES256, "k1")
	if err != nil {
		t.Fatal(err)
	}
	dir := write(t,
		"edge.yaml", `
listen: :8090
origins: [http://o1:8080, http://o2:8080]
origin_key_file: pull.key
cache: {memory: 8GiB}
cluster: {bind: ":7946", peers: ":8091", join: [e1:7946], secret_file: cluster.key, zone: fra, weight: 10}
tokens: {keys: [{id: k1, alg: ES256, file: k1.pem}], issuers: [shop]}
limits: {connections: 500}
admin: {listen: 127.0.0.1:9190, token_file: t}
`,
		"pull.key", "edges 0123456789abcdef\n", "cluster.key", "# all edges\nabcdefghijklmnop\n",
		"k1.pem", string(pub), "t", "an-admin-token-x\n",
		"origin.yaml", `
access: {mode: pull-key, keys_file: pull.keys}
ingest: {listen: ":8081", keys_file: pub.keys}
channels:
  news: {target_duration: 4s}
  defaults: {target_duration: 2s, window: 30s, retention: 90s}
`,
		"pull.keys", "edges 0123456789abcdef # fra\ncdn fedcba9876543210\n",
		"pub.keys", "studio s3cr3t-s3cr3t sport-*,news\n")
	e, warn, err := LoadEdge(filepath.Join(dir, "edge.yaml"))
	if err != nil || len(warn) > 0 {
		t.Fatal(err, warn)
	}
	if e.Cache.Memory != 8*GiB || e.OriginKey != "0123456789abcdef" || e.Cluster.Secret != "abcdefghijklmnop" ||
		e.Admin.Token != "an-admin-token-x" || e.Tokens.Keys[0].Key.ID != "k1" || e.Limits.Connections != 500 {
		t.Errorf("%+v", e)
	}
	o, warn, err := LoadOrigin(filepath.Join(dir, "origin.yaml"))
	if err != nil || len(warn) > 0 {
		t.Fatal(err, warn)
	}
	news := o.Channels.Named["news"]
	if news.TargetDuration != 4*time.Second || news.Retention != 90*time.Second {
		t.Errorf("news does not inherit from the defaults written after it: %+v", news)
	}
	if len(o.Access.Keys) != 2 || o.Access.Keys[1] != (Secret{"cdn", "fedcba9876543210"}) {
		t.Errorf("%+v", o.Access.Keys)
	}
	want := []Publisher{{Name: "studio", Secret: "s3cr3t-s3cr3t", Channels: []string{"sport-*", "news"}}}
	if d := cmp.Diff(want, o.Ingest.Publishers); d != "" {
		t.Error(d)
	}

	// What is printed holds no secret and is itself a config that means the same.
	for _, text := range []string{string(e.Effective()), string(o.Effective())} {
		for _, secret := range []string{"0123456789abcdef", "abcdefghijklmnop", "an-admin-token-x", "fedcba", "s3cr3t", "PUBLIC KEY"} {
			if strings.Contains(text, secret) {
				t.Errorf("shows %s:\n%s", secret, text)
			}
		}
	}
	if s := string(o.Effective()); !strings.Contains(s, "# keys: edges, cdn") || !strings.Contains(s, "# publishers: studio") {
		t.Errorf("does not name the keys:\n%s", s)
	}
	again := write(t, "edge.yaml", string(e.Effective()), "origin.yaml", string(o.Effective()))
	e2, _, err := LoadEdge(filepath.Join(again, "edge.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	o2, _, err := LoadOrigin(filepath.Join(again, "origin.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if c := Diff(e, e2); len(c) > 0 {
		t.Errorf("the effective edge.yaml means something else: %v", c)
	}
	if c := Diff(o, o2); len(c) > 0 {
		t.Errorf("the effective origin.yaml means something else: %v", c)
	}
}

// A flag wins over the file, and what is wrong with it is told under its name.
func TestFlagsStandInForKeys(t *testing.T) {
	dir := write(t, "edge.yaml", "listen: :1\norigins: [http://file:1]\n", "demo.secret", strings.Repeat("x", 40))
	file := filepath.Join(dir, "edge.yaml")
	e, _, err := LoadEdge(file,
		Flag{"--listen", "listen", []string{"127.0.0.1:0"}},
		Flag{"--origin", "origins", []string{"http://a:1", "http://b:1"}},
		Flag{"--token-key", "tokens.keys", []string{filepath.Join(dir, "demo.secret")}})
	if err != nil {
		t.Fatal(err)
	}
	if e.Listen != "127.0.0.1:0" || len(e.Origins) != 2 || e.Tokens.Keys[0].ID != "demo" || e.Tokens.Keys[0].Alg != "HS256" {
		t.Errorf("%+v", e)
	}
	_, _, err = LoadEdge("", Flag{"--listen", "listen", []string{"8090"}}, Flag{"--origin", "origins", []string{"o1:8080"}})
	for _, want := range []string{`--listen: "8090" is no address`, `--origin: "o1:8080"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
}

// Without a publisher key nobody else's machine may push, whatever was typed.
func TestIngestWithoutKeyStaysOnThisMachine(t *testing.T) {
	o, _, err := LoadOrigin("", Flag{"--ingest", "ingest.listen", []string{":8081"}})
	if err != nil || o.Ingest.Address() != "127.0.0.1:8081" {
		t.Error(err, o.Ingest.Address())
	}
	for _, addr := range []string{"0.0.0.0:8081", "10.0.0.1:8081", "[::]:8081"} {
		_, _, err = LoadOrigin("", Flag{"--ingest", "ingest.listen", []string{addr}})
		if err == nil || !strings.Contains(err.Error(), "--publish-key") || !strings.Contains(err.Error(), "ingest.keys_file") {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// A secret that everybody on the machine may read is worth a warning, and no
// more: the operator may know why.
func TestReadableSecretIsWarnedOf(t *testing.T) {
	dir := write(t, "origin.yaml", "admin: {token_file: t}\n", "t", "0123456789abcdef\n")
	if err := os.Chmod(filepath.Join(dir, "t"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, warn, err := LoadOrigin(filepath.Join(dir, "origin.yaml"))
	if err != nil || len(warn) != 1 || warn[0].Key != "admin.token_file" || warn[0].Line != 1 || !strings.Contains(warn[0].Text, "chmod o-rwx") {
		t.Error(err, warn)
	}
}

func TestDiffSaysWhatNeedsARestart(t *testing.T) {
	a, b := DefaultEdge(), DefaultEdge()
	b.Listen = ":1"
	b.Origins = []string{"http://o:1"}
	b.Tokens.Keys = []TokenKey{{ID: "k", Alg: "ES256"}}
	b.Cluster.Secret = "changed file"
	b.Log.Level = "debug"
	want := []Change{{"listen", false}, {"origins", true}, {"cluster.secret_file", false}, {"tokens.keys", true}, {"log.level", true}}
	if d := cmp.Diff(want, Diff(a, b)); d != "" {
		t.Error(d)
	}
	m := Live(a, b)
	if m.Listen != a.Listen || m.Cluster.Secret != "" || len(m.Origins) != 1 || len(m.Tokens.Keys) != 1 || m.Log.Level != "debug" {
		t.Errorf("%+v", m)
	}
	live, restart := Split(Diff(a, b))
	if len(live) != 3 || len(restart) != 2 {
		t.Error(live, restart)
	}

	// The first publisher key moves ingest off loopback: only a restart can.
	o, p := DefaultOrigin(), DefaultOrigin()
	p.Ingest.Publishers = []Publisher{{Name: "x"}}
	if d := cmp.Diff([]Change{{"ingest.keys_file", false}}, Diff(o, p)); d != "" {
		t.Error(d)
	}
	if len(Live(o, p).Ingest.Publishers) != 0 {
		t.Error("a key that needs a restart was applied")
	}
	q := DefaultOrigin()
	q.Ingest.Publishers = []Publisher{{Name: "y"}}
	if d := cmp.Diff([]Change{{"ingest.keys_file", true}}, Diff(p, q)); d != "" {
		t.Error(d)
	}
}

func TestSizes(t *testing.T) {
	ok := func(in string, want Size, shown string) {
		t.Helper()
		got, err := ParseSize(in)
		if err != nil || got != want || got.String() != shown {
			t.Errorf("%s: %d %s %v", in, got, got, err)
		}
	}
	ok("8GiB", 8*GiB, "8GiB")
	ok("8 GiB", 8*GiB, "8GiB")
	ok("0", 0, "0B")
	ok("1MB", 1e6, "1000000B")
	ok("1536KiB", 1536*KiB, "1536KiB")
	ok("100B", 100, "100B")
	for _, in := range []string{"", "8", "8G", "8gib", "-1B", "1.5GiB", "GiB", "9223372036854775807KiB", "8  GiB", "+1B"} {
		if n, err := ParseSize(in); err == nil {
			t.Errorf("%q is %d", in, n)
		}
	}
}

func TestKeyFilesNameTheLine(t *testing.T) {
	bad := func(text, want string) {
		t.Helper()
		_, err := ParsePublishers("pub.keys", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("shows a secret: %v", err)
		}
	}
	bad("# none\n", "pub.keys: holds no publisher")
	bad("a hunter2hunter2\n", "pub.keys:1: 2 words instead of 3")
	bad("\n\na hunter2 *\n", "pub.keys:3: a: a secret is 8 to 256")
	bad("a hunter2/hunter2 *\n", "pub.keys:1: a: a secret is")
	bad("a hunter2hunter2 Sport\n", `pub.keys:1: "Sport" is no channel pattern`)
	bad("a hunter2hunter2 a,,b\n", `pub.keys:1: "" is no channel pattern`)
	bad("a hunter2hunter2 * rate\n", `pub.keys:1: a: "rate" is no limit`)
	bad("a hunter2hunter2 * speed=1Mbit/s\n", `pub.keys:1: a: "speed" is no limit: allowed are max_upload, rate, channels, uploads`)
	bad("a hunter2hunter2 * rate=1Mbit/s rate=2Mbit/s\n", "pub.keys:1: a: rate is given twice")
	bad("a hunter2hunter2 * rate=20\n", `pub.keys:1: a: rate: "20" is no rate`)
	bad("a hunter2hunter2 * rate=1kbit/s\n", "pub.keys:1: a: rate: 1kbit/s is out of range: allowed is 64kbit/s to 1000Gbit/s")
	bad("a hunter2hunter2 * rate=99999999999999Gbit/s\n", "is no rate")
	bad("a hunter2hunter2 * rate=-1Mbit/s\n", "is no rate")
	bad("a hunter2hunter2 * max_upload=1B\n", "pub.keys:1: a: max_upload: 1B is out of range: allowed is 1KiB to 1GiB")
	bad("a hunter2hunter2 * max_upload=x\n", "pub.keys:1: a: max_upload:")
	bad("a hunter2hunter2 * channels=0\n", `pub.keys:1: a: channels: "0" is not allowed: allowed is 1 to 100000`)
	bad("a hunter2hunter2 * uploads=many\n", "pub.keys:1: a: uploads:")
	bad("a hunter2hunter2 *\na hunter2hunter3 *\n", "pub.keys:2: a: given twice, first on line 1")
	bad("a hunter2hunter2 *\nb hunter2hunter2 *\n", "pub.keys:2: b: the same secret as on line 1")
	for name, want := range map[string]string{"k1.pub.pem": "k1", "/a/b.c/demo.key": "demo", "k": "k", ".pem": ".pem", "fra.1.pem": "fra.1"} {
		if got := KeyID(name); got != want {
			t.Errorf("KeyID(%q) = %q", name, got)
		}
	}
	if _, err := ParseSecret("t", []byte("a bbbbbbbbbbbb\nc dddddddddddd\n"), 8); err == nil || !strings.Contains(err.Error(), "has 2 secrets") {
		t.Error(err)
	}
}

// A publisher's limits stand behind its patterns, in any order, and are shown as
// they are.
func TestPublishersHaveLimits(t *testing.T) {
	text := "studio hunter2hunter2 sport-*,news uploads=32 rate=20Mbit/s max_upload=16MiB channels=4 # ours\nfree hunter3hunter3 *\n" +
		"slow hunter4hunter4 * rate=1500kbit/s\n"
	all, err := ParsePublishers("pub.keys", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []Publisher{
		{Name: "studio", Secret: "hunter2hunter2", Channels: []string{"sport-*", "news"}, MaxUpload: 16 * MiB, Rate: 20e6, MaxChannels: 4, Uploads: 32},
		{Name: "free", Secret: "hunter3hunter3", Channels: []string{"*"}},
		{Name: "slow", Secret: "hunter4hunter4", Channels: []string{"*"}, Rate: 1500e3},
	}
	if d := cmp.Diff(want, all); d != "" {
		t.Error(d)
	}
	if s := all[0].String(); s != "studio sport-*,news max_upload=16MiB rate=20Mbit/s channels=4 uploads=32" {
		t.Error(s)
	}
	if n := all[0].Rate.Bytes(); n != 2_500_000 {
		t.Error(n)
	}
}

// originSays loads an origin's config, and expects it to be refused or warned of in words
// that are wanted, or to be right.
func originSays(t *testing.T, text, keys string, want ...string) {
	t.Helper()
	dir := write(t, "origin.yaml", text, "pub.keys", keys)
	_, warn, err := LoadOrigin(filepath.Join(dir, "origin.yaml"))
	said := fmt.Sprint(err, warn)
	for _, w := range want {
		if !strings.Contains(said, w) {
			t.Errorf("%s: %s, want %q", text, said, w)
		}
	}
	if len(want) == 0 && err != nil {
		t.Error(err)
	}
}

// Settings of a disk that is not there, or that contradict each other, are told before an
// operator relies on a depth that viewers do not have.
func TestTheDiskIsChecked(t *testing.T) {
	f := func(text string, want ...string) { t.Helper(); originSays(t, text, "", want...) }
	const disk = "store: {dir: data}\n"
	f(disk + "channels: {defaults: {dvr: 24h, dvr_max: 16MiB}, news: {dvr: 0s}, sport: {dvr_max: 0B}}\n")
	f("channels: {defaults: {dvr: 24h}}\n", "origin.yaml:1: channels.defaults.dvr: 24h needs a disk")
	f("channels: {news: {dvr_max: 1GiB}}\n", "origin.yaml:1: channels.news.dvr_max: 1GiB needs a disk")
	f("store: {max: 1GiB}\n", "origin.yaml:1: store.max: 1GiB needs a disk")
	f("store: {dir: data, max: 1MiB}\n", "store.max: 1MiB: allowed are 0B", "64MiB")
	f("store: {dir: data, keep_free: 0B}\n", "store.keep_free: 0B is out of range", "16MiB")
	f("store: {dir: ''}\n", "store.dir: \"\" is no file name")
	f(disk+"channels: {defaults: {dvr_max: 1MiB}}\n", "channels.defaults.dvr_max: 1MiB: allowed are 0B", "16MiB")
	f(disk+"channels: {news: {dvr: 10s}}\n", "origin.yaml:2: channels.news.dvr: 10s contradicts window 30s")
	f(disk+"channels: {news: {dvr: -1s}}\n", "channels.news.dvr: -1s is out of range")
	f(disk+"channels: {news: {dvrr: 1h}}\n", "unknown key, did you mean channels.news.dvr?")
}

// Limits that contradict each other are told before anybody runs into them.
func TestLimitsOfIngestAreChecked(t *testing.T) {
	f := func(text, keys string, want ...string) { t.Helper(); originSays(t, text, keys, want...) }
	const key = "a hunter2hunter2 * "
	f("ingest: {keys_file: pub.keys, max_upload: 16MiB}\n", key+"max_upload=32MiB\n", "publisher a: max_upload=32MiB contradicts ingest.max_upload 16MiB")
	f("ingest: {keys_file: pub.keys, max_upload: 16MiB}\n", key+"max_upload=16MiB\n")
	f("ingest: {create: false}\n", "", "origin.yaml:1: ingest.create: false contradicts channels")
	f("ingest: {create: false}\nchannels: {news: {}}\n", "")
	f("ingest: {watch: {poll: 2s}}\n", "", "ingest.watch.poll: does nothing")
	f("ingest: {watch: {dir: spool, poll: 2s}}\n", "")
	f("channels: {news: {memory: 2GiB}}\n", "", "channels.news.memory: 2GiB contradicts store.memory 1GiB")
	f("channels: {defaults: {memory: 100KiB}}\n", "", "channels.defaults.memory: 100KiB is less than a segment")
	f("channels: {defaults: {memory: 100MiB}, news: {memory: 0B}, sport: {}}\n", "")
}

// The kind of a file shows in its keys.
func TestKindIsDetected(t *testing.T) {
	dir := write(t, "o", "ingest: {}\nlisten: :1\n", "e", "origins: []\n", "none", "listen: :1\n", "bad", "a: [\n")
	f := func(name, want string) {
		t.Helper()
		if got, err := Detect(filepath.Join(dir, name)); err != nil || got != want {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	f("o", KindOrigin)
	f("e", KindEdge)
	f("none", "")
	if _, err := Detect(filepath.Join(dir, "bad")); err == nil || problems(t, err)[0].Line == 0 {
		t.Error(err)
	}
	if _, err := Detect(filepath.Join(dir, "missing")); err == nil {
		t.Error("no error")
	}
}

// Whatever a file holds, reading it ends with a config or a list of problems
// that have a line, and never with a panic.
func FuzzDecode(f *testing.F) {
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	for _, file := range append(files, "../../../deploy/origin.yaml", "../../../deploy/edge.yaml") {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("listen: &x {y: *x}"))
	f.Add([]byte("? [a]\n: b"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 64<<10 {
			return
		}
		for _, c := range []any{DefaultOrigin(), DefaultEdge()} {
			s := newSource("f")
			s.root = reflect.TypeOf(c).Elem()
			decode(text, c, s)
			for _, p := range s.bad {
				if p.Line == 0 {
					t.Errorf("no line: %s", p)
				}
			}
			switch c := c.(type) {
			case *Origin:
				c.check(s)
				c.Effective()
				Diff(c, DefaultOrigin())
			case *Edge:
				c.check(s)
				c.Effective()
				Diff(c, DefaultEdge())
			}
		}
	})
}

func FuzzKeyFiles(f *testing.F) {
	f.Add([]byte("studio s3cr3t-s3cr3t sport-*,news # x\n"))
	f.Add([]byte("studio s3cr3t-s3cr3t * max_upload=16MiB rate=20Mbit/s channels=4 uploads=32\n"))
	f.Add([]byte("studio s3cr3t-s3cr3t * rate=99999999999999999Gbit/s rate= =1 = uploads=-1\n"))
	f.Add([]byte("\x00 \xff\n#"))
	f.Fuzz(func(t *testing.T, text []byte) {
		ps, err := ParsePublishers("f", text)
		if err == nil && len(ps) == 0 {
			t.Error("neither publishers nor error")
		}
		for _, p := range ps {
			if p.MaxUpload < 0 || p.Rate < 0 || p.Rate > maxRate || p.MaxChannels < 0 || p.Uploads < 0 || len(p.Channels) == 0 {
				t.Errorf("%#v", p)
			}
			// What is shown of it says the same.
			name, rest, _ := strings.Cut(p.String(), " ")
			again, err := ParsePublishers("f", []byte(name+" "+p.Secret+" "+rest+"\n"))
			if err != nil || len(again) != 1 || !reflect.DeepEqual(again[0], p) {
				t.Errorf("%#v is %#v again, %v", p, again, err)
			}
		}
		_, _ = ParseSecrets("f", text)
		_, _ = ParseSecret("f", text, 8)
	})
}

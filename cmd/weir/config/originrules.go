package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// OriginTLS is what https origins must show, and are shown.
type OriginTLS struct {
	CAFile     string `yaml:"ca_file" kind:"file" live:"true"`
	CertFile   string `yaml:"cert_file" kind:"file" live:"true"`
	KeyFile    string `yaml:"key_file" kind:"file" live:"true"`
	ServerName string `yaml:"server_name" kind:"host" live:"true"`
	MinVersion string `yaml:"min_version" enum:"1.2,1.3" live:"true"`
	Insecure   bool   `yaml:"insecure" live:"true"`

	CA   PEM `yaml:"-" file:"ca_file" live:"true"`
	Cert PEM `yaml:"-" file:"cert_file" live:"true"`
	Key  PEM `yaml:"-" file:"key_file" live:"true"`
}

// PEM is the content of a file of certificates or keys.
type PEM string

// The words that OriginHost and Fetch.Hedge may be besides a host and a duration.
const (
	OriginHostUpstream = "upstream"
	HedgeAuto          = "auto"
	HedgeOff           = "off"
)

// readFiles reads and checks what the files hold, so that a mistake is told
// before anything runs by it.
func (t *OriginTLS) readFiles(s *source) {
	read := func(key, file string, secret bool) PEM {
		if file == "" {
			return ""
		}
		text, _ := s.readFile("origin_tls."+key, file, secret)
		return PEM(text)
	}
	t.CA = read("ca_file", t.CAFile, false)
	t.Cert = read("cert_file", t.CertFile, false)
	t.Key = read("key_file", t.KeyFile, true)
	if _, err := t.CA.certificates(); t.CA != "" && err != nil {
		s.badf("origin_tls.ca_file", "%s: %v", t.CAFile, err)
	}
	if t.Cert != "" && t.Key != "" {
		if _, err := tls.X509KeyPair([]byte(t.Cert), []byte(t.Key)); err != nil {
			s.badf("origin_tls.cert_file", "%s and %s: %v", t.CertFile, t.KeyFile, err)
		}
	}
}

// certificates returns those in p, in PEM.
func (p PEM) certificates() (*x509.CertPool, error) {
	pool, n := x509.NewCertPool(), 0
	for rest := []byte(p); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		pool.AddCert(c)
		n++
	}
	if n == 0 {
		return nil, errors.New("there is no certificate in it (-----BEGIN CERTIFICATE-----)")
	}
	return pool, nil
}

// Config returns what a client of the origins needs.
func (t *OriginTLS) Config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.MinVersion == "1.3" {
		c.MinVersion = tls.VersionTLS13
	}
	if t.CA != "" {
		pool, err := t.CA.certificates()
		if err != nil {
			return nil, errorf("origin_tls.ca_file: %w", err)
		}
		c.RootCAs = pool
	}
	if t.Cert != "" {
		pair, err := tls.X509KeyPair([]byte(t.Cert), []byte(t.Key))
		if err != nil {
			return nil, errorf("origin_tls.cert_file: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	c.InsecureSkipVerify = t.Insecure // said in so many words, and warned of
	return c, nil
}

func (c *Edge) checkOrigins(s *source) {
	t := &c.OriginTLS
	if (t.CertFile == "") != (t.KeyFile == "") {
		s.badf("origin_tls", "cert_file and key_file go together: a certificate and its private key")
	}
	if t.Insecure && (t.CAFile != "" || t.ServerName != "") {
		s.badf("origin_tls.insecure", "contradicts ca_file and server_name, which are not looked at then: delete it")
	}
	if c.Fetch.Probe.Timeout > c.Fetch.Probe.Every {
		s.badf("fetch.probe.timeout", "%s contradicts fetch.probe.every %s: allowed is up to that", short(c.Fetch.Probe.Timeout), short(c.Fetch.Probe.Every))
	}
	if c.Fetch.IdleConnections > c.Fetch.Connections {
		if s.given("fetch.idle_connections") {
			s.badf("fetch.idle_connections", "%d contradicts fetch.connections %d: allowed is up to that", c.Fetch.IdleConnections, c.Fetch.Connections)
		}
		c.Fetch.IdleConnections = c.Fetch.Connections // a default that yields to what was said
	}
	https := slices.ContainsFunc(c.Origins, func(o string) bool { u, err := url.Parse(o); return err == nil && u.Scheme == "https" })
	for f := range fields(reflect.TypeFor[OriginTLS]()) {
		if key := "origin_tls." + f.Tag.Get("yaml"); !https && key != "origin_tls.min_version" && s.given(key) {
			s.warnf(key, "does nothing: none of origins is an https:// URL")
		}
	}
	for _, key := range []string{"every", "timeout", "status", "down", "up"} {
		if usual := DefaultEdge().Fetch.Probe; c.Fetch.Probe != usual && c.Fetch.Probe.Path == "" && !s.given("fetch.probe.path") && s.given("fetch.probe."+key) {
			s.warnf("fetch.probe."+key, "does nothing: origins are not probed while fetch.probe.path is not given")
		}
	}
}

// HedgeDelay returns after what time the next origin is asked as well: 0 is by
// what the origin usually takes, less than 0 never.
func (f *Fetch) HedgeDelay() time.Duration {
	switch f.Hedge {
	case HedgeAuto, "":
		return 0
	case HedgeOff:
		return -1
	}
	d, err := parseDuration(f.Hedge)
	if err != nil {
		panic("BUG: config: fetch.hedge was not checked: " + f.Hedge)
	}
	return d
}

func checkHedge(s string) error {
	if s == HedgeAuto || s == HedgeOff {
		return nil
	}
	if d, err := parseDuration(s); err != nil || d < 10*time.Millisecond || d > time.Minute {
		return errorf("%q is not allowed: allowed are auto, off and a duration from 10ms to 1m", s)
	}
	return nil
}

func checkPath(s string) error {
	u, err := url.ParseRequestURI(s)
	if err != nil || !strings.HasPrefix(s, "/") || u.Host != "" || u.RawQuery != "" || u.ForceQuery || strings.ContainsAny(s, "#\\ ") {
		return errorf("%q is no path: allowed is one that begins with / and has no query, as in /health", s)
	}
	return nil
}

func checkOriginHost(s string) error {
	if s == OriginHostUpstream {
		return nil
	}
	if checkHost(s) != nil && checkHostPort(s) != nil {
		return errorf("%q is no host: allowed are upstream (each origin's own), and a name with or without a port, as in media.example", s)
	}
	return nil
}

// Fields are header fields by name.
type Fields map[string]string

// notOurs are fields that an operator cannot set, because the edge does, or
// because what is kept for all would then be the answer to another question.
var notOurs = map[string]string{
	"Host":              "set origin_host",
	"Weir-Pull-Key":     "name the key's file in origin_key_file",
	"Content-Length":    "it belongs to a request's body",
	"Transfer-Encoding": "it belongs to a connection",
	"Connection":        "it belongs to a connection",
	"Keep-Alive":        "it belongs to a connection",
	"Te":                "it belongs to a connection",
	"Trailer":           "it belongs to a connection",
	"Upgrade":           "it belongs to a connection",
	"Expect":            "the edge has no use for it",
	"Accept-Encoding":   "the edge asks for what its viewers can read",
	"Range":             "the edge asks for what it keeps",
	"Cdn-Loop":          "the edge writes it",
	"Via":               "the edge writes it",
}

func (s *source) headerFields(n *yaml.Node, v reflect.Value, key string) {
	if n.Kind != yaml.MappingNode {
		s.badAt(n.Line, key, "must be a mapping of header fields, as in {X-Edge: fra1}")
		return
	}
	out := Fields{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, val := n.Content[i], n.Content[i+1]
		name := http.CanonicalHeaderKey(k.Value)
		_, twice := out[name]
		switch {
		case k.Kind != yaml.ScalarNode || val.Kind != yaml.ScalarNode || val.ShortTag() == "!!null" || val.ShortTag() == "!!binary":
			s.badAt(k.Line, key, "a field is NAME: VALUE, both plain words or quoted")
		case !tokenOf(k.Value):
			s.badAt(k.Line, key, "%q is no name of a header field", k.Value)
		case notOurs[name] != "":
			s.badAt(k.Line, key, "%s cannot be set here: %s", name, notOurs[name])
		case strings.HasPrefix(name, "If-"), strings.HasPrefix(name, "Proxy-"), strings.HasPrefix(name, "Weir-"):
			s.badAt(k.Line, key, "%s cannot be set here: the edge writes such fields itself", name)
		case twice:
			s.badAt(k.Line, key, "%s is given twice: delete one", name)
		case checkText(val.Value) != nil || strings.TrimSpace(val.Value) != val.Value:
			s.badAt(val.Line, key, "the value of %s is not allowed: %s, without spaces around it", name, textExample)
		default:
			out[name] = val.Value
		}
	}
	v.Set(reflect.ValueOf(out))
}

// tokenOf reports whether s is a token (RFC 9110 section 5.6.2).
func tokenOf(s string) bool {
	return s != "" && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
}

// masked writes the fields without their values: they may well be secrets.
func (f Fields) masked() *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	for _, name := range slices.Sorted(maps.Keys(f)) {
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, &yaml.Node{Kind: yaml.ScalarNode, Value: "********", Style: yaml.DoubleQuotedStyle})
	}
	return n
}

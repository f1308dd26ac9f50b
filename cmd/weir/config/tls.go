package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// TLS is the encrypted listener beside listen. It is off while Listen is not given.
type TLS struct {
	Listen       string    `yaml:"listen" kind:"listen"`
	CertFile     string    `yaml:"cert_file" kind:"file" live:"true"`
	KeyFile      string    `yaml:"key_file" kind:"file" live:"true"`
	Certificates []KeyPair `yaml:"certificates" live:"true"`
	MinVersion   string    `yaml:"min_version" enum:"1.2,1.3" live:"true"`
	ClientCAFile string    `yaml:"client_ca_file" kind:"file" live:"true"`
	Streams      int       `yaml:"streams" min:"16" max:"10000" live:"true"`

	Certificate Certificate `yaml:"-" file:"cert_file" live:"true"`
	ClientCA    Authorities `yaml:"-" file:"client_ca_file" live:"true"`
}

// A KeyPair is a certificate and its key.
type KeyPair struct {
	CertFile string `yaml:"cert_file" kind:"file" live:"true"`
	KeyFile  string `yaml:"key_file" kind:"file" live:"true"`

	Certificate Certificate `yaml:"-" file:"cert_file" live:"true"`
}

// On reports whether there is such a listener.
func (t *TLS) On() bool { return t.Listen != "" }

// Pairs are the files of all certificates, in the order of preference.
func (t *TLS) Pairs() (all []KeyPair) {
	if t.CertFile != "" || t.KeyFile != "" {
		all = append(all, KeyPair{CertFile: t.CertFile, KeyFile: t.KeyFile})
	}
	return append(all, t.Certificates...)
}

// A Certificate is what the files of a KeyPair hold.
type Certificate struct{ pair *tls.Certificate }

// TLS returns it as a listener shows it.
func (c Certificate) TLS() tls.Certificate { return *c.pair }

// Expires is when browsers begin to refuse it.
func (c Certificate) Expires() time.Time { return c.pair.Leaf.NotAfter }

// Name is the first that it is for.
func (c Certificate) Name() string {
	leaf := c.pair.Leaf
	switch {
	case len(leaf.DNSNames) > 0:
		return leaf.DNSNames[0]
	case len(leaf.IPAddresses) > 0:
		return leaf.IPAddresses[0].String()
	}
	return leaf.Subject.CommonName
}

// String says for whom it is and for how long, and nothing of its key.
func (c Certificate) String() string {
	if c.pair == nil {
		return "none"
	}
	return c.Name() + ", expires " + c.Expires().UTC().Format("2006-01-02 15:04")
}

// Equal reports whether c and d are one chain.
func (c Certificate) Equal(d Certificate) bool {
	if c.pair == nil || d.pair == nil {
		return c.pair == d.pair
	}
	return slices.EqualFunc(c.pair.Certificate, d.pair.Certificate, bytes.Equal)
}

// GoString is String, for %#v.
func (c Certificate) GoString() string { return c.String() }

// Authorities are those who sign certificates of clients.
type Authorities struct {
	names []string
	raw   [][]byte
	pool  *x509.CertPool
}

// Pool returns them as a listener asks for them; nil: there are none.
func (a Authorities) Pool() *x509.CertPool { return a.pool }

// Equal reports whether a and b are the same certificates.
func (a Authorities) Equal(b Authorities) bool { return slices.EqualFunc(a.raw, b.raw, bytes.Equal) }

// String names them.
func (a Authorities) String() string { return strings.Join(a.names, ", ") }

// LoadCertificate reads a KeyPair's files.
func LoadCertificate(p KeyPair) (Certificate, error) {
	cert, err := readFile(p.CertFile)
	if err != nil {
		return Certificate{}, err
	}
	key, err := readFile(p.KeyFile)
	if err != nil {
		return Certificate{}, err
	}
	return parsePair(p, cert, key)
}

func readFile(name string) ([]byte, error) {
	s := newSource("")
	text, ok := s.readFile("", name, false)
	if !ok {
		return nil, s.bad
	}
	return text, nil
}

func parsePair(p KeyPair, cert, key []byte) (Certificate, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return Certificate{}, errorf("%s with %s: %s", p.CertFile, p.KeyFile, strings.TrimPrefix(err.Error(), "tls: "))
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return Certificate{}, errorf("%s: %w", p.CertFile, err)
		}
	}
	return Certificate{&pair}, nil
}

func parseAuthorities(file string, text []byte) (a Authorities, err error) {
	a.pool = x509.NewCertPool()
	all, err := certificatesIn(text)
	if err == nil && len(all) == 0 {
		err = errorf("no certificate in it: it is one or more PEM blocks -----BEGIN CERTIFICATE-----")
	}
	if err != nil {
		return Authorities{}, errorf("%s: %w", file, err)
	}
	for _, c := range all {
		if !c.IsCA {
			return Authorities{}, errorf("%s: %q is no authority (CA): this file holds who signs clients' certificates, not these", file, c.Subject.String())
		}
		a.pool.AddCert(c)
		a.names, a.raw = append(a.names, c.Subject.CommonName), append(a.raw, c.Raw)
	}
	return a, nil
}

// readFiles fills in what the files named in t hold.
func (t *TLS) readFiles(s *source) {
	if t.CertFile != "" && t.KeyFile != "" {
		t.Certificate = s.certificate("tls", KeyPair{CertFile: t.CertFile, KeyFile: t.KeyFile})
	}
	for i := range t.Certificates {
		p := &t.Certificates[i]
		at := item("tls.certificates", i)
		if p.CertFile == "" || p.KeyFile == "" {
			s.badf(at, "a certificate is {cert_file: FILE, key_file: FILE}")
			continue
		}
		p.Certificate = s.certificate(at, *p)
	}
	if f := t.ClientCAFile; f != "" {
		if text, ok := s.readFile("tls.client_ca_file", f, false); ok {
			var err error
			if t.ClientCA, err = parseAuthorities(f, text); err != nil {
				s.badf("tls.client_ca_file", "%v", err)
			}
		}
	}
}

func (s *source) certificate(at string, p KeyPair) Certificate {
	cert, ok := s.readFile(join(at, "cert_file"), p.CertFile, false)
	key, okToo := s.readFile(join(at, "key_file"), p.KeyFile, true)
	if !ok || !okToo {
		return Certificate{}
	}
	c, err := parsePair(p, cert, key)
	if err != nil {
		s.badf(join(at, "cert_file"), "%v", err)
		return Certificate{}
	}
	now := time.Now()
	switch left := c.Expires().Sub(now); {
	case left <= 0:
		s.warnf(join(at, "cert_file"), "%s expired at %s: browsers refuse it", p.CertFile, c.Expires().UTC().Format(time.DateTime))
	case now.Before(c.pair.Leaf.NotBefore):
		s.warnf(join(at, "cert_file"), "%s is not valid before %s", p.CertFile, c.pair.Leaf.NotBefore.UTC().Format(time.DateTime))
	case left < 7*24*time.Hour:
		s.warnf(join(at, "cert_file"), "%s expires in %s", p.CertFile, short(left.Truncate(time.Minute)))
	}
	return c
}

// check tells of keys that contradict each other.
func (t *TLS) check(s *source) {
	if !t.On() {
		for _, key := range []string{"cert_file", "key_file", "certificates", "client_ca_file"} {
			if s.given("tls." + key) {
				s.warnf("tls."+key, "does nothing: there is no encrypted listener while tls.listen is not given (--tls-listen ADDR)")
			}
		}
		return
	}
	switch {
	case t.CertFile == "" && t.KeyFile == "" && len(t.Certificates) == 0:
		s.badf("tls.listen", "%s needs a certificate: name its files in tls.cert_file and tls.key_file (--tls-cert FILE --tls-key FILE)", t.Listen)
	case t.KeyFile == "" && t.CertFile != "":
		s.badf("tls.cert_file", "needs its key: name it in tls.key_file (--tls-key FILE)")
	case t.CertFile == "" && t.KeyFile != "":
		s.badf("tls.key_file", "needs its certificate: name it in tls.cert_file (--tls-cert FILE)")
	}
}

// checkListen tells of a node that nobody could reach.
func (s *source) checkListen(listen string, t *TLS) {
	if listen == NoListener && !t.On() {
		s.badf("listen", "none leaves no way in: give tls.listen (--tls-listen ADDR), or an address here")
	}
}

// NoListener is the value of listen where only tls.listen is to be served.
const NoListener = "none"

// Stamp says whether a file may have changed: another time, size or file. It is "" where
// there is none.
func Stamp(file string) string {
	info, err := os.Stat(file)
	if err != nil {
		return ""
	}
	return info.ModTime().Format(time.RFC3339Nano) + " " + strconv.FormatInt(info.Size(), 10)
}

// certificatesIn reads the certificates of a PEM file.
func certificatesIn(text []byte) (all []*x509.Certificate, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

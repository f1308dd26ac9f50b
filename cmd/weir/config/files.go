package config

import (
	"bytes"
	"errors"
	"strconv"

	"weir/token"
)

// readFiles fills in what the files named in c hold.
func (c *Origin) readFiles(s *source) {
	if f := c.Access.KeysFile; f != "" {
		c.Access.Keys = readWith(s, "access.keys_file", f, ParseSecrets)
	}
	if f := c.Ingest.KeysFile; f != "" {
		c.Ingest.Publishers = readWith(s, "ingest.keys_file", f, ParsePublishers)
	}
	c.TLS.readFiles(s)
	c.Admin.readFiles(s)
}

func (c *Edge) readFiles(s *source) {
	if f := c.OriginKeyFile; f != "" {
		c.OriginKey = readSecret(s, "origin_key_file", f, minSecret)
	}
	c.OriginTLS.readFiles(s)
	if f := c.Cluster.SecretFile; f != "" {
		c.Cluster.Secret = readSecret(s, "cluster.secret_file", f, minCluster)
	}
	for i := range c.Tokens.Keys {
		c.Tokens.Keys[i].read(s, "tokens.keys["+strconv.Itoa(i)+"]")
	}
	c.TLS.readFiles(s)
	c.Admin.readFiles(s)
}

func (a *Admin) readFiles(s *source) {
	if a.TokenFile != "" {
		a.Token = readSecret(s, "admin.token_file", a.TokenFile, minCluster)
	}
}

func readSecret(s *source, key, file string, least int) string {
	return readWith(s, key, file, func(file string, text []byte) (string, error) {
		return ParseSecret(file, text, least)
	})
}

// readWith reads a file of secrets. Where its lines are wrong, each is told
// under the key that named the file.
func readWith[T any](s *source, key, file string, parse func(string, []byte) (T, error)) T {
	var out T
	text, ok := s.readFile(key, file, true)
	if !ok {
		return out
	}
	out, err := parse(file, text)
	if lines, ok := errors.AsType[Problems](err); ok {
		for _, p := range lines {
			s.badf(key, "%s", p)
		}
	} else if err != nil {
		s.badf(key, "%s: %v", file, err)
	}
	return out
}

// read makes the key of its file. Without an algorithm, as behind --token-key,
// the content says it.
func (k *TokenKey) read(s *source, key string) {
	byFlag := s.flags[parent(key)] != ""
	for _, name := range []string{"id", "alg", "file"} {
		if !byFlag && !s.given(join(key, name)) {
			s.badf(key, "%s is missing: a key is {id: NAME, alg: HS256|ES256|EdDSA, file: FILE}", name)
			return
		}
	}
	if k.File == "" || k.ID == "" || k.Alg == "" && !byFlag {
		return // said, but wrong, and told
	}
	text, ok := s.readFile(join(key, "file"), k.File, false)
	if !ok {
		return
	}
	var err error
	if k.Key, err = ParseTokenKey(k.ID, k.Alg, text); err == nil {
		k.Alg, k.Key.Issuer = string(k.Key.Alg), k.Issuer
	}
	switch {
	case err != nil:
		s.badf(join(key, "file"), "%s: %v", k.File, err)
	case k.Key.CanSign():
		s.readFile(join(key, "file"), k.File, true) // again, for the warning if everybody may read it
		if k.Alg != string(token.HS256) {
			s.warnf(join(key, "file"), "%s holds a private key, with which tokens can be made: an edge needs only the public one", k.File)
		}
	}
}

// ParseTokenKey reads a token key for the algorithm alg; "" goes by the
// content: a PEM block is ES256 or EdDSA, anything else an HS256 secret.
func ParseTokenKey(id, alg string, text []byte) (k token.Key, err error) {
	algs := []token.Alg{token.Alg(alg)}
	if alg == "" {
		algs = []token.Alg{token.HS256}
		if bytes.Contains(text, []byte("-----BEGIN")) {
			algs = []token.Alg{token.ES256, token.EdDSA}
		}
	}
	for _, alg := range algs {
		if k, err = token.ParseKey(id, alg, text); err == nil {
			return k, nil
		}
	}
	return k, err
}

// Options are what these keys are to a verifier of tokens.
func (t *Tokens) Options() token.Options {
	o := token.Options{Issuers: t.Issuers, Audience: t.Audience}
	for _, k := range t.Keys {
		o.Keys = append(o.Keys, k.Key)
	}
	return o
}

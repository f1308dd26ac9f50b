package main

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"weir/cmd/weir/config"
	"weir/token"
)

type signCmd struct {
	Key       string        `required:"" placeholder:"FILE" help:"Private key, or HS256 secret."`
	Alg       string        `enum:"ES256,EdDSA,HS256,auto" default:"auto" help:"ES256, EdDSA, HS256 or auto (by the file)."`
	ID        string        `name:"id" placeholder:"NAME" help:"Name of the key, as the edges know it (default: the file's name)."`
	Path      []string      `required:"" sep:"none" placeholder:"PATH" help:"What may be played: a path and all below it, as in /live/news/. May be repeated."`
	TTL       time.Duration `name:"ttl" default:"1h" help:"How long the token is good from now on."`
	NotBefore time.Duration `placeholder:"DURATION" help:"How long from now on it is not good yet."`
	Issuer    string        `help:"iss, where the edges ask for one."`
	Audience  []string      `sep:"none" help:"aud, where the edges ask for one."`
	Subject   string        `help:"sub: whom it is for."`
	JTI       string        `name:"jti" help:"jti: the token's own name."`
	URL       string        `name:"url" placeholder:"URL" help:"Print this URL of an edge with the token in it, instead of the token."`
}

// Help implements kong's HelpProvider.
func (signCmd) Help() string {
	return `Prints a token, for tests, scripts and support.

Examples:
  weir token sign --key k1.pem --path /live/news/ --ttl 4h
  weir token sign --key k1.pem --path /live/ --url http://edge1:8090/live/news/index.m3u8`
}

// Run implements the command.
func (c *signCmd) Run(e env) error {
	if c.TTL <= 0 {
		return usageError{fmt.Errorf("--ttl: %s is not a time to come", c.TTL)}
	}
	k, err := readKey(c.Key, c.ID, c.Alg)
	if err != nil {
		return usageError{err}
	}
	now := time.Now()
	claims := token.Claims{ID: c.JTI, Subject: c.Subject, Issuer: c.Issuer, Audience: c.Audience,
		Expires: now.Add(c.TTL), IssuedAt: now, Paths: c.Path}
	if c.NotBefore != 0 {
		claims.NotBefore = now.Add(c.NotBefore)
	}
	raw, err := token.Sign(k, claims)
	if err != nil {
		return usageError{err}
	}
	if c.URL == "" {
		fmt.Fprintln(e.out, raw)
		return nil
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" {
		return usageError{fmt.Errorf("--url: %q is no URL, as in http://edge1:8090/live/news/index.m3u8", c.URL)}
	}
	escaped := u.EscapedPath()
	u.Path, u.RawPath = "/t/"+raw+u.Path, "/t/"+raw+escaped
	fmt.Fprintln(e.out, u)
	return nil
}

// readKey reads a token key. Without an algorithm the content says it.
func readKey(file, id, alg string) (token.Key, error) {
	f, err := os.Open(file)
	if err != nil {
		return token.Key{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return token.Key{}, err
	}
	if id == "" {
		id = config.KeyID(file)
	}
	k, err := config.ParseTokenKey(id, strings.TrimSuffix(alg, "auto"), text)
	if err != nil {
		return k, fmt.Errorf("%s: %w", file, err)
	}
	return k, nil
}

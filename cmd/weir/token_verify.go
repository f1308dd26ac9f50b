package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"weir/cmd/weir/config"
	"weir/token"
)

type verifyCmd struct {
	Token    string   `arg:"" help:"The token, a URL that holds one, or - to read it from standard input."`
	Config   string   `short:"c" placeholder:"FILE" help:"edge.yaml: judge as this edge does."`
	Key      []string `sep:"none" placeholder:"FILE" help:"A key, where there is no config. May be repeated."`
	Alg      string   `enum:"ES256,EdDSA,HS256,auto" default:"auto" help:"The keys' algorithm: ES256, EdDSA, HS256 or auto (by the file)."`
	ID       string   `name:"id" placeholder:"NAME" help:"Name of the one --key (default: the file's name)."`
	Issuer   []string `sep:"none" help:"Issuers accepted (default: any)."`
	Audience string   `help:"What aud must name (default: there must be none)."`
	Path     string   `placeholder:"PATH" help:"Judge a request for this path (default: the URL's)."`
}

// Help implements kong's HelpProvider.
func (verifyCmd) Help() string {
	return `Prints the claims as JSON if the token is good. If it is not, prints the reason code that
viewers and metrics show, and exits with 1.

Examples:
  weir token verify --config /etc/weir/edge.yaml eyJhbGciOi...
  weir token verify --config edge.yaml http://edge1:8090/t/eyJhbGciOi.../live/news/index.m3u8
  weir token verify --key k1.pub.pem --path /live/news/index.m3u8 - < token.txt`
}

// Run implements the command.
func (c *verifyCmd) Run(e env) error {
	v, err := c.verifier()
	if err != nil {
		return usageError{err}
	}
	raw, path, err := c.token(e)
	if err != nil {
		return usageError{err}
	}
	claims, err := v.Verify(raw)
	if err == nil && path != "" {
		err = claims.Allows(time.Now(), path)
	} else if err == nil && !time.Now().Before(claims.Expires) {
		err = token.ErrExpired
	}
	if claims != nil {
		if text, err := json.MarshalIndent(describe(claims), "", "  "); err == nil {
			fmt.Fprintf(e.out, "%s\n", text)
		}
	}
	if err != nil {
		fmt.Fprintf(e.err, "refused: %s: %v\n", token.Reason(err), err)
		return errFound
	}
	fmt.Fprintf(e.err, "good for another %s\n", time.Until(claims.Expires).Round(time.Second))
	return nil
}

func (c *verifyCmd) verifier() (*token.Verifier, error) {
	o := token.Options{Issuers: c.Issuer, Audience: c.Audience, Memo: 1}
	switch {
	case c.Config != "" && len(c.Key) > 0:
		return nil, errors.New("--config and --key contradict each other: give one")
	case c.Config != "":
		cfg, _, err := config.LoadEdge(c.Config)
		if err != nil {
			return nil, err
		}
		if len(cfg.Tokens.Keys) == 0 {
			return nil, fmt.Errorf("%s: no tokens.keys: this edge serves everybody and looks at no token", c.Config)
		}
		return token.New(cfg.Tokens.Options())
	case len(c.Key) == 0:
		return nil, errors.New("nothing to verify with: give --config edge.yaml or --key FILE")
	case len(c.Key) > 1 && c.ID != "":
		return nil, errors.New("--id names one key, and there are several: leave it out, the files' names are the ids")
	}
	for _, file := range c.Key {
		k, err := readKey(file, c.ID, c.Alg)
		if err != nil {
			return nil, err
		}
		o.Keys = append(o.Keys, k)
	}
	return token.New(o)
}

// token returns the token given, and the path to judge it for, "" if none.
func (c *verifyCmd) token(e env) (raw, path string, err error) {
	raw = c.Token
	if raw == "-" {
		text, err := io.ReadAll(io.LimitReader(e.in, 64<<10))
		if err != nil {
			return "", "", err
		}
		raw = strings.TrimSpace(string(text))
	}
	if !strings.Contains(raw, "/") {
		return raw, c.Path, nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "", "", errors.New("neither a token nor a URL")
	}
	raw, _, path, _, err = token.Extract(u.Path, u.RawQuery, "", "")
	if err == nil && raw == "" {
		err = errors.New("the URL holds no token: it goes in front of the path, as in /t/TOKEN/live/news/index.m3u8")
	}
	if c.Path != "" {
		path = c.Path
	}
	return raw, path, err
}

// describe shows claims under the names they have in the token.
func describe(c *token.Claims) map[string]any {
	m := map[string]any{"kid": c.KeyID, "path": c.Paths, "exp": c.Expires.UTC().Format(time.RFC3339)}
	for name, v := range map[string]string{"jti": c.ID, "sub": c.Subject, "iss": c.Issuer} {
		if v != "" {
			m[name] = v
		}
	}
	for name, t := range map[string]time.Time{"nbf": c.NotBefore, "iat": c.IssuedAt} {
		if !t.IsZero() {
			m[name] = t.UTC().Format(time.RFC3339)
		}
	}
	if len(c.Audience) > 0 {
		m["aud"] = c.Audience
	}
	return m
}

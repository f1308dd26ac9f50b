package main

import (
	"errors"
	"fmt"
	"os"

	"weir/cmd/weir/config"
	"weir/token"
)

type keygenCmd struct {
	Alg     string `enum:"ES256,EdDSA,HS256" default:"ES256" help:"ES256, EdDSA or HS256. With HS256 the one secret both signs and verifies."`
	ID      string `name:"id" placeholder:"NAME" help:"Name of the key, which tokens carry as kid (default: the name of --out)."`
	Out     string `placeholder:"NAME" default:"weir-token" help:"Write NAME.pem and NAME.pub.pem (HS256: NAME.secret)."`
	Private string `placeholder:"FILE" help:"Where the private half goes instead."`
	Public  string `placeholder:"FILE" help:"Where the public half goes instead."`
	Force   bool   `help:"Overwrite files that exist."`
}

// Help implements kong's HelpProvider.
func (keygenCmd) Help() string {
	return `Writes the key and prints the line for tokens.keys in edge.yaml. A file that exists is kept,
and told as an error.

Examples:
  weir token keygen --out k1
  weir token keygen --alg EdDSA --id k2 --private /root/k2.pem --public /etc/weir/k2.pub.pem`
}

// Run implements the command.
func (c *keygenCmd) Run(e env) error {
	private, public := c.Private, c.Public
	if private == "" {
		private = c.Out + map[bool]string{true: ".secret", false: ".pem"}[c.Alg == "HS256"]
	}
	if public == "" && c.Alg != "HS256" {
		public = c.Out + ".pub.pem"
	}
	if c.Alg == "HS256" && c.Public != "" {
		return usageError{errors.New("--public: HS256 has no public half, edges get the secret itself")}
	}
	id := c.ID
	if id == "" {
		id = config.KeyID(private)
	}
	priv, pub, err := token.GenerateKey(token.Alg(c.Alg), id)
	if err != nil {
		return usageError{err}
	}
	if err := writeNew(private, priv, 0o600, c.Force); err != nil {
		return err
	}
	file := private
	if public != "" {
		if err := writeNew(public, pub, 0o644, c.Force); err != nil {
			return err
		}
		file = public
	}
	fmt.Fprintf(e.out, "# edge.yaml, or: weir edge --token-key %s\ntokens: {keys: [{id: %s, alg: %s, file: %s}]}\n", file, id, c.Alg, file)
	return nil
}

func writeNew(file string, text []byte, mode os.FileMode, force bool) error {
	flag := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err // not truncated in place: it keeps nobody's mode or link
		}
	}
	f, err := os.OpenFile(file, flag, mode)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists: it may sign tokens that are in use; choose another name, or --force", file)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

package main

import (
	"log/slog"

	"weir/cmd/weir/config"
)

// nodeFlags are what origin and edge have in common.
type nodeFlags struct {
	Config     string `short:"c" placeholder:"FILE" help:"Config file. Flags win over it. deploy/ has one with every key explained."`
	Listen     string `placeholder:"ADDR" help:"Where streams are asked for, host:port (default: origin :8080, edge :8090)."`
	TLSListen  string `placeholder:"ADDR" help:"The same, encrypted (HTTP/2 and HTTP/1.1): needs --tls-cert and --tls-key. --listen none leaves only it."`
	TLSCert    string `placeholder:"FILE" help:"PEM with the certificate and those between it and its authority."`
	TLSKey     string `placeholder:"FILE" help:"PEM with the certificate's key."`
	Memory     string `placeholder:"SIZE" help:"Memory for media, as in 8GiB (default 1GiB)."`
	Admin      string `placeholder:"ADDR" help:"Metrics, health and reload (default on 127.0.0.1: origin 9180, edge 9190). Any other address needs --admin-token."`
	AdminToken string `placeholder:"FILE" help:"File with the token that POST /-/reload needs."`
	LogLevel   string `placeholder:"LEVEL" help:"debug, info, warn or error (default info)."`
	LogFormat  string `placeholder:"FORMAT" help:"text or json (default text)."`
}

func (f *nodeFlags) flags() flags {
	return flags{}.
		add("--listen", "listen", f.Listen).
		add("--tls-listen", "tls.listen", f.TLSListen).
		add("--tls-cert", "tls.cert_file", f.TLSCert).
		add("--tls-key", "tls.key_file", f.TLSKey).
		add("--admin", "admin.listen", f.Admin).
		add("--admin-token", "admin.token_file", f.AdminToken).
		add("--log-level", "log.level", f.LogLevel).
		add("--log-format", "log.format", f.LogFormat)
}

// flags gather the keys said on the command line.
type flags []config.Flag

// add says that key was given by the flag name; no values, or an empty one,
// means that it was not.
func (fs flags) add(name, key string, values ...string) flags {
	if len(values) == 0 || values[0] == "" {
		return fs
	}
	return append(fs, config.Flag{Name: name, Key: key, Values: values})
}

func levelOf(l config.Log) slog.Level {
	var level slog.Level
	_ = level.UnmarshalText([]byte(l.Level)) // checked by config
	return level
}

// newLogger returns the log of a node and the level it obeys.
func newLogger(e env, l config.Log) (*slog.Logger, *slog.LevelVar) {
	var level slog.LevelVar
	level.Set(levelOf(l))
	o := &slog.HandlerOptions{Level: &level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(e.err, o)), &level
	}
	return slog.New(slog.NewTextHandler(e.err, o)), &level
}

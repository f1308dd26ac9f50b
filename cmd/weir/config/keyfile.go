package config

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

// A Secret is a line of a pull keys' file: NAME SECRET.
type Secret struct {
	Name   string
	Secret string
}

// String names the key without the secret, so that no log prints it.
func (s Secret) String() string { return s.Name }

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }

const (
	minSecret  = 8 // characters of a publisher's or pull key
	minCluster = 16
	maxSecret  = 256
)

var (
	// A secret can stand in a URL path and in a header as it is.
	secretText = regexp.MustCompile(`^[A-Za-z0-9._~-]+$`)
)

// ParseSecrets reads a pull keys' file: one NAME SECRET a line; # begins a
// comment. Errors name file and line, never a secret.
func ParseSecrets(file string, text []byte) ([]Secret, error) {
	var out []Secret
	names, secrets := map[string]int{}, map[string]int{}
	bad := eachLine(file, text, func(line int, f []string) error {
		if len(f) != 2 {
			return errorf("%d words instead of 2: a line is NAME SECRET, as in: edges 4f1c2b9a8e7d", len(f))
		}
		if err := checkPair(line, f[0], f[1], names, secrets); err != nil {
			return err
		}
		out = append(out, Secret{f[0], f[1]})
		return nil
	})
	return out, notEmpty(file, bad, len(out), "key", "NAME SECRET")
}

// ParseSecret reads a file that holds one secret of at least least characters:
// SECRET, or NAME SECRET so that a line of a keys file can be handed out as it
// is. # begins a comment.
func ParseSecret(file string, text []byte, least int) (string, error) {
	var out []string
	bad := eachLine(file, text, func(_ int, f []string) error {
		if len(f) > 2 {
			return errorf("%d words: the file holds one line, SECRET or NAME SECRET", len(f))
		}
		out = append(out, f[len(f)-1])
		return checkSecret(f[len(f)-1], least)
	})
	if len(bad) == 0 && len(out) != 1 {
		return "", Problems{{File: file, Text: fmt.Sprintf("has %d secrets: it must hold one, on one line", len(out))}}
	}
	if len(bad) > 0 {
		return "", bad
	}
	return out[0], nil
}

// eachLine calls f with the words of every line that says something.
func eachLine(file string, text []byte, f func(line int, words []string) error) (bad Problems) {
	line := 0
	for l := range bytes.Lines(text) {
		line++
		s, _, _ := strings.Cut(string(l), "#")
		words := strings.Fields(s)
		if len(words) == 0 {
			continue
		}
		if err := f(line, words); err != nil {
			bad = append(bad, Problem{File: file, Line: line, Text: err.Error()})
		}
	}
	return bad
}

func notEmpty(file string, bad Problems, n int, what, form string) error {
	if len(bad) == 0 && n == 0 {
		bad = Problems{{File: file, Text: fmt.Sprintf("holds no %s: add a line %s", what, form)}}
	}
	if len(bad) > 0 {
		return bad
	}
	return nil
}

func checkPair(line int, name, secret string, names, secrets map[string]int) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := checkSecret(secret, minSecret); err != nil {
		return errorf("%s: %w", name, err)
	}
	if at, twice := names[name]; twice {
		return errorf("%s: given twice, first on line %d", name, at)
	}
	if at, twice := secrets[secret]; twice {
		return errorf("%s: the same secret as on line %d, so that nobody could tell them apart", name, at)
	}
	names[name], secrets[secret] = line, line
	return nil
}

func checkSecret(s string, least int) error {
	if len(s) < least || len(s) > maxSecret || !secretText.MatchString(s) {
		return errorf("a secret is %d to %d of A-Z a-z 0-9 . _ ~ -, as openssl rand -hex 20 makes them", least, maxSecret)
	}
	return nil
}

// KeyID returns the name that a token key file gives its key where nothing
// else does: its base name less .pub, .pem, .key and the like.
func KeyID(file string) string {
	base := file[strings.LastIndexAny(file, `/\`)+1:]
	for {
		i := strings.LastIndexByte(base, '.')
		if i <= 0 || !slices.Contains([]string{".pub", ".pem", ".key", ".secret", ".txt"}, base[i:]) {
			return base
		}
		base = base[:i]
	}
}

// readFile reads a small file that a key names. secret asks for a warning
// where everybody on the machine may read it.
func (s *source) readFile(key, file string, secret bool) ([]byte, bool) {
	f, err := os.Open(file)
	if err != nil {
		s.badf(key, "%v", err)
		return nil, false
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = errorf("%s is a directory", file)
	}
	var text []byte
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(f, maxBytes+1))
	}
	if err == nil && len(text) > maxBytes {
		err = errorf("%s is larger than 1MiB", file)
	}
	if err != nil {
		s.badf(key, "%v", err)
		return nil, false
	}
	if secret && info.Mode().Perm()&0o007 != 0 {
		s.warnf(key, "%s holds a secret and everybody on this machine may read it: chmod o-rwx %s", file, file)
	}
	return text, true
}

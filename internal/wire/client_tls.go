package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// distrust says what is wrong with an upstream's TLS, and which key of the
// config has to do with it. It returns nil where TLS is not what failed.
func distrust(err error) error {
	var (
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		roots   x509.SystemRootsError
		plain   tls.RecordHeaderError
		cert    *tls.CertificateVerificationError
	)
	text := err.Error()
	remote := strings.Contains(text, "remote error: tls: ")
	advice := ""
	switch {
	case errors.As(err, &name):
		advice = "its certificate is another name's: correct the URL in origins, or name what the certificate is for in origin_tls.server_name"
	case errors.As(err, &unknown):
		advice = "nobody this edge trusts signed its certificate: name the CA's in origin_tls.ca_file"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		advice = "its certificate has expired or is not valid yet: renew it, or set this machine's clock"
	case errors.As(err, &invalid), errors.As(err, &cert):
		advice = "its certificate is not valid"
	case errors.As(err, &roots):
		advice = "this machine has no list of CAs: name a file of them in origin_tls.ca_file"
	case errors.As(err, &plain):
		advice = "it does not speak TLS at that port: is http:// meant in origins?"
	case remote && (strings.Contains(text, "certificate required") || strings.Contains(text, "bad certificate") ||
		strings.Contains(text, "unknown certificate authority") || strings.Contains(text, "access denied")):
		advice = "it wants a client certificate that it trusts: name one in origin_tls.cert_file and origin_tls.key_file"
	case remote && strings.Contains(text, "handshake failure"): // all that TLS 1.2 has for it
		advice = "it does not agree: perhaps it wants a client certificate (origin_tls.cert_file), or ciphers that nobody has any more"
	case remote && strings.Contains(text, "protocol version"), strings.Contains(text, "tls: server selected unsupported protocol version"):
		advice = "it speaks only TLS older than origin_tls.min_version"
	case remote, strings.Contains(text, "tls: "):
		advice = "TLS could not be agreed on"
	default:
		return nil
	}
	return fmt.Errorf("%s: %w", advice, err)
}

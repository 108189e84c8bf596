// SPDX-License-Identifier: ISC

package conn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"strings"
	"syscall"
	"unicode"

	"libtls-proxy/goproxy/internal/ocsp"
	"libtls-proxy/goproxy/internal/tlsconf"
	"libtls-proxy/goproxy/internal/verify"
)

// A state is where a connection stood when it failed. libtls names it in its
// error texts, along with a number.
type state struct {
	name string
	code uint32
}

var (
	stateBeforeConnect = state{"ST_BEFORE_CONNECT", 0x04e}
	stateBeforeAccept  = state{"ST_BEFORE_ACCEPT", 0x050}
	stateServerHello   = state{"CONNECT_CR_SRVR_HELLO", 0x004}
	stateCertRequest   = state{"CONNECT_CR_CERT_REQ", 0x00a}
	stateServerDone    = state{"CONNECT_CR_FINISHED", 0x01e}
	stateClientHello   = state{"ACCEPT_SR_CLNT_HELLO", 0x026}
	stateALPN          = state{"ACCEPT_SR_CLNT_HELLO", 0x025}
	stateClientCert    = state{"ACCEPT_SR_CERT", 0x036}
	stateKeyExchange   = state{"ACCEPT_SR_KEY_EXCH", 0x037}
	stateClientDone    = state{"ACCEPT_SR_FINISHED", 0x03f}
	stateOK            = state{"ST_OK", 0x04c}
	stateInternal      = state{"(UNKNOWN)SSL_internal", 0xfff}
)

// Reason numbers of LibreSSL's SSL library.
const (
	reasonNoCiphers       = 0xb5
	reasonNoProtocols     = 0xbf
	reasonNoSharedCipher  = 0xc1
	reasonNoCertificate   = 0xc7
	reasonNoALPN          = 0xeb
	reasonUnexpected      = 0xf4
	reasonWrongVersion    = 0x10b
	reasonUnknownFailure  = 0x3e7
	reasonAlert           = 1000
	alertBadRecordMAC     = 20
	alertProtocolVersion  = 70
	systemLibrary         = 0x02fff000
	sslRoutines           = 0x14000000
	functionShift         = 12
	badDecrypt            = "error:06FFF064:digital envelope routines:CRYPTO_internal:bad decrypt"
	remoteError           = "remote error"
	localError            = "local error"
	maxSystemErrorText    = 31
	noSharedCipher        = "no cipher suite supported by both client and server"
	unsupportedALPN       = "client requested unsupported application protocols"
	unsupportedVersions   = "client offered only unsupported versions"
	noClientCertificate   = "client didn't provide a certificate"
	unexpectedMessage     = "received unexpected handshake message"
	unsupportedByServer   = "server selected unsupported protocol version"
	notATLSHandshakeAlert = alertProtocolVersion
)

func sslError(s state, reason uint32, text string) string {
	return fmt.Sprintf("error:%08X:SSL routines:%s:%s",
		sslRoutines|s.code<<functionShift|reason, s.name, text)
}

var alertTexts = map[uint8]string{
	10:  "sslv3 alert unexpected message",
	20:  "sslv3 alert bad record mac",
	21:  "tlsv1 alert decryption failed",
	22:  "tlsv1 alert record overflow",
	30:  "sslv3 alert decompression failure",
	40:  "sslv3 alert handshake failure",
	41:  "sslv3 alert no certificate",
	42:  "sslv3 alert bad certificate",
	43:  "sslv3 alert unsupported certificate",
	44:  "sslv3 alert certificate revoked",
	45:  "sslv3 alert certificate expired",
	46:  "sslv3 alert certificate unknown",
	47:  "sslv3 alert illegal parameter",
	48:  "tlsv1 alert unknown ca",
	49:  "tlsv1 alert access denied",
	50:  "tlsv1 alert decode error",
	51:  "tlsv1 alert decrypt error",
	60:  "tlsv1 alert export restriction",
	70:  "tlsv1 alert protocol version",
	71:  "tlsv1 alert insufficient security",
	80:  "tlsv1 alert internal error",
	86:  "tlsv1 alert inappropriate fallback",
	100: "tlsv1 alert no renegotiation",
	109: "tlsv13 alert missing extension",
	110: "tlsv1 unsupported extension",
	111: "tlsv1 certificate unobtainable",
	112: "tlsv1 unrecognized name",
	113: "tlsv1 bad certificate status response",
	114: "tlsv1 bad certificate hash value",
	115: "tlsv1 alert unknown psk_identity",
	116: "tlsv13 alert certificate required",
	120: "tlsv1 alert no application protocol",
}

func alertError(s state, alert uint8) string {
	text, ok := alertTexts[alert]
	if !ok {
		text = fmt.Sprintf("reason(%d)", reasonAlert+int(alert))
	}
	return sslError(s, reasonAlert+uint32(alert), text)
}

// strerror is strerror(3): Go spells the same texts in lower case.
func strerror(errno syscall.Errno) string {
	if errno == 0 {
		return "Success"
	}
	r := []rune(errno.Error())
	r[0] = unicode.ToUpper(r[0])
	return string(r)
}

// systemError has no errno from a callback that fails without one.
func systemError(errno syscall.Errno) string {
	if errno == 0 {
		return sslError(stateInternal, reasonUnknownFailure, "unknown failure occurred")
	}
	text := strerror(errno)
	text = text[:min(len(text), maxSystemErrorText)]
	return fmt.Sprintf("error:%08X:system library:func(4095):%s", systemLibrary|uint32(errno), text)
}

// alertOf returns the alert in an error of crypto/tls, whose type for it is
// not exported.
func alertOf(err error, op string) (uint8, bool) {
	var opErr *net.OpError
	if !errors.As(err, &opErr) || opErr.Op != op {
		return 0, false
	}
	v := reflect.ValueOf(opErr.Err)
	if v.Kind() != reflect.Uint8 {
		return 0, false
	}
	return uint8(v.Uint()), true
}

// ioText is the text for an error after the handshake, without a prefix.
func ioText(version uint16, err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) && version == tls.VersionTLS12 {
		return strerror(errno)
	}
	return errorText(stateOK, err)
}

// errorText is the text for an error that is neither tied to a reason of the
// handshake's nor an end of file.
func errorText(s state, err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return systemError(errno)
	}
	if alert, ok := alertOf(err, remoteError); ok {
		return alertError(s, alert)
	}
	if alert, ok := alertOf(err, localError); ok {
		if alert == alertBadRecordMAC {
			return badDecrypt
		}
		return alertError(s, alert)
	}
	text := strings.TrimPrefix(err.Error(), "tls: ")
	if strings.HasPrefix(text, unexpectedMessage) {
		// What follows are names of types.
		return sslError(s, reasonUnexpected, "unexpected message")
	}
	return sslError(stateInternal, reasonUnknownFailure, text)
}

// handshakeText is the whole text for a failed handshake.
func handshakeText(server bool, version uint16, err error) string {
	var peer *verify.Error
	var staple ocsp.Error
	var other refusal
	var app tlsconf.Refusal
	switch {
	case errors.As(err, &peer):
		return peer.Error()
	case errors.As(err, &staple):
		return staple.Error()
	case errors.As(err, &other):
		return other.Error()
	case errors.As(err, &app):
		return "handshake failed: " + app.Error()
	}
	return "handshake failed: " + handshakeReason(server, version, err)
}

func handshakeReason(server bool, version uint16, err error) string {
	before, hello, later := stateBeforeConnect, stateServerHello, stateServerDone
	if version == tls.VersionTLS13 {
		later = stateCertRequest
	}
	if server {
		before, hello, later = stateBeforeAccept, stateClientHello, stateKeyExchange
		if version == tls.VersionTLS13 {
			later = stateClientDone
		}
	}
	current := later
	if version == 0 {
		current = hello
	}
	var header tls.RecordHeaderError
	text := err.Error()
	switch {
	case errors.Is(err, errEOF):
		return "unexpected EOF"
	case errors.Is(err, tlsconf.ErrNoProtocols):
		return sslError(before, reasonNoProtocols, "no protocols available")
	case errors.Is(err, tlsconf.ErrNoCiphers):
		return sslError(before, reasonNoCiphers, "no ciphers available")
	case errors.As(err, &header):
		return alertError(hello, notATLSHandshakeAlert)
	case strings.Contains(text, unsupportedVersions), strings.Contains(text, unsupportedByServer):
		return sslError(hello, reasonWrongVersion, "wrong version number")
	case strings.Contains(text, noSharedCipher), errors.Is(err, tlsconf.ErrNoCertificate):
		return sslError(hello, reasonNoSharedCipher, "no shared cipher")
	case strings.Contains(text, unsupportedALPN):
		return sslError(stateALPN, reasonNoALPN, "no application protocol")
	case strings.Contains(text, noClientCertificate):
		s := stateInternal
		if version != tls.VersionTLS13 {
			s = stateClientCert
		}
		return sslError(s, reasonNoCertificate, "peer did not return a certificate")
	}
	return errorText(current, err)
}

func isDeadline(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

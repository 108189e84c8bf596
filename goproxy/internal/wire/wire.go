// SPDX-License-Identifier: ISC

// Package wire holds the messages between libtls-proxy, the supervisor and
// the two roles of goproxy. goproxy-protocol(7) is the source of truth.
package wire

import (
	"encoding/binary"
	"fmt"
)

const (
	Version = 1

	// MaxMessage bounds a message on a SOCK_SEQPACKET channel.
	MaxMessage = 65536
	// MaxDocument bounds a document, MaxFrame the frame that opens a data
	// channel.
	MaxDocument = 64 << 20
	MaxFrame    = 1 << 20
	// MaxChunk bounds the records or the plaintext in one message to an
	// engine.
	MaxChunk = 65536
	// MaxKey bounds a private key in PEM.
	MaxKey = 1 << 20
	// CloseMark and ResumeMark are the bytes that a reply channel and the
	// network's descriptors come with in the plaintext stream.
	CloseMark  = 0x0b
	ResumeMark = 0x37
	// SessionIDSize is the size of what sessions are bound to.
	SessionIDSize = 32
	TicketKeySize = 48
	MaxTicketKeys = 4

	headerLen = 4
)

const (
	RoleClient = 1
	RoleServer = 2
)

// Values of Commit.Isolation.
const (
	IsolationProcess    = 0
	IsolationConfig     = 1
	IsolationConnection = 2
)

// The bits of Settings.Protocols that mean something.
const (
	ProtocolTLS12 = 0x08
	ProtocolTLS13 = 0x10
)

// Values of Settings.VerifyClient.
const (
	ClientCertNone     = 0
	ClientCertRequired = 1
	ClientCertOptional = 2
)

// The bits of Start.Verify.
const (
	VerifyChain = 1
	VerifyName  = 2
	VerifyTimes = 4
	// VerifyStaple demands an OCSP staple.
	VerifyStaple = 8
)

// Values of Input.End.
const (
	InputRecord = 0
	InputEOF    = 1
	InputFailed = 2
)

// Values of StatusReply.Ending, CloseReply.Ending and InputReply.Ending.
const (
	EndingUnknown     = 0
	EndingOpen        = 1
	EndingCloseNotify = 2
	EndingTruncated   = 3
	EndingFailed      = 4
)

// StateHandshake is a ConnectionState.State, beside the endings.
const StateHandshake = 0

// Values of ConnectionState.Transport.
const (
	TransportSocket = 0
	TransportEngine = 1
)

// Values of SignRaw.Padding and SignCallback.Padding.
const (
	PaddingNone  = 0
	PaddingPKCS1 = 1
	PaddingX931  = 2
)

// Bits of Settings.Requests.
const (
	RequestCertificate = 1
	RequestVerify      = 2
	RequestVerifyEach  = 4
	RequestSession     = 8
	RequestStaple      = 16
	RequestSign        = 32
	AllRequests        = 63
)

// Values of AskCertificateReply.Action.
const (
	CertificateDefault = 0
	CertificatePair    = 1
	CertificateNew     = 2
	CertificateRefuse  = 3
)

// Values of AskSession.Operation.
const (
	SessionStore  = 1
	SessionLookup = 2
	SessionRemove = 3
)

// AppSlot is the slot of a key that only the application can reach.
const AppSlot = 0xffffffff

// A row is a row of the table in goproxy-protocol(7).
type row struct {
	number         uint16
	name           string
	sender         string
	channel        string
	minFds, maxFds int
	fields         string
	new            func() Message
}

// scripts/check-protocol compares these rows with goproxy-protocol(7).
var table = []row{
	{0x0001, "HELLO", "library", "control", 1, 1, "-", func() Message { return new(Hello) }},
	{0x0081, "HELLO_REPLY", "keeper", "draft", 0, 0, "release:str", func() Message { return new(HelloReply) }},
	{0x0050, "INFO", "library", "control", 1, 1, "-", func() Message { return new(Info) }},
	{0x00d0, "INFO_REPLY", "keeper", "reply", 0, 0, "release:str workers:u32 deaths:u32 configs:u32 keys:u32 signatures:u64 refused:u64 refused_last:str", func() Message { return new(InfoReply) }},
	{0x0060, "REPORT", "library", "control", 1, 1, "-", func() Message { return new(Report) }},
	{0x0061, "REPORT_WORKER", "keeper", "link", 1, 1, "-", func() Message { return new(ReportWorker) }},
	{0x0062, "WORKER_STATE", "worker", "report", 0, 0, "age:u64 full:u64 resumed:u64 failed:u64 broken:u64 connections:u32 causes:u32", func() Message { return new(WorkerState) }},
	{0x0063, "CONNECTION_STATE", "worker", "report", 0, 0, "role:u8 state:u8 transport:u8 age:u64 version:str cipher:str alpn:str servername:str common_name:str address:str resumed:u8 received:u64 sent:u64", func() Message { return new(ConnectionState) }},
	{0x0064, "FAILURE_STATE", "worker", "report", 0, 0, "cause:str count:u64", func() Message { return new(FailureState) }},
	{0x0002, "ADD_KEY", "library", "draft", 2, 2, "-", func() Message { return new(AddKey) }},
	{0x0082, "ADD_KEY_REPLY", "keeper", "reply", 0, 0, "error:str slot:u32", func() Message { return new(AddKeyReply) }},
	{0x0003, "DROP_KEY", "library", "draft", 0, 0, "slot:u32", func() Message { return new(DropKey) }},
	{0x0016, "CHECK_CERT", "library", "draft", 2, 2, "-", func() Message { return new(CheckCert) }},
	{0x0096, "CHECK_CERT_REPLY", "keeper", "reply", 0, 0, "error:str hash:str", func() Message { return new(CheckCertReply) }},
	{0x0017, "DECRYPT_KEY", "library", "draft", 2, 2, "password:bytes", func() Message { return new(DecryptKey) }},
	{0x0097, "DECRYPT_KEY_REPLY", "keeper", "reply", 0, 0, "error:str key:bytes", func() Message { return new(DecryptKeyReply) }},
	{0x0041, "ADD_SIGNER", "library", "draft", 3, 3, "-", func() Message { return new(AddSigner) }},
	{0x00c1, "ADD_SIGNER_REPLY", "keeper", "reply", 0, 0, "error:str hash:str slot:u32", func() Message { return new(AddSignerReply) }},
	{0x0042, "SIGN_RAW", "library", "draft", 1, 1, "slot:u32 padding:u8 input:bytes", func() Message { return new(SignRaw) }},
	{0x00c2, "SIGN_RAW_REPLY", "keeper", "reply", 0, 0, "error:str signature:bytes", func() Message { return new(SignRawReply) }},
	{0x0049, "ATTACH_KEY", "library", "draft", 3, 3, "config:u32", func() Message { return new(AttachKey) }},
	{0x00c9, "ATTACH_KEY_REPLY", "keeper", "reply", 0, 0, "error:str slot:u32", func() Message { return new(AttachKeyReply) }},
	{0x0004, "COMMIT", "library", "draft", 2, 2, "isolation:u8", func() Message { return new(Commit) }},
	{0x0084, "COMMIT_REPLY", "keeper", "config", 0, 0, "error:str", func() Message { return new(CommitReply) }},
	{0x0005, "SETTINGS", "library", "document", 0, 0, "role:u8 protocols:u32 ciphers:bytes groups:bytes prefer_client:u8 verify_client:u8 verify_depth:u32 ca:bytes check_crl:u8 crl:bytes alpn:bytes session_id:bytes session_lifetime:u32 requests:u32 request_timeout:u32", func() Message { return new(Settings) }},
	{0x0006, "KEYPAIR", "library", "document", 0, 0, "slot:u32 certificate:bytes", func() Message { return new(Keypair) }},
	{0x000c, "STAPLE", "library", "document", 0, 0, "pair:u32 response:bytes", func() Message { return new(Staple) }},
	{0x000d, "TICKET_KEY", "library", "document", 0, 0, "revision:u32 key:bytes", func() Message { return new(TicketKey) }},
	{0x0018, "OPEN", "library", "config", 1, 1, "-", func() Message { return new(Open) }},
	{0x004b, "ALPN", "library", "document", 0, 0, "protocols:bytes", func() Message { return new(ALPN) }},
	{0x0007, "START", "library", "config", 2, 6, "verify:u8 servername:str", func() Message { return new(Start) }},
	{0x000e, "UPDATE", "library", "config", 1, 1, "-", func() Message { return new(Update) }},
	{0x000f, "OCSP", "library", "config", 2, 2, "connection:u64", func() Message { return new(OCSP) }},
	{0x008f, "OCSP_REPLY", "worker", "reply", 0, 0, "error:str result:str response_status:i64 cert_status:i64 crl_reason:i64 this_update:i64 next_update:i64 revocation_time:i64", func() Message { return new(OCSPReply) }},
	{0x0008, "STATUS", "library", "config", 1, 1, "connection:u64", func() Message { return new(Status) }},
	{0x0088, "STATUS_REPLY", "worker", "reply", 0, 0, "ending:u8 error:str", func() Message { return new(StatusReply) }},
	{0x0009, "ESTABLISHED", "worker", "data", 0, 0, "connection:u64 version:str cipher:str cipher_strength:u32 alpn:str servername:str resumed:u8 peer:u8 hash:str subject:str issuer:str common_name:str not_before:i64 not_after:i64 chain:bytes names:bytes ocsp_url:str ocsp_result:str ocsp_response_status:i64 ocsp_cert_status:i64 ocsp_crl_reason:i64 ocsp_this_update:i64 ocsp_next_update:i64 ocsp_revocation_time:i64", func() Message { return new(Established) }},
	{0x0040, "SIGN_CALLBACK", "worker", "data", 0, 0, "hash:str padding:u8 input:bytes", func() Message { return new(SignCallback) }},
	{0x00c0, "SIGN_CALLBACK_REPLY", "library", "data", 0, 0, "signature:bytes", func() Message { return new(SignCallbackReply) }},
	{0x000a, "FAILED", "worker", "data", 0, 2, "error:str", func() Message { return new(Failed) }},
	{0x000b, "CLOSE", "library", "data", 1, 1, "mark", nil},
	{0x008b, "CLOSE_REPLY", "worker", "reply", 1, 2, "ending:u8 error:str", func() Message { return new(CloseReply) }},
	{0x0037, "RESUME", "library", "data", 1, 2, "mark", nil},
	{0x0043, "ASK_CERTIFICATE", "worker", "requests", 0, 0, "request:u64 config:u32 servername:str alpn:bytes schemes:bytes versions:bytes address:str", func() Message { return new(AskCertificate) }},
	{0x00c3, "ASK_CERTIFICATE_REPLY", "library", "requests", 0, 1, "request:u64 action:u8 number:u32 error:str", func() Message { return new(AskCertificateReply) }},
	{0x0044, "ASK_VERIFY", "worker", "requests", 0, 0, "request:u64 depth:u32 verdict:str chain:bytes", func() Message { return new(AskVerify) }},
	{0x00c4, "ASK_VERIFY_REPLY", "library", "requests", 0, 0, "request:u64 error:str", func() Message { return new(AskVerifyReply) }},
	{0x0045, "ASK_SESSION", "worker", "requests", 0, 0, "request:u64 operation:u8 id:bytes session:bytes lifetime:u32", func() Message { return new(AskSession) }},
	{0x00c5, "ASK_SESSION_REPLY", "library", "requests", 0, 0, "request:u64 session:bytes", func() Message { return new(AskSessionReply) }},
	{0x0046, "ASK_STAPLE", "worker", "requests", 0, 0, "request:u64 hash:str", func() Message { return new(AskStaple) }},
	{0x00c6, "ASK_STAPLE_REPLY", "library", "requests", 0, 0, "request:u64 action:u8 response:bytes", func() Message { return new(AskStapleReply) }},
	{0x0047, "ASK_SIGN", "worker", "requests", 0, 0, "request:u64 hash:str scheme:u16 digest:bytes", func() Message { return new(AskSign) }},
	{0x00c7, "ASK_SIGN_REPLY", "library", "requests", 0, 0, "request:u64 signature:bytes", func() Message { return new(AskSignReply) }},
	{0x0048, "CANCEL", "worker", "requests", 0, 0, "request:u64", func() Message { return new(Cancel) }},
	{0x0030, "ENGINE", "library", "config", 1, 3, "verify:u8 servername:str", func() Message { return new(Engine) }},
	{0x0031, "INPUT", "library", "data", 0, 0, "end:u8 errnum:u32 record:bytes", func() Message { return new(Input) }},
	{0x00b1, "INPUT_REPLY", "worker", "data", 0, 0, "ending:u8 error:str plaintext:bytes", func() Message { return new(InputReply) }},
	{0x0032, "WRITE", "library", "data", 0, 0, "plaintext:bytes", func() Message { return new(Write) }},
	{0x00b2, "WRITE_REPLY", "worker", "data", 0, 0, "error:str", func() Message { return new(WriteReply) }},
	{0x0033, "OUTPUT_FAILED", "library", "data", 0, 0, "errnum:u32", func() Message { return new(OutputFailed) }},
	{0x00b3, "OUTPUT_FAILED_REPLY", "worker", "data", 0, 0, "error:str", func() Message { return new(OutputFailedReply) }},
	{0x0034, "SHUTDOWN", "library", "data", 0, 0, "-", func() Message { return new(Shutdown) }},
	{0x00b4, "SHUTDOWN_REPLY", "worker", "data", 0, 0, "-", func() Message { return new(ShutdownReply) }},
	{0x0035, "OUTPUT", "worker", "data", 0, 0, "records:bytes", func() Message { return new(Output) }},
	{0x0036, "NEED", "worker", "data", 0, 0, "-", func() Message { return new(Need) }},
	{0x0010, "CONFIG", "keeper", "link", 2, 3, "config:u32 draft:u32 single:u8", func() Message { return new(Config) }},
	{0x0011, "CONFIG_READY", "worker", "link", 0, 0, "config:u32 error:str", func() Message { return new(ConfigReady) }},
	{0x0012, "CONFIG_CLOSED", "worker", "link", 0, 0, "config:u32", func() Message { return new(ConfigClosed) }},
	{0x0015, "CONFIG_UPDATE", "worker", "link", 1, 1, "config:u32", func() Message { return new(ConfigUpdate) }},
	{0x0019, "REFRESH", "keeper", "link", 1, 1, "config:u32", func() Message { return new(Refresh) }},
	{0x001c, "OVERFLOW", "worker", "link", 0, 0, "config:u32", func() Message { return new(Overflow) }},
	{0x009c, "OVERFLOW_REPLY", "keeper", "link", 0, 1, "config:u32", func() Message { return new(OverflowReply) }},
	{0x0013, "SIGN", "worker", "link", 0, 0, "request:u64 config:u32 slot:u32 scheme:u16 message:bytes", func() Message { return new(Sign) }},
	{0x0093, "SIGN_REPLY", "keeper", "link", 0, 0, "request:u64 error:str signature:bytes", func() Message { return new(SignReply) }},
	{0x004a, "KEY_DONE", "worker", "link", 0, 0, "config:u32 slot:u32", func() Message { return new(KeyDone) }},
	{0x0014, "DRAIN", "keeper", "link", 0, 0, "-", func() Message { return new(Drain) }},
	{0x001a, "NO_WORKER", "supervisor", "link", 0, 0, "error:u32", func() Message { return new(NoWorker) }},
	{0x0020, "SPAWN", "keeper", "supervisor", 1, 1, "-", func() Message { return new(Spawn) }},
}

// A Message is a pointer to one of the structs in messages.go.
type Message interface {
	number() uint16
	fields(coder)
}

// A VersionError says which version the sender speaks.
type VersionError struct {
	Version, Number uint16
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("wire: version %d instead of %d", e.Version, Version)
}

// Encode returns the bytes of m.
func Encode(m Message) ([]byte, error) {
	e := encoder{buf: make([]byte, 0, 64)}
	e.message(m)
	return e.buf, e.err
}

func (e *encoder) message(m Message) {
	e.buf = binary.BigEndian.AppendUint16(e.buf, Version)
	e.buf = binary.BigEndian.AppendUint16(e.buf, m.number())
	m.fields(e)
}

// Lost is the number of descriptors where what came did not find room.
const Lost = -1

// Decode decodes a message that sender sent on channel with fds descriptors.
// Byte slices in the message alias b.
func Decode(sender, channel string, b []byte, fds int) (Message, error) {
	if len(b) < headerLen {
		return nil, errShort
	}
	version, number := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	if version != Version {
		return nil, &VersionError{version, number}
	}
	r := find(number)
	if r == nil || r.new == nil {
		return nil, fmt.Errorf("wire: unknown message 0x%04x", number)
	}
	if r.sender != sender || r.channel != channel {
		return nil, fmt.Errorf("wire: %s from the %s on a %s channel", r.name, sender, channel)
	}
	if fds == Lost && r.maxFds > 0 {
		fds = r.maxFds
	}
	if fds < r.minFds || fds > r.maxFds {
		return nil, fmt.Errorf("wire: %s with %d descriptors", r.name, fds)
	}
	m := r.new()
	d := decoder{buf: b[headerLen:]}
	m.fields(&d)
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("%s: %w", r.name, err)
	}
	return m, nil
}

func find(number uint16) *row {
	for i := range table {
		if table[i].number == number {
			return &table[i]
		}
	}
	return nil
}

// FrameHeader is the size of the length before a message.
const FrameHeader = 4

// EncodeFrame returns m with its length before it.
func EncodeFrame(m Message) ([]byte, error) {
	return EncodeFrameHead(nil, m, 0)
}

// EncodeFrameHead returns the frame of m up to the last field, whose n bytes
// the caller sends himself: in m it is empty, and a bytes. It uses the memory
// of b where that is enough.
func EncodeFrameHead(b []byte, m Message, n int) ([]byte, error) {
	e := encoder{buf: append(b[:0], make([]byte, FrameHeader)...)}
	e.message(m)
	length := len(e.buf) - FrameHeader + n
	if e.err != nil {
		return nil, e.err
	}
	if length > MaxFrame {
		return nil, errTooLong
	}
	binary.BigEndian.PutUint32(e.buf, uint32(length))
	if n > 0 {
		binary.BigEndian.PutUint32(e.buf[len(e.buf)-4:], uint32(n))
	}
	return e.buf, nil
}

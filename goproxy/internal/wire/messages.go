// SPDX-License-Identifier: ISC

package wire

type Hello struct{}

func (*Hello) number() uint16 { return 0x0001 }
func (*Hello) fields(coder)   {}

type HelloReply struct {
	Release string
}

func (*HelloReply) number() uint16   { return 0x0081 }
func (m *HelloReply) fields(c coder) { c.str("release", &m.Release) }

type Info struct{}

func (*Info) number() uint16 { return 0x0050 }
func (*Info) fields(coder)   {}

type InfoReply struct {
	Release     string
	Workers     uint32
	Deaths      uint32
	Configs     uint32
	Keys        uint32
	Signatures  uint64
	Refused     uint64
	RefusedLast string
}

func (*InfoReply) number() uint16 { return 0x00d0 }
func (m *InfoReply) fields(c coder) {
	c.str("release", &m.Release)
	c.u32("workers", &m.Workers)
	c.u32("deaths", &m.Deaths)
	c.u32("configs", &m.Configs)
	c.u32("keys", &m.Keys)
	c.u64("signatures", &m.Signatures)
	c.u64("refused", &m.Refused)
	c.str("refused_last", &m.RefusedLast)
}

type Report struct{}

func (*Report) number() uint16 { return 0x0060 }
func (*Report) fields(coder)   {}

type ReportWorker struct{}

func (*ReportWorker) number() uint16 { return 0x0061 }
func (*ReportWorker) fields(coder)   {}

type WorkerState struct {
	Age         uint64
	Full        uint64
	Resumed     uint64
	Failed      uint64
	Broken      uint64
	Connections uint32
	Causes      uint32
}

func (*WorkerState) number() uint16 { return 0x0062 }
func (m *WorkerState) fields(c coder) {
	c.u64("age", &m.Age)
	c.u64("full", &m.Full)
	c.u64("resumed", &m.Resumed)
	c.u64("failed", &m.Failed)
	c.u64("broken", &m.Broken)
	c.u32("connections", &m.Connections)
	c.u32("causes", &m.Causes)
}

type ConnectionState struct {
	Role       uint8
	State      uint8
	Transport  uint8
	Age        uint64
	Version    string
	Cipher     string
	ALPN       string
	Servername string
	CommonName string
	Address    string
	Resumed    uint8
	Received   uint64
	Sent       uint64
}

func (*ConnectionState) number() uint16 { return 0x0063 }
func (m *ConnectionState) fields(c coder) {
	c.u8("role", &m.Role)
	c.u8("state", &m.State)
	c.u8("transport", &m.Transport)
	c.u64("age", &m.Age)
	c.str("version", &m.Version)
	c.str("cipher", &m.Cipher)
	c.str("alpn", &m.ALPN)
	c.str("servername", &m.Servername)
	c.str("common_name", &m.CommonName)
	c.str("address", &m.Address)
	c.u8("resumed", &m.Resumed)
	c.u64("received", &m.Received)
	c.u64("sent", &m.Sent)
}

type FailureState struct {
	Cause string
	Count uint64
}

func (*FailureState) number() uint16 { return 0x0064 }
func (m *FailureState) fields(c coder) {
	c.str("cause", &m.Cause)
	c.u64("count", &m.Count)
}

type AddKey struct{}

func (*AddKey) number() uint16 { return 0x0002 }
func (*AddKey) fields(coder)   {}

type AddKeyReply struct {
	Error string
	Slot  uint32
}

func (*AddKeyReply) number() uint16 { return 0x0082 }
func (m *AddKeyReply) fields(c coder) {
	c.str("error", &m.Error)
	c.u32("slot", &m.Slot)
}

type DropKey struct {
	Slot uint32
}

func (*DropKey) number() uint16   { return 0x0003 }
func (m *DropKey) fields(c coder) { c.u32("slot", &m.Slot) }

type AddSigner struct{}

func (*AddSigner) number() uint16 { return 0x0041 }
func (*AddSigner) fields(coder)   {}

type AddSignerReply struct {
	Error string
	Hash  string
	Slot  uint32
}

func (*AddSignerReply) number() uint16 { return 0x00c1 }
func (m *AddSignerReply) fields(c coder) {
	c.str("error", &m.Error)
	c.str("hash", &m.Hash)
	c.u32("slot", &m.Slot)
}

type SignRaw struct {
	Slot    uint32
	Padding uint8
	Input   []byte
}

func (*SignRaw) number() uint16 { return 0x0042 }
func (m *SignRaw) fields(c coder) {
	c.u32("slot", &m.Slot)
	c.u8("padding", &m.Padding)
	c.bytes("input", &m.Input)
}

type SignRawReply struct {
	Error     string
	Signature []byte
}

func (*SignRawReply) number() uint16 { return 0x00c2 }
func (m *SignRawReply) fields(c coder) {
	c.str("error", &m.Error)
	c.bytes("signature", &m.Signature)
}

type Commit struct {
	Isolation uint8
}

func (*Commit) number() uint16   { return 0x0004 }
func (m *Commit) fields(c coder) { c.u8("isolation", &m.Isolation) }

type CommitReply struct {
	Error string
}

func (*CommitReply) number() uint16   { return 0x0084 }
func (m *CommitReply) fields(c coder) { c.str("error", &m.Error) }

type Settings struct {
	Role            uint8
	Protocols       uint32
	Ciphers         []byte
	Groups          []byte
	PreferClient    uint8
	VerifyClient    uint8
	VerifyDepth     uint32
	CA              []byte
	CheckCRL        uint8
	CRL             []byte
	ALPN            []byte
	SessionID       []byte
	SessionLifetime uint32
	Requests        uint32
	RequestTimeout  uint32
}

func (*Settings) number() uint16 { return 0x0005 }
func (m *Settings) fields(c coder) {
	c.u8("role", &m.Role)
	c.u32("protocols", &m.Protocols)
	c.bytes("ciphers", &m.Ciphers)
	c.bytes("groups", &m.Groups)
	c.u8("prefer_client", &m.PreferClient)
	c.u8("verify_client", &m.VerifyClient)
	c.u32("verify_depth", &m.VerifyDepth)
	c.bytes("ca", &m.CA)
	c.u8("check_crl", &m.CheckCRL)
	c.bytes("crl", &m.CRL)
	c.bytes("alpn", &m.ALPN)
	c.bytes("session_id", &m.SessionID)
	c.u32("session_lifetime", &m.SessionLifetime)
	c.u32("requests", &m.Requests)
	c.u32("request_timeout", &m.RequestTimeout)
}

type Keypair struct {
	Slot        uint32
	Certificate []byte
}

func (*Keypair) number() uint16 { return 0x0006 }
func (m *Keypair) fields(c coder) {
	c.u32("slot", &m.Slot)
	c.bytes("certificate", &m.Certificate)
}

type ALPN struct {
	Protocols []byte
}

func (*ALPN) number() uint16 { return 0x004b }
func (m *ALPN) fields(c coder) {
	c.bytes("protocols", &m.Protocols)
}

type Start struct {
	Verify     uint8
	Servername string
}

func (*Start) number() uint16 { return 0x0007 }
func (m *Start) fields(c coder) {
	c.u8("verify", &m.Verify)
	c.str("servername", &m.Servername)
}

type Status struct {
	Connection uint64
}

func (*Status) number() uint16   { return 0x0008 }
func (m *Status) fields(c coder) { c.u64("connection", &m.Connection) }

type StatusReply struct {
	Ending uint8
	Error  string
}

func (*StatusReply) number() uint16 { return 0x0088 }
func (m *StatusReply) fields(c coder) {
	c.u8("ending", &m.Ending)
	c.str("error", &m.Error)
}

type Established struct {
	Connection         uint64
	Version            string
	Cipher             string
	CipherStrength     uint32
	ALPN               string
	Servername         string
	Resumed            uint8
	Peer               uint8
	Hash               string
	Subject            string
	Issuer             string
	CommonName         string
	NotBefore          int64
	NotAfter           int64
	Chain              []byte
	Names              []byte
	OCSPURL            string
	OCSPResult         string
	OCSPResponseStatus int64
	OCSPCertStatus     int64
	OCSPCRLReason      int64
	OCSPThisUpdate     int64
	OCSPNextUpdate     int64
	OCSPRevocationTime int64
}

func (*Established) number() uint16 { return 0x0009 }
func (m *Established) fields(c coder) {
	c.u64("connection", &m.Connection)
	c.str("version", &m.Version)
	c.str("cipher", &m.Cipher)
	c.u32("cipher_strength", &m.CipherStrength)
	c.str("alpn", &m.ALPN)
	c.str("servername", &m.Servername)
	c.u8("resumed", &m.Resumed)
	c.u8("peer", &m.Peer)
	c.str("hash", &m.Hash)
	c.str("subject", &m.Subject)
	c.str("issuer", &m.Issuer)
	c.str("common_name", &m.CommonName)
	c.i64("not_before", &m.NotBefore)
	c.i64("not_after", &m.NotAfter)
	c.bytes("chain", &m.Chain)
	c.bytes("names", &m.Names)
	c.str("ocsp_url", &m.OCSPURL)
	c.str("ocsp_result", &m.OCSPResult)
	c.i64("ocsp_response_status", &m.OCSPResponseStatus)
	c.i64("ocsp_cert_status", &m.OCSPCertStatus)
	c.i64("ocsp_crl_reason", &m.OCSPCRLReason)
	c.i64("ocsp_this_update", &m.OCSPThisUpdate)
	c.i64("ocsp_next_update", &m.OCSPNextUpdate)
	c.i64("ocsp_revocation_time", &m.OCSPRevocationTime)
}

type SignCallback struct {
	Hash    string
	Padding uint8
	Input   []byte
}

func (*SignCallback) number() uint16 { return 0x0040 }
func (m *SignCallback) fields(c coder) {
	c.str("hash", &m.Hash)
	c.u8("padding", &m.Padding)
	c.bytes("input", &m.Input)
}

type SignCallbackReply struct {
	Signature []byte
}

func (*SignCallbackReply) number() uint16   { return 0x00c0 }
func (m *SignCallbackReply) fields(c coder) { c.bytes("signature", &m.Signature) }

type Failed struct {
	Error string
}

func (*Failed) number() uint16   { return 0x000a }
func (m *Failed) fields(c coder) { c.str("error", &m.Error) }

type CloseReply struct {
	Ending uint8
	Error  string
}

func (*CloseReply) number() uint16 { return 0x008b }
func (m *CloseReply) fields(c coder) {
	c.u8("ending", &m.Ending)
	c.str("error", &m.Error)
}

type Config struct {
	Config uint32
	Draft  uint32
	Single uint8
}

func (*Config) number() uint16 { return 0x0010 }
func (m *Config) fields(c coder) {
	c.u32("config", &m.Config)
	c.u32("draft", &m.Draft)
	c.u8("single", &m.Single)
}

type ConfigReady struct {
	Config uint32
	Error  string
}

func (*ConfigReady) number() uint16 { return 0x0011 }
func (m *ConfigReady) fields(c coder) {
	c.u32("config", &m.Config)
	c.str("error", &m.Error)
}

type ConfigClosed struct {
	Config uint32
}

func (*ConfigClosed) number() uint16   { return 0x0012 }
func (m *ConfigClosed) fields(c coder) { c.u32("config", &m.Config) }

type Sign struct {
	Request uint64
	Config  uint32
	Slot    uint32
	Scheme  uint16
	Message []byte
}

func (*Sign) number() uint16 { return 0x0013 }
func (m *Sign) fields(c coder) {
	c.u64("request", &m.Request)
	c.u32("config", &m.Config)
	c.u32("slot", &m.Slot)
	c.u16("scheme", &m.Scheme)
	c.bytes("message", &m.Message)
}

type SignReply struct {
	Request   uint64
	Error     string
	Signature []byte
}

func (*SignReply) number() uint16 { return 0x0093 }
func (m *SignReply) fields(c coder) {
	c.u64("request", &m.Request)
	c.str("error", &m.Error)
	c.bytes("signature", &m.Signature)
}

type Drain struct{}

func (*Drain) number() uint16 { return 0x0014 }
func (*Drain) fields(coder)   {}

type AskCertificate struct {
	Request    uint64
	Config     uint32
	Servername string
	ALPN       []byte
	Schemes    []byte
	Versions   []byte
	Address    string
}

func (*AskCertificate) number() uint16 { return 0x0043 }
func (m *AskCertificate) fields(c coder) {
	c.u64("request", &m.Request)
	c.u32("config", &m.Config)
	c.str("servername", &m.Servername)
	c.bytes("alpn", &m.ALPN)
	c.bytes("schemes", &m.Schemes)
	c.bytes("versions", &m.Versions)
	c.str("address", &m.Address)
}

type AskCertificateReply struct {
	Request uint64
	Action  uint8
	Number  uint32
	Error   string
}

func (*AskCertificateReply) number() uint16 { return 0x00c3 }
func (m *AskCertificateReply) fields(c coder) {
	c.u64("request", &m.Request)
	c.u8("action", &m.Action)
	c.u32("number", &m.Number)
	c.str("error", &m.Error)
}

type AskVerify struct {
	Request uint64
	Depth   uint32
	Verdict string
	Chain   []byte
}

func (*AskVerify) number() uint16 { return 0x0044 }
func (m *AskVerify) fields(c coder) {
	c.u64("request", &m.Request)
	c.u32("depth", &m.Depth)
	c.str("verdict", &m.Verdict)
	c.bytes("chain", &m.Chain)
}

type AskVerifyReply struct {
	Request uint64
	Error   string
}

func (*AskVerifyReply) number() uint16 { return 0x00c4 }
func (m *AskVerifyReply) fields(c coder) {
	c.u64("request", &m.Request)
	c.str("error", &m.Error)
}

type AskSession struct {
	Request   uint64
	Operation uint8
	ID        []byte
	Session   []byte
	Lifetime  uint32
}

func (*AskSession) number() uint16 { return 0x0045 }
func (m *AskSession) fields(c coder) {
	c.u64("request", &m.Request)
	c.u8("operation", &m.Operation)
	c.bytes("id", &m.ID)
	c.bytes("session", &m.Session)
	c.u32("lifetime", &m.Lifetime)
}

type AskSessionReply struct {
	Request uint64
	Session []byte
}

func (*AskSessionReply) number() uint16 { return 0x00c5 }
func (m *AskSessionReply) fields(c coder) {
	c.u64("request", &m.Request)
	c.bytes("session", &m.Session)
}

type AskStaple struct {
	Request uint64
	Hash    string
}

func (*AskStaple) number() uint16 { return 0x0046 }
func (m *AskStaple) fields(c coder) {
	c.u64("request", &m.Request)
	c.str("hash", &m.Hash)
}

type AskStapleReply struct {
	Request  uint64
	Action   uint8
	Response []byte
}

func (*AskStapleReply) number() uint16 { return 0x00c6 }
func (m *AskStapleReply) fields(c coder) {
	c.u64("request", &m.Request)
	c.u8("action", &m.Action)
	c.bytes("response", &m.Response)
}

type AskSign struct {
	Request uint64
	Hash    string
	Scheme  uint16
	Digest  []byte
}

func (*AskSign) number() uint16 { return 0x0047 }
func (m *AskSign) fields(c coder) {
	c.u64("request", &m.Request)
	c.str("hash", &m.Hash)
	c.u16("scheme", &m.Scheme)
	c.bytes("digest", &m.Digest)
}

type AskSignReply struct {
	Request   uint64
	Signature []byte
}

func (*AskSignReply) number() uint16 { return 0x00c7 }
func (m *AskSignReply) fields(c coder) {
	c.u64("request", &m.Request)
	c.bytes("signature", &m.Signature)
}

type Cancel struct {
	Request uint64
}

func (*Cancel) number() uint16 { return 0x0048 }
func (m *Cancel) fields(c coder) {
	c.u64("request", &m.Request)
}

type AttachKey struct {
	Config uint32
}

func (*AttachKey) number() uint16 { return 0x0049 }
func (m *AttachKey) fields(c coder) {
	c.u32("config", &m.Config)
}

type AttachKeyReply struct {
	Error string
	Slot  uint32
}

func (*AttachKeyReply) number() uint16 { return 0x00c9 }
func (m *AttachKeyReply) fields(c coder) {
	c.str("error", &m.Error)
	c.u32("slot", &m.Slot)
}

type KeyDone struct {
	Config uint32
	Slot   uint32
}

func (*KeyDone) number() uint16 { return 0x004a }
func (m *KeyDone) fields(c coder) {
	c.u32("config", &m.Config)
	c.u32("slot", &m.Slot)
}

type Spawn struct{}

func (*Spawn) number() uint16 { return 0x0020 }
func (*Spawn) fields(coder)   {}

type CheckCert struct{}

func (*CheckCert) number() uint16 { return 0x0016 }
func (*CheckCert) fields(coder)   {}

type CheckCertReply struct {
	Error string
	Hash  string
}

func (*CheckCertReply) number() uint16 { return 0x0096 }
func (m *CheckCertReply) fields(c coder) {
	c.str("error", &m.Error)
	c.str("hash", &m.Hash)
}

type DecryptKey struct {
	Password []byte
}

func (*DecryptKey) number() uint16 { return 0x0017 }
func (m *DecryptKey) fields(c coder) {
	c.bytes("password", &m.Password)
}

type DecryptKeyReply struct {
	Error string
	Key   []byte
}

func (*DecryptKeyReply) number() uint16 { return 0x0097 }
func (m *DecryptKeyReply) fields(c coder) {
	c.str("error", &m.Error)
	c.bytes("key", &m.Key)
}

type Staple struct {
	Pair     uint32
	Response []byte
}

func (*Staple) number() uint16 { return 0x000c }
func (m *Staple) fields(c coder) {
	c.u32("pair", &m.Pair)
	c.bytes("response", &m.Response)
}

type TicketKey struct {
	Revision uint32
	Key      []byte
}

func (*TicketKey) number() uint16 { return 0x000d }
func (m *TicketKey) fields(c coder) {
	c.u32("revision", &m.Revision)
	c.bytes("key", &m.Key)
}

type Update struct{}

func (*Update) number() uint16 { return 0x000e }
func (*Update) fields(coder)   {}

type OCSP struct {
	Connection uint64
}

func (*OCSP) number() uint16 { return 0x000f }
func (m *OCSP) fields(c coder) {
	c.u64("connection", &m.Connection)
}

type OCSPReply struct {
	Error          string
	Result         string
	ResponseStatus int64
	CertStatus     int64
	CRLReason      int64
	ThisUpdate     int64
	NextUpdate     int64
	RevocationTime int64
}

func (*OCSPReply) number() uint16 { return 0x008f }
func (m *OCSPReply) fields(c coder) {
	c.str("error", &m.Error)
	c.str("result", &m.Result)
	c.i64("response_status", &m.ResponseStatus)
	c.i64("cert_status", &m.CertStatus)
	c.i64("crl_reason", &m.CRLReason)
	c.i64("this_update", &m.ThisUpdate)
	c.i64("next_update", &m.NextUpdate)
	c.i64("revocation_time", &m.RevocationTime)
}

type ConfigUpdate struct {
	Config uint32
}

func (*ConfigUpdate) number() uint16 { return 0x0015 }
func (m *ConfigUpdate) fields(c coder) {
	c.u32("config", &m.Config)
}

type Engine struct {
	Verify     uint8
	Servername string
}

func (*Engine) number() uint16 { return 0x0030 }
func (m *Engine) fields(c coder) {
	c.u8("verify", &m.Verify)
	c.str("servername", &m.Servername)
}

type Input struct {
	End    uint8
	Errnum uint32
	Record []byte
}

func (*Input) number() uint16 { return 0x0031 }
func (m *Input) fields(c coder) {
	c.u8("end", &m.End)
	c.u32("errnum", &m.Errnum)
	c.bytes("record", &m.Record)
}

type InputReply struct {
	Ending    uint8
	Error     string
	Plaintext []byte
}

func (*InputReply) number() uint16 { return 0x00b1 }
func (m *InputReply) fields(c coder) {
	c.u8("ending", &m.Ending)
	c.str("error", &m.Error)
	c.bytes("plaintext", &m.Plaintext)
}

type Write struct {
	Plaintext []byte
}

func (*Write) number() uint16   { return 0x0032 }
func (m *Write) fields(c coder) { c.bytes("plaintext", &m.Plaintext) }

type WriteReply struct {
	Error string
}

func (*WriteReply) number() uint16   { return 0x00b2 }
func (m *WriteReply) fields(c coder) { c.str("error", &m.Error) }

type OutputFailed struct {
	Errnum uint32
}

func (*OutputFailed) number() uint16   { return 0x0033 }
func (m *OutputFailed) fields(c coder) { c.u32("errnum", &m.Errnum) }

type OutputFailedReply struct {
	Error string
}

func (*OutputFailedReply) number() uint16   { return 0x00b3 }
func (m *OutputFailedReply) fields(c coder) { c.str("error", &m.Error) }

type Shutdown struct{}

func (*Shutdown) number() uint16 { return 0x0034 }
func (*Shutdown) fields(coder)   {}

type ShutdownReply struct{}

func (*ShutdownReply) number() uint16 { return 0x00b4 }
func (*ShutdownReply) fields(coder)   {}

type Output struct {
	Records []byte
}

func (*Output) number() uint16   { return 0x0035 }
func (m *Output) fields(c coder) { c.bytes("records", &m.Records) }

type Need struct{}

func (*Need) number() uint16 { return 0x0036 }
func (*Need) fields(coder)   {}

type Open struct{}

func (*Open) number() uint16 { return 0x0018 }
func (*Open) fields(coder)   {}

type Refresh struct {
	Config uint32
}

func (*Refresh) number() uint16   { return 0x0019 }
func (m *Refresh) fields(c coder) { c.u32("config", &m.Config) }

// Overflow asks for a worker that takes the connections of a configuration
// for which the one that asks has no descriptors left.
type Overflow struct {
	Config uint32
}

func (*Overflow) number() uint16   { return 0x001c }
func (m *Overflow) fields(c coder) { c.u32("config", &m.Config) }

// OverflowReply brings a config channel to that worker, or says by its lack
// that there is none.
type OverflowReply struct {
	Config uint32
}

func (*OverflowReply) number() uint16   { return 0x009c }
func (m *OverflowReply) fields(c coder) { c.u32("config", &m.Config) }

type NoWorker struct {
	Error uint32
}

func (*NoWorker) number() uint16   { return 0x001a }
func (m *NoWorker) fields(c coder) { c.u32("error", &m.Error) }

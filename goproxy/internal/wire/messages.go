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

type Commit struct{}

func (*Commit) number() uint16 { return 0x0004 }
func (*Commit) fields(coder)   {}

type CommitReply struct {
	Error string
}

func (*CommitReply) number() uint16   { return 0x0084 }
func (m *CommitReply) fields(c coder) { c.str("error", &m.Error) }

type Settings struct {
	Role         uint8
	Protocols    uint32
	VerifyClient uint8
	VerifyDepth  uint32
	CA           []byte
	ALPN         []byte
}

func (*Settings) number() uint16 { return 0x0005 }
func (m *Settings) fields(c coder) {
	c.u8("role", &m.Role)
	c.u32("protocols", &m.Protocols)
	c.u8("verify_client", &m.VerifyClient)
	c.u32("verify_depth", &m.VerifyDepth)
	c.bytes("ca", &m.CA)
	c.bytes("alpn", &m.ALPN)
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
	Connection     uint64
	Version        string
	Cipher         string
	CipherStrength uint32
	ALPN           string
	Servername     string
	Resumed        uint8
	Peer           uint8
	Hash           string
	Subject        string
	Issuer         string
	CommonName     string
	NotBefore      int64
	NotAfter       int64
	Chain          []byte
	Names          []byte
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
}

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
}

func (*Config) number() uint16   { return 0x0010 }
func (m *Config) fields(c coder) { c.u32("config", &m.Config) }

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

type Spawn struct{}

func (*Spawn) number() uint16 { return 0x0020 }
func (*Spawn) fields(coder)   {}

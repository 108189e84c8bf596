// SPDX-License-Identifier: ISC

package conn

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/pem"
	"fmt"

	"libtls-proxy/goproxy/internal/ocsp"
	"libtls-proxy/goproxy/internal/tlsconf"
	"libtls-proxy/goproxy/internal/verify"
	"libtls-proxy/goproxy/internal/wire"
)

// established says what the tls_conn_ and tls_peer_ functions answer.
func (c *common) established() (*wire.Established, error) {
	cs := c.tls.ConnectionState()
	m := &wire.Established{
		Connection: c.id,
		Version:    tlsconf.VersionName(cs.Version),
		ALPN:       cs.NegotiatedProtocol,
		Servername: c.servername,
	}
	addStaple(m, c.staple)
	m.Cipher, m.CipherStrength = tlsconf.CipherName(cs.CipherSuite)
	if c.server && !verify.IsAddress(cs.ServerName) {
		m.Servername = cs.ServerName
	}
	if cs.DidResume {
		m.Resumed = 1
	}
	if len(cs.PeerCertificates) == 0 {
		return m, nil
	}
	return m, addPeer(m, &cs)
}

func addPeer(m *wire.Established, cs *tls.ConnectionState) error {
	leaf := cs.PeerCertificates[0]
	sum := sha256.Sum256(leaf.Raw)
	m.Peer = 1
	m.Hash = "SHA256:" + hex.EncodeToString(sum[:])
	var err error
	if m.Subject, err = verify.Oneline(leaf.RawSubject); err != nil {
		return fmt.Errorf("read subject: %w", err)
	}
	if m.Issuer, err = verify.Oneline(leaf.RawIssuer); err != nil {
		return fmt.Errorf("read issuer: %w", err)
	}
	if m.CommonName, err = verify.CommonName(leaf.RawSubject); err != nil {
		return fmt.Errorf("read common name: %w", err)
	}
	m.NotBefore = leaf.NotBefore.Unix()
	m.NotAfter = leaf.NotAfter.Unix()
	var chain bytes.Buffer
	for _, cert := range cs.PeerCertificates {
		if err := pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}); err != nil {
			return err
		}
	}
	m.Chain = chain.Bytes()
	m.Names = verify.CertNames(leaf).List()
	m.OCSPURL = ocsp.URL(leaf)
	return nil
}

func addStaple(m *wire.Established, r *ocsp.Result) {
	if r == nil {
		r = &ocsp.Result{
			ResponseStatus: -1, CertStatus: -1, CRLReason: -1,
			ThisUpdate: -1, NextUpdate: -1, RevocationTime: -1,
		}
	}
	m.OCSPResult = r.Text
	m.OCSPResponseStatus = int64(r.ResponseStatus)
	m.OCSPCertStatus = int64(r.CertStatus)
	m.OCSPCRLReason = int64(r.CRLReason)
	m.OCSPThisUpdate = r.ThisUpdate
	m.OCSPNextUpdate = r.NextUpdate
	m.OCSPRevocationTime = r.RevocationTime
}

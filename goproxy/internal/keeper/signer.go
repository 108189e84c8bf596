// SPDX-License-Identifier: ISC

package keeper

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"

	"filippo.io/bigmod"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/wire"
)

// A signer key signs what the application asks for, as tls_signer_sign(3)
// promises. It belongs to a draft, and neither is it used for a handshake nor
// is a key for handshakes used in this way: no worker can come by it.

var (
	errKeyType = errors.New("unknown key type")
	errRSA     = errors.New("RSA signing failed")
	errECDSA   = errors.New("ECDSA signing failed")
)

// addSigner takes a certificate, for the hash of its public key, and a key.
func (d *draft) addSigner(certificate, keyFd int) *wire.AddSignerReply {
	fail := func(text string) *wire.AddSignerReply { return &wire.AddSignerReply{Error: text} }
	if len(d.signers) >= maxKeys || d.last == wire.AppSlot-1 {
		return fail("too many private keys")
	}
	hash, text := d.checkCert(certificate)
	if text != "" {
		return fail(text)
	}
	data, err := d.read(keyFd)
	if err != nil {
		return fail(readError("failed to read private key", err))
	}
	defer d.keeper.collector.wake()
	defer clear(data)
	k := parseSigner(data)
	switch {
	case errors.Is(k.err, errReadKey):
		return fail(k.err.Error())
	case k.err != nil:
		return fail(errKeyType.Error())
	}
	switch k.public.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey:
	default:
		return fail(errKeyType.Error())
	}
	d.last++
	d.signers[d.last] = k
	return &wire.AddSignerReply{Hash: hash, Slot: d.last}
}

// startSignRaw answers on reply, which it takes over. RSA is slow, and
// other threads of the application may sign at the same time.
func (d *draft) startSignRaw(m *wire.SignRaw, reply int) {
	k := d.signers[m.Slot]
	sem := d.keeper.sem.other
	if k != nil {
		if _, ok := k.public.(*rsa.PublicKey); ok {
			sem = d.keeper.sem.rsa
		}
	}
	go func() {
		sem <- struct{}{}
		signature, err := signRaw(k, m.Padding, m.Input)
		<-sem
		d.keeper.collector.wake()
		r := &wire.SignRawReply{Signature: signature}
		if err != nil {
			r.Error = err.Error()
		}
		_ = channel.Reply(reply, r)
	}()
}

// parseSigner is parseKey that keeps what signing anything needs.
func parseSigner(data []byte) (k *key) {
	erasing(func() {
		k = firstKey(data, func(parsed any) *key {
			k := newKey(parsed)
			if private, ok := parsed.(*rsa.PrivateKey); ok && k.err == nil {
				k.exponent = private.D.FillBytes(make([]byte, private.Size()))
			}
			return k
		})
	})
	return k
}

// signRaw pads, as the application asks for, and signs.
func signRaw(k *key, padding uint8, input []byte) (signature []byte, err error) {
	if k == nil {
		return nil, errors.New("key not found")
	}
	erasing(func() { signature, err = k.signRaw(padding, input) })
	return signature, err
}

func (k *key) signRaw(padding uint8, input []byte) ([]byte, error) {
	switch private := k.signer().(type) {
	case *rsa.PrivateKey:
		return k.signRawRSA(private, padding, input)
	case *ecdsa.PrivateKey:
		if padding != wire.PaddingNone {
			return nil, errors.New("invalid ECDSA padding")
		}
		signature, err := ecdsa.SignASN1(rand.Reader, private, input)
		if err != nil {
			return nil, errECDSA
		}
		return signature, nil
	}
	return nil, errKeyType
}

func (k *key) signRawRSA(private *rsa.PrivateKey, padding uint8, input []byte) ([]byte, error) {
	switch padding {
	case wire.PaddingNone:
		return powerRSA(&private.PublicKey, k.exponent, input)
	case wire.PaddingPKCS1:
		signature, err := rsa.SignPKCS1v15(nil, private, crypto.Hash(0), input)
		if err != nil {
			return nil, errRSA
		}
		return signature, nil
	case wire.PaddingX931:
		return signX931(&private.PublicKey, k.exponent, input)
	}
	return nil, fmt.Errorf("invalid RSA padding type (%d)", padding)
}

// powerRSA is RSASP1 of RFC 8017 section 5.2.1, which crypto/rsa has not to
// offer, on an input as long as the modulus. Without the Chinese remainder
// theorem it is slower, and no fault of the processor gives the key away.
func powerRSA(k *rsa.PublicKey, exponent, input []byte) ([]byte, error) {
	if len(input) != k.Size() {
		return nil, errRSA
	}
	n, err := bigmod.NewModulus(k.N.Bytes())
	if err != nil {
		return nil, errRSA
	}
	x, err := bigmod.NewNat().SetBytes(input, n)
	if err != nil {
		return nil, errRSA
	}
	return bigmod.NewNat().Exp(x, exponent, n).Bytes(n), nil
}

// signX931 pads as ANSI X9.31 does, and returns the smaller of the two
// numbers that verify.
func signX931(k *rsa.PublicKey, exponent, input []byte) ([]byte, error) {
	fill := k.Size() - len(input) - 2
	if fill < 0 {
		return nil, errRSA
	}
	block := make([]byte, 0, k.Size())
	if fill == 0 {
		block = append(block, 0x6a)
	} else {
		block = append(block, 0x6b)
		block = append(block, bytes.Repeat([]byte{0xbb}, fill-1)...)
		block = append(block, 0xba)
	}
	block = append(append(block, input...), 0xcc)
	s, err := powerRSA(k, exponent, block)
	if err != nil {
		return nil, err
	}
	other := new(big.Int).Sub(k.N, new(big.Int).SetBytes(s)).FillBytes(make([]byte, k.Size()))
	if bytes.Compare(other, s) < 0 {
		return other, nil
	}
	return s, nil
}

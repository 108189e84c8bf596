// SPDX-License-Identifier: ISC

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"libtls-proxy/goproxy/internal/memscan"
)

// A privateKey is one from a file, in all its forms and parts.
type privateKey struct {
	// numbers are what the keeper has to have.
	numbers []memscan.Secret
	// others are what nobody has to have.
	others []memscan.Secret
}

// readKey reads the key and the certificate of a kind.
func readKey(certs, kind string) (*privateKey, error) {
	data, err := os.ReadFile(filepath.Join(certs, kind+".key"))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	cert, err := os.ReadFile(filepath.Join(certs, kind+"-chain.pem"))
	if err != nil {
		return nil, err
	}
	leaf, _ := pem.Decode(cert)
	if block == nil || leaf == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("not in PEM as expected")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	k := &privateKey{}
	number := func(name string, b []byte) {
		k.numbers = append(k.numbers, memscan.Secret{Name: name, Bytes: b})
	}
	var another any
	switch parsed := parsed.(type) {
	case *rsa.PrivateKey:
		number("d", parsed.D.Bytes())
		number("p", parsed.Primes[0].Bytes())
		number("q", parsed.Primes[1].Bytes())
		number("dP", parsed.Precomputed.Dp.Bytes())
		number("dQ", parsed.Precomputed.Dq.Bytes())
		number("qInv", parsed.Precomputed.Qinv.Bytes())
		another, err = rsa.GenerateKey(rand.Reader, parsed.N.BitLen())
	case *ecdsa.PrivateKey:
		var d []byte
		if d, err = parsed.Bytes(); err != nil {
			return nil, err
		}
		number("d", d)
		another, err = ecdsa.GenerateKey(parsed.Curve, rand.Reader)
	case ed25519.PrivateKey:
		number("seed", parsed.Seed())
		// What signatures are made of, RFC 8032 section 5.1.5.
		h := sha512.Sum512(parsed.Seed())
		h[0] &= 248
		h[31] = h[31]&127 | 64
		k.others = append(k.others, memscan.Secret{Name: "scalar", Bytes: h[:32]},
			memscan.Secret{Name: "prefix", Bytes: h[32:]})
		_, another, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		return nil, err
	}
	// What is the same in another key or stands in the certificate is no
	// secret.
	der, err := x509.MarshalPKCS8PrivateKey(another)
	if err != nil {
		return nil, err
	}
	public := [][]byte{der, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: der}), cert, leaf.Bytes}
	structure := public
	for _, n := range k.numbers {
		// A zero byte before it may be anything's.
		structure = append(structure, append([]byte{0}, n.Bytes...))
	}
	structure = append(structure, k.framing(block.Bytes)...)
	k.others = append(k.others, memscan.Secret{Name: "PEM", Bytes: data, Except: public},
		// The numbers are counted for themselves.
		memscan.Secret{Name: "DER", Bytes: block.Bytes, Except: structure})
	return k, nil
}

// framing returns the windows of der with hardly a byte of a number: tags,
// lengths, and the end or the beginning of what is public.
func (k *privateKey) framing(der []byte) [][]byte {
	const few = 4
	private := make([]bool, len(der))
	for _, n := range k.numbers {
		if at := bytes.Index(der, n.Bytes); at >= 0 {
			for i := range n.Bytes {
				private[at+i] = true
			}
		}
	}
	var list [][]byte
	for i := range len(der) - memscan.Window + 1 {
		count := 0
		for _, p := range private[i : i+memscan.Window] {
			if p {
				count++
			}
		}
		if count < few {
			list = append(list, der[i:i+memscan.Window])
		}
	}
	return list
}

func (k *privateKey) secrets() []memscan.Secret {
	return append(k.numbers[:len(k.numbers):len(k.numbers)], k.others...)
}

func (k *privateKey) has(name string) bool {
	for _, s := range k.secrets() {
		if s.Name == name {
			return true
		}
	}
	return false
}

// wrong says of what there is not one copy, or one too many.
func (k *privateKey) wrong(hits []*memscan.Hit) []any {
	var list []any
	for _, s := range k.numbers {
		if n := memscan.Count(hits, s.Name); n != 1 {
			list = append(list, fmt.Sprintf("%d times %s", n, s.Name))
		}
	}
	for _, s := range k.others {
		if n := memscan.Count(hits, s.Name); n != 0 {
			list = append(list, fmt.Sprintf("%d times %s", n, s.Name))
		}
	}
	return list
}

// SPDX-License-Identifier: ISC

package keeper

import (
	"crypto/tls"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/testcert"
	"libtls-proxy/goproxy/internal/wire"
)

// attach sends ATTACH_KEY and returns the answer.
func attach(t testing.TB, draft *channel.Conn, config uint32, cert, key []byte) *wire.AttachKeyReply {
	t.Helper()
	fds := []int{memfd(t, cert), memfd(t, key)}
	reply, end, err := channel.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Close()
	err = draft.Send(&wire.AttachKey{Config: config}, append(fds, end)...)
	for _, fd := range append(fds, end) {
		unix.Close(fd)
	}
	if err != nil {
		t.Fatal(err)
	}
	m, _ := recv(t, reply, "keeper", "reply")
	return m.(*wire.AttachKeyReply)
}

// signs reports whether the keeper signs with a key.
func signs(t *testing.T, link *channel.Conn, config, slot uint32) bool {
	t.Helper()
	message := []byte(strings.Repeat(" ", 64) + "TLS 1.3, server CertificateVerify\x00" + strings.Repeat("x", 32))
	err := link.Send(&wire.Sign{
		Request: 5, Config: config, Slot: slot, Scheme: uint16(tls.ECDSAWithP256AndSHA256), Message: message,
	})
	if err != nil {
		t.Fatal(err)
	}
	m, _ := recv(t, link, "keeper", "link")
	r := m.(*wire.SignReply)
	if r.Error != "" && r.Error != "no such key" {
		t.Error(r.Error)
	}
	return r.Error == ""
}

// committed is a draft with a configuration that has one key, in slot 1.
func committed(t *testing.T, b *bench, link *channel.Conn) (draft *channel.Conn, id uint32) {
	t.Helper()
	kp := testcert.New(t, testcert.Options{})
	draft = b.draft()
	slot := addKey(t, draft, kp.KeyPEM).Slot
	conf := request(t, draft, &wire.Commit{}, document(t, &wire.Settings{Role: wire.RoleServer, Protocols: wire.ProtocolTLS13},
		&wire.Keypair{Slot: slot, Certificate: kp.CertPEM}))
	m, fds := recv(t, link, "keeper", "link")
	fds.Close()
	id = m.(*wire.Config).Config
	if err := link.Send(&wire.ConfigReady{Config: id}); err != nil {
		t.Fatal(err)
	}
	if text := commitReply(t, conf); text != "" {
		t.Fatal(text)
	}
	t.Cleanup(func() {
		draft.Close()
		conf.Close()
	})
	return draft, id
}

func keyDone(t *testing.T, link *channel.Conn, id, slot uint32) {
	t.Helper()
	if err := link.Send(&wire.KeyDone{Config: id, Slot: slot}); err != nil {
		t.Fatal(err)
	}
}

func TestAttachKey(t *testing.T) {
	b := newBench(t)
	link := b.worker()
	draft, id := committed(t, b, link)
	other, otherID := committed(t, b, link)
	kp, wrong := testcert.New(t, testcert.Options{}), testcert.New(t, testcert.Options{})
	const unknown = "goproxy does not know the configuration any more"
	for _, tt := range []struct {
		name      string
		draft     *channel.Conn
		id        uint32
		cert, key []byte
		want      string
	}{
		{"no such configuration", draft, 77, kp.CertPEM, kp.KeyPEM, unknown},
		{"another draft's", other, id, kp.CertPEM, kp.KeyPEM, unknown},
		{"another draft's, the other way", draft, otherID, kp.CertPEM, kp.KeyPEM, unknown},
		{"mismatch", draft, id, kp.CertPEM, wrong.KeyPEM, "private/public key mismatch"},
		{"no certificate", draft, id, []byte("x"), kp.KeyPEM, "failed to load certificate"},
		{"no key", draft, id, kp.CertPEM, []byte("x"), "failed to read private key"},
		{"large certificate", draft, id, make([]byte, wire.MaxKey+1), kp.KeyPEM,
			"failed to read certificate: File too large"},
		{"large key", draft, id, kp.CertPEM, make([]byte, wire.MaxKey+1), "failed to read private key: File too large"},
	} {
		r := attach(t, tt.draft, tt.id, tt.cert, tt.key)
		if r.Error != tt.want || r.Slot != 0 {
			t.Errorf("%s: %+v, want %q", tt.name, r, tt.want)
		}
	}
	first := attach(t, draft, id, kp.CertPEM, kp.KeyPEM)
	second := attach(t, draft, id, wrong.CertPEM, wrong.KeyPEM)
	if first.Error != "" || second.Error != "" || first.Slot == second.Slot || first.Slot <= 1 {
		t.Fatalf("%+v, %+v", first, second)
	}
	// The slots are this configuration's alone.
	if !signs(t, link, id, first.Slot) || !signs(t, link, id, second.Slot) || signs(t, link, otherID, first.Slot) {
		t.Error("not the keys that were attached")
	}
	// A key is not used again once its connection has it no more.
	keyDone(t, link, id, first.Slot)
	keyDone(t, link, id, first.Slot)
	if signs(t, link, id, first.Slot) || !signs(t, link, id, second.Slot) {
		t.Error("KEY_DONE forgot another key")
	}
	// Those of the configuration itself stay.
	keyDone(t, link, id, 1)
	if !signs(t, link, id, 1) {
		t.Error("KEY_DONE forgot a key of the configuration")
	}
	// No slot is used twice, also where the key is gone.
	if r := attach(t, draft, id, kp.CertPEM, kp.KeyPEM); r.Slot <= second.Slot {
		t.Errorf("%+v after %+v", r, second)
	}
	if r := addKey(t, draft, kp.KeyPEM); r.Slot <= second.Slot+1 {
		t.Errorf("%+v", r)
	}
	// An attached key is none for COMMIT.
	conf := request(t, draft, &wire.Commit{}, document(t, &wire.Settings{Role: wire.RoleServer, Protocols: wire.ProtocolTLS13},
		&wire.Keypair{Slot: second.Slot, Certificate: wrong.CertPEM}))
	if text := commitReply(t, conf); text != "failed to read private key" {
		t.Errorf("%q", text)
	}
	conf.Close()
	keyDone(t, link, 77, 1)
	wantEOF(t, link)
}

// Connections that have died with their worker leave no keys behind.
func TestAttachedKeysOfDeadWorker(t *testing.T) {
	b := newBench(t)
	link := b.worker()
	draft, id := committed(t, b, link)
	kp := testcert.New(t, testcert.Options{})
	r := attach(t, draft, id, kp.CertPEM, kp.KeyPEM)
	if !signs(t, link, id, r.Slot) {
		t.Fatal("no such key")
	}
	link.Close()
	link = b.worker()
	_, fds := recv(t, link, "keeper", "link")
	fds.Close()
	if signs(t, link, id, r.Slot) || !signs(t, link, id, 1) {
		t.Error("not the keys of the configuration")
	}
	link.Close()
}

// Keys that nobody gives back make room for others.
func TestAttachedKeysAreBounded(t *testing.T) {
	l := newLinked(t)
	conf := l.conf
	conf.keys = map[uint32]*key{1: {}}
	k := l.keeper
	k.configs[conf.id] = conf
	const more = 10
	for i := range uint32(maxAttached + more) {
		if !k.attach(conf.id, conf.draft, 2+i, &key{}) {
			t.Fatal(i)
		}
	}
	if len(conf.attached) != maxAttached {
		t.Errorf("%d", len(conf.attached))
	}
	for slot, want := range map[uint32]bool{1: true, 2: false, 1 + more: false, 2 + more: true, 1 + more + maxAttached: true} {
		if (k.keyOf(conf, slot) != nil) != want {
			t.Errorf("slot %d: %v", slot, !want)
		}
	}
	if k.attach(conf.id+1, conf.draft, 1, &key{}) || k.attach(conf.id, conf.draft+1, 1, &key{}) {
		t.Error("attached to another configuration")
	}
	conf.channel.Close()
	unix.Close(conf.document)
	conf.update.Close()
}

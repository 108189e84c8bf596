// SPDX-License-Identifier: ISC

// Isolation is the test that secrets are where they belong: it runs a server,
// whose clients it plays, and looks into the memory of all processes.
//
//	isolation SERVER CERTS
//
// SERVER is tests/isolation_server.c, CERTS the directory of certificates.
package main

import (
	"bufio"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/memscan"
)

const (
	patience    = 30 * time.Second
	connections = 50
	handshakes  = 1000
)

// Exit statuses that meson knows.
const (
	failed  = 1
	skipped = 77
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: isolation server certs")
		os.Exit(2)
	}
	if os.Geteuid() != 0 {
		fmt.Println("skipped: only root can read the memory of goproxy")
		os.Exit(skipped)
	}
	// The processes that the server leaves behind become ours.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(failed)
	}
	bad := false
	for _, kind := range []string{"rsa", "ecdsa", "ed25519"} {
		t := &test{name: kind}
		t.run(func() { t.keys(os.Args[1], os.Args[2], kind) })
		bad = bad || t.bad
	}
	t := &test{name: "tickets"}
	t.run(func() { t.tickets(os.Args[1], os.Args[2]) })
	if bad || t.bad {
		os.Exit(failed)
	}
}

var roles = []string{"application", "supervisor", "keeper", "worker"}

// A test prints a line for each thing that it looks at.
type test struct {
	name string
	bad  bool
	app  *application
}

var errStop = errors.New("the test cannot go on")

func (t *test) run(f func()) {
	defer func() {
		if t.app != nil {
			t.app.end()
		}
		if r := recover(); r != nil && r != errStop {
			panic(r)
		}
	}()
	f()
}

// must ends the test where it cannot go on.
func (t *test) must(err error) {
	if err != nil {
		t.report(false, err.Error())
		panic(errStop)
	}
}

func (t *test) report(ok bool, what string, about ...any) {
	word := "ok"
	if !ok {
		word, t.bad = "not ok", true
	}
	fmt.Printf("%s - %s: %s\n", word, t.name, what)
	if !ok {
		for _, a := range about {
			fmt.Println("   ", a)
		}
	}
}

// keys runs a server with a key from a file and connections of both versions.
func (t *test) keys(server, certs, kind string) {
	var err error
	t.app, err = start(server, filepath.Join(certs, kind+"-chain.pem"), filepath.Join(certs, kind+".key"))
	t.must(err)
	key, err := readKey(certs, kind)
	t.must(err)
	t.settled("a key that was not used yet", key)

	clients, sessions, err := t.app.connect(connections)
	t.must(err)
	t.must(exchange(clients))
	secrets := slices.Concat(key.secrets(), sessions)
	for _, role := range roles {
		pids := t.app.roles()[role]
		t.report(len(pids) == 1, fmt.Sprintf("one %s", role), pids)
		for _, pid := range pids {
			hits, err := memscan.Scan(pid, secrets)
			t.must(err)
			t.inPlace(role, hits, key, sessions)
		}
	}
	t.must(exchange(clients))
	for _, c := range clients {
		c.Close()
	}

	t.must(t.app.shake(handshakes))
	t.settled(fmt.Sprintf("a key after %d handshakes", handshakes), key)
	for _, role := range []string{"application", "supervisor", "worker"} {
		hits, err := memscan.Scan(t.app.roles()[role][0], key.secrets())
		t.must(err)
		t.report(len(hits) == 0, fmt.Sprintf("no private key in the %s after %d handshakes", role, handshakes), first(hits)...)
	}
	t.info(connections + handshakes)
}

// inPlace compares what a process has with what belongs there.
func (t *test) inPlace(role string, hits []*memscan.Hit, key *privateKey, sessions []memscan.Secret) {
	var keys, session []*memscan.Hit
	names := make(map[string]bool)
	for _, h := range hits {
		names[h.Name] = true
		if key.has(h.Name) {
			keys = append(keys, h)
		} else {
			session = append(session, h)
		}
	}
	if role != "keeper" {
		t.report(len(keys) == 0, "no private key in the "+role, first(keys)...)
	}
	if role != "worker" {
		t.report(len(session) == 0, "no session secret in the "+role, first(session)...)
		return
	}
	// Otherwise that there is none elsewhere would mean nothing.
	var missing []any
	for _, s := range sessions {
		if strings.Contains(s.Name, " key") && !names[s.Name] {
			missing = append(missing, s.Name)
		}
	}
	t.report(len(missing) == 0, "all session keys in the worker", missing...)
}

// settled waits until the keeper has one copy of each number of the key.
func (t *test) settled(what string, key *privateKey) {
	keeper := t.app.roles()["keeper"]
	if len(keeper) != 1 {
		t.must(fmt.Errorf("%d keepers", len(keeper)))
	}
	var hits []*memscan.Hit
	for deadline := time.Now().Add(patience); ; {
		var err error
		hits, err = memscan.Scan(keeper[0], key.secrets())
		t.must(err)
		if wrong := key.wrong(hits); len(wrong) == 0 || time.Now().After(deadline) {
			t.report(len(wrong) == 0, "the keeper has once "+what, append(wrong, first(hits)...)...)
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (t *test) info(signatures int) {
	line, err := t.app.command("info")
	t.must(err)
	want := fmt.Sprintf("workers 1 deaths 0 configs 1 keys 1 signatures %d refused 0 ()", signatures)
	t.report(line == want, "tls_proxy_info tells of the signatures", line, want)
}

// tickets looks for the keys of session tickets: the worker's own, and those
// that the application sets.
func (t *test) tickets(server, certs string) {
	var err error
	t.app, err = start(server, filepath.Join(certs, "ecdsa-chain.pem"), filepath.Join(certs, "ecdsa.key"))
	t.must(err)
	ticket, err := t.app.ticket()
	t.must(err)
	own := t.ticketKey(ticket)
	for _, role := range []string{"application", "supervisor", "keeper"} {
		t.places("worker's own ticket key", own, role, 0)
	}

	given := make([]byte, len(own))
	_, _ = rand.Read(given)
	answer, err := t.app.command("ticket " + hex.EncodeToString(given))
	t.must(err)
	// The keeper has had it as well before it signs for this ticket.
	ticket, err = t.app.ticket()
	t.must(err)
	t.places("application's ticket key", given, "keeper", 0)
	t.report(answer == "added" && slices.Equal(t.ticketKey(ticket), given), "the application's ticket key is used", answer)
	answer, err = t.app.command("configure")
	t.must(err)
	t.report(answer == "configured", "the server is configured anew", answer)
	t.places("ticket key of a configuration", given, "keeper", 0)
	// The library's copy, for a later tls_configure.
	t.places("application's ticket key", given, "application", 1)
	t.places("application's ticket key", given, "supervisor", 0)
	answer, err = t.app.command("free")
	t.must(err)
	t.report(answer == "freed", "the configuration is freed", answer)
	t.places("ticket key of a configuration that was freed", given, "application", 0)
}

func (t *test) places(what string, key []byte, role string, want int) {
	hits, err := memscan.Scan(t.app.roles()[role][0], []memscan.Secret{{Name: what, Bytes: key}})
	t.must(err)
	t.report(len(hits) == want, fmt.Sprintf("%s: %d times in the %s", what, want, role), first(hits)...)
}

func (t *test) ticketKey(ticket []byte) []byte {
	key, err := findTicketKey(t.app.roles()["worker"][0], ticket)
	t.must(err)
	return key
}

// findTicketKey finds the key that a ticket was sealed with in the worker: it
// follows the key's name, which the ticket begins with, and its last 16 bytes
// are that of the HMAC which the ticket ends with.
func findTicketKey(worker int, ticket []byte) ([]byte, error) {
	const nameSize, keySize, macSize = 16, 48, 16
	hits, err := memscan.Scan(worker, []memscan.Secret{{Name: "name", Bytes: ticket[:nameSize]}})
	if err != nil {
		return nil, err
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", worker))
	if err != nil {
		return nil, err
	}
	defer mem.Close()
	sealed := ticket[:len(ticket)-sha256.Size]
	for _, h := range hits {
		key := make([]byte, keySize)
		if _, err := mem.ReadAt(key, int64(h.Address+nameSize)); err != nil {
			continue
		}
		mac := hmac.New(sha256.New, key[keySize-macSize:])
		mac.Write(sealed)
		if hmac.Equal(mac.Sum(nil), ticket[len(sealed):]) {
			return key, nil
		}
	}
	return nil, errors.New("the worker does not have the ticket's key")
}

// first makes arguments of the first hits.
func first(hits []*memscan.Hit) []any {
	var list []any
	for _, h := range hits[:min(len(hits), 10)] {
		list = append(list, h)
	}
	return list
}

// An application is a server, and the processes that it has started.
type application struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	address string
}

func start(server, cert, key string) (*application, error) {
	a := &application{cmd: exec.Command(server, cert, key)}
	a.cmd.Stderr = os.Stderr
	var err error
	if a.in, err = a.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	a.out = bufio.NewReader(out)
	if err := a.cmd.Start(); err != nil {
		return nil, err
	}
	port, err := a.out.ReadString('\n')
	if err != nil {
		a.end()
		return nil, fmt.Errorf("no port from the server: %w", err)
	}
	a.address = "127.0.0.1:" + strings.TrimSpace(port)
	return a, nil
}

// end ends the server, and waits until the rest has ended as well.
func (a *application) end() {
	a.in.Close()
	timer := time.AfterFunc(patience, func() { _ = a.cmd.Process.Kill() })
	_ = a.cmd.Wait()
	timer.Stop()
	for {
		if _, err := unix.Wait4(-1, nil, 0, nil); err != nil && err != unix.EINTR {
			return
		}
	}
}

func (a *application) command(line string) (string, error) {
	if _, err := io.WriteString(a.in, line+"\n"); err != nil {
		return "", err
	}
	answer, err := a.out.ReadString('\n')
	return strings.TrimSpace(answer), err
}

// roles finds the processes by what they call themselves.
func (a *application) roles() map[string][]int {
	roles := map[string][]int{"application": {a.cmd.Process.Pid}}
	parents := map[int]bool{os.Getpid(): true}
	// A parent may have a greater number than its child.
	for range 3 {
		dirs, _ := filepath.Glob("/proc/[0-9]*")
		for _, dir := range dirs {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			if parents[pid] || !parents[parentOf(dir)] || pid == a.cmd.Process.Pid {
				continue
			}
			line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
			words := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
			switch {
			case words[0] == "goproxy-supervisor":
				parents[pid] = true
				roles["supervisor"] = append(roles["supervisor"], pid)
			case words[0] == "goproxy" && len(words) == 2 && !slices.Contains(roles[words[1]], pid):
				roles[words[1]] = append(roles[words[1]], pid)
			}
		}
	}
	return roles
}

func parentOf(dir string) int {
	stat, _ := os.ReadFile(filepath.Join(dir, "stat"))
	// The name in parentheses may contain anything.
	i := strings.LastIndexByte(string(stat), ')')
	fields := strings.Fields(string(stat[i+1:]))
	if i < 0 || len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1])
	return parent
}

// client returns a configuration that trusts anybody.
func client(version uint16) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true,
		MinVersion:         version,
		MaxVersion:         version,
		// Keys and secrets are derived with SHA-256 then.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		},
	}
}

// A recorder keeps how the server's first message begins.
type recorder struct {
	net.Conn
	first []byte
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	if len(r.first) < serverRandomEnd {
		r.first = append(r.first, p[:n]...)
	}
	return n, err
}

// Where the server's random is: after the headers of a record and of a
// message, and a version.
const (
	serverRandom    = 5 + 4 + 2
	serverRandomEnd = serverRandom + 32
)

// dial returns a connection that has done its handshake.
func (a *application) dial(c *tls.Config) (*tls.Conn, error) {
	conn, err := net.DialTimeout("tcp", a.address, patience)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		return nil, err
	}
	tc := tls.Client(&recorder{Conn: conn}, c)
	if err := tc.Handshake(); err != nil {
		conn.Close()
		return nil, err
	}
	return tc, nil
}

// connect opens connections of both versions, and returns their secrets.
func (a *application) connect(n int) ([]*tls.Conn, []memscan.Secret, error) {
	var clients []*tls.Conn
	var secrets []memscan.Secret
	for i := range n {
		version := uint16(tls.VersionTLS12 + i%2)
		log := &keyLog{}
		c := client(version)
		c.KeyLogWriter = log
		tc, err := a.dial(c)
		if err != nil {
			return nil, nil, err
		}
		clients = append(clients, tc)
		more, err := log.secrets(fmt.Sprintf("connection %d ", i), tc)
		if err != nil {
			return nil, nil, err
		}
		secrets = append(secrets, more...)
	}
	return clients, secrets, nil
}

// exchange sends data to the server, which sends it back.
func exchange(clients []*tls.Conn) error {
	data := make([]byte, 40000)
	_, _ = rand.Read(data)
	for i, c := range clients {
		sent := make(chan error, 1)
		go func() {
			_, err := c.Write(data)
			sent <- err
		}()
		got := make([]byte, len(data))
		if _, err := io.ReadFull(c, got); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		if err := <-sent; err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		if !slices.Equal(got, data) {
			return fmt.Errorf("connection %d: other data came back", i)
		}
	}
	return nil
}

// shake does handshakes of both versions, a few at a time.
func (a *application) shake(n int) error {
	var wg sync.WaitGroup
	errs := make(chan error, n)
	turns := make(chan int)
	for range 4 {
		wg.Go(func() {
			for i := range turns {
				c, err := a.dial(client(uint16(tls.VersionTLS12 + i%2)))
				if err == nil {
					err = exchange([]*tls.Conn{c})
					c.Close()
				}
				errs <- err
			}
		})
	}
	for i := range n {
		turns <- i
	}
	close(turns)
	wg.Wait()
	for range n {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// ticket returns one that the server gives.
func (a *application) ticket() ([]byte, error) {
	c := client(tls.VersionTLS12)
	c.ServerName = "localhost"
	c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	tc, err := a.dial(c)
	if err != nil {
		return nil, err
	}
	defer tc.Close()
	session, ok := c.ClientSessionCache.Get(c.ServerName)
	if !ok {
		return nil, errors.New("no ticket")
	}
	ticket, _, err := session.ResumptionState()
	return ticket, err
}

// A keyLog takes what SSLKEYLOGFILE would have.
type keyLog struct{ strings.Builder }

// secrets returns those of the log and the keys and IVs derived from them,
// all of which use SHA-256.
func (l *keyLog) secrets(prefix string, tc *tls.Conn) ([]memscan.Secret, error) {
	var list []memscan.Secret
	add := func(name string, b []byte) {
		list = append(list, memscan.Secret{Name: prefix + name, Bytes: b})
	}
	for line := range strings.Lines(l.String()) {
		words := strings.Fields(line)
		if len(words) != 3 {
			return nil, fmt.Errorf("key log: %s", line)
		}
		random, err := hex.DecodeString(words[1])
		if err != nil {
			return nil, err
		}
		secret, err := hex.DecodeString(words[2])
		if err != nil {
			return nil, err
		}
		switch {
		case words[0] == "CLIENT_RANDOM":
			add("master secret", secret)
			seed := slices.Concat(tc.NetConn().(*recorder).first[serverRandom:serverRandomEnd], random)
			block := prf(secret, "key expansion", seed, 32)
			add("client key", block[:16])
			add("server key", block[16:])
		case strings.HasSuffix(words[0], "_TRAFFIC_SECRET_0"):
			add(words[0], secret)
			key, err := expandLabel(secret, "key", 16)
			if err != nil {
				return nil, err
			}
			iv, err := expandLabel(secret, "iv", 12)
			if err != nil {
				return nil, err
			}
			add(words[0]+" key", key)
			add(words[0]+" IV", iv)
		default:
			add(words[0], secret)
		}
	}
	return list, nil
}

// expandLabel is HKDF-Expand-Label of RFC 8446 section 7.1 without a context.
func expandLabel(secret []byte, label string, n int) ([]byte, error) {
	label = "tls13 " + label
	info := string([]byte{byte(n >> 8), byte(n), byte(len(label))}) + label + "\x00"
	return hkdf.Expand(sha256.New, secret, info, n)
}

// prf is that of RFC 5246 section 5 with SHA-256.
func prf(secret []byte, label string, seed []byte, n int) []byte {
	sum := func(parts ...[]byte) []byte {
		mac := hmac.New(sha256.New, secret)
		for _, b := range parts {
			mac.Write(b)
		}
		return mac.Sum(nil)
	}
	seed = append([]byte(label), seed...)
	var out []byte
	for a := seed; len(out) < n; {
		a = sum(a)
		out = append(out, sum(a, seed)...)
	}
	return out[:n]
}

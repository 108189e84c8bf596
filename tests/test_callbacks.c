/* SPDX-License-Identifier: ISC */
/*
 * The application has the network: callbacks over memory, each way in which
 * they may behave, what can be built on them, and descriptors that stay the
 * application's.
 */

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tls_proxy.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

/* Another libtls has none of these. */
#pragma weak tls_config_set_transport
#pragma weak tls_engine_fd
#pragma weak tls_engine_set_nonblock

static const struct {
	uint32_t bits;
	const char *name;
} versions[] = {
	{ TLS_PROTOCOL_TLSv1_2, "TLSv1.2" },
	{ TLS_PROTOCOL_TLSv1_3, "TLSv1.3" },
};

/* One direction of a network in memory. */
struct ring {
	uint8_t buf[1 << 17];
	size_t size; /* how much of it is used */
	size_t at, len;
	int eof;
};

static size_t
ring_get(struct ring *r, uint8_t *buf, size_t len)
{
	size_t i;

	if (len > r->len)
		len = r->len;
	for (i = 0; i < len; i++)
		buf[i] = r->buf[(r->at + i) % r->size];
	r->at = (r->at + len) % r->size;
	r->len -= len;
	return len;
}

static size_t
ring_put(struct ring *r, const uint8_t *buf, size_t len)
{
	size_t i;

	if (len > r->size - r->len)
		len = r->size - r->len;
	for (i = 0; i < len; i++)
		r->buf[(r->at + r->len + i) % r->size] = buf[i];
	r->len += len;
	return len;
}

/* An end of it, and how its callbacks behave. */
struct end {
	struct tls *ctx;
	struct ring *in, *out;
	size_t max;	/* bytes per call, 0 for no limit */
	int want_first; /* each other call is a want */
	int calls;
	ssize_t want; /* what a callback said last, if that was a want */

	/* Reading or writing gives this instead, where armed. */
	int armed_read, armed_write;
	ssize_t result;
	int errnum;
	/* Is called in the callback. */
	void (*hook)(struct end *e);

	size_t asked[64];
	size_t nasked;
};

static ssize_t
instead(struct end *e, size_t len)
{
	if (e->hook != NULL)
		e->hook(e);
	errno = e->errnum;
	return e->result == SSIZE_MAX - 1 ? (ssize_t)len + 1 : e->result;
}

static ssize_t
read_cb(struct tls *ctx, void *buf, size_t len, void *arg)
{
	struct end *e = arg;

	CHECK(ctx == e->ctx || e->ctx == NULL);
	CHECK(len > 0);
	if (e->nasked < sizeof(e->asked) / sizeof(e->asked[0]))
		e->asked[e->nasked++] = len;
	if (e->armed_read)
		return instead(e, len);
	if (e->want_first && e->calls++ % 2 == 0)
		return e->want = TLS_WANT_POLLIN;
	if (e->max > 0 && len > e->max)
		len = e->max;
	len = ring_get(e->in, buf, len);
	if (len == 0 && !e->in->eof)
		return e->want = TLS_WANT_POLLIN;
	return (ssize_t)len;
}

static ssize_t
write_cb(struct tls *ctx, const void *buf, size_t len, void *arg)
{
	struct end *e = arg;

	CHECK(ctx == e->ctx || e->ctx == NULL);
	CHECK(len > 0);
	if (e->armed_write)
		return instead(e, len);
	if (e->want_first && e->calls++ % 2 == 0)
		return e->want = TLS_WANT_POLLOUT;
	if (e->max > 0 && len > e->max)
		len = e->max;
	len = ring_put(e->out, buf, len);
	return len == 0 ? (e->want = TLS_WANT_POLLOUT) : (ssize_t)len;
}

/* Both ends in one thread, through the same worker. */
struct memory {
	struct ring up, down;
	struct end client, server;
	struct tls *base;
	int64_t deadline;
};

static struct memory *
memory_new(size_t ring, int version, const char *server_key)
{
	struct tls_config *client, *server;
	struct memory *m;

	CHECK((m = calloc(1, sizeof(*m))) != NULL);
	m->up.size = m->down.size = ring;
	m->client.in = m->server.out = &m->down;
	m->client.out = m->server.in = &m->up;
	m->deadline = h_now() + 3 * H_WAIT;
	client = h_client_config();
	server = h_server_config(server_key);
	CHECK_CONFIG(client,
	    tls_config_set_protocols(client, versions[version].bits));
	m->client.ctx = h_client(client);
	m->base = h_server(server);
	tls_config_free(client);
	tls_config_free(server);
	CHECK_TLS(m->client.ctx, tls_connect_cbs(m->client.ctx, read_cb,
				     write_cb, &m->client, "localhost"));
	CHECK_TLS(m->base, tls_accept_cbs(m->base, &m->server.ctx, read_cb,
			       write_cb, &m->server));
	CHECK(m->server.ctx != NULL);
	return m;
}

static void
memory_free(struct memory *m)
{
	tls_free(m->client.ctx);
	tls_free(m->server.ctx);
	tls_free(m->base);
	free(m);
}

/* A call wants what its callback wanted, and nothing of its own. */
static ssize_t
check_want(struct end *e, ssize_t rv)
{
	CHECK_INT(errno, 0);
	if (rv == TLS_WANT_POLLIN || rv == TLS_WANT_POLLOUT) {
		if (h_proxy)
			CHECK_INT(rv, e->want);
		CHECK_STR(tls_error(e->ctx), NULL);
	}
	e->want = 0;
	return rv;
}

static ssize_t
do_handshake(struct end *e)
{
	errno = EXDEV;
	return check_want(e, tls_handshake(e->ctx));
}

static ssize_t
do_read(struct end *e, void *buf, size_t len)
{
	errno = EXDEV;
	return check_want(e, tls_read(e->ctx, buf, len));
}

static ssize_t
do_write(struct end *e, const void *buf, size_t len)
{
	errno = EXDEV;
	return check_want(e, tls_write(e->ctx, buf, len));
}

static ssize_t
do_close(struct end *e)
{
	errno = EXDEV;
	return check_want(e, tls_close(e->ctx));
}

static void
check_time(struct memory *m)
{
	if (h_now() > m->deadline)
		FAIL("it takes too long");
}

/* Runs both handshakes to their ends, whatever these are. */
static void
memory_handshake(struct memory *m, ssize_t *crv, ssize_t *srv)
{
	*crv = *srv = TLS_WANT_POLLIN;
	while (*crv < -1 || *srv < -1) {
		if (*crv < -1)
			*crv = do_handshake(&m->client);
		if (*srv < -1)
			*srv = do_handshake(&m->server);
		/* The network ends with either of them. */
		if (*crv == -1)
			m->up.eof = 1;
		if (*srv == -1)
			m->down.eof = 1;
		check_time(m);
	}
}

static void
memory_open(struct memory *m)
{
	ssize_t crv, srv;

	memory_handshake(m, &crv, &srv);
	CHECK_TLS(m->client.ctx, crv);
	CHECK_TLS(m->server.ctx, srv);
}

/* Moves so many bytes in both directions at once. */
static void
memory_transfer(struct memory *m, size_t size)
{
	struct end *ends[2] = { &m->client, &m->server };
	static uint8_t out[2][40000], in[40000];
	struct h_stream sent[2] = { { .seed = 1 }, { .seed = 2 } };
	struct h_stream got[2] = { { .seed = 2 }, { .seed = 1 } };
	size_t pending[2] = { 0, 0 }, at[2] = { 0, 0 };
	size_t left_out[2] = { size, size }, left_in[2] = { size, size };
	ssize_t n;
	int i;

	while (left_out[0] + left_out[1] + left_in[0] + left_in[1] > 0) {
		for (i = 0; i < 2; i++) {
			if (pending[i] == 0 && left_out[i] > 0) {
				pending[i] = left_out[i] < sizeof(out[i])
						 ? left_out[i]
						 : sizeof(out[i]);
				at[i] = 0;
				h_stream_fill(&sent[i], out[i], pending[i]);
			}
			if (pending[i] > 0) {
				n = do_write(ends[i], out[i] + at[i],
				    pending[i]);
				if (n == -1)
					FAIL("%s", tls_error(ends[i]->ctx));
				if (n > 0) {
					at[i] += (size_t)n;
					pending[i] -= (size_t)n;
					left_out[i] -= (size_t)n;
				}
			}
			if (left_in[i] == 0)
				continue;
			n = do_read(ends[i], in, sizeof(in));
			if (n == -1)
				FAIL("%s", tls_error(ends[i]->ctx));
			if (n > 0) {
				CHECK((size_t)n <= left_in[i]);
				h_stream_check(&got[i], in, (size_t)n);
				left_in[i] -= (size_t)n;
			}
		}
		check_time(m);
	}
}

/* Until one end has its answer; the other end reads or writes nothing. */
static ssize_t
finish_read(struct memory *m, struct end *e, void *buf, size_t len)
{
	ssize_t n;

	while ((n = do_read(e, buf, len)) < -1)
		check_time(m);
	return n;
}

static void
finish_write(struct memory *m, struct end *e, const void *buf, size_t len)
{
	ssize_t n;

	while ((n = do_write(e, buf, len)) < -1)
		check_time(m);
	CHECK_INT(n, len);
}

static ssize_t
finish_close(struct memory *m, struct end *e)
{
	ssize_t n;

	while ((n = do_close(e)) < -1)
		check_time(m);
	return n;
}

/* One end closes, and the other reads the end, a little at a time. */
static void
close_one(struct memory *m, struct end *e, struct end *other)
{
	ssize_t closed = -2, got = -2;
	char c;

	while (closed < -1 || got < -1) {
		if (closed < -1)
			closed = do_close(e);
		if (got < -1)
			got = do_read(other, &c, 1);
		check_time(m);
	}
	CHECK_INT(closed, 0);
	CHECK_INT(got, 0);
	CHECK_INT(do_close(e), 0);
}

/* Reading goes on after one's own close. */
static void
memory_close(struct memory *m)
{
	close_one(m, &m->client, &m->server);
	close_one(m, &m->server, &m->client);
	CHECK_INT(do_write(&m->client, "x", 1), -1);
	CHECK_HAS(tls_error(m->client.ctx), "write failed: ");
}

static void
rings(void **state)
{
	static const struct {
		size_t ring, max;
		int want_first;
		size_t transfer;
	} cases[] = {
		{ 1 << 17, 0, 0, 1 << 20 },
		{ 512, 0, 0, 100000 },
		{ 5, 0, 0, 20000 },
		{ 1, 0, 0, 2000 },
		{ 4096, 1, 0, 5000 },
		{ 4096, 7, 1, 20000 },
		{ 512, 0, 1, 50000 },
		{ 1, 1, 1, 1000 },
	};
	struct memory *m;
	char name[128];
	size_t i, v;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* OpenSSL's reads wait for its writes: both ends, for ever. */
		if (!h_proxy && cases[i].ring < 1 << 17)
			continue;
		for (v = 0; v < 2; v++) {
			snprintf(name, sizeof(name),
			    "ring of %zu, %zu bytes a call, wants %d, %s",
			    cases[i].ring, cases[i].max, cases[i].want_first,
			    versions[v].name);
			h_case = name;
			m = memory_new(cases[i].ring, (int)v, "ecdsa");
			m->client.max = m->server.max = cases[i].max;
			m->client.want_first = m->server.want_first =
			    cases[i].want_first;
			memory_open(m);
			CHECK_STR(tls_conn_version(m->client.ctx),
			    versions[v].name);
			CHECK_STR(tls_conn_servername(m->server.ctx),
			    "localhost");
			CHECK_INT(tls_peer_cert_provided(m->client.ctx), 1);
			memory_transfer(m, cases[i].transfer);
			memory_close(m);
			memory_free(m);
		}
	}
	h_case = NULL;
}

/* Nothing is read beyond a record: its header, then its body. */
static void
exact_reads(void **state)
{
	struct memory *m;
	char buf[300];
	size_t v;

	(void)state;
	for (v = 0; v < 2; v++) {
		h_case = versions[v].name;
		m = memory_new(1 << 17, (int)v, "ecdsa");
		memory_open(m);
		finish_write(m, &m->server, "first", 5);
		finish_write(m, &m->server, "second", 6);
		while (m->client.in->len > 0) {
			size_t before = m->client.in->len, took;
			ssize_t n;

			m->client.nasked = 0;
			n = do_read(&m->client, buf, sizeof(buf));
			took = before - m->client.in->len;
			CHECK(m->client.nasked >= 2);
			CHECK_INT(m->client.asked[0], 5);
			if (n == TLS_WANT_POLLIN) /* a ticket */
				continue;
			CHECK(n == 5 || n == 6);
			if (m->client.nasked == 2)
				CHECK_INT(m->client.asked[0] +
					      m->client.asked[1],
				    took);
			break;
		}
		/* The other one is still on the network. */
		CHECK(m->client.in->len > 0);
		CHECK_INT(finish_read(m, &m->client, buf, 3), 3);
		CHECK_MEM(buf, "sec", 3);
		CHECK_INT(m->client.in->len, 0);
		CHECK_INT(finish_read(m, &m->client, buf, sizeof(buf)), 3);
		CHECK_MEM(buf, "ond", 3);
		memory_free(m);
	}
	h_case = NULL;
}

/* Whichever callback fails, and when: the error says why, and stays. */
static void
callback_errors(void **state)
{
	static const struct {
		int version, errnum;
		const char *want;
	} cases[] = {
		{ 0, ECONNRESET, ": Connection reset by peer" },
		{ 1, ECONNRESET,
		    "error:02FFF068:system library:func(4095):"
		    "Connection reset by peer" },
		{ 0, 0, ": Success" },
		{ 1, 0, "unknown failure occurred" },
		{ 0, EAGAIN, ": Resource temporarily unavailable" },
		{ 1, EAGAIN, "func(4095):Resource temporarily unavailabl" },
	};
	struct memory *m;
	char name[128], text[256], c;
	size_t i, writing;
	ssize_t n;

	(void)state;
	PROXY_ONLY();
	for (i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		writing = i % 2;
		snprintf(name, sizeof(name), "%s, %s, errno %d",
		    versions[cases[i / 2].version].name,
		    writing ? "write" : "read", cases[i / 2].errnum);
		h_case = name;

		/* In the handshake, where the version is not known. */
		m = memory_new(8192, cases[i / 2].version, "ecdsa");
		m->client.result = -1;
		m->client.errnum = cases[i / 2].errnum;
		m->client.armed_write = (int)writing;
		m->client.armed_read = !writing;
		while ((n = do_handshake(&m->client)) < -1)
			check_time(m);
		CHECK_INT(n, -1);
		snprintf(text, sizeof(text), "%s", tls_error(m->client.ctx));
		CHECK_HAS(text, "handshake failed: error:");
		m->client.armed_read = m->client.armed_write = 0;
		CHECK_INT(do_handshake(&m->client), -1);
		CHECK_STR(tls_error(m->client.ctx), text);
		CHECK_INT(do_write(&m->client, "x", 1), -1);
		CHECK_STR(tls_error(m->client.ctx), text);
		CHECK_INT(do_close(&m->client), 0);
		memory_free(m);

		m = memory_new(8192, cases[i / 2].version, "ecdsa");
		memory_open(m);
		memory_transfer(m, 100);
		m->client.result = -1;
		m->client.errnum = cases[i / 2].errnum;
		m->client.armed_write = (int)writing;
		m->client.armed_read = !writing;
		if (writing)
			n = do_write(&m->client, "x", 1);
		else
			n = finish_read(m, &m->client, &c, 1);
		CHECK_INT(n, -1);
		CHECK_HAS(tls_error(m->client.ctx),
		    writing ? "write failed: " : "read failed: ");
		CHECK_HAS(tls_error(m->client.ctx), cases[i / 2].want);
		m->client.armed_read = m->client.armed_write = 0;
		if (writing) {
			CHECK_INT(do_write(&m->client, "x", 1), -1);
			CHECK_HAS(tls_error(m->client.ctx), cases[i / 2].want);
			/* The other direction is not concerned. */
			finish_write(m, &m->server, "y", 1);
			CHECK_INT(finish_read(m, &m->client, &c, 1), 1);
			CHECK_INT(c, 'y');
		} else {
			CHECK_INT(do_read(&m->client, &c, 1), -1);
			CHECK_HAS(tls_error(m->client.ctx), cases[i / 2].want);
		}
		CHECK_INT(do_close(&m->client), -1);
		CHECK_HAS(tls_error(m->client.ctx), "shutdown failed: ");
		CHECK_HAS(tls_error(m->client.ctx), cases[i / 2].want);
		CHECK_INT(do_close(&m->client), -1);
		memory_free(m);
	}
	h_case = NULL;
}

/* In the very end of the handshake, which then has not succeeded. */
static void
error_after_finished(void **state)
{
	struct memory *m;
	ssize_t n = -2;

	(void)state;
	PROXY_ONLY();
	m = memory_new(1 << 17, 1, "ecdsa");
	CHECK_INT(do_handshake(&m->client), TLS_WANT_POLLIN);
	CHECK_INT(do_handshake(&m->server), TLS_WANT_POLLIN);
	/* What is written now is the Finished. */
	m->client.armed_write = 1;
	m->client.result = TLS_WANT_POLLOUT;
	m->client.want = TLS_WANT_POLLOUT;
	CHECK_INT(do_handshake(&m->client), TLS_WANT_POLLOUT);
	m->client.result = -1;
	m->client.errnum = EPIPE;
	n = do_handshake(&m->client);
	CHECK_INT(n, -1);
	CHECK_HAS(tls_error(m->client.ctx), "handshake failed: ");
	CHECK_HAS(tls_error(m->client.ctx), "Broken pipe");
	CHECK_INT(do_handshake(&m->client), -1);
	CHECK_HAS(tls_error(m->client.ctx), "Broken pipe");
	memory_free(m);
}

static void
ends_of_file(void **state)
{
	static const uint8_t part[] = { 0x17, 3, 3, 0, 40, 1, 2, 3 };
	struct memory *m;
	char name[64], c;
	size_t v, len;
	ssize_t n;

	(void)state;
	PROXY_ONLY();
	for (v = 0; v < 2; v++) {
		for (len = 0; len <= sizeof(part); len++) {
			snprintf(name, sizeof(name),
			    "%s, %zu bytes of a record", versions[v].name, len);
			h_case = name;
			m = memory_new(4096, (int)v, "ecdsa");
			memory_open(m);
			finish_write(m, &m->server, "z", 1);
			ring_put(&m->down, part, len);
			m->down.eof = 1;
			CHECK_INT(finish_read(m, &m->client, &c, 1), 1);
			CHECK_INT(finish_read(m, &m->client, &c, 1), 0);
			CHECK_INT(finish_read(m, &m->client, &c, 1), 0);
			/* Our direction is still there. */
			finish_write(m, &m->client, "x", 1);
			CHECK_INT(finish_read(m, &m->server, &c, 1), 1);
			CHECK_INT(finish_close(m, &m->client), -1);
			CHECK_STR(tls_error(m->client.ctx),
			    "EOF without close notify");
			CHECK_INT(finish_read(m, &m->server, &c, 1), 0);
			memory_free(m);
		}
		m = memory_new(4096, (int)v, "ecdsa");
		m->down.eof = 1;
		while ((n = do_handshake(&m->client)) < -1)
			check_time(m);
		CHECK_INT(n, -1);
		CHECK_STR(tls_error(m->client.ctx),
		    "handshake failed: unexpected EOF");
		memory_free(m);
	}
	h_case = NULL;
}

/* An alert of ours gets out, even a byte at a time. */
static void
alerts(void **state)
{
	struct memory *m;
	ssize_t crv, srv;
	char c;

	(void)state;
	PROXY_ONLY();
	/* A certificate that the client does not trust. */
	m = memory_new(1, 1, "other");
	do {
		crv = do_handshake(&m->client);
		if (crv < -1)
			srv = do_handshake(&m->server);
		check_time(m);
	} while (crv < -1);
	CHECK_INT(crv, -1);
	CHECK_HAS(tls_error(m->client.ctx), "certificate verification failed");
	/* tls_close sends what did not go at once. */
	do {
		crv = tls_close(m->client.ctx);
		m->down.len = 0; /* which the client reads no more */
		srv = do_handshake(&m->server);
		if (srv == 0)
			srv = do_read(&m->server, &c, 1);
		check_time(m);
	} while (crv < -1 || srv < -1);
	CHECK_INT(crv, 0);
	CHECK_INT(srv, -1);
	CHECK_HAS(tls_error(m->server.ctx), "alert bad certificate");
	memory_free(m);

	/* And one after the handshake. */
	m = memory_new(4096, 1, "ecdsa");
	memory_open(m);
	finish_write(m, &m->server, "good", 4);
	m->down.buf[(m->down.at + m->down.len - 1) % m->down.size] ^= 1;
	while ((crv = do_read(&m->client, &c, 1)) < -1)
		check_time(m);
	CHECK_INT(crv, -1);
	CHECK_HAS(tls_error(m->client.ctx), "read failed: ");
	CHECK_HAS(tls_error(m->client.ctx), "bad decrypt");
	CHECK_INT(finish_read(m, &m->server, &c, 1), -1);
	CHECK_HAS(tls_error(m->server.ctx), "alert bad record mac");
	CHECK_INT(do_write(&m->client, "x", 1), -1);
	CHECK_HAS(tls_error(m->client.ctx), "bad decrypt");
	memory_free(m);
}

/* What is no TLS is known by its first bytes, more may not come. */
static void
no_tls(void **state)
{
	static const char *const texts[] = { "GET / HTTP/1.0\r\n",
		"220 mail.test ESMTP\r\n", "\x4a\0\0\0\x0a", "\0\0\0\x08\x04",
		"\026ET /", "\x16\x03\x01\xff\xff" };
	struct memory *m;
	ssize_t n;
	size_t i;

	(void)state;
	PROXY_ONLY();
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		m = memory_new(4096, 1, "ecdsa");
		ring_put(&m->up, (const uint8_t *)texts[i],
		    strlen(texts[i]) > 5 ? strlen(texts[i]) : 5);
		n = do_handshake(&m->server);
		CHECK_INT(n, -1);
		CHECK_HAS(tls_error(m->server.ctx), "handshake failed: ");
		memory_free(m);
	}
}

/* Callbacks that break the rules: an error, at once and from then on. */
static void
misbehaving(void **state)
{
	static const struct {
		const char *name;
		int writing;
		ssize_t result; /* SSIZE_MAX - 1: one more than there was */
		const char *want;
	} cases[] = {
		{ "reads too much", 0, SSIZE_MAX - 1, "more than there was" },
		{ "reads a lot", 0, SSIZE_MAX, "more than there was" },
		{ "reads -4", 0, -4, "no meaning" },
		{ "reads very little", 0, -SSIZE_MAX, "no meaning" },
		{ "writes too much", 1, SSIZE_MAX - 1, "more than there was" },
		{ "writes a lot", 1, SSIZE_MAX, "more than there was" },
		{ "writes nothing", 1, 0, "wrote nothing" },
		{ "writes -4", 1, -4, "no meaning" },
		{ "writes very little", 1, -SSIZE_MAX, "no meaning" },
	};
	struct memory *m;
	size_t i, after;
	ssize_t n;
	char c;

	(void)state;
	PROXY_ONLY();
	for (i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		after = i % 2;
		h_case = cases[i / 2].name;
		m = memory_new(4096, 1, "ecdsa");
		if (after)
			memory_open(m);
		m->client.result = cases[i / 2].result;
		m->client.armed_write = cases[i / 2].writing;
		m->client.armed_read = !cases[i / 2].writing;
		if (!after)
			n = do_handshake(&m->client);
		else if (cases[i / 2].writing)
			n = do_write(&m->client, "x", 1);
		else
			n = do_read(&m->client, &c, 1);
		CHECK_INT(n, -1);
		CHECK_HAS(tls_error(m->client.ctx), cases[i / 2].want);
		m->client.armed_read = m->client.armed_write = 0;
		CHECK_INT(do_read(&m->client, &c, 1), -1);
		CHECK_HAS(tls_error(m->client.ctx), cases[i / 2].want);
		CHECK_INT(do_write(&m->client, "x", 1), -1);
		CHECK_HAS(tls_error(m->client.ctx), cases[i / 2].want);
		n = do_close(&m->client);
		CHECK_INT(n, after ? -1 : 0);
		memory_free(m);
	}
	h_case = NULL;
}

static int hooked;

static void
check_refused(struct end *e, ssize_t rv)
{
	CHECK_INT(rv, -1);
	CHECK_HAS(tls_error(e->ctx), "invalid operation in a callback");
}

static void
call_everything(struct end *e)
{
	struct tls_config *config;
	char c;

	hooked++;
	check_refused(e, tls_handshake(e->ctx));
	check_refused(e, tls_read(e->ctx, &c, 1));
	check_refused(e, tls_write(e->ctx, "x", 1));
	check_refused(e, tls_close(e->ctx));
	if (e->out->size == 4096) { /* the client's, by this test's choice */
		check_refused(e,
		    tls_connect_cbs(e->ctx, read_cb, write_cb, e, "localhost"));
		check_refused(e, tls_connect_socket(e->ctx, 0, "localhost"));
		config = h_client_config();
		CHECK_TLS(e->ctx, tls_configure(e->ctx, config));
		tls_config_free(config);
	}
	(void)tls_conn_version(e->ctx);
	(void)tls_peer_cert_hash(e->ctx);
}

static void
free_context(struct end *e)
{
	hooked++;
	tls_free(e->ctx);
	tls_free(e->ctx); /* which is the application's mistake */
	tls_reset(e->ctx);
	e->ctx = NULL;
}

static void
reset_context(struct end *e)
{
	hooked++;
	tls_reset(e->ctx);
	CHECK_STR(tls_error(e->ctx), NULL);
}

static void
reentrant(void **state)
{
	struct memory *m;
	size_t after, writing;
	struct tls *ctx;
	ssize_t n;
	char c;

	(void)state;
	PROXY_ONLY();
	for (after = 0; after < 2; after++) {
		for (writing = 0; writing < 2; writing++) {
			m = memory_new(4096, 1, "ecdsa");
			if (after)
				memory_open(m);
			m->client.result = TLS_WANT_POLLIN;
			m->client.armed_write = (int)writing;
			m->client.armed_read = !writing;

			/* The call itself is not disturbed. */
			m->client.hook = call_everything;
			hooked = 0;
			m->client.want = TLS_WANT_POLLIN;
			if (!after)
				n = do_handshake(&m->client);
			else if (writing)
				n = do_write(&m->client, "x", 1);
			else
				n = do_read(&m->client, &c, 1);
			CHECK_INT(n, TLS_WANT_POLLIN);
			CHECK_INT(hooked, 1);
			m->client.armed_read = m->client.armed_write = 0;
			if (!after)
				memory_open(m);
			if (after && writing)
				finish_write(m, &m->client, "x", 1);

			/* A reset comes true when the call ends. */
			m->client.hook = reset_context;
			m->client.armed_write = (int)writing;
			m->client.armed_read = !writing;
			ctx = m->client.ctx;
			n = writing ? tls_write(ctx, "x", 1)
				    : tls_read(ctx, &c, 1);
			CHECK_INT(n, -1);
			CHECK_HAS(tls_error(ctx), "has reset");
			CHECK_INT(hooked, 2);
			CHECK_INT(tls_read(ctx, &c, 1), -1);
			CHECK_STR(tls_error(ctx), "context not connected");
			memory_free(m);

			/* And so does tls_free: nothing is touched later. */
			m = memory_new(4096, 1, "ecdsa");
			if (after)
				memory_open(m);
			m->client.hook = free_context;
			m->client.armed_write = (int)writing;
			m->client.armed_read = !writing;
			ctx = m->client.ctx;
			if (!after)
				n = tls_handshake(ctx);
			else
				n = writing ? tls_write(ctx, "x", 1)
					    : tls_read(ctx, &c, 1);
			CHECK_INT(n, -1);
			CHECK_INT(hooked, 3);
			CHECK(m->client.ctx == NULL);
			memory_free(m);
		}
	}
	/* The callback of the last message, close_notify. */
	m = memory_new(4096, 1, "ecdsa");
	memory_open(m);
	m->client.hook = free_context;
	m->client.armed_write = 1;
	hooked = 0;
	CHECK_INT(tls_close(m->client.ctx), -1);
	CHECK_INT(hooked, 1);
	CHECK(m->client.ctx == NULL);
	memory_free(m);
}

/* A write that was not finished is what the next call finishes. */
static void
write_retry(void **state)
{
	static uint8_t buf[30000], got[30000];
	struct h_stream s = { .seed = 9 };
	struct memory *m;
	size_t total = 0;
	ssize_t n, w;

	(void)state;
	PROXY_ONLY();
	h_stream_fill(&s, buf, sizeof(buf));
	m = memory_new(512, 1, "ecdsa");
	memory_open(m);
	CHECK_INT(do_write(&m->client, buf, sizeof(buf)), TLS_WANT_POLLOUT);
	CHECK_INT(do_write(&m->client, buf, 100), -1);
	CHECK_HAS(tls_error(m->client.ctx), "bad write retry");
	/* Reading does not wait for it. */
	finish_write(m, &m->server, "r", 1);
	CHECK_INT(finish_read(m, &m->client, got, 1), 1);
	CHECK_INT(got[0], 'r');
	for (w = -2; w < -1;) {
		w = do_write(&m->client, buf, sizeof(buf));
		n = do_read(&m->server, got + total, sizeof(got) - total);
		if (n > 0)
			total += (size_t)n;
		check_time(m);
	}
	CHECK_INT(w, sizeof(buf));
	while (total < sizeof(buf)) {
		n = finish_read(m, &m->server, got + total,
		    sizeof(got) - total);
		CHECK(n > 0);
		total += (size_t)n;
	}
	CHECK_MEM(got, buf, sizeof(buf));
	CHECK_INT(do_write(&m->client, buf, 0), 0);
	CHECK_INT(do_read(&m->client, got, 0), 0);
	memory_free(m);
}

/* More certificates than fit in a message of the usual size. */
static void
long_chain(void **state)
{
	struct tls_config *client, *server;
	uint8_t *chain, *key, *many;
	size_t chain_len, key_len, len;
	struct memory *m;
	ssize_t crv, srv;
	int i;

	(void)state;
	PROXY_ONLY();
	chain = h_load(h_cert("ecdsa-chain.pem"), &chain_len);
	key = h_load(h_cert("ecdsa.key"), &key_len);
	CHECK((many = malloc(160 * chain_len)) != NULL);
	for (len = 0, i = 0; i < 160; i++, len += chain_len)
		memcpy(many + len, chain, chain_len);
	CHECK((m = calloc(1, sizeof(*m))) != NULL);
	m->up.size = m->down.size = 3000;
	m->client.in = m->server.out = &m->down;
	m->client.out = m->server.in = &m->up;
	m->deadline = h_now() + H_WAIT;
	client = h_client_config();
	tls_config_insecure_noverifycert(client);
	CHECK((server = tls_config_new()) != NULL);
	CHECK_CONFIG(server,
	    tls_config_set_keypair_mem(server, many, len, key, key_len));
	m->client.ctx = h_client(client);
	m->base = h_server(server);
	tls_config_free(client);
	tls_config_free(server);
	CHECK_TLS(m->client.ctx, tls_connect_cbs(m->client.ctx, read_cb,
				     write_cb, &m->client, "localhost"));
	CHECK_TLS(m->base, tls_accept_cbs(m->base, &m->server.ctx, read_cb,
			       write_cb, &m->server));
	memory_handshake(m, &crv, &srv);
	CHECK_TLS(m->client.ctx, crv);
	CHECK_TLS(m->server.ctx, srv);
	CHECK(tls_peer_cert_chain_pem(m->client.ctx, &len) != NULL);
	CHECK_INT(len, 160 * chain_len);
	memory_transfer(m, 10000);
	memory_free(m);
	free(chain);
	free(key);
	free(many);
}

/* TLS inside of TLS: the callbacks are calls of another connection. */
static ssize_t
outer_read(struct tls *ctx, void *buf, size_t len, void *arg)
{
	(void)ctx;
	return tls_read(arg, buf, len);
}

static ssize_t
outer_write(struct tls *ctx, const void *buf, size_t len, void *arg)
{
	(void)ctx;
	return tls_write(arg, buf, len);
}

static void
tls_in_tls(void **state)
{
	struct tls_config *config;
	struct tls *client, *base, *server;
	struct memory *m;
	int crv = -2, srv = -2;
	ssize_t n;
	char c;

	(void)state;
	m = memory_new(512, 1, "rsa");
	memory_open(m);
	config = h_client_config();
	client = h_client(config);
	tls_config_free(config);
	config = h_server_config("ecdsa");
	base = h_server(config);
	tls_config_free(config);
	CHECK_TLS(client, tls_connect_cbs(client, outer_read, outer_write,
			      m->client.ctx, "localhost"));
	CHECK_TLS(base, tls_accept_cbs(base, &server, outer_read, outer_write,
			    m->server.ctx));
	while (crv < -1 || srv < -1) {
		if (crv < -1)
			crv = tls_handshake(client);
		if (srv < -1)
			srv = tls_handshake(server);
		check_time(m);
	}
	CHECK_TLS(client, crv);
	CHECK_TLS(server, srv);
	CHECK_HAS(tls_peer_cert_subject(client), "CN=ecdsa");
	CHECK_HAS(tls_peer_cert_subject(m->client.ctx), "CN=rsa");
	while ((n = tls_write(client, "i", 1)) < -1)
		check_time(m);
	CHECK_INT(n, 1);
	while ((n = tls_read(server, &c, 1)) < -1)
		check_time(m);
	CHECK_INT(n, 1);
	CHECK_INT(c, 'i');
	while ((n = tls_close(server)) < -1)
		check_time(m);
	CHECK_INT(n, 0);
	while ((n = tls_read(client, &c, 1)) < -1)
		check_time(m);
	CHECK_INT(n, 0);
	tls_free(client);
	tls_free(server);
	tls_free(base);
	memory_free(m);
}

/* A load balancer's header before the first record. */
struct stripper {
	int fd;
	char header[128];
	size_t len;
	int done;
};

static ssize_t
strip_read(struct tls *ctx, void *buf, size_t len, void *arg)
{
	struct stripper *s = arg;
	ssize_t n;

	(void)ctx;
	while (!s->done) {
		n = recv(s->fd, s->header + s->len, 1, MSG_DONTWAIT);
		if (n == -1 && errno == EAGAIN)
			return TLS_WANT_POLLIN;
		if (n <= 0)
			return n;
		s->len++;
		if (s->len == sizeof(s->header))
			return -1;
		s->done = s->header[s->len - 1] == '\n';
	}
	n = recv(s->fd, buf, len, MSG_DONTWAIT);
	return n == -1 && errno == EAGAIN ? TLS_WANT_POLLIN : n;
}

static ssize_t
strip_write(struct tls *ctx, const void *buf, size_t len, void *arg)
{
	struct stripper *s = arg;
	ssize_t n;

	(void)ctx;
	n = send(s->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n == -1 && errno == EAGAIN ? TLS_WANT_POLLOUT : n;
}

static void
proxy_protocol(void **state)
{
	static const char header[] = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";
	struct tls_config *config;
	struct h_pair p = { 0 };
	struct stripper s = { 0 };

	(void)state;
	h_tcp_pair(&p.cfd, &p.sfd);
	h_nonblock(p.cfd, 1);
	h_nonblock(p.sfd, 1);
	h_send(p.cfd, header, strlen(header));
	s.fd = p.sfd;
	config = h_client_config();
	p.client = h_client(config);
	tls_config_free(config);
	config = h_server_config("ecdsa");
	p.base = h_server(config);
	tls_config_free(config);
	CHECK_TLS(p.client, tls_connect_socket(p.client, p.cfd, "localhost"));
	CHECK_TLS(p.base,
	    tls_accept_cbs(p.base, &p.server, strip_read, strip_write, &s));
	CHECK_PAIR(&p);
	CHECK_STR(s.header, header);
	h_pair_echo(&p);
	h_pair_free(&p);
}

/* As an in-process context: one process at a time, and the child may. */
static void
used_by_a_child(void **state)
{
	struct memory *m;
	int status;
	pid_t pid;

	(void)state;
	m = memory_new(512, 1, "ecdsa");
	memory_open(m);
	if ((pid = fork()) == 0) {
		memory_transfer(m, 50000);
		memory_close(m);
		_exit(0);
	}
	CHECK(pid != -1);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
	memory_free(m);
}

/* Arguments and contexts that do not go. */
static void
wrong_use(void **state)
{
	struct tls_config *config;
	struct tls *client, *server, *conn;

	(void)state;
	config = h_client_config();
	client = h_client(config);
	tls_config_free(config);
	config = h_server_config("ecdsa");
	server = h_server(config);
	tls_config_free(config);
	CHECK_INT(tls_connect_cbs(server, read_cb, write_cb, NULL, "localhost"),
	    -1);
	CHECK_STR(tls_error(server), "not a client context");
	conn = client;
	CHECK_INT(tls_accept_cbs(client, &conn, read_cb, write_cb, NULL), -1);
	CHECK_STR(tls_error(client), "not a server context");
	CHECK(conn == NULL);
	CHECK_INT(tls_connect_cbs(client, read_cb, write_cb, NULL, NULL), -1);
	CHECK_STR(tls_error(client), "server name not specified");
	if (h_proxy) {
		CHECK_INT(
		    tls_connect_cbs(client, NULL, write_cb, NULL, "localhost"),
		    -1);
		CHECK_STR(tls_error(client), "no callbacks specified");
		CHECK_INT(tls_accept_cbs(server, &conn, read_cb, NULL, NULL),
		    -1);
		CHECK_STR(tls_error(server), "no callbacks specified");
		CHECK_INT(tls_engine_set_nonblock(client, 1), -1);
		CHECK_STR(tls_error(client), "connection has no engine");
		CHECK_INT(tls_engine_fd(client), -1);
	}
	tls_free(client);
	tls_free(server);
}

/* The worker's death, in each state of a connection. */
static void
worker_killed(void **state)
{
	struct memory *m;
	pid_t worker;
	int stage;
	char c;

	(void)state;
	PROXY_ONLY();
	for (stage = 0; stage < 4; stage++) {
		m = memory_new(4096, 1, "ecdsa");
		/* What no worker has seen yet the next one would serve. */
		if (stage == 0)
			h_poll(tls_engine_fd(m->client.ctx), POLLIN, H_WAIT);
		if (stage == 1)
			CHECK_INT(do_handshake(&m->client), TLS_WANT_POLLIN);
		if (stage >= 2)
			memory_open(m);
		worker = h_wait_helper("worker", -1);
		CHECK_INT(kill(worker, SIGKILL), 0);
		h_wait_gone(worker);
		if (stage < 2) {
			/* The hello may have come before. */
			ssize_t n = tls_handshake(m->client.ctx);

			if (n < -1)
				n = tls_handshake(m->client.ctx);
			CHECK_INT(n, -1);
			CHECK_HAS(tls_error(m->client.ctx),
			    "handshake failed: goproxy's worker");
		} else if (stage == 2) {
			CHECK_INT(do_read(&m->client, &c, 1), -1);
			CHECK_HAS(tls_error(m->client.ctx),
			    "read failed: goproxy's worker");
			CHECK_INT(do_write(&m->client, "x", 1), -1);
			CHECK_HAS(tls_error(m->client.ctx),
			    "write failed: goproxy's worker");
		} else {
			CHECK_INT(do_write(&m->client, "x", 1), -1);
			CHECK_HAS(tls_error(m->client.ctx),
			    "write failed: goproxy's worker");
			CHECK_INT(do_read(&m->client, &c, 1), -1);
			CHECK_HAS(tls_error(m->client.ctx),
			    "read failed: goproxy's worker");
		}
		CHECK_INT(do_close(&m->client), stage < 2 ? 0 : -1);
		if (stage >= 2)
			CHECK_HAS(tls_error(m->client.ctx), "goproxy's worker");
		memory_free(m);
		h_wait_helper("worker", worker);
	}
}

/* A worker that stands still: nobody waits for it without end. */
static void
worker_stopped(void **state)
{
	struct memory *m;
	int64_t start;
	pid_t worker;
	ssize_t n;
	char c;

	(void)state;
	PROXY_ONLY();
	m = memory_new(4096, 1, "ecdsa");
	memory_open(m);
	worker = h_wait_helper("worker", -1);
	h_stop(worker);

	CHECK_INT(tls_engine_set_nonblock(m->server.ctx, 1), 0);
	start = h_now();
	CHECK_INT(tls_write(m->server.ctx, "x", 1), TLS_WANT_POLLIN);
	CHECK_INT(tls_read(m->server.ctx, &c, 1), TLS_WANT_POLLIN);
	CHECK_INT(tls_close(m->server.ctx), TLS_WANT_POLLIN);
	CHECK(h_now() - start < h_ms(1000));

	n = tls_write(m->client.ctx, "x", 1);
	CHECK_INT(kill(worker, SIGCONT), 0);
	CHECK_INT(n, -1);
	CHECK_STR(tls_error(m->client.ctx),
	    "write failed: goproxy does not answer");
	CHECK(h_now() - start < h_ms(15000));
	CHECK_INT(do_read(&m->client, &c, 1), -1);
	CHECK_STR(tls_error(m->client.ctx),
	    "read failed: goproxy does not answer");

	/* The one that did not wait goes on. */
	h_poll(tls_engine_fd(m->server.ctx), POLLIN, H_WAIT);
	CHECK_INT(tls_write(m->server.ctx, "x", 1), 1);
	CHECK_INT(tls_engine_fd(m->server.ctx), -1);
	memory_free(m);
}

/*
 * A loop that does not wait for the engine. Each call returns at once, and the
 * descriptor says when there is news; it is the same all the time.
 */
struct loop_end {
	struct end *e;
	int done;
	size_t sent, got;
	int fd; /* the engine's */
	int64_t longest;
	int waits;
};

#define LOOP_BYTES 200000

static int64_t
microseconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static ssize_t
timed(struct loop_end *l, ssize_t (*call)(struct loop_end *))
{
	int64_t start = microseconds(), took;
	ssize_t n;
	int fd;

	l->e->want = 0;
	n = call(l);
	took = microseconds() - start;
	if (took > l->longest)
		l->longest = took;
	if (n == -1)
		FAIL("%s", tls_error(l->e->ctx));
	fd = tls_engine_fd(l->e->ctx);
	if (n == TLS_WANT_POLLIN || n == TLS_WANT_POLLOUT) {
		/* Either a callback said so, or the engine is at work. */
		if (fd == -1)
			CHECK_INT(n, l->e->want);
		else {
			CHECK_INT(n, TLS_WANT_POLLIN);
			if (l->fd != -1)
				CHECK_INT(fd, l->fd);
			l->fd = fd;
			l->waits++;
		}
	}
	return n;
}

static ssize_t
loop_handshake(struct loop_end *l)
{
	return tls_handshake(l->e->ctx);
}

static ssize_t
loop_read(struct loop_end *l)
{
	static uint8_t buf[20000];

	return tls_read(l->e->ctx, buf, sizeof(buf));
}

static ssize_t
loop_write(struct loop_end *l)
{
	static const uint8_t buf[10000];

	return tls_write(l->e->ctx, buf, sizeof(buf));
}

static void
loop_step(struct loop_end *l)
{
	ssize_t n;

	if (!l->done) {
		l->done = timed(l, loop_handshake) == 0;
		return;
	}
	if (l->sent < LOOP_BYTES && (n = timed(l, loop_write)) > 0)
		l->sent += (size_t)n;
	if (l->got < LOOP_BYTES && (n = timed(l, loop_read)) > 0)
		l->got += (size_t)n;
}

static void
not_waiting(void **state)
{
	struct loop_end ends[2];
	struct pollfd pfd[2];
	struct memory *m;
	pid_t worker;
	int i, busy, stopped;

	(void)state;
	PROXY_ONLY();
	m = memory_new(1 << 17, 1, "rsa");
	memset(ends, 0, sizeof(ends));
	ends[0].e = &m->client;
	ends[1].e = &m->server;
	ends[0].fd = ends[1].fd = -1;
	CHECK_INT(tls_engine_set_nonblock(m->client.ctx, 1), 0);
	CHECK_INT(tls_engine_set_nonblock(m->server.ctx, 1), 0);
	worker = h_wait_helper("worker", -1);
	while (ends[0].got < LOOP_BYTES || ends[1].got < LOOP_BYTES) {
		/*
		 * A worker is faster than a program under valgrind, unless it
		 * stands still.
		 */
		stopped = ends[0].waits == 0 || ends[1].waits == 0;
		if (stopped)
			h_stop(worker);
		for (i = 0, busy = 0; i < 2; i++) {
			loop_step(&ends[i]);
			pfd[i].fd = tls_engine_fd(ends[i].e->ctx);
			pfd[i].events = POLLIN;
			busy += pfd[i].fd != -1;
		}
		if (stopped)
			CHECK_INT(kill(worker, SIGCONT), 0);
		/* In memory only the engines are worth a wait. */
		if (busy == 2)
			CHECK(poll(pfd, 2, H_WAIT) > 0);
		check_time(m);
	}
	CHECK(ends[0].waits > 0 && ends[1].waits > 0);
	print_message("longest call: client %lld us, server %lld us, for "
		      "%d and %d waits\n",
	    (long long)ends[0].longest, (long long)ends[1].longest,
	    ends[0].waits, ends[1].waits);
	/* And back to calls that wait. */
	CHECK_INT(tls_engine_set_nonblock(m->client.ctx, 0), 0);
	CHECK_INT(tls_engine_set_nonblock(m->server.ctx, 0), 0);
	memory_close(m);
	memory_free(m);
}

/*
 * Descriptors that stay what they were. A peer process with the environment
 * for it, as unmodified programs have it.
 */
static ino_t
inode(int fd)
{
	struct stat sb;

	CHECK_INT(fstat(fd, &sb), 0);
	return sb.st_ino;
}

static void
app_open(struct h_pair *p)
{
	struct tls_config *client, *server;

	client = h_client_config();
	server = h_server_config("ecdsa");
	CHECK_CONFIG(client,
	    tls_config_set_transport(client, TLS_TRANSPORT_APP));
	CHECK_CONFIG(server,
	    tls_config_set_transport(server, TLS_TRANSPORT_APP));
	h_pair_start(p, client, server, "localhost");
	tls_config_free(client);
	tls_config_free(server);
}

static void
untouched_descriptors(void **state)
{
	struct sockaddr_in before, after;
	struct h_pair p;
	socklen_t len;
	ino_t cino, sino;
	int64_t deadline;
	int fds, queued;
	char c;

	(void)state;
	PROXY_ONLY();
	app_open(&p);
	cino = inode(p.cfd);
	sino = inode(p.sfd);
	len = sizeof(before);
	CHECK_INT(getpeername(p.cfd, (struct sockaddr *)&before, &len), 0);
	CHECK_INT(before.sin_family, AF_INET);
	CHECK_PAIR(&p);
	h_pair_echo(&p);
	len = sizeof(after);
	CHECK_INT(getpeername(p.cfd, (struct sockaddr *)&after, &len), 0);
	CHECK_MEM(&after, &before, sizeof(before));
	CHECK_INT(inode(p.cfd), cino);
	CHECK_INT(inode(p.sfd), sino);

	/* What is in the socket's queue can be seen, as geomyidae does. */
	h_write(p.client, p.cfd, "unsent", 6);
	h_poll(p.sfd, POLLIN, H_WAIT);
	deadline = h_now() + H_WAIT;
	do {
		CHECK_INT(ioctl(p.cfd, SIOCOUTQ, &queued), 0);
		h_pause(deadline, "the acknowledgement");
	} while (queued > 0);
	fds = h_fds();
	CHECK_TLS(p.client, h_close(p.client, p.cfd));
	CHECK_INT(h_fds(), fds);
	CHECK_INT(inode(p.cfd), cino);
	for (fds = 0; fds < 6; fds++)
		h_read(p.server, p.sfd, &c, 1);
	CHECK_INT(h_read_some(p.server, p.sfd, &c, 1), 0);
	CHECK_TLS(p.server, h_close(p.server, p.sfd));
	h_pair_free(&p);
}

/* Registered before the TLS call, and only told of changes. */
static void
edge_triggered(void **state)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
	static uint8_t out[16384], in[16384];
	struct h_stream s = { .seed = 11 }, r = { .seed = 11 };
	struct tls_config *config;
	const size_t size = 4 << 20;
	size_t sent = 0, got = 0, pending = 0, at = 0;
	struct h_pair p = { 0 };
	int64_t deadline = h_now() + 3 * H_WAIT;
	int ep, i, crv = -2, srv = -2;
	ssize_t n;

	(void)state;
	if (!h_proxy)
		skip();
	h_tcp_pair(&p.cfd, &p.sfd);
	h_nonblock(p.cfd, 1);
	h_nonblock(p.sfd, 1);
	CHECK((ep = epoll_create1(EPOLL_CLOEXEC)) != -1);
	ev.data.u32 = 0;
	CHECK_INT(epoll_ctl(ep, EPOLL_CTL_ADD, p.cfd, &ev), 0);
	ev.data.u32 = 1;
	CHECK_INT(epoll_ctl(ep, EPOLL_CTL_ADD, p.sfd, &ev), 0);
	config = h_client_config();
	CHECK_CONFIG(config,
	    tls_config_set_transport(config, TLS_TRANSPORT_APP));
	p.client = h_client(config);
	tls_config_free(config);
	config = h_server_config("ecdsa");
	CHECK_CONFIG(config,
	    tls_config_set_transport(config, TLS_TRANSPORT_APP));
	p.base = h_server(config);
	tls_config_free(config);
	CHECK_TLS(p.client, tls_connect_socket(p.client, p.cfd, "localhost"));
	CHECK_TLS(p.base, tls_accept_socket(p.base, &p.server, p.sfd));
	ev.events = EPOLLIN | EPOLLOUT | EPOLLET;
	ev.data.u32 = 0;
	CHECK_INT(epoll_ctl(ep, EPOLL_CTL_MOD, p.cfd, &ev), 0);

	while (got < size) {
		if (h_now() > deadline)
			FAIL("%zu of %zu bytes", got, size);
		/* Each end until it can do no more. */
		for (i = 0; i < 2; i++) {
			if (crv < -1)
				crv = tls_handshake(p.client);
			if (srv < -1)
				srv = tls_handshake(p.server);
		}
		CHECK(crv != -1 && srv != -1);
		while (crv == 0 && sent < size) {
			if (pending == 0) {
				h_stream_fill(&s, out, sizeof(out));
				pending = sizeof(out);
				at = 0;
			}
			if ((n = tls_write(p.client, out + at, pending)) < 0)
				break;
			at += (size_t)n;
			pending -= (size_t)n;
			sent += (size_t)n;
		}
		while (srv == 0 && got < size) {
			if ((n = tls_read(p.server, in, sizeof(in))) < 0)
				break;
			CHECK(n > 0);
			h_stream_check(&r, in, (size_t)n);
			got += (size_t)n;
		}
		if (got < size && epoll_wait(ep, &ev, 1, H_WAIT) != 1)
			FAIL("no event after %zu bytes", got);
	}
	close(ep);
	h_pair_free(&p);
}

/* What blocks, blocks in read(2); its time-out is a want, and so a signal. */
static void
on_alarm(int sig)
{
	(void)sig;
}

static void
blocking_descriptor(void **state)
{
	struct timeval tv = { 0, 50000 };
	struct sigaction sa, old;
	struct h_pair p;
	char c;

	(void)state;
	PROXY_ONLY();
	app_open(&p);
	CHECK_PAIR(&p);
	/* The tickets are read, and nothing else is on the way. */
	h_pair_echo(&p);
	h_nonblock(p.sfd, 0);
	CHECK_INT(setsockopt(p.sfd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)),
	    0);
	CHECK_INT(tls_read(p.server, &c, 1), TLS_WANT_POLLIN);
	CHECK_STR(tls_error(p.server), NULL);
	tv.tv_usec = 0;
	CHECK_INT(setsockopt(p.sfd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)),
	    0);
	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_alarm;
	sigemptyset(&sa.sa_mask);
	CHECK_INT(sigaction(SIGUSR1, &sa, &old), 0);
	{
		struct sigevent se = { .sigev_notify = SIGEV_SIGNAL,
			.sigev_signo = SIGUSR1 };
		struct itimerspec it = { .it_value = { 0, 50000000 },
			.it_interval = { 0, 50000000 } };
		timer_t timer;

		CHECK_INT(timer_create(CLOCK_MONOTONIC, &se, &timer), 0);
		CHECK_INT(timer_settime(timer, 0, &it, NULL), 0);
		CHECK_INT(tls_read(p.server, &c, 1), TLS_WANT_POLLIN);
		CHECK_INT(timer_delete(timer), 0);
	}
	CHECK_INT(sigaction(SIGUSR1, &old, NULL), 0);
	h_pair_echo(&p);
	h_pair_free(&p);
}

/* Pipes whose reader has gone: an error and no signal. */
static void
broken_pipe(void **state)
{
	struct tls_config *config;
	struct tls *client;
	int up[2], down[2], i;

	(void)state;
	PROXY_ONLY();
	for (i = 0; i < 2; i++) {
		CHECK_INT(pipe2(up, O_CLOEXEC | O_NONBLOCK), 0);
		CHECK_INT(pipe2(down, O_CLOEXEC | O_NONBLOCK), 0);
		config = h_client_config();
		CHECK_CONFIG(config,
		    tls_config_set_transport(config, TLS_TRANSPORT_APP));
		client = h_client(config);
		tls_config_free(config);
		CHECK_TLS(client,
		    tls_connect_fds(client, down[0], up[1], "localhost"));
		close(up[0]);
		CHECK_INT(tls_handshake(client), -1);
		CHECK_HAS(tls_error(client), "handshake failed: ");
		CHECK_HAS(tls_error(client), "Broken pipe");
		tls_free(client);
		close(up[1]);
		close(down[0]);
		close(down[1]);
	}
}

/* environment WANT: what a connection says. */
static int
environment_peer(int argc, char **argv)
{
	struct tls_config *config;
	struct tls *client;
	int a, b, rv;
	ino_t before;

	CHECK_INT(argc, 2);
	config = h_client_config();
	client = h_client(config);
	h_tcp_pair(&a, &b);
	before = inode(a);
	rv = tls_connect_socket(client, a, "localhost");
	if (strcmp(argv[1], "error") == 0) {
		CHECK_INT(rv, -1);
		CHECK_STR(tls_error(client),
		    "LIBTLS_PROXY_TRANSPORT is 'App', not 'proxy' or 'app'");
		/* What the program says goes first. */
		CHECK_CONFIG(config,
		    tls_config_set_transport(config, TLS_TRANSPORT_APP));
		CHECK_TLS(client, tls_connect_socket(client, a, "localhost"));
		CHECK(inode(a) == before);
	} else {
		CHECK_TLS(client, rv);
		CHECK_INT(inode(a) == before, strcmp(argv[1], "app") == 0);
	}
	tls_free(client);
	tls_config_free(config);
	close(a);
	close(b);
	return 0;
}

static void
environment(void **state)
{
	static const struct {
		const char *value, *want;
	} cases[] = { { NULL, "proxy" }, { "", "proxy" }, { "proxy", "proxy" },
		{ "app", "app" }, { "App", "error" } };
	const char *saved = getenv("LIBTLS_PROXY_TRANSPORT");
	struct tls_config *config;
	size_t i;
	int status;

	(void)state;
	PROXY_ONLY();
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		h_case = cases[i].want;
		if (cases[i].value != NULL)
			setenv("LIBTLS_PROXY_TRANSPORT", cases[i].value, 1);
		else
			unsetenv("LIBTLS_PROXY_TRANSPORT");
		status = h_wait_exit(h_start(NULL, 0, "environment",
		    cases[i].want, (char *)NULL));
		unsetenv("LIBTLS_PROXY_TRANSPORT");
		if (saved != NULL)
			setenv("LIBTLS_PROXY_TRANSPORT", saved, 1);
		CHECK_INT(status, 0);
	}
	h_case = NULL;
	CHECK((config = tls_config_new()) != NULL);
	CHECK_INT(tls_config_set_transport(config, 0), -1);
	CHECK_STR(tls_config_error(config), "invalid transport 0");
	CHECK_INT(tls_config_set_transport(config, 3), -1);
	CHECK_INT(tls_config_set_transport(config, TLS_TRANSPORT_PROXY), 0);
	tls_config_free(config);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(rings),
	cmocka_unit_test(exact_reads),
	cmocka_unit_test(callback_errors),
	cmocka_unit_test(error_after_finished),
	cmocka_unit_test(ends_of_file),
	cmocka_unit_test(alerts),
	cmocka_unit_test(no_tls),
	cmocka_unit_test(misbehaving),
	cmocka_unit_test(reentrant),
	cmocka_unit_test(write_retry),
	cmocka_unit_test(long_chain),
	cmocka_unit_test(tls_in_tls),
	cmocka_unit_test(proxy_protocol),
	cmocka_unit_test(used_by_a_child),
	cmocka_unit_test(wrong_use),
	cmocka_unit_test(worker_killed),
	cmocka_unit_test(worker_stopped),
	cmocka_unit_test(not_waiting),
	cmocka_unit_test(untouched_descriptors),
	cmocka_unit_test(edge_triggered),
	cmocka_unit_test(blocking_descriptor),
	cmocka_unit_test(broken_pipe),
	cmocka_unit_test(environment),
};

static const struct h_peer peers[] = { { "environment", environment_peer } };

H_MAIN(tests, peers)

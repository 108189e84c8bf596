/* SPDX-License-Identifier: ISC */
/*
 * Data, compared byte for byte: each end sends a stream that the other can
 * compute, both directions at once, in each way that a program can wait.
 */

#include <sys/epoll.h>

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

/* A step that must not be the last. */
static void
step(struct h_transfer *t, short events)
{
	int rv = h_transfer_step(t, events);

	if (rv != 1)
		FAIL("got %d (%s), after %llu bytes in and %llu out", rv,
		    tls_error(t->ctx), (unsigned long long)t->in.pos,
		    (unsigned long long)t->out.pos);
}

static void
with_poll(struct h_transfer *t)
{
	while (!h_transfer_done(t))
		step(t, h_poll(t->fd, h_transfer_events(t), H_WAIT));
}

static void
with_epoll(struct h_transfer *t)
{
	struct epoll_event ev;
	uint32_t events, registered = 0;
	int ep, n;

	if ((ep = epoll_create1(EPOLL_CLOEXEC)) == -1)
		FAIL("epoll_create1: %s", strerror(errno));
	memset(&ev, 0, sizeof(ev));
	if (epoll_ctl(ep, EPOLL_CTL_ADD, t->fd, &ev) == -1)
		FAIL("EPOLL_CTL_ADD: %s", strerror(errno));
	while (!h_transfer_done(t)) {
		/* POLLIN is EPOLLIN, and so on. */
		events = (uint32_t)h_transfer_events(t);
		if (events != registered) {
			ev.events = registered = events;
			if (epoll_ctl(ep, EPOLL_CTL_MOD, t->fd, &ev) == -1)
				FAIL("EPOLL_CTL_MOD: %s", strerror(errno));
		}
		do
			n = epoll_wait(ep, &ev, 1, H_WAIT);
		while (n == -1 && errno == EINTR);
		if (n != 1)
			FAIL("epoll: no event");
		step(t, (short)ev.events);
	}
	close(ep);
}

struct event_transfer {
	struct h_transfer *t;
	struct event *events[2];
};

static void
event_register(struct event_transfer *e)
{
	struct timeval tv = { H_WAIT / 1000, 0 };
	short events = h_transfer_events(e->t);

	event_del(e->events[0]);
	event_del(e->events[1]);
	if (events & POLLIN)
		event_add(e->events[0], &tv);
	if (events & POLLOUT)
		event_add(e->events[1], &tv);
}

static void
event_ready(int fd, short what, void *arg)
{
	struct event_transfer *e = arg;

	(void)fd;
	if (what & EV_TIMEOUT)
		FAIL("libevent: no event");
	step(e->t, what & EV_READ ? POLLIN : POLLOUT);
	event_register(e);
}

static void
with_libevent(struct h_transfer *t)
{
	struct event_transfer e = { .t = t };
	struct event_base *base;

	CHECK((base = event_base_new()) != NULL);
	e.events[0] = event_new(base, t->fd, EV_READ, event_ready, &e);
	e.events[1] = event_new(base, t->fd, EV_WRITE, event_ready, &e);
	CHECK(e.events[0] != NULL && e.events[1] != NULL);
	event_register(&e);
	event_base_dispatch(base);
	CHECK(h_transfer_done(t));
	event_free(e.events[0]);
	event_free(e.events[1]);
	event_base_free(base);
}

/*
 * What blocks can't do two things at once: both ends write a piece, then both
 * read one. A piece fits in what lies between them.
 */
static void
blocking(struct h_transfer *t)
{
	static uint8_t buf[16384];
	uint64_t left;
	size_t n;

	for (left = t->left_in; left > 0; left -= n) {
		n = left < sizeof(buf) ? (size_t)left : sizeof(buf);
		h_stream_fill(&t->out, buf, n);
		h_write(t->ctx, t->fd, buf, n);
		h_read(t->ctx, t->fd, buf, n);
		h_stream_check(&t->in, buf, n);
	}
}

/* Never waits for the descriptor, as a program that is driven by a timer. */
static void
without_poll(struct h_transfer *t)
{
	int64_t deadline = h_now() + 3 * H_WAIT;

	while (!h_transfer_done(t)) {
		step(t, POLLIN | POLLOUT);
		if (h_now() > deadline)
			FAIL("no end of it");
	}
}

static const struct mode {
	const char *name;
	int nonblocking;
	void (*run)(struct h_transfer *);
} modes[] = {
	{ "blocking", 0, blocking },
	{ "poll", 1, with_poll },
	{ "epoll", 1, with_epoll },
	{ "libevent", 1, with_libevent },
	{ "no poll", 1, without_poll },
};

static const struct mode *
mode_named(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].name, name) == 0)
			return &modes[i];
	}
	FAIL("no mode %s", name);
}

/* Both ends: transfer, then the server closes first. */
static void
run(struct tls *ctx, int fd, const struct mode *mode, uint64_t size,
    int is_server)
{
	struct h_transfer *t;
	char c;

	CHECK((t = malloc(sizeof(*t))) != NULL);
	h_nonblock(fd, mode->nonblocking);
	CHECK_TLS(ctx, h_handshake(ctx, fd));
	h_transfer_init(t, ctx, fd, is_server, size);
	mode->run(t);
	free(t);
	if (!is_server)
		CHECK_INT(h_read_some(ctx, fd, &c, 1), 0);
	CHECK_TLS(ctx, h_close(ctx, fd));
}

/* server MODE SIZE */
static int
server_peer(int argc, char **argv)
{
	struct tls_config *config;
	struct tls *base, *conn;

	CHECK_INT(argc, 3);
	h_case = argv[1];
	config = h_server_config("ecdsa");
	base = h_server(config);
	tls_config_free(config);
	CHECK_TLS(base, tls_accept_socket(base, &conn, H_KEPT));
	run(conn, H_KEPT, mode_named(argv[1]), strtoull(argv[2], NULL, 10), 1);
	tls_free(conn);
	tls_free(base);
	close(H_KEPT);
	return 0;
}

static void
transfer(const char *client_mode, const char *server_mode, uint64_t size,
    uint32_t protocols)
{
	struct tls_config *config;
	struct tls *client;
	char arg[32], name[128];
	int64_t start;
	int a, b;
	pid_t peer;

	snprintf(name, sizeof(name), "client %s, server %s, %llu bytes, %#x",
	    client_mode, server_mode, (unsigned long long)size, protocols);
	h_case = name;
	h_tcp_pair(&a, &b);
	snprintf(arg, sizeof(arg), "%llu", (unsigned long long)size);
	peer = h_start(&b, 1, "server", server_mode, arg, (char *)NULL);
	close(b);
	config = h_client_config();
	CHECK_CONFIG(config, tls_config_set_protocols(config, protocols));
	client = h_client(config);
	tls_config_free(config);
	CHECK_TLS(client, tls_connect_socket(client, a, "localhost"));
	start = h_now();
	run(client, a, mode_named(client_mode), size, 0);
	if (size >= 1 << 24)
		print_message("%s: %lld ms\n", name,
		    (long long)(h_now() - start));
	tls_free(client);
	close(a);
	CHECK_INT(h_wait_exit(peer), 0);
	h_case = NULL;
}

static void
sizes(void **state)
{
	static const uint64_t sizes[] = { 0, 1, 16383, 16384, 16385, 1 << 20 };
	size_t i, m;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (m = 0; m < sizeof(modes) / sizeof(modes[0]); m++)
			transfer(modes[m].name, modes[m].name, sizes[i],
			    TLS_PROTOCOL_TLSv1_3);
		transfer("poll", "blocking",
		    sizes[i] > 16384 ? 16384 : sizes[i], TLS_PROTOCOL_TLSv1_2);
		transfer("poll", "epoll", sizes[i], TLS_PROTOCOL_TLSv1_2);
	}
}

/* A write takes a record, and a read gives one at most. */
static void
record_limits(void **state)
{
	static uint8_t out[100000], in[100000];
	struct h_stream s = { .seed = 3 };
	struct h_pair p;
	size_t got = 0;
	ssize_t n;

	(void)state;
	h_stream_fill(&s, out, sizeof(out));
	h_pair_open(&p);
	n = tls_write(p.client, out, sizeof(out));
	CHECK(n > 0);
	CHECK((size_t)n <= sizeof(out));
	if (!h_proxy)
		CHECK_INT(n, 16384);
	while (got < (size_t)n)
		got += (size_t)h_read_some(p.server, p.sfd, in + got,
		    sizeof(in) - got);
	CHECK_INT(got, n);
	CHECK_MEM(in, out, got);
	h_pair_free(&p);
}

/* Every length from 0 on, each in a write of its own. */
static void
small_writes(void **state)
{
	static uint8_t out[400], in[400];
	struct h_stream s = { .seed = 4 };
	struct h_pair p;
	size_t len;

	(void)state;
	h_pair_open(&p);
	for (len = 1; len <= sizeof(out); len++) {
		h_stream_fill(&s, out, len);
		h_write(p.server, p.sfd, out, len);
		h_read(p.client, p.cfd, in, len);
		CHECK_MEM(in, out, len);
	}
	h_pair_free(&p);
}

/*
 * A reader that waits makes the writer wait: what lies between them is
 * bounded, and nothing of it is lost.
 */
static void
back_pressure(void **state)
{
	static uint8_t buf[16384];
	struct h_stream out = { .seed = 5 }, in = { .seed = 5 };
	const size_t limit = 64 << 20;
	struct h_pair p;
	struct pollfd pfd;
	size_t pending = 0, at = 0, total = 0, left;
	ssize_t n;

	(void)state;
	h_pair_open(&p);
	for (;;) {
		if (pending == 0) {
			h_stream_fill(&out, buf, sizeof(buf));
			pending = sizeof(buf);
			at = 0;
		}
		n = tls_write(p.client, buf + at, pending);
		if (n == TLS_WANT_POLLOUT) {
			/* Until nothing moves any more. */
			pfd.fd = p.cfd;
			pfd.events = POLLOUT;
			if (poll(&pfd, 1, h_ms(200)) == 0)
				break;
			continue;
		}
		CHECK(n > 0);
		at += (size_t)n;
		pending -= (size_t)n;
		total += (size_t)n;
		CHECK(total < limit);
	}
	for (left = total; left > 0; left -= (size_t)n) {
		static uint8_t got[16384];

		n = h_read_some(p.server, p.sfd, got, sizeof(got));
		CHECK(n > 0 && (size_t)n <= left);
		h_stream_check(&in, got, (size_t)n);
	}
	/* And the writer is woken. */
	h_poll(p.cfd, POLLOUT, H_WAIT);
	h_pair_free(&p);
}

#define BIG ((uint64_t)1 << 30)

static void
big_poll(void **state)
{
	(void)state;
	transfer("poll", "epoll", BIG, TLS_PROTOCOL_TLSv1_3);
}

static void
big_libevent(void **state)
{
	(void)state;
	transfer("libevent", "libevent", BIG, TLS_PROTOCOL_TLSv1_2);
}

static void
big_blocking(void **state)
{
	(void)state;
	transfer("blocking", "blocking", BIG, TLS_PROTOCOL_TLSv1_3);
}

/* "test_transfer big" runs the other half. */
int
main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(record_limits),
		cmocka_unit_test(small_writes),
		cmocka_unit_test(back_pressure),
	};
	static const struct CMUnitTest big[] = {
		cmocka_unit_test(big_poll),
		cmocka_unit_test(big_libevent),
		cmocka_unit_test(big_blocking),
	};
	static const struct h_peer peers[] = { { "server", server_peer } };

	if (argc == 2 && strcmp(argv[1], "big") == 0)
		return h_main(1, argv, big, sizeof(big) / sizeof(big[0]), peers,
		    1);
	return h_main(argc, argv, tests, sizeof(tests) / sizeof(tests[0]),
	    peers, 1);
}

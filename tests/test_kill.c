/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * The worker and the keeper are killed, crash or stand still in each state of
 * a connection: every call ends in time with an error that names goproxy,
 * nothing that looks like the end of the data, and nothing is left behind.
 *
 * Each case runs in a process of its own, whose goproxy has no history. The
 * other end of its connection is a third process with a goproxy of its own,
 * and the relay between the two stops after each record of the handshake.
 */

#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tls_proxy.h>
#include <unistd.h>

#include "harness.h"

/* Exit statuses of a case. */
#define LATE	  75 /* the right error, but not in time */
#define NO_RECORD 76 /* the handshake was over before */

/* Milliseconds that an error may take, and the next connection. */
#define ERROR_MS 100
#define AGAIN_MS 250
/* A process that stands still is given up after some 6 seconds. */
#define STOPPED_MS 8000

enum state {
	CONNECTING,
	HANDSHAKE,
	IDLE,
	READING,
	WRITING,
	CLOSING,
	TRANSFER, /* both ways at once */
};
static const char *const state_names[] = { "connecting", "handshake", "idle",
	"reading", "writing", "closing", "transfer" };

struct a_case {
	int is_server; /* our end */
	int tls13;
	enum state state;
	int records;	   /* of the handshake that come through */
	uint64_t size, at; /* bytes of the transfer, and before the signal */
	int blocking;
	const char *role; /* who gets the signal */
	int sig;
	int go_on; /* SIGCONT follows */
};

static uint32_t
protocols(int tls13)
{
	return tls13 ? TLS_PROTOCOL_TLSv1_3 : TLS_PROTOCOL_TLSv1_2;
}

/*
 * All that comes is right. Says so on H_KEPT + 1 if it was all there is; else
 * nobody takes its end for the end of the data.
 */
static void
partner_transfer(struct tls *ctx, int is_server, uint64_t size)
{
	static struct h_transfer t;
	int rv = 1;

	CHECK_TLS(ctx, h_handshake(ctx, H_KEPT));
	h_transfer_init(&t, ctx, H_KEPT, is_server, size);
	while (rv == 1 && !h_transfer_done(&t))
		rv = h_transfer_step(&t,
		    h_poll(H_KEPT, h_transfer_events(&t), H_WAIT));
	if (rv == 1)
		(void)send(H_KEPT + 1, "d", 1, MSG_NOSIGNAL);
	else if (rv == 0) {
		CHECK_INT(h_close(ctx, H_KEPT), -1);
		CHECK_HAS(tls_error(ctx), "EOF without close notify");
	}
	h_poll(H_KEPT + 1, POLLIN, H_WAIT);
}

/*
 * The other end: "partner ROLE VERSION WHAT SIZE" on H_KEPT. Shakes hands,
 * transfers SIZE bytes each way, writes without end, or does none of it, and
 * waits for the end of H_KEPT + 1.
 */
static int
partner_peer(int argc, char **argv)
{
	static char buf[65536];
	struct tls_config *config;
	struct tls *base, *ctx;
	struct pollfd pfd[2] = { { .fd = H_KEPT, .events = POLLIN },
		{ .fd = H_KEPT + 1, .events = POLLIN } };
	int shaken = 0;
	ssize_t rv;

	CHECK_INT(argc, 5);
	h_case = argv[1];
	h_nonblock(H_KEPT, 1);
	if (strcmp(argv[1], "server") == 0) {
		config = h_server_config("ecdsa");
		CHECK_CONFIG(config,
		    tls_config_set_protocols(config, protocols(atoi(argv[2]))));
		base = h_server(config);
		CHECK_TLS(base, tls_accept_socket(base, &ctx, H_KEPT));
	} else {
		config = h_client_config();
		CHECK_CONFIG(config,
		    tls_config_set_protocols(config, protocols(atoi(argv[2]))));
		ctx = h_client(config);
		CHECK_TLS(ctx, tls_connect_socket(ctx, H_KEPT, "localhost"));
	}
	if (strcmp(argv[3], "transfer") == 0) {
		partner_transfer(ctx, strcmp(argv[1], "server") == 0,
		    strtoull(argv[4], NULL, 10));
		_exit(0);
	}
	for (;;) {
		rv = 0;
		if (!shaken && (rv = tls_handshake(ctx)) == 0)
			shaken = 1;
		if (shaken && strcmp(argv[3], "write") == 0)
			while ((rv = tls_write(ctx, buf, sizeof(buf))) > 0)
				;
		/* When ours has died there is nothing to do but to wait. */
		if (rv == -1)
			pfd[0].fd = -1;
		pfd[0].events = rv == TLS_WANT_POLLOUT ? POLLOUT : POLLIN;
		if (shaken && rv == 0)
			pfd[0].fd = -1;
		if (poll(pfd, 2, -1) == -1)
			continue;
		if (pfd[1].revents != 0)
			_exit(0);
	}
}

/* Our end of a case. */
struct ours {
	const struct a_case *c;
	struct tls_config *cconfig, *sconfig;
	struct tls *base, *ctx;
	struct h_relay relay;
	struct h_transfer transfer;
	pid_t partner;
	int control, fd;
	int filler[4], listener; /* for CONNECTING */
	/* A thread in a blocking call. */
	pthread_t thread;
	atomic_int in_call;
	ssize_t rv;
};

/* A socket that does not get connected, as nobody accepts. */
static void
start_connecting(struct ours *o)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	struct pollfd pfd;
	size_t i;

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	o->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK_INT(bind(o->listener, (struct sockaddr *)&sin, sizeof(sin)), 0);
	CHECK_INT(listen(o->listener, 0), 0);
	CHECK_INT(getsockname(o->listener, (struct sockaddr *)&sin, &len), 0);
	for (i = 0; i < sizeof(o->filler) / sizeof(o->filler[0]); i++) {
		o->filler[i] = socket(AF_INET,
		    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(o->filler[i], (struct sockaddr *)&sin,
		    sizeof(sin));
	}
	/* The last one does not get through. */
	o->fd = o->filler[i - 1];
	pfd.fd = o->fd;
	pfd.events = POLLOUT;
	CHECK_INT(poll(&pfd, 1, 20), 0);
	o->ctx = h_client(o->cconfig);
	CHECK_TLS(o->ctx, tls_connect_socket(o->ctx, o->fd, "localhost"));
}

static void
start(struct ours *o)
{
	const struct a_case *c = o->c;
	struct h_relay_direction *to_us;
	int keep[2], cfd, sfd, small = 16384;
	char size[32];

	h_relay_start(&o->relay, &cfd, &sfd);
	to_us = c->is_server ? o->relay.to_server : o->relay.to_client;
	if (c->state == HANDSHAKE)
		h_relay_hold(to_us, c->records);
	o->fd = c->is_server ? sfd : cfd;
	keep[0] = c->is_server ? cfd : sfd;
	h_socketpair(SOCK_STREAM, &o->control, &keep[1]);
	snprintf(size, sizeof(size), "%" PRIu64, c->size);
	o->partner = h_start(keep, 2, "partner",
	    c->is_server ? "client" : "server", c->tls13 ? "1" : "0",
	    c->state == TRANSFER  ? "transfer"
	    : c->state == READING ? "write"
				  : "wait",
	    size, (char *)NULL);
	close(keep[0]);
	close(keep[1]);
	h_nonblock(o->fd, !c->blocking);
	/* Such a buffer does not grow. */
	if (c->state != TRANSFER)
		CHECK_INT(setsockopt(o->fd, SOL_SOCKET, SO_SNDBUF, &small,
			      sizeof(small)),
		    0);
	if (c->is_server)
		CHECK_TLS(o->base, tls_accept_socket(o->base, &o->ctx, o->fd));
	else {
		o->ctx = h_client(o->cconfig);
		CHECK_TLS(o->ctx,
		    tls_connect_socket(o->ctx, o->fd, "localhost"));
	}
}

/* Until each direction has moved so many bytes. */
static void
transfer_until(struct ours *o, uint64_t bytes)
{
	struct h_transfer *t = &o->transfer;

	while (t->in.pos < bytes || o->c->size - t->left_out < bytes)
		CHECK_INT(h_transfer_step(t,
			      h_poll(o->fd, h_transfer_events(t), H_WAIT)),
		    1);
}

/* Brings the connection to the state of the case; 0, or NO_RECORD. */
static int
reach(struct ours *o)
{
	static char buf[16384];
	const struct a_case *c = o->c;
	struct h_relay_direction *to_us;
	struct pollfd pfd = { .fd = o->fd, .events = POLLOUT };
	int64_t deadline = h_now() + H_WAIT;
	ssize_t rv;

	if (c->state == CONNECTING)
		return 0;
	to_us = c->is_server ? o->relay.to_server : o->relay.to_client;
	if (c->state == HANDSHAKE) {
		/* Either it is over, or a record of it waits. */
		while (!atomic_load(&to_us->pending)) {
			if (!c->blocking && tls_handshake(o->ctx) == 0)
				return NO_RECORD;
			h_pause(deadline, "a record");
		}
		return 0;
	}
	CHECK_INT(h_handshake(o->ctx, c->blocking ? -1 : o->fd), 0);
	if (c->state == TRANSFER) {
		h_transfer_init(&o->transfer, o->ctx, o->fd, c->is_server,
		    c->size);
		transfer_until(o, c->at);
	}
	if (c->state == READING)
		h_read(o->ctx, c->blocking ? -1 : o->fd, buf, 1);
	if (c->state != WRITING && c->state != CLOSING)
		return 0;
	/* Until nothing more fits in anywhere, as the relay takes nothing. */
	h_relay_hold(c->is_server ? o->relay.to_client : o->relay.to_server, 1);
	h_nonblock(o->fd, 1);
	do {
		rv = tls_write(o->ctx, buf, sizeof(buf));
		CHECK(rv != -1);
	} while (rv > 0 || poll(&pfd, 1, h_ms(200)) == 1);
	h_nonblock(o->fd, !c->blocking);
	if (c->state == CLOSING && !c->blocking) {
		rv = tls_close(o->ctx);
		CHECK(rv == TLS_WANT_POLLIN || rv == TLS_WANT_POLLOUT);
	}
	return 0;
}

/* The call that the state is about. */
static ssize_t
call(struct ours *o)
{
	static char buf[65536];

	switch (o->c->state) {
	case CONNECTING:
	case HANDSHAKE:
		return tls_handshake(o->ctx);
	case IDLE:
	case READING:
		return tls_read(o->ctx, buf, sizeof(buf));
	case WRITING:
		return tls_write(o->ctx, buf, sizeof(buf));
	case CLOSING:
		return tls_close(o->ctx);
	case TRANSFER:
		return h_transfer_step(&o->transfer, POLLIN | POLLOUT);
	}
	return 0;
}

static void *
call_thread(void *arg)
{
	struct ours *o = arg;

	atomic_store(&o->in_call, 1);
	do
		o->rv = call(o);
	while (o->rv > 0);
	return o;
}

/* Whether a thread of this process waits in the kernel for a socket. */
static void
wait_in_call(struct ours *o)
{
	int64_t deadline = h_now() + H_WAIT;

	while (!atomic_load(&o->in_call))
		h_pause(deadline, "the thread");
}

/* Calls until there is an error, which it checks; returns the milliseconds. */
static int64_t
until_error(struct ours *o, int64_t since, int limit)
{
	struct pollfd pfd = { .fd = o->fd };
	ssize_t rv;

	for (;;) {
		rv = call(o);
		if (rv == -1)
			break;
		/* The end of the data it is not. */
		CHECK(rv != 0);
		/* Late is what comes after all of the data. */
		if (o->c->state == TRANSFER && h_transfer_done(&o->transfer))
			return INT64_MAX;
		if (o->c->state == TRANSFER)
			pfd.events = h_transfer_events(&o->transfer);
		else if (rv > 0)
			continue;
		else
			pfd.events = rv == TLS_WANT_POLLOUT ? POLLOUT : POLLIN;
		if (poll(&pfd, 1, limit) != 1)
			FAIL("not woken within %d ms", limit);
	}
	CHECK_HAS(tls_error(o->ctx), "goproxy");
	return h_now() - since;
}

/* A connection with both ends here. */
static void
connect_again(struct tls_config *cconfig, struct tls *base)
{
	struct h_pair p;

	h_pair_join(&p, cconfig, base, "localhost");
	CHECK_PAIR(&p);
	h_pair_echo(&p);
	h_pair_free(&p);
}

/* Those of the partner are ours when it has gone, and then go as well. */
static void
wait_for_helpers(int n)
{
	int64_t deadline = h_now() + H_WAIT;

	while (h_helpers() != n)
		h_pause(deadline, "the helpers");
}

/* What the process stood still for is gone on with. */
static void
goes_on(struct ours *o)
{
	const struct a_case *c = o->c;
	struct h_relay_direction *to_us;

	if (c->state == CONNECTING)
		return;
	to_us = c->is_server ? o->relay.to_server : o->relay.to_client;
	h_relay_hold(to_us, -1);
	if (c->state == HANDSHAKE)
		CHECK_TLS(o->ctx, h_handshake(o->ctx, o->fd));
	if (c->state == READING) {
		static char buf[1 << 20];

		h_read(o->ctx, o->fd, buf, sizeof(buf));
	}
	if (c->state == TRANSFER) {
		char done;

		transfer_until(o, c->size);
		h_recv(o->control, &done, 1);
	}
}

static void
finish(struct ours *o)
{
	size_t i;

	tls_free(o->ctx);
	if (o->c->state == CONNECTING) {
		for (i = 0; i < sizeof(o->filler) / sizeof(o->filler[0]); i++)
			close(o->filler[i]);
		close(o->listener);
		return;
	}
	close(o->fd);
	close(o->control);
	CHECK_INT(h_wait_exit(o->partner), 0);
	h_relay_stop(&o->relay);
}

static int
run_case(const struct a_case *c)
{
	static struct ours o;
	struct tls_config *sconfig;
	struct tls *base, *conn;
	int64_t killed, failed = 0;
	int a, b, fds, rv, late = 0;
	pid_t pid;

	memset(&o, 0, sizeof(o));
	o.c = c;
	o.cconfig = h_client_config();
	o.sconfig = h_server_config("ecdsa");
	CHECK_CONFIG(o.cconfig,
	    tls_config_set_protocols(o.cconfig, protocols(c->tls13)));
	CHECK_CONFIG(o.sconfig,
	    tls_config_set_protocols(o.sconfig, protocols(c->tls13)));
	o.base = h_server(o.sconfig);
	connect_again(o.cconfig, o.base);
	fds = h_fds();

	if (c->state == CONNECTING)
		start_connecting(&o);
	else
		start(&o);
	/*
	 * Requests on a channel are seen in their order: after another
	 * connection the worker has ours as well.
	 */
	connect_again(o.cconfig, o.base);
	if ((rv = reach(&o)) != 0) {
		h_kill(o.partner);
		return rv;
	}
	if (c->blocking) {
		CHECK_INT(pthread_create(&o.thread, NULL, call_thread, &o), 0);
		wait_in_call(&o);
	}
	pid = h_wait_helper(c->role, -1);
	killed = h_now();
	CHECK_INT(kill(pid, c->sig), 0);
	if (c->go_on) {
		rv = (int)call(&o);
		if (rv <= 0 || (c->state != READING && c->state != WRITING &&
				   c->state != TRANSFER))
			CHECK(rv == TLS_WANT_POLLIN || rv == TLS_WANT_POLLOUT);
		CHECK(h_now() - killed <= h_ms(1500));
		CHECK_INT(kill(pid, SIGCONT), 0);
		goes_on(&o);
	} else if (c->blocking) {
		CHECK_INT(pthread_join(o.thread, NULL), 0);
		failed = h_now() - killed;
		CHECK_INT(o.rv, -1);
		CHECK_HAS(tls_error(o.ctx), "goproxy");
	} else
		failed = until_error(&o, killed,
		    c->sig == SIGSTOP ? STOPPED_MS : H_WAIT);
	if (failed > (c->sig == SIGSTOP ? h_ms(STOPPED_MS) : h_ms(ERROR_MS)))
		late = LATE;

	base = o.base;
	sconfig = NULL;
	if (strcmp(c->role, "keeper") == 0 && !c->go_on) {
		/* The old server has lost its key. */
		h_tcp_pair(&a, &b);
		rv = tls_accept_socket(o.base, &conn, b);
		if (rv == 0)
			rv = h_handshake(conn, b);
		CHECK_INT(rv, -1);
		CHECK_HAS(tls_error(conn != NULL ? conn : o.base), "goproxy");
		tls_free(conn);
		close(a);
		close(b);
		sconfig = h_server_config("ecdsa");
		CHECK_CONFIG(sconfig,
		    tls_config_set_protocols(sconfig, protocols(c->tls13)));
		base = h_server(sconfig);
	}
	connect_again(o.cconfig, base);
	if (c->sig != SIGSTOP && h_now() - killed > h_ms(AGAIN_MS))
		late = LATE;
	if (sconfig != NULL) {
		tls_free(base);
		tls_config_free(sconfig);
	}

	finish(&o);
	wait_for_helpers(3);
	h_wait_no_zombies(h_ms(1000));
	if (h_fds() != fds)
		h_print_fds();
	CHECK_INT(h_fds(), fds);
	tls_free(o.base);
	tls_config_free(o.cconfig);
	tls_config_free(o.sconfig);
	return late;
}

static int
case_peer(int argc, char **argv)
{
	struct a_case c = { 0 };

	CHECK_INT(argc, 12);
	h_case = argv[1];
	c.is_server = atoi(argv[2]);
	c.tls13 = atoi(argv[3]);
	c.state = (enum state)atoi(argv[4]);
	c.records = atoi(argv[5]);
	c.blocking = atoi(argv[6]);
	c.role = argv[7];
	c.sig = atoi(argv[8]);
	c.go_on = atoi(argv[9]);
	c.size = strtoull(argv[10], NULL, 10);
	c.at = strtoull(argv[11], NULL, 10);
	return run_case(&c);
}

static pid_t
start_case(const struct a_case *c)
{
	char name[160], args[8][24];

	snprintf(name, sizeof(name),
	    "%s, %s%s, %s, %d records, %" PRIu64 " bytes of %" PRIu64
	    ", %s: %s%s",
	    c->is_server ? "server" : "client",
	    c->tls13 ? "TLS 1.3" : "TLS 1.2", c->blocking ? ", blocking" : "",
	    state_names[c->state], c->records, c->at, c->size, c->role,
	    strsignal(c->sig), c->go_on ? " and on" : "");
	snprintf(args[0], sizeof(args[0]), "%d", c->is_server);
	snprintf(args[1], sizeof(args[1]), "%d", c->tls13);
	snprintf(args[2], sizeof(args[2]), "%d", (int)c->state);
	snprintf(args[3], sizeof(args[3]), "%d", c->records);
	snprintf(args[4], sizeof(args[4]), "%d", c->blocking);
	snprintf(args[5], sizeof(args[5]), "%d", c->sig);
	snprintf(args[6], sizeof(args[6]), "%" PRIu64, c->size);
	snprintf(args[7], sizeof(args[7]), "%" PRIu64, c->at);
	return h_start(NULL, 0, "case", name, args[0], args[1], args[2],
	    args[3], args[4], c->role, args[5], c->go_on ? "1" : "0", args[6],
	    args[7], (char *)NULL);
}

/* What else the machine does may cost a try or two. */
static int
in_time(const struct a_case *c)
{
	int tries, status = LATE;

	for (tries = 0; tries < 3 && status == LATE; tries++)
		status = h_wait_exit(start_case(c));
	if (status == LATE)
		FAIL("too late, three times");
	return status;
}

static const char *const roles[] = { "worker", "keeper" };

/* The records of the handshake, one after another. */
static void
killed_in_handshake(void **state)
{
	struct a_case c = { .state = HANDSHAKE, .sig = SIGKILL };
	int i, status;

	(void)state;
	PROXY_ONLY();
	for (i = 0; i < 8; i++) {
		c.is_server = i & 1;
		c.tls13 = i >> 1 & 1;
		c.role = roles[i >> 2];
		for (c.records = 0;; c.records++) {
			CHECK(c.records < 20);
			if ((status = in_time(&c)) == NO_RECORD)
				break;
			CHECK_INT(status, 0);
		}
		/* A server hears at least two flights in any case. */
		CHECK(c.records >= 2);
	}
}

/* And where there is no handshake, or no longer. */
static void
ended_in_states(int sig, int go_on)
{
	static const enum state states[] = { CONNECTING, IDLE, READING, WRITING,
		CLOSING };
	struct a_case c = { .sig = sig, .go_on = go_on };
	size_t i;
	int n;

	for (i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		for (n = 0; n < 8; n++) {
			c.state = states[i];
			c.tls13 = n & 1;
			c.is_server = n >> 1 & 1;
			c.role = roles[n >> 2];
			/* One side and version suffices for the rest. */
			if (c.state == CONNECTING && (c.is_server || !c.tls13))
				continue;
			if (sig != SIGKILL && c.is_server == c.tls13)
				continue;
			CHECK_INT(in_time(&c), 0);
		}
	}
}

static void
killed_in_states(void **state)
{
	(void)state;
	PROXY_ONLY();
	ended_in_states(SIGKILL, 0);
}

static void
crashed_in_states(void **state)
{
	(void)state;
	PROXY_ONLY();
	ended_in_states(SIGSEGV, 0);
}

static void
stopped_and_on(void **state)
{
	struct a_case c = { .state = HANDSHAKE,
		.sig = SIGSTOP,
		.go_on = 1,
		.tls13 = 1,
		.records = 1 };
	int i;

	(void)state;
	PROXY_ONLY();
	ended_in_states(SIGSTOP, 1);
	for (i = 0; i < 2; i++) {
		c.role = roles[i];
		CHECK_INT(in_time(&c), 0);
	}
}

/* Somewhere in the middle of the transfer. */
static struct a_case
in_transfer(const char *role, int sig, int go_on, int n)
{
	struct a_case c = { .state = TRANSFER,
		.role = role,
		.sig = sig,
		.go_on = go_on,
		.tls13 = n & 1,
		.is_server = n >> 1 & 1 };
	uint32_t r;

	CHECK_INT(getrandom(&r, sizeof(r), 0), sizeof(r));
	/* What is left takes longer than the error may. */
	c.size = (uint64_t)1 << (h_long() ? 30 : go_on ? 26 : 28);
	c.at = c.size / 4 + r % (c.size / 4);
	return c;
}

static void
ended_in_transfer(void **state)
{
	static const int signals[] = { SIGKILL, SIGSEGV, SIGSTOP };
	struct a_case c;
	size_t i;
	int n;

	(void)state;
	PROXY_ONLY();
	for (i = 0; i < 3; i++) {
		for (n = 0; n < 8; n++) {
			c = in_transfer(roles[n >> 2], signals[i],
			    signals[i] == SIGSTOP, n);
			if (signals[i] != SIGKILL && c.is_server == c.tls13)
				continue;
			CHECK_INT(in_time(&c), 0);
		}
	}
}

static void
stopped_in_transfer(void **state)
{
	struct a_case c;
	pid_t pids[2];
	int n;

	(void)state;
	PROXY_ONLY();
	for (n = 0; n < 2; n++) {
		c = in_transfer(roles[n], SIGSTOP, 0, n == 0 ? 0 : 3);
		/* Without a keeper it goes on until that is given up. */
		c.size = (uint64_t)1 << 40;
		pids[n] = start_case(&c);
	}
	for (n = 0; n < 2; n++)
		CHECK_INT(h_wait_exit(pids[n]), 0);
}

/* A call that waits in the kernel while it happens. */
static void
blocking_calls(void **state)
{
	static const enum state states[] = { HANDSHAKE, IDLE, WRITING,
		CLOSING };
	struct a_case c = { .blocking = 1, .tls13 = 1, .sig = SIGKILL };
	size_t i;

	(void)state;
	PROXY_ONLY();
	for (i = 0; i < 2 * sizeof(states) / sizeof(states[0]); i++) {
		c.state = states[i / 2];
		c.role = roles[i % 2];
		CHECK_INT(in_time(&c), 0);
	}
}

/* Who would give the worker up is gone itself. */
static int
orphan_peer(int argc, char **argv)
{
	struct h_pair p;
	ssize_t rv;
	char c;

	(void)argc;
	(void)argv;
	h_pair_open(&p);
	h_stop(h_wait_helper("worker", -1));
	CHECK_INT(kill(h_wait_helper("keeper", -1), SIGKILL), 0);
	while ((rv = tls_read(p.client, &c, 1)) != -1)
		h_want(p.cfd, rv);
	CHECK_HAS(tls_error(p.client), "goproxy");
	h_pair_free(&p);
	h_wait_no_helpers(h_ms(1000));
	return 0;
}

/* All at once, as each takes seconds. */
static void
stopped_for_good(void **state)
{
	static const enum state states[] = { HANDSHAKE, IDLE, WRITING,
		CLOSING };
	struct a_case c = { .tls13 = 1, .sig = SIGSTOP };
	pid_t pids[17];
	size_t i;

	(void)state;
	PROXY_ONLY();
	for (i = 0; i < 16; i++) {
		c.state = states[i / 4];
		c.role = roles[i % 2];
		c.blocking = i / 2 % 2;
		pids[i] = start_case(&c);
	}
	pids[i] = h_start(NULL, 0, "orphan", (char *)NULL);
	for (i = 0; i < 17; i++)
		CHECK_INT(h_wait_exit(pids[i]), 0);
}

/*
 * A worker that dies again and again. Whoever comes meanwhile gets through or
 * is told why not and for how long, in time either way, and in the end all is
 * well.
 */
#define DEATHS 20

/* Milliseconds that the error says it takes. */
static int
announced(const char *error)
{
	const char *s;
	double value;
	char *unit;

	CHECK_HAS(error, "goproxy's worker");
	if ((s = strstr(error, "the next one starts in ")) == NULL)
		return 0; /* one that died under way */
	CHECK_HAS(error, "times in a row");
	value = strtod(s + strlen("the next one starts in "), &unit);
	CHECK(value > 0);
	if (strcmp(unit, "ms") == 0)
		return (int)value;
	CHECK_STR(unit, "s");
	return (int)(1000 * value);
}

/* Returns what the one says who has failed, NULL if none has. */
static const char *
attempt(struct tls_config *cconfig, struct tls *base, struct h_pair *p)
{
	h_pair_join(p, cconfig, base, "localhost");
	h_pair_handshake(p);
	if (p->crv == -1 && strstr(tls_error(p->client), "goproxy") != NULL)
		return tls_error(p->client);
	if (p->srv == -1)
		return tls_error(p->server);
	CHECK_INT(p->crv, 0);
	return NULL;
}

static int
dying_peer(int argc, char **argv)
{
	struct tls_config *cconfig, *sconfig;
	int64_t begun, again = 0;
	struct h_pair p = { 0 };
	int deaths = 0, told = 0, late = 0, ms;
	const char *error;
	struct tls *base;
	pid_t worker, last = -1;

	(void)argc;
	(void)argv;
	cconfig = h_client_config();
	sconfig = h_server_config("ecdsa");
	base = h_server(sconfig);
	while (deaths < DEATHS) {
		/* As soon as there is one. */
		if ((worker = h_helper("worker")) != -1 && worker != last) {
			CHECK_INT(kill(worker, SIGKILL), 0);
			last = worker;
			deaths++;
		}
		begun = h_now();
		error = attempt(cconfig, base, &p);
		late += h_now() - begun > h_ms(AGAIN_MS);
		if (error != NULL && (ms = announced(error)) > 0) {
			again = h_now() + ms;
			told++;
		}
		h_pair_free(&p);
	}
	/* It was not in vain to say when. */
	CHECK(told > 0);
	while (h_now() < again)
		h_pause(again + 1000, "the next worker");
	while ((error = attempt(cconfig, base, &p)) != NULL) {
		CHECK(h_now() < again + h_ms(AGAIN_MS));
		h_pair_free(&p);
	}
	h_pair_echo(&p);
	h_pair_free(&p);
	wait_for_helpers(3);
	h_wait_no_zombies(h_ms(1000));
	tls_free(base);
	tls_config_free(cconfig);
	tls_config_free(sconfig);
	/* More than one or two are not the machine's. */
	return late > 2 ? LATE : 0;
}

static void
worker_dies_again_and_again(void **state)
{
	int tries, status = LATE;

	(void)state;
	PROXY_ONLY();
	for (tries = 0; tries < 3 && status == LATE; tries++)
		status = h_wait_exit(h_start(NULL, 0, "dying", (char *)NULL));
	CHECK_INT(status, 0);
}

/* What comes from the network finds nobody who could say what it is. */
static void
no_worker_for_input(void **state)
{
	static const char record[] = "\x16\3\1\0\1";
	struct tls_config *config;
	struct tls *base, *conn;
	pid_t worker;
	int a, b;

	(void)state;
	config = h_server_config("ecdsa");
	CHECK_CONFIG(config,
	    tls_config_set_transport(config, TLS_TRANSPORT_APP));
	base = h_server(config);
	h_socketpair(SOCK_STREAM, &a, &b);
	h_nonblock(b, 1);
	CHECK_TLS(base, tls_accept_socket(base, &conn, b));
	CHECK_INT(tls_handshake(conn), TLS_WANT_POLLIN);
	worker = h_wait_helper("worker", -1);
	CHECK_INT(kill(worker, SIGKILL), 0);
	h_wait_gone(worker);
	CHECK_INT(write(a, record, sizeof(record)), sizeof(record));
	CHECK_INT(tls_handshake(conn), -1);
	CHECK_HAS(tls_error(conn), "goproxy's worker has ended unexpectedly");
	CHECK_INT(tls_handshake(conn), -1);
	tls_free(conn);
	tls_free(base);
	tls_config_free(config);
	close(a);
	close(b);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(no_worker_for_input),
	cmocka_unit_test(killed_in_handshake),
	cmocka_unit_test(killed_in_states),
	cmocka_unit_test(crashed_in_states),
	cmocka_unit_test(blocking_calls),
	cmocka_unit_test(stopped_and_on),
	cmocka_unit_test(stopped_for_good),
	cmocka_unit_test(ended_in_transfer),
	cmocka_unit_test(stopped_in_transfer),
	cmocka_unit_test(worker_dies_again_and_again),
};

static const struct h_peer peers[] = {
	{ "partner", partner_peer },
	{ "case", case_peer },
	{ "orphan", orphan_peer },
	{ "dying", dying_peer },
};

H_MAIN(tests, peers)

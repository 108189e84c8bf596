/* SPDX-License-Identifier: ISC */
/*
 * The endings of a connection, which are never confused: close_notify, a bare
 * end of file, a failure, and a helper that is gone. And that what was written
 * before the end arrives.
 */

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

static const struct {
	uint32_t bits;
	const char *name;
} versions[] = {
	{ TLS_PROTOCOL_TLSv1_2, "TLSv1.2" },
	{ TLS_PROTOCOL_TLSv1_3, "TLSv1.3" },
};

static void
open_pair(struct h_pair *p, int version, int cfd, int sfd)
{
	struct tls_config *client, *server;

	h_case = versions[version].name;
	client = h_client_config();
	server = h_server_config("ecdsa");
	CHECK_CONFIG(client,
	    tls_config_set_protocols(client, versions[version].bits));
	h_pair_start_on(p, client, server, "localhost", cfd, sfd);
	tls_config_free(client);
	tls_config_free(server);
	CHECK_PAIR(p);
}

static void
open_tcp(struct h_pair *p, int version)
{
	int a, b;

	h_tcp_pair(&a, &b);
	open_pair(p, version, a, b);
}

static void
open_relay(struct h_pair *p, int version, struct h_relay *r)
{
	int a, b;

	h_relay_start(r, &a, &b);
	open_pair(p, version, a, b);
}

/* Reads all there is and the end. */
static void
expect_eof(struct tls *ctx, int fd, const char *want)
{
	char buf[64] = "";

	h_read(ctx, fd, buf, strlen(want));
	CHECK_STR(buf, want);
	CHECK_INT(h_read_some(ctx, fd, buf, sizeof(buf)), 0);
	CHECK_INT(h_read_some(ctx, fd, buf, sizeof(buf)), 0);
}

/* The same, and that it is no clean end. */
static void
expect_truncation(struct tls *ctx, int fd, const char *want)
{
	char buf[64] = "";
	int i;

	if (!h_proxy) {
		/* With OpenSSL 3 that is an error of tls_read already. */
		h_read(ctx, fd, buf, strlen(want));
		CHECK_STR(buf, want);
		CHECK_INT(h_read_some(ctx, fd, buf, sizeof(buf)), -1);
		return;
	}
	expect_eof(ctx, fd, want);
	for (i = 0; i < 2; i++) {
		CHECK_INT(h_close(ctx, fd), -1);
		CHECK_STR(tls_error(ctx), "EOF without close notify");
	}
}

static void
close_notify(void **state)
{
	struct h_pair p;
	int v;

	(void)state;
	for (v = 0; v < 2; v++) {
		open_tcp(&p, v);
		h_write(p.server, p.sfd, "bye", 3);
		CHECK_TLS(p.server, h_close(p.server, p.sfd));
		CHECK_TLS(p.server, h_close(p.server, p.sfd));
		expect_eof(p.client, p.cfd, "bye");
		CHECK_TLS(p.client, h_close(p.client, p.cfd));
		CHECK_TLS(p.client, h_close(p.client, p.cfd));
		h_pair_free(&p);
	}
	h_case = NULL;
}

/* An end without close_notify may be an attacker's. */
static void
bare_eof(void **state)
{
	struct h_pair p;
	int v;

	(void)state;
	for (v = 0; v < 2; v++) {
		open_tcp(&p, v);
		h_write(p.server, p.sfd, "cut", 3);
		tls_free(p.server);
		p.server = NULL;
		close(p.sfd);
		p.sfd = -1;
		expect_truncation(p.client, p.cfd, "cut");
		h_pair_free(&p);
	}
	h_case = NULL;
}

/* The same in the middle of a record, which is not delivered. */
static void
eof_in_record(void **state)
{
	struct h_relay r;
	struct h_pair p;
	char buf[16];
	int v;

	(void)state;
	for (v = 0; v < 2; v++) {
		open_relay(&p, v, &r);
		h_write(p.server, p.sfd, "whole", 5);
		h_read(p.client, p.cfd, buf, 5);
		h_relay_limit(r.to_client,
		    atomic_load(&r.to_client->bytes) + 10, H_RELAY_FIN);
		h_write(p.server, p.sfd, "half", 4);
		expect_truncation(p.client, p.cfd, "");
		h_pair_free(&p);
		h_relay_stop(&r);
	}
	h_case = NULL;
}

static void
reset(void **state)
{
	struct h_relay r;
	struct h_pair p;
	char buf[16];
	int v;

	(void)state;
	for (v = 0; v < 2; v++) {
		open_relay(&p, v, &r);
		h_write(p.server, p.sfd, "last", 4);
		h_read(p.client, p.cfd, buf, 4);
		h_relay_now(&r, H_RELAY_RST);
		CHECK_INT(h_read_some(p.client, p.cfd, buf, sizeof(buf)), -1);
		CHECK_HAS(tls_error(p.client), "read failed: ");
		CHECK_HAS(tls_error(p.client), "Connection reset by peer");
		/* And again, where LibreTLS says 0 with TLS 1.2. */
		if (h_proxy) {
			CHECK_INT(
			    h_read_some(p.client, p.cfd, buf, sizeof(buf)), -1);
			CHECK_HAS(tls_error(p.client),
			    "Connection reset by peer");
		}
		CHECK_INT(h_read_some(p.server, p.sfd, buf, sizeof(buf)), -1);
		CHECK_HAS(tls_error(p.server), "Connection reset by peer");
		h_pair_free(&p);
		h_relay_stop(&r);
	}
	h_case = NULL;
}

/* A writer hears of it as well, sooner or later, and gets no SIGPIPE. */
static void
reset_while_writing(void **state)
{
	static char buf[16384];
	struct h_relay r;
	struct h_pair p;
	ssize_t n;
	int v;

	(void)state;
	for (v = 0; v < 2; v++) {
		open_relay(&p, v, &r);
		h_relay_now(&r, H_RELAY_RST);
		for (;;) {
			errno = EXDEV;
			n = tls_write(p.client, buf, sizeof(buf));
			CHECK_INT(errno, 0);
			if (n == -1)
				break;
			if (n < 0)
				h_want(p.cfd, n);
		}
		CHECK_HAS(tls_error(p.client), "write failed: ");
		if (h_proxy)
			CHECK_HAS(tls_error(p.client), "reset by peer");
		h_pair_free(&p);
		h_relay_stop(&r);
	}
	h_case = NULL;
}

/* A bit changes on the way: both ends fail, and say why. */
static void
bad_record(void **state)
{
	struct h_relay r;
	struct h_pair p;
	char buf[16];
	int v;

	(void)state;
	for (v = 0; v < 2; v++) {
		open_relay(&p, v, &r);
		h_write(p.server, p.sfd, "good", 4);
		h_read(p.client, p.cfd, buf, 4);
		h_relay_limit(r.to_client,
		    atomic_load(&r.to_client->bytes) + 12, H_RELAY_FLIP);
		h_write(p.server, p.sfd, "bad", 3);
		CHECK_INT(h_read_some(p.client, p.cfd, buf, sizeof(buf)), -1);
		CHECK_HAS(tls_error(p.client), "read failed: ");
		if (h_proxy) {
			CHECK_INT(
			    h_read_some(p.client, p.cfd, buf, sizeof(buf)), -1);
			CHECK_HAS(tls_error(p.client), "read failed: ");
		}
		CHECK_INT(h_read_some(p.server, p.sfd, buf, sizeof(buf)), -1);
		CHECK_HAS(tls_error(p.server), "alert bad record mac");
		h_pair_free(&p);
		h_relay_stop(&r);
	}
	h_case = NULL;
}

/*
 * Each ending after each amount of data, in both directions. What the death of
 * goproxy looks like is in test_kill.c.
 */
enum ending { CLOSE_NOTIFY, FIN, RESET, BAD_RECORD };
static const char *const ending_names[] = { "close_notify", "end of file",
	"reset", "bad record" };

struct matrix_case {
	enum ending ending;
	int to_server; /* the direction of the data */
	int version;
	int blocking; /* the end that reads */
	size_t size;
};

static void
check_ending(const struct matrix_case *c, struct tls *ctx, int fd)
{
	char buf[16];
	int i;

	for (i = 0; i < 2; i++) {
		switch (c->ending) {
		case CLOSE_NOTIFY:
		case FIN:
			CHECK_INT(h_read_some(ctx, fd, buf, sizeof(buf)), 0);
			break;
		case RESET:
			CHECK_INT(h_read_some(ctx, fd, buf, sizeof(buf)), -1);
			CHECK_HAS(tls_error(ctx), "read failed: ");
			CHECK_HAS(tls_error(ctx), "Connection reset by peer");
			break;
		case BAD_RECORD:
			CHECK_INT(h_read_some(ctx, fd, buf, sizeof(buf)), -1);
			CHECK_HAS(tls_error(ctx), "read failed: ");
			CHECK_HAS(tls_error(ctx), "bad decrypt");
			break;
		}
	}
	switch (c->ending) {
	case CLOSE_NOTIFY:
		CHECK_TLS(ctx, h_close(ctx, fd));
		break;
	case FIN:
		CHECK_INT(h_close(ctx, fd), -1);
		CHECK_STR(tls_error(ctx), "EOF without close notify");
		break;
	case RESET:
	case BAD_RECORD:
		CHECK_INT(h_close(ctx, fd), -1);
		CHECK_HAS(tls_error(ctx), "shutdown failed: ");
		break;
	}
}

static void
run_matrix_case(const struct matrix_case *c, const char *name)
{
	static uint8_t buf[100000];
	struct h_stream stream = { .seed = 11 };
	struct h_relay_direction *d;
	struct tls **from, *to;
	struct h_relay r;
	struct h_pair p;
	int *from_fd, to_fd;

	open_relay(&p, c->version, &r);
	h_case = name;
	from = c->to_server ? &p.client : &p.server;
	from_fd = c->to_server ? &p.cfd : &p.sfd;
	to = c->to_server ? p.server : p.client;
	to_fd = c->to_server ? p.sfd : p.cfd;
	d = c->to_server ? r.to_server : r.to_client;

	h_stream_fill(&stream, buf, c->size);
	h_write(*from, *from_fd, buf, c->size);
	if (c->ending == CLOSE_NOTIFY)
		CHECK_TLS(*from, h_close(*from, *from_fd));
	if (c->ending == FIN) {
		tls_free(*from);
		*from = NULL;
		close(*from_fd);
		*from_fd = -1;
	}
	h_nonblock(to_fd, !c->blocking);
	if (c->blocking)
		to_fd = -1;
	memset(buf, 0, sizeof(buf));
	h_read(to, to_fd, buf, c->size);
	stream.pos = 0;
	h_stream_check(&stream, buf, c->size);
	/* What is on its way would be lost or changed by these. */
	if (c->ending == RESET)
		h_relay_now(&r, H_RELAY_RST);
	if (c->ending == BAD_RECORD) {
		h_relay_limit(d, atomic_load(&d->bytes) + 10, H_RELAY_FLIP);
		h_write(*from, *from_fd, "bad", 3);
	}
	check_ending(c, to, to_fd);
	h_pair_free(&p);
	h_relay_stop(&r);
}

static void
matrix(void **state)
{
	static const size_t sizes[] = { 0, 1, 16384, 16385, 100000 };
	struct matrix_case c;
	char name[128];
	size_t i;
	int n;

	(void)state;
	/* LibreTLS has other texts, and see expect_truncation. */
	PROXY_ONLY();
	for (n = 0; n < 32; n++) {
		for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			c.ending = (enum ending)(n >> 3);
			c.to_server = n & 1;
			c.version = n >> 1 & 1;
			c.blocking = n >> 2 & 1;
			c.size = sizes[i];
			snprintf(name, sizeof(name),
			    "%s, %s after %zu bytes to the %s%s",
			    versions[c.version].name, ending_names[c.ending],
			    c.size, c.to_server ? "server" : "client",
			    c.blocking ? ", blocking" : "");
			run_matrix_case(&c, name);
		}
	}
	h_case = NULL;
}

static void
worker_killed(void **state)
{
	struct h_pair p;
	pid_t worker;
	char buf[16];
	int v;

	(void)state;
	PROXY_ONLY();
	for (v = 0; v < 2; v++) {
		open_tcp(&p, v);
		h_pair_echo(&p);
		worker = h_wait_helper("worker", -1);
		CHECK_INT(kill(worker, SIGKILL), 0);
		if (h_app) /* whose descriptors do not wake the program */
			h_wait_gone(worker);
		CHECK_INT(h_read_some(p.client, p.cfd, buf, sizeof(buf)), -1);
		CHECK_HAS(tls_error(p.client), "goproxy");
		CHECK_INT(h_read_some(p.client, p.cfd, buf, sizeof(buf)), -1);
		CHECK_HAS(tls_error(p.client), "goproxy");
		CHECK_INT(h_close(p.client, p.cfd), -1);
		CHECK_HAS(tls_error(p.client), "goproxy");
		CHECK_INT(tls_write(p.server, "x", 1), -1);
		CHECK_HAS(tls_error(p.server), "goproxy");
		CHECK_INT(h_close(p.server, p.sfd), -1);
		CHECK_HAS(tls_error(p.server), "goproxy");
		h_pair_free(&p);
		h_wait_helper("worker", worker);
	}
	h_case = NULL;
}

/*
 * A worker that computes for others is slow to answer. An end of file that has
 * arrived waits for it no more than data does.
 */
static void
end_without_worker(void **state)
{
	struct h_pair p;
	int64_t start;
	char buf[16];
	pid_t worker;
	ssize_t n;
	int v;

	(void)state;
	PROXY_ONLY();
	if (h_app)
		skip();
	for (v = 0; v < 4; v++) {
		open_tcp(&p, v % 2);
		h_write(p.server, p.sfd, "data", 4);
		/* With close_notify, and without. */
		if (v < 2)
			CHECK_TLS(p.server, h_close(p.server, p.sfd));
		else
			CHECK_INT(shutdown(p.sfd, SHUT_WR), 0);
		h_read(p.client, p.cfd, buf, 4);
		h_poll(p.cfd, POLLIN, H_WAIT);
		worker = h_wait_helper("worker", -1);
		h_stop(worker);
		start = h_now();
		n = tls_read(p.client, buf, sizeof(buf));
		start = h_now() - start;
		CHECK_INT(kill(worker, SIGCONT), 0);
		CHECK_INT(n, 0);
		CHECK(start < h_ms(100));
		CHECK_INT(h_read_some(p.client, p.cfd, buf, sizeof(buf)), 0);
		CHECK_INT(h_close(p.client, p.cfd), v < 2 ? 0 : -1);
		if (v >= 2)
			CHECK_STR(tls_error(p.client),
			    "EOF without close notify");
		h_pair_free(&p);
	}
	h_case = NULL;
}

/* After the peer's close_notify our direction is still open. */
static void
write_after_close_notify(void **state)
{
	struct h_relay r;
	struct h_pair p;
	int64_t deadline;
	char buf[64];
	int records, v;

	(void)state;
	for (v = 0; v < 2; v++) {
		open_relay(&p, v, &r);
		CHECK_TLS(p.server, h_close(p.server, p.sfd));
		CHECK_INT(h_read_some(p.client, p.cfd, buf, sizeof(buf)), 0);
		records = atomic_load(&r.to_server->records);
		h_write(p.client, p.cfd, "still here", 10);
		deadline = h_now() + H_WAIT;
		while (atomic_load(&r.to_server->records) == records)
			h_pause(deadline, "the record");
		CHECK_INT(atomic_load(&r.to_server->last_type), 23);
		CHECK_TLS(p.client, h_close(p.client, p.cfd));
		h_pair_free(&p);
		h_relay_stop(&r);
	}
	h_case = NULL;
}

/* As "nc -N" does it: the other direction goes on. */
static void
half_close_by_shutdown(void **state)
{
	struct h_pair p;
	int v;

	(void)state;
	/* In LibreTLS the end of one direction is that of both, see above. */
	PROXY_ONLY();
	for (v = 0; v < 2; v++) {
		open_tcp(&p, v);
		h_write(p.client, p.cfd, "request", 7);
		CHECK_INT(shutdown(p.cfd, SHUT_WR), 0);
		expect_eof(p.server, p.sfd, "request");
		h_write(p.server, p.sfd, "response", 8);
		CHECK_INT(h_close(p.server, p.sfd), -1);
		CHECK_STR(tls_error(p.server), "EOF without close notify");
		expect_eof(p.client, p.cfd, "response");
		/* No close_notify can follow what was shut down. */
		CHECK_INT(h_close(p.client, p.cfd), -1);
		h_pair_free(&p);
	}
	h_case = NULL;
}

/* What the peer sent before our tls_close is not lost by it. */
static void
close_with_unread_data(void **state)
{
	struct h_pair p;
	char buf[16];
	int v;

	(void)state;
	for (v = 0; v < 2; v++) {
		open_tcp(&p, v);
		h_write(p.server, p.sfd, "unread", 6);
		h_poll(p.cfd, POLLIN, H_WAIT);
		h_write(p.client, p.cfd, "last words", 10);
		CHECK_TLS(p.client, h_close(p.client, p.cfd));
		h_read(p.server, p.sfd, buf, 10);
		CHECK_MEM(buf, "last words", 10);
		CHECK_INT(h_read_some(p.server, p.sfd, buf, sizeof(buf)), 0);
		CHECK_TLS(p.server, h_close(p.server, p.sfd));
		h_read(p.client, p.cfd, buf, 6);
		CHECK_MEM(buf, "unread", 6);
		CHECK_INT(tls_write(p.client, "x", 1), -1);
		CHECK_HAS(tls_error(p.client), "write failed: ");
		h_pair_free(&p);
	}
	h_case = NULL;
}

static in_port_t
peer_port(int fd)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);

	CHECK_INT(getpeername(fd, (struct sockaddr *)&sin, &len), 0);
	CHECK_INT(sin.sin_family, AF_INET);
	return sin.sin_port;
}

/*
 * tls_close ends the program's direction only. What the peer answers can still
 * be read, even if it was written long after, and when its end has come the
 * descriptor is the network's.
 */
static void
read_on_after_close(void **state)
{
	struct h_pair p;
	in_port_t port;
	char buf[16];
	int v, i, a, b;

	(void)state;
	for (v = 0; v < 4; v++) {
		h_tcp_pair(&a, &b);
		port = peer_port(a);
		open_pair(&p, v % 2, a, b);
		h_write(p.client, p.cfd, "request", 7);
		CHECK_TLS(p.client, h_close(p.client, p.cfd));
		expect_eof(p.server, p.sfd, "request");
		for (i = 0; i < 3; i++) {
			CHECK_INT(tls_read(p.client, buf, sizeof(buf)),
			    TLS_WANT_POLLIN);
			h_write(p.server, p.sfd, "answer", 6);
			h_read(p.client, p.cfd, buf, 6);
			CHECK_MEM(buf, "answer", 6);
			CHECK_INT(tls_write(p.client, "x", 1), -1);
			CHECK_HAS(tls_error(p.client), "protocol is shutdown");
			if (v >= 2) {
				CHECK_TLS(p.client, h_close(p.client, p.cfd));
				CHECK_INT(peer_port(p.cfd), port);
			}
		}
		h_write(p.server, p.sfd, "the end", 7);
		CHECK_TLS(p.server, h_close(p.server, p.sfd));
		expect_eof(p.client, p.cfd, "the end");
		CHECK_INT(peer_port(p.cfd), port);
		CHECK(fcntl(p.cfd, F_GETFL) & O_NONBLOCK);
		CHECK_INT(fcntl(p.cfd, F_GETFD), FD_CLOEXEC);
		h_send(p.sfd, "plain", 5);
		h_recv(p.cfd, buf, 5);
		CHECK_MEM(buf, "plain", 5);
		CHECK_TLS(p.client, h_close(p.client, p.cfd));
		h_pair_free(&p);
	}
	h_case = NULL;
}

/* The other endings, when the program has closed before. */
static void
endings_after_close(void **state)
{
	struct h_relay r;
	struct h_pair p;
	char buf[16];
	int i, v;

	(void)state;
	PROXY_ONLY();
	for (v = 0; v < 2; v++) {
		open_tcp(&p, v);
		CHECK_TLS(p.client, h_close(p.client, p.cfd));
		h_write(p.server, p.sfd, "some", 4);
		CHECK_INT(shutdown(p.sfd, SHUT_WR), 0);
		expect_truncation(p.client, p.cfd, "some");
		h_pair_free(&p);

		open_relay(&p, v, &r);
		CHECK_TLS(p.client, h_close(p.client, p.cfd));
		CHECK_INT(tls_read(p.client, buf, 1), TLS_WANT_POLLIN);
		h_relay_limit(r.to_client,
		    atomic_load(&r.to_client->bytes) + 12, H_RELAY_FLIP);
		h_write(p.server, p.sfd, "some", 4);
		for (i = 0; i < 2; i++) {
			CHECK_INT(h_read_some(p.client, p.cfd, buf, 16), -1);
			CHECK_HAS(tls_error(p.client), "bad decrypt");
		}
		h_pair_free(&p);
		h_relay_stop(&r);
	}
	h_case = NULL;
}

/* FTP's CCC: TLS ends, and the connection goes on without. */
static void
plaintext_afterwards(void **state)
{
	struct h_pair p;
	in_port_t cport, sport;
	char buf[16];
	int v, a, b, first;

	(void)state;
	for (v = 0; v < 4; v++) {
		first = v >= 2; /* speak before the other end has closed */
		h_tcp_pair(&a, &b);
		cport = peer_port(a);
		sport = peer_port(b);
		open_pair(&p, v % 2, a, b);
		h_pair_echo(&p);
		CHECK_TLS(p.client, h_close(p.client, p.cfd));
		CHECK_INT(peer_port(p.cfd), cport);
		CHECK(fcntl(p.cfd, F_GETFL) & O_NONBLOCK);
		CHECK_INT(fcntl(p.cfd, F_GETFD), FD_CLOEXEC);
		if (first)
			h_send(p.cfd, "plain", 5);
		CHECK_INT(h_read_some(p.server, p.sfd, buf, sizeof(buf)), 0);
		CHECK_TLS(p.server, h_close(p.server, p.sfd));
		CHECK_INT(peer_port(p.sfd), sport);
		if (!first)
			h_send(p.cfd, "plain", 5);
		h_recv(p.sfd, buf, 5);
		CHECK_MEM(buf, "plain", 5);

		/* LibreTLS has not read the close_notify that lies there. */
		if (h_proxy) {
			struct pollfd pfd = { .fd = p.cfd, .events = POLLIN };
			uint8_t record[5];
			size_t len;

			/* A close_notify may come first: we did not wait. */
			h_send(p.sfd, "answer", 6);
			CHECK_INT(poll(&pfd, 1, H_WAIT), 1);
			h_recv(p.cfd, record, 5);
			if (record[0] != 'a') {
				len = (size_t)record[3] << 8 | record[4];
				CHECK(len < 100);
				while (len-- > 0)
					h_recv(p.cfd, buf, 1);
				h_recv(p.cfd, buf, 6);
				CHECK_MEM(buf, "answer", 6);
			} else {
				h_recv(p.cfd, buf, 1);
				CHECK_MEM(record, "answe", 5);
				CHECK_INT(buf[0], 'r');
			}
		}
		tls_free(p.client);
		tls_free(p.server);
		p.client = p.server = NULL;
		CHECK_INT(peer_port(p.cfd), cport);
		h_pair_free(&p);
	}
	h_case = NULL;
}

/* tls_close is done when everything is on the wire, and not before. */
static void
close_waits_for_the_reader(void **state)
{
	static char buf[16384];
	struct pollfd pfd;
	struct h_pair p;
	size_t total = 0, got = 0;
	int a, b, rv, stuck, v;
	ssize_t n;

	(void)state;
	/* LibreSSL and LibreTLS lose the close_notify here. */
	PROXY_ONLY();
	for (v = 0; v < 2; v++) {
		total = got = 0;
		/* TCP may find room later, when nobody has read anything. */
		h_socketpair(SOCK_STREAM | SOCK_NONBLOCK, &a, &b);
		open_pair(&p, v, a, b);
		/* A socket takes a little even where poll does not say so. */
		for (stuck = 0; stuck < 2;) {
			n = tls_write(p.client, buf, sizeof(buf));
			if (n == TLS_WANT_POLLOUT) {
				pfd.fd = p.cfd;
				pfd.events = POLLOUT;
				stuck += poll(&pfd, 1, h_ms(200)) == 0;
				continue;
			}
			CHECK(n > 0);
			total += (size_t)n;
			stuck = 0;
		}
		/* What is encrypted goes, as the record that libtls keeps. */
		if (h_app)
			total += sizeof(buf);
		rv = tls_close(p.client);
		CHECK(rv == TLS_WANT_POLLOUT || rv == TLS_WANT_POLLIN);
		rv = tls_close(p.client);
		CHECK(rv == TLS_WANT_POLLOUT || rv == TLS_WANT_POLLIN);
		while (got < total) {
			n = h_read_some(p.server, p.sfd, buf, sizeof(buf));
			CHECK(n > 0);
			got += (size_t)n;
			if (rv != 0) {
				rv = tls_close(p.client);
				CHECK(rv != -1);
			}
		}
		CHECK_INT(got, total);
		CHECK_TLS(p.client, h_close(p.client, p.cfd));
		CHECK_INT(h_read_some(p.server, p.sfd, buf, sizeof(buf)), 0);
		CHECK_TLS(p.server, h_close(p.server, p.sfd));
		h_pair_free(&p);
	}
	h_case = NULL;
}

/* Whether this process's first thread waits in a call. */
static int
is_asleep(void)
{
	char state = '?';
	FILE *f;

	if ((f = fopen("/proc/self/stat", "re")) != NULL) {
		(void)!fscanf(f, "%*d %*s %c", &state);
		fclose(f);
	}
	return state == 'S';
}

/* The peer of a program that waits in tls_read after tls_close. */
struct late_peer {
	struct tls *ctx;
	int network; /* the program's */
};

static void *
speak_late(void *arg)
{
	static char buf[65536];
	const struct timespec ms = { 0, 1000000 };
	const int64_t deadline = h_now() + H_WAIT;
	struct late_peer *l = arg;
	int asleep = 0, unread;

	while (asleep < 5 && h_now() < deadline) {
		nanosleep(&ms, NULL);
		asleep = is_asleep() ? asleep + 1 : 0;
	}
	(void)tls_write(l->ctx, "late", 4);
	while (tls_close(l->ctx) < -1 && h_now() < deadline)
		nanosleep(&ms, NULL);
	while (ioctl(l->network, FIONREAD, &unread) == 0 && unread > 0 &&
	       h_now() < deadline)
		nanosleep(&ms, NULL);
	/* All that keeps the program's tls_close from being done. */
	while (tls_read(l->ctx, buf, sizeof(buf)) != 0 && h_now() < deadline)
		;
	return NULL;
}

/* What the peer says while tls_close is not done yet is no end of file. */
static void
data_before_close_is_done(void **state)
{
	static char buf[65536];
	struct late_peer late;
	struct pollfd pfd;
	pthread_t thread;
	struct h_pair p;
	int a, b, rv, v;
	ssize_t n;

	(void)state;
	PROXY_ONLY();
	/* There tls_read waits for what is written. */
	if (h_app)
		skip();
	for (v = 0; v < 2; v++) {
		h_socketpair(SOCK_STREAM | SOCK_NONBLOCK, &a, &b);
		late.network = fcntl(a, F_DUPFD_CLOEXEC, 0);
		CHECK(late.network != -1);
		open_pair(&p, v, a, b);
		pfd.fd = p.cfd;
		pfd.events = POLLOUT;
		do
			n = tls_write(p.client, buf, sizeof(buf));
		while (n > 0 || poll(&pfd, 1, h_ms(200)) == 1);
		CHECK_INT(n, TLS_WANT_POLLOUT);
		while ((rv = tls_close(p.client)) == TLS_WANT_POLLOUT)
			CHECK(h_read_some(p.server, p.sfd, buf, 16384) > 0);
		CHECK_INT(rv, TLS_WANT_POLLIN);
		h_nonblock(p.cfd, 0);
		late.ctx = p.server;
		CHECK_INT(pthread_create(&thread, NULL, speak_late, &late), 0);
		n = tls_read(p.client, buf, sizeof(buf));
		rv = tls_read(p.client, buf + 4, sizeof(buf) - 4) == 0;
		pthread_join(thread, NULL);
		CHECK_INT(n, 4);
		CHECK_MEM(buf, "late", 4);
		CHECK(rv);
		CHECK_TLS(p.client, tls_close(p.client));
		close(late.network);
		h_pair_free(&p);
	}
	h_case = NULL;
}

static void
set_timeout(int fd, int name, int seconds)
{
	const struct timeval tv = { seconds, 0 };

	CHECK_INT(setsockopt(fd, SOL_SOCKET, name, &tv, sizeof(tv)), 0);
}

static int
timeout(int fd, int name)
{
	struct timeval tv;
	socklen_t len = sizeof(tv);

	CHECK_INT(getsockopt(fd, SOL_SOCKET, name, &tv, &len), 0);
	return (int)tv.tv_sec;
}

/* The socket that comes back has the program's time-outs. */
static void
timeouts_after_close(void **state)
{
	struct h_pair p;
	int v;

	(void)state;
	for (v = 0; v < 2; v++) {
		open_tcp(&p, v);
		set_timeout(p.cfd, SO_RCVTIMEO, 7);
		set_timeout(p.cfd, SO_SNDTIMEO, v * 3);
		h_nonblock(p.cfd, 0);
		CHECK_TLS(p.client, tls_close(p.client));
		CHECK_INT(timeout(p.cfd, SO_RCVTIMEO), 7);
		CHECK_INT(timeout(p.cfd, SO_SNDTIMEO), v * 3);
		h_pair_free(&p);
	}
	h_case = NULL;
}

/* A number that was used again is not read from after tls_close. */
static void
close_with_foreign_descriptor(void **state)
{
	struct tls_config *cconfig, *sconfig;
	struct h_pair p = { 0 };
	char buf[16] = "";
	int a, mine, other, fd;

	(void)state;
	PROXY_ONLY();
	/* As in libtls, which reads from what has the number. */
	if (h_app)
		skip();
	cconfig = h_client_config();
	sconfig = h_server_config("ecdsa");
	h_tcp_pair(&a, &p.sfd);
	h_nonblock(a, 1);
	h_nonblock(p.sfd, 1);
	CHECK((p.cfd = fcntl(a, F_DUPFD_CLOEXEC, 0)) != -1);
	p.client = h_client(cconfig);
	p.base = h_server(sconfig);
	CHECK_TLS(p.client, tls_connect_fds(p.client, a, p.cfd, "localhost"));
	CHECK_TLS(p.base, tls_accept_socket(p.base, &p.server, p.sfd));
	fd = p.cfd;
	p.cfd = a;
	CHECK_PAIR(&p);

	h_socketpair(SOCK_STREAM, &mine, &other);
	CHECK_INT(dup3(mine, a, O_CLOEXEC), a);
	h_send(other, "secret", 6);
	CHECK_TLS(p.client, h_close(p.client, fd));
	CHECK_INT(tls_read(p.client, buf, sizeof(buf)), -1);
	h_recv(a, buf, 6);
	CHECK_MEM(buf, "secret", 6);
	close(fd);
	close(mine);
	close(other);
	h_pair_free(&p);
	tls_config_free(cconfig);
	tls_config_free(sconfig);
}

/* Before the handshake is over there is nothing to close. */
static void
close_in_handshake(void **state)
{
	struct tls_config *config;
	struct tls *client, *base, *server;
	int a, b;

	(void)state;
	/* Not asked for yet, as far as the program knows. */
	h_tcp_pair(&a, &b);
	h_nonblock(a, 1);
	config = h_client_config();
	client = h_client(config);
	CHECK_TLS(client, tls_connect_socket(client, a, "localhost"));
	CHECK_TLS(client, tls_close(client));
	tls_free(client);
	tls_config_free(config);
	close(a);
	close(b);

	h_tcp_pair(&a, &b);
	h_nonblock(a, 1);
	config = h_server_config("ecdsa");
	base = h_server(config);
	CHECK_TLS(base, tls_accept_socket(base, &server, a));
	CHECK_INT(tls_handshake(server), TLS_WANT_POLLIN);
	if (h_proxy) /* "shutdown while in init", says OpenSSL */
		CHECK_TLS(server, tls_close(server));
	tls_free(server);
	tls_free(base);
	tls_config_free(config);
	close(a);
	close(b);
}

/* Programs that close first and free later must not lose another file. */
static void
close_then_free(void **state)
{
	struct h_pair p;
	int fd, v;

	(void)state;
	for (v = 0; v < 2; v++) {
		open_tcp(&p, v);
		CHECK((fd = open("/dev/null", O_RDWR | O_CLOEXEC)) != -1);
		CHECK_INT(dup3(fd, p.cfd, O_CLOEXEC), p.cfd);
		close(fd);
		if (v == 1 && h_proxy) {
			CHECK_INT(tls_close(p.client), -1);
			CHECK(tls_error(p.client) != NULL);
		}
		tls_free(p.client);
		p.client = NULL;
		CHECK_INT(write(p.cfd, "x", 1), 1);
		CHECK_INT(fcntl(p.cfd, F_GETFL) & O_ACCMODE, O_RDWR);
		h_pair_free(&p);
	}
	h_case = NULL;
}

/*
 * What a program writes, and then ends. writer MODE: with tls_close or only
 * close, or neither.
 */
#define MESSAGE 40000

static void
write_and_end(struct tls *conn, int fd, const char *mode)
{
	static uint8_t buf[MESSAGE];
	struct h_stream s = { .seed = 7 };

	h_stream_fill(&s, buf, sizeof(buf));
	h_write(conn, fd, buf, sizeof(buf));
	if (strcmp(mode, "tls_close") == 0)
		CHECK_TLS(conn, h_close(conn, fd));
	else if (strcmp(mode, "close") == 0)
		close(fd);
	_exit(0);
}

static int
writer_peer(int argc, char **argv)
{
	struct tls_config *config;
	struct tls *base, *conn;

	(void)argc;
	config = h_server_config("ecdsa");
	base = h_server(config);
	CHECK_TLS(base, tls_accept_socket(base, &conn, H_KEPT));
	write_and_end(conn, H_KEPT, argv[1]);
	return 1;
}

static void
expect_message(struct tls *client, int fd, const char *mode)
{
	static uint8_t buf[MESSAGE], want[MESSAGE];
	struct h_stream s = { .seed = 7 };

	h_stream_fill(&s, want, sizeof(want));
	CHECK_TLS(client, h_handshake(client, fd));
	h_read(client, fd, buf, sizeof(buf));
	CHECK_MEM(buf, want, sizeof(buf));
	if (strcmp(mode, "tls_close") != 0) {
		expect_truncation(client, fd, "");
		return;
	}
	expect_eof(client, fd, "");
	CHECK_TLS(client, h_close(client, fd));
}

/* Each time a program with a goproxy of its own. */
static void
write_and_exit(void **state)
{
	static const struct {
		const char *mode;
		int times;
	} cases[] = { { "tls_close", 100 }, { "close", 50 }, { "exit", 50 } };
	struct tls_config *config;
	struct tls *client;
	char name[64];
	size_t i;
	int a, b, n;
	pid_t peer;

	(void)state;
	config = h_client_config();
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (n = 0; n < cases[i].times; n++) {
			snprintf(name, sizeof(name), "%s, time %d",
			    cases[i].mode, n);
			h_case = name;
			h_tcp_pair(&a, &b);
			peer = h_start(&b, 1, "writer", cases[i].mode,
			    (char *)NULL);
			close(b);
			client = h_client(config);
			CHECK_TLS(client,
			    tls_connect_socket(client, a, "localhost"));
			expect_message(client, a, cases[i].mode);
			CHECK_INT(h_wait_exit(peer), 0);
			tls_free(client);
			close(a);
		}
	}
	tls_config_free(config);
	h_case = NULL;
}

/*
 * The same many times: a program that forks for each connection, as a UCSPI
 * server or a small daemon does.
 */
static void
end_many_times(const char *mode, int times)
{
	struct tls_config *cconfig, *sconfig;
	struct tls *client, *base, *conn;
	char name[64];
	pid_t pid;
	int a, b, n, status;

	cconfig = h_client_config();
	sconfig = h_server_config("ecdsa");
	base = h_server(sconfig);
	for (n = 0; n < times; n++) {
		snprintf(name, sizeof(name), "%s, time %d", mode, n);
		h_case = name;
		h_tcp_pair(&a, &b);
		if ((pid = fork()) == -1)
			FAIL("fork: %s", strerror(errno));
		if (pid == 0) {
			close(a);
			CHECK_TLS(base, tls_accept_socket(base, &conn, b));
			write_and_end(conn, b, mode);
		}
		close(b);
		client = h_client(cconfig);
		CHECK_TLS(client, tls_connect_socket(client, a, "localhost"));
		expect_message(client, a, mode);
		while (waitpid(pid, &status, 0) == -1)
			CHECK_INT(errno, EINTR);
		CHECK_INT(status, 0);
		tls_free(client);
		close(a);
	}
	tls_free(base);
	tls_config_free(cconfig);
	tls_config_free(sconfig);
	h_case = NULL;
}

static void
write_tls_close_exit(void **state)
{
	(void)state;
	end_many_times("tls_close", h_long() ? 10000 : 1000);
}

static void
write_close_exit(void **state)
{
	(void)state;
	end_many_times("close", h_long() ? 10000 : 200);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(close_notify),
	cmocka_unit_test(bare_eof),
	cmocka_unit_test(eof_in_record),
	cmocka_unit_test(reset),
	cmocka_unit_test(reset_while_writing),
	cmocka_unit_test(bad_record),
	cmocka_unit_test(matrix),
	cmocka_unit_test(worker_killed),
	cmocka_unit_test(end_without_worker),
	cmocka_unit_test(write_after_close_notify),
	cmocka_unit_test(half_close_by_shutdown),
	cmocka_unit_test(close_with_unread_data),
	cmocka_unit_test(read_on_after_close),
	cmocka_unit_test(endings_after_close),
	cmocka_unit_test(plaintext_afterwards),
	cmocka_unit_test(close_waits_for_the_reader),
	cmocka_unit_test(data_before_close_is_done),
	cmocka_unit_test(timeouts_after_close),
	cmocka_unit_test(close_with_foreign_descriptor),
	cmocka_unit_test(close_in_handshake),
	cmocka_unit_test(close_then_free),
	cmocka_unit_test(write_and_exit),
	cmocka_unit_test(write_tls_close_exit),
	cmocka_unit_test(write_close_exit),
};

static const struct h_peer peers[] = { { "writer", writer_peer } };

H_MAIN(tests, peers)

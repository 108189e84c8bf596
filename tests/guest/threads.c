/* SPDX-License-Identifier: ISC */
/* Hosts with threads: a context each, or two on the ends of one. */

#include <sys/prctl.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

#define THREADS 32

static struct tls *base;
static pthread_barrier_t barrier;

static void
run_threads(void *(*fn)(void *), int n)
{
	pthread_t threads[THREADS];
	int i;

	CHECK_INT(pthread_barrier_init(&barrier, NULL, (unsigned int)n), 0);
	for (i = 0; i < n; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, fn, NULL), 0);
	for (i = 0; i < n; i++)
		CHECK_INT(pthread_join(threads[i], NULL), 0);
	pthread_barrier_destroy(&barrier);
}

static void *
use_server(void *arg)
{
	int n;

	pthread_barrier_wait(&barrier);
	for (n = 0; n < 3; n++)
		guest_use_server(base, NULL);
	return arg;
}

/* 32 that accept on one server context, each connected by itself. */
static void
one_server_context(void)
{
	struct tls_config *config;

	config = h_server_config("ecdsa");
	base = h_server(config);
	tls_config_free(config);
	run_threads(use_server, THREADS);
	tls_free(base);
}

/* Each of them has no socket to give: that is all that happens. */
static void *
fail_to_accept(void *arg)
{
	struct tls *conn;
	int n;

	pthread_barrier_wait(&barrier);
	for (n = 0; n < 300; n++)
		CHECK_INT(tls_accept_socket(base, &conn, -1), -1);
	return arg;
}

static void
failures_on_one_server_context(void)
{
	struct tls_config *config;

	config = h_server_config("ecdsa");
	base = h_server(config);
	tls_config_free(config);
	run_threads(fail_to_accept, 8);
	CHECK_HAS(tls_error(base), "invalid file descriptors");
	guest_use_server(base, NULL);
	tls_free(base);
}

/* 32 with contexts and configurations of their own, from the first call on. */
static void *
use(void *arg)
{
	pthread_barrier_wait(&barrier);
	guest_use();
	return arg;
}

static void
contexts_of_their_own(void)
{
	/* So that the helpers are children to be counted. */
	CHECK_INT(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	run_threads(use, THREADS);
	/* One supervisor, keeper and worker for all of them. */
	CHECK_INT(h_helpers(), h_proxy ? 3 : 0);
}

static struct tls_config *shared;

static void *
use_config(void *arg)
{
	int n;

	pthread_barrier_wait(&barrier);
	for (n = 0; n < 3; n++)
		guest_use_server(base, shared);
	return arg;
}

static void
one_client_configuration(void)
{
	struct tls_config *config;

	shared = h_client_config();
	config = h_server_config("ecdsa");
	base = h_server(config);
	tls_config_free(config);
	run_threads(use_config, 8);
	tls_free(base);
	tls_config_free(shared);
}

/* One thread reads while another writes, on both ends of a connection. */
#define AMOUNT (8 << 20)

struct direction {
	struct tls *ctx;
	int fd;
	uint64_t seed;
};

static void *
write_all(void *arg)
{
	struct direction *d = arg;
	struct h_stream s = { .seed = d->seed };
	uint8_t buf[20000];

	while (s.pos < AMOUNT) {
		h_stream_fill(&s, buf, sizeof(buf));
		h_write(d->ctx, d->fd, buf, sizeof(buf));
	}
	return arg;
}

static void *
read_all(void *arg)
{
	struct direction *d = arg;
	struct h_stream s = { .seed = d->seed };
	uint8_t buf[30000];
	ssize_t n;

	while (s.pos < AMOUNT) {
		n = h_read_some(d->ctx, d->fd, buf, sizeof(buf));
		CHECK(n > 0);
		h_stream_check(&s, buf, (size_t)n);
	}
	return arg;
}

static void
both_directions(int blocking)
{
	struct direction d[4];
	pthread_t threads[4];
	struct h_pair p;
	int i;

	h_pair_open(&p);
	h_nonblock(p.cfd, !blocking);
	h_nonblock(p.sfd, !blocking);
	for (i = 0; i < 4; i++) {
		d[i].ctx = i < 2 ? p.client : p.server;
		d[i].fd = i < 2 ? p.cfd : p.sfd;
		/* 0 writes to 3, 2 to 1. */
		d[i].seed = i == 0 || i == 3 ? 1 : 2;
		CHECK_INT(pthread_create(&threads[i], NULL,
			      i % 2 == 0 ? write_all : read_all, &d[i]),
		    0);
	}
	for (i = 0; i < 4; i++)
		CHECK_INT(pthread_join(threads[i], NULL), 0);
	CHECK_TLS(p.client, h_close(p.client, p.cfd));
	CHECK_TLS(p.server, h_close(p.server, p.sfd));
	h_pair_free(&p);
}

static void
reader_and_writer(void)
{
	both_directions(0);
	both_directions(1);
}

/* Both see the end, and each has an error of its own to print. */
static void *
write_until_error(void *arg)
{
	struct direction *d = arg;
	uint8_t buf[1000] = { 0 };
	ssize_t n;
	int i;

	for (i = 0; i < 100; i++) {
		do
			n = tls_write(d->ctx, buf, sizeof(buf));
		while (n > 0 || n == TLS_WANT_POLLOUT);
		CHECK_INT(n, -1);
		CHECK_HAS(tls_error(d->ctx), "write failed: ");
	}
	return arg;
}

static void *
read_until_error(void *arg)
{
	struct direction *d = arg;
	uint8_t buf[1000];
	ssize_t n;
	int i;

	for (i = 0; i < 100; i++) {
		do
			n = tls_read(d->ctx, buf, sizeof(buf));
		while (n == TLS_WANT_POLLIN);
		CHECK_INT(n, -1);
		CHECK_HAS(tls_error(d->ctx), "read failed: ");
	}
	return arg;
}

static void
reader_and_writer_fail(void)
{
	struct direction d;
	struct h_relay relay;
	struct tls_config *cconfig, *sconfig;
	pthread_t threads[2];
	struct h_pair p;
	char c;
	int a, b;

	h_relay_start(&relay, &a, &b);
	cconfig = h_client_config();
	sconfig = h_server_config("rsa");
	h_pair_start_on(&p, cconfig, sconfig, "localhost", a, b);
	tls_config_free(cconfig);
	tls_config_free(sconfig);
	h_pair_handshake(&p);
	h_pair_echo(&p);
	h_nonblock(p.cfd, 0);
	d.ctx = p.client;
	CHECK_INT(pthread_create(&threads[0], NULL, read_until_error, &d), 0);
	CHECK_INT(pthread_create(&threads[1], NULL, write_until_error, &d), 0);
	h_read(p.server, p.sfd, &c, 1);
	h_relay_now(&relay, H_RELAY_RST);
	CHECK_INT(pthread_join(threads[0], NULL), 0);
	CHECK_INT(pthread_join(threads[1], NULL), 0);
	/* Which had printed its own; this one is the last call's. */
	CHECK_INT(tls_close(p.client), -1);
	CHECK_HAS(tls_error(p.client), "shutdown failed: ");
	h_pair_free(&p);
	h_relay_stop(&relay);
}

/* A connection from hand to hand: each thread's errors are its own. */
static void *
read_byte(void *arg)
{
	struct direction *d = arg;
	char c;

	h_read(d->ctx, d->fd, &c, 1);
	CHECK_INT(c, 'q');
	h_write(d->ctx, d->fd, "a", 1);
	return arg;
}

static void
handed_on(void)
{
	struct direction d;
	struct h_pair p;
	pthread_t thread;
	char c;
	int i;

	h_pair_open(&p);
	d.ctx = p.server;
	d.fd = p.sfd;
	for (i = 0; i < 10; i++) {
		h_write(p.client, p.cfd, "q", 1);
		CHECK_INT(pthread_create(&thread, NULL, read_byte, &d), 0);
		CHECK_INT(pthread_join(thread, NULL), 0);
		h_read(p.client, p.cfd, &c, 1);
		CHECK_INT(c, 'a');
	}
	h_pair_free(&p);
}

/* goproxy does not end with the thread that started it. */
static void
starting_thread_ends(void)
{
	run_threads(use, 1);
	guest_use();
	h_pair_open(&(struct h_pair){ 0 });
	GUEST_END();
}

static const struct CMUnitTest tests[] = {
	GUEST(one_server_context),
	GUEST_FLAGS(failures_on_one_server_context, GUEST_PROXY),
	GUEST(contexts_of_their_own),
	GUEST(one_client_configuration),
	/* Others' contexts are for one thread at a time. */
	GUEST_FLAGS(reader_and_writer, GUEST_PROXY | GUEST_NO_APP),
	GUEST_FLAGS(reader_and_writer_fail, GUEST_PROXY | GUEST_NO_APP),
	GUEST(handed_on),
	GUEST(starting_thread_ends),
};

static const struct h_peer peers[] = { GUEST_PEER };

GUEST_MAIN(tests, peers)

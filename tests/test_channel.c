/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* What comes as no bytes: an end, or nothing but descriptors. */

#include <sys/socket.h>

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "channel.h"
#include "harness.h"

#define ROUNDS 20000

static pthread_barrier_t barrier;
static int other;

static void *
send_and_close(void *arg)
{
	int i;

	for (i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(&barrier);
		(void)!send(other, "m", 1, MSG_NOSIGNAL);
		close(other);
		pthread_barrier_wait(&barrier);
	}
	return arg;
}

/*
 * A message that comes right before the end of a channel is not taken for the
 * end, which Linux does where both come while it looks.
 */
static void
last_message(void **state)
{
	pthread_t thread;
	int i, pair[2];
	size_t nfds;
	ssize_t n;
	char c;

	(void)state;
	CHECK_INT(pthread_barrier_init(&barrier, NULL, 2), 0);
	CHECK_INT(pthread_create(&thread, NULL, send_and_close, NULL), 0);
	for (i = 0; i < ROUNDS; i++) {
		h_socketpair(SOCK_SEQPACKET, &pair[0], &pair[1]);
		other = pair[1];
		pthread_barrier_wait(&barrier);
		do {
			nfds = 0;
			n = tlsp_channel_recv(pair[0], &c, 1, NULL, &nfds,
			    MSG_DONTWAIT);
		} while (n == -1 && errno == EAGAIN);
		CHECK_INT(n, 1);
		pthread_barrier_wait(&barrier);
		close(pair[0]);
	}
	CHECK_INT(pthread_join(thread, NULL), 0);
	pthread_barrier_destroy(&barrier);
}

/* Descriptors without a byte are refused, and none stays open. */
static void
empty_message(void **state)
{
	const int std[] = { 0, 1 };
	int fds[2], pair[2], before;
	size_t nfds = 2;
	char c;

	(void)state;
	h_socketpair(SOCK_SEQPACKET, &pair[0], &pair[1]);
	before = h_fds();
	CHECK_INT(
	    tlsp_channel_send(pair[1], NULL, 0, std, 2, tlsp_deadline_in(1000)),
	    0);
	CHECK_INT(send(pair[1], "m", 1, MSG_NOSIGNAL), 1);
	CHECK_INT(tlsp_channel_recv(pair[0], &c, 1, fds, &nfds, 0), -1);
	CHECK_INT(errno, EPROTO);
	CHECK_INT(h_fds(), before);
	nfds = 2;
	CHECK_INT(tlsp_channel_recv(pair[0], &c, 1, fds, &nfds, 0), 1);
	CHECK_INT(nfds, 0);
	close(pair[0]);
	close(pair[1]);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(last_message),
	cmocka_unit_test(empty_message),
};

static const struct h_peer peers[] = { { NULL, NULL } };

H_MAIN(tests, peers)

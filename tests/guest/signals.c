/* SPDX-License-Identifier: ISC */
/* Hosts with signal handlers, timers and time-outs. */

#include <sys/socket.h>
#include <sys/time.h>

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

static volatile sig_atomic_t signals;
static sigjmp_buf jump;
static struct h_pair pair;
static int start[2];

static void
count_signal(int sig)
{
	(void)sig;
	signals++;
}

static void
jump_out(int sig)
{
	(void)sig;
	siglongjmp(jump, 1);
}

static void
handle_with(int sig, void (*handler)(int), int flags)
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = flags };

	sigemptyset(&sa.sa_mask);
	CHECK_INT(sigaction(sig, &sa, NULL), 0);
}

/* Without SA_RESTART: calls are to be interrupted. */
static void
handle(int sig, void (*handler)(int))
{
	handle_with(sig, handler, 0);
}

/* Signals until the timer is stopped: no call can be missed by them. */
static void
set_timer(int ms)
{
	struct itimerval timer = {
		.it_interval = { .tv_usec = ms * 1000 },
		.it_value = { .tv_usec = ms * 1000 },
	};

	CHECK_INT(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

/*
 * A child that sends this process a signal when it sleeps in a call: from
 * elsewhere, such as malloc(3), no handler may jump.
 */
static pid_t
signal_when_asleep(int sig)
{
	int64_t deadline = h_now() + H_WAIT;
	pid_t parent = getpid(), child;
	int asleep = 0, other;
	char path[64], state;
	FILE *f;

	CHECK((child = fork()) != -1);
	if (child != 0)
		return child;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)parent);
	while (asleep < 5) {
		h_pause(deadline, "the call to sleep");
		CHECK((f = fopen(path, "re")) != NULL);
		CHECK_INT(fscanf(f, "%d %*s %c", &other, &state), 2);
		fclose(f);
		asleep = state == 'S' ? asleep + 1 : 0;
	}
	CHECK_INT(kill(parent, sig), 0);
	_exit(0);
}

static void
open_blocking(struct h_pair *p)
{
	h_pair_open(p);
	h_pair_echo(p);
	h_nonblock(p->cfd, 0);
	h_nonblock(p->sfd, 0);
}

/* ftp, in its handler for SIGINT; then it closes and frees. */
static void
longjmp_out_of_read(void)
{
	static struct h_pair p;
	static pid_t child;
	char c;

	open_blocking(&p);
	handle(SIGINT, jump_out);
	child = signal_when_asleep(SIGINT);
	if (sigsetjmp(jump, 1) == 0) {
		tls_read(p.client, &c, 1);
		FAIL("tls_read has returned");
	}
	guest_wait(child);
	CHECK_TLS(p.client, h_close(p.client, p.cfd));
	CHECK_INT(h_read_some(p.server, p.sfd, &c, 1), 0);
	h_pair_free(&p);
	guest_use();
}

/* Or it asks the user and goes on reading. */
static void
longjmp_and_go_on(void)
{
	static struct h_pair p;
	static pid_t child;
	static int n;
	char c;

	open_blocking(&p);
	handle(SIGINT, jump_out);
	for (n = 0; n < 5; n++) {
		child = signal_when_asleep(SIGINT);
		if (sigsetjmp(jump, 1) == 0) {
			tls_read(p.client, &c, 1);
			FAIL("tls_read has returned");
		}
		guest_wait(child);
		h_pair_echo(&p);
	}
	h_pair_free(&p);
}

static void
longjmp_out_of_write(void)
{
	static struct h_pair p;
	static uint8_t buf[65536];
	static pid_t child;

	open_blocking(&p);
	handle(SIGINT, jump_out);
	child = signal_when_asleep(SIGINT);
	if (sigsetjmp(jump, 1) == 0) {
		for (;;)
			CHECK(tls_write(p.client, buf, sizeof(buf)) > 0);
	}
	guest_wait(child);
	tls_free(p.client);
	p.client = NULL;
	h_pair_free(&p);
	guest_use();
}

/* The peer does not answer. */
static void
longjmp_out_of_handshake(void)
{
	static struct tls *client;
	static int a, b;
	static pid_t child;
	struct tls_config *config;

	config = h_client_config();
	client = h_client(config);
	tls_config_free(config);
	h_tcp_pair(&a, &b);
	CHECK_TLS(client, tls_connect_socket(client, a, "localhost"));
	handle(SIGINT, jump_out);
	child = signal_when_asleep(SIGINT);
	if (sigsetjmp(jump, 1) == 0) {
		tls_handshake(client);
		FAIL("tls_handshake has returned");
	}
	guest_wait(child);
	if (tls_close(client) != 0) /* nothing was there to close */
		CHECK(!h_proxy);
	tls_free(client);
	close(a);
	close(b);
	guest_use();
}

static void
interrupted_read(void)
{
	struct h_pair p;
	char c;

	open_blocking(&p);
	handle(SIGALRM, count_signal);
	set_timer(10);
	errno = EXDEV;
	CHECK_INT(tls_read(p.client, &c, 1), TLS_WANT_POLLIN);
	CHECK_INT(errno, 0);
	CHECK(signals > 0);
	set_timer(0);
	h_pair_echo(&p);
	h_pair_free(&p);
}

/* Nothing is lost, and nothing comes twice. */
static void
interrupted_write(void)
{
	static uint8_t buf[65536], got[65536];
	struct h_stream s = { .seed = 3 }, want = { .seed = 3 };
	struct h_pair p;
	ssize_t n;

	open_blocking(&p);
	handle(SIGALRM, count_signal);
	set_timer(20);
	/* Until nothing more has room anywhere. */
	for (;;) {
		h_stream_fill(&s, buf, sizeof(buf));
		n = tls_write(p.client, buf, sizeof(buf));
		s.pos -= sizeof(buf);
		if (n < 0)
			break;
		s.pos += (uint64_t)n;
	}
	CHECK_INT(n, TLS_WANT_POLLOUT);
	CHECK(signals > 0);
	set_timer(0);
	/* Now there is; the call that was interrupted is made again. */
	h_nonblock(p.cfd, 1);
	h_nonblock(p.sfd, 1);
	while ((n = tls_write(p.client, buf, sizeof(buf))) < 0) {
		CHECK_INT(n, TLS_WANT_POLLOUT);
		n = h_read_some(p.server, p.sfd, got, sizeof(got));
		CHECK(n > 0);
		h_stream_check(&want, got, (size_t)n);
	}
	s.pos += (uint64_t)n;
	while (want.pos < s.pos) {
		n = h_read_some(p.server, p.sfd, got, sizeof(got));
		CHECK(n > 0);
		h_stream_check(&want, got, (size_t)n);
	}
	h_pair_echo(&p);
	h_pair_free(&p);
}

/* A caller that does not block has nothing to be interrupted in. */
static void
signals_in_between(void)
{
	static uint8_t buf[65536];
	const int64_t deadline = h_now() + H_WAIT;
	struct h_pair p;
	ssize_t n;

	h_pair_open(&p);
	h_pair_echo(&p);
	handle(SIGALRM, count_signal);
	set_timer(2);
	while (signals < 50) {
		CHECK(h_now() < deadline);
		CHECK_INT(tls_read(p.client, buf, 1), TLS_WANT_POLLIN);
	}
	while (signals < 100) {
		CHECK(h_now() < deadline);
		n = tls_write(p.client, buf, sizeof(buf));
		CHECK(n > 0 || n == TLS_WANT_POLLOUT);
	}
	/* LibreSSL and LibreTLS do not wait there. */
	while (h_proxy && signals < 150) {
		CHECK(h_now() < deadline);
		n = tls_close(p.client);
		CHECK(n == TLS_WANT_POLLIN || n == TLS_WANT_POLLOUT);
	}
	set_timer(0);
	h_pair_free(&p);
}

/* Each millisecond one, from before the first call to after the last. */
static void
signals_all_the_time(void)
{
	struct tls_config *cconfig, *sconfig;
	struct h_pair p;
	int i, a, b;

	handle(SIGALRM, count_signal);
	set_timer(1);
	for (i = 0; i < 10; i++) {
		cconfig = h_client_config();
		sconfig = h_server_config("ecdsa");
		/* The harness's own connect(2) would be interrupted. */
		h_socketpair(SOCK_STREAM, &a, &b);
		h_pair_start_on(&p, cconfig, sconfig, "localhost", a, b);
		CHECK_PAIR(&p);
		h_pair_echo(&p);
		CHECK_TLS(p.client, h_close(p.client, p.cfd));
		h_pair_free(&p);
		tls_config_free(cconfig);
		tls_config_free(sconfig);
	}
	set_timer(0);
	CHECK(signals > 0);
}

/* What the caller blocks stays blocked, and stays pending. */
static void
signals_blocked(void)
{
	sigset_t all, now;
	int i;

	handle(SIGUSR1, count_signal);
	sigfillset(&all);
	CHECK_INT(sigprocmask(SIG_SETMASK, &all, NULL), 0);
	CHECK_INT(raise(SIGUSR1), 0);
	guest_use();
	CHECK_INT(sigprocmask(SIG_SETMASK, NULL, &now), 0);
	for (i = 1; i < 32; i++)
		CHECK(i == SIGKILL || i == SIGSTOP || sigismember(&now, i));
	CHECK_INT(signals, 0);
	sigemptyset(&all);
	CHECK_INT(sigprocmask(SIG_SETMASK, &all, NULL), 0);
	CHECK_INT(signals, 1);
	guest_use();
}

/* What a terminal sends goes to the group, which goproxy is not part of. */
static void
terminal_signals(void)
{
	static const int sent[] = { SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGTSTP };
	struct h_pair p;
	size_t i;

	CHECK_INT(setpgid(0, 0), 0);
	for (i = 0; i < sizeof(sent) / sizeof(sent[0]); i++)
		handle(sent[i], count_signal);
	h_pair_open(&p);
	for (i = 0; i < sizeof(sent) / sizeof(sent[0]); i++) {
		CHECK_INT(kill(0, sent[i]), 0);
		h_pair_echo(&p);
	}
	CHECK_INT(signals, sizeof(sent) / sizeof(sent[0]));
	h_pair_free(&p);
	guest_use();
}

static void
set_timeout(int fd, int name, int ms)
{
	struct timeval tv = { .tv_usec = ms * 1000 };

	CHECK_INT(setsockopt(fd, SOL_SOCKET, name, &tv, sizeof(tv)), 0);
}

/* Set before the handshake, and after it on the same number. */
static void
receive_timeout(void)
{
	struct tls_config *config;
	struct tls *client;
	struct h_pair p;
	int64_t begin;
	int a, b;
	char c;

	config = h_client_config();
	client = h_client(config);
	tls_config_free(config);
	h_tcp_pair(&a, &b);
	set_timeout(a, SO_RCVTIMEO, 30);
	CHECK_TLS(client, tls_connect_socket(client, a, "localhost"));
	begin = h_now();
	errno = EXDEV;
	CHECK_INT(tls_handshake(client), TLS_WANT_POLLIN);
	CHECK_INT(errno, 0);
	CHECK(h_now() - begin >= 25);
	tls_free(client);
	close(a);
	close(b);

	open_blocking(&p);
	set_timeout(p.cfd, SO_RCVTIMEO, 30);
	begin = h_now();
	CHECK_INT(tls_read(p.client, &c, 1), TLS_WANT_POLLIN);
	CHECK(h_now() - begin >= 25);
	h_pair_echo(&p);
	h_pair_free(&p);
}

static void
send_timeout(void)
{
	static uint8_t buf[65536];
	struct h_pair p;
	ssize_t n;

	open_blocking(&p);
	set_timeout(p.cfd, SO_SNDTIMEO, 30);
	do
		n = tls_write(p.client, buf, sizeof(buf));
	while (n > 0);
	CHECK_INT(n, TLS_WANT_POLLOUT);
	/* TCP may have found room, and LibreTLS another result. */
	handle(SIGALRM, count_signal);
	alarm((unsigned int)H_WAIT / 1000);
	n = tls_close(p.client);
	alarm(0);
	CHECK_INT(signals, 0);
	CHECK(n != -1 || !h_proxy);
	h_pair_free(&p);
}

static void
count_and_start(int sig)
{
	count_signal(sig);
	while (write(start[1], "", 1) == -1 && errno == EINTR)
		;
}

static void
read_from_then_on(void)
{
	static uint8_t buf[65536];
	ssize_t n;

	h_recv(start[0], buf, 1);
	do
		n = tls_read(pair.server, buf, sizeof(buf));
	while (n > 0);
	CHECK_TLS(pair.server, n);
}

/*
 * There is no room for the end either, until the signal has come. TCP might
 * have some, and LibreTLS wants to finish the write first.
 */
static void
restarted_close(void)
{
	static uint8_t buf[65536];
	pid_t reader, child;
	ssize_t n;

	open_blocking(&pair);
	h_socketpair(SOCK_STREAM, &start[0], &start[1]);
	set_timeout(pair.cfd, SO_SNDTIMEO, 30);
	do
		n = tls_write(pair.client, buf, sizeof(buf));
	while (n > 0);
	CHECK_INT(n, TLS_WANT_POLLOUT);
	set_timeout(pair.cfd, SO_SNDTIMEO, 0);
	handle_with(SIGUSR1, count_and_start, SA_RESTART);
	reader = guest_fork(read_from_then_on);
	child = signal_when_asleep(SIGUSR1);
	CHECK_TLS(pair.client, tls_close(pair.client));
	CHECK_INT(signals, 1);
	guest_wait(child);
	guest_wait(reader);
	h_pair_free(&pair);
	close(start[0]);
	close(start[1]);
}

static const struct CMUnitTest tests[] = {
	GUEST(longjmp_out_of_read),
	GUEST(longjmp_and_go_on),
	GUEST(longjmp_out_of_write),
	GUEST(longjmp_out_of_handshake),
	GUEST(interrupted_read),
	GUEST(interrupted_write),
	GUEST(signals_in_between),
	GUEST(signals_all_the_time),
	GUEST(signals_blocked),
	GUEST(terminal_signals),
	GUEST(receive_timeout),
	GUEST(send_timeout),
	GUEST_FLAGS(restarted_close, GUEST_PROXY | GUEST_NO_APP),
};

static const struct h_peer peers[] = { GUEST_PEER };

GUEST_MAIN(tests, peers)

/* SPDX-License-Identifier: ISC */
/* Hosts that close, fill, reuse and toggle descriptors. */

#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

/* closefrom(3), which not every libc has. */
static void
close_from(int lowest)
{
	int fd;

	for (fd = lowest; fd < 1024; fd++)
		close(fd);
}

/* What a failed check prints goes where standard error was. */
static void
move_stderr(void)
{
	int fd = fcntl(2, F_DUPFD_CLOEXEC, 900);

	CHECK(fd != -1);
	CHECK((stderr = fdopen(fd, "w")) != NULL);
}

/* The program's first use comes after it. */
static void
closefrom_3_before(void)
{
	close_from(3);
	guest_use();
	close_from(3);
	guest_use();
}

/* ntpd's child talks with its parent on 3. */
static void
closefrom_4_before(void)
{
	int a, b;
	char c;

	h_socketpair(SOCK_STREAM, &a, &b);
	h_send(b, "x", 1);
	CHECK_INT(dup2(a, 3), 3);
	close_from(4);
	guest_use();
	h_recv(3, &c, 1);
	CHECK_INT(c, 'x');
	close(3);
}

/*
 * What was configured is the program's no more; it can be told from an end,
 * and a new tls_configure is all that it takes.
 */
static void
closefrom_3_after(void)
{
	struct tls_config *cconfig, *sconfig;
	struct tls *base, *conn = NULL, *client;
	struct h_pair p = { 0 };

	cconfig = h_client_config();
	sconfig = h_server_config("rsa");
	client = h_client(cconfig);
	base = h_server(sconfig);
	close_from(3);
	if (h_proxy) {
		h_tcp_pair(&p.cfd, &p.sfd);
		CHECK_INT(tls_accept_socket(base, &conn, p.sfd), -1);
		CHECK_HAS(tls_error(base), "goproxy");
		CHECK(conn == NULL);
		/* The socket is still the program's. */
		h_send(p.sfd, "x", 1);
		h_poll(p.cfd, POLLIN, H_WAIT);
		close(p.cfd);
		close(p.sfd);
		CHECK_TLS(base, tls_configure(base, sconfig));
	}
	h_tcp_pair(&p.cfd, &p.sfd);
	h_nonblock(p.cfd, 1);
	h_nonblock(p.sfd, 1);
	CHECK_TLS(client, tls_connect_socket(client, p.cfd, "localhost"));
	CHECK_TLS(base, tls_accept_socket(base, &p.server, p.sfd));
	p.client = client;
	p.base = base;
	CHECK_PAIR(&p);
	h_pair_echo(&p);
	h_pair_free(&p);
	tls_config_free(cconfig);
	tls_config_free(sconfig);
}

/* Connections on 3 and below go on, and can be closed. */
static void
closefrom_4_after(void)
{
	struct tls_config *cconfig, *sconfig;
	struct h_pair p;
	int a, b;
	char c;

	h_tcp_pair(&a, &b);
	CHECK_INT(dup2(a, 0), 0);
	CHECK_INT(dup2(b, 3), 3);
	close_from(4);
	cconfig = h_client_config();
	sconfig = h_server_config("rsa");
	h_pair_start_on(&p, cconfig, sconfig, "localhost", 0, 3);
	CHECK_PAIR(&p);
	close_from(4);
	h_pair_echo(&p);
	CHECK_TLS(p.client, h_close(p.client, p.cfd));
	CHECK_INT(h_read_some(p.server, p.sfd, &c, 1), 0);
	CHECK_TLS(p.server, h_close(p.server, p.sfd));
	h_pair_free(&p);
	tls_config_free(cconfig);
	tls_config_free(sconfig);
	/* As in any program that has closed what was opened for it. */
	CHECK(open("/dev/null", O_RDONLY) == 0);
	guest_use();
}

/* Others take the numbers that were the library's, and keep them. */
static void
closed_and_taken(void)
{
	int fd, i;

	guest_use();
	close_from(3);
	for (i = 0; i < 300; i++)
		CHECK(open("/dev/null", O_RDWR | O_CLOEXEC) != -1);
	guest_use();
	for (fd = 3; fd < 303; fd++)
		CHECK_INT(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	close_from(3);
}

/* The same while a server is configured and a connection is open. */
static void
taken_while_in_use(void)
{
	struct h_pair p;
	struct stat st;
	int fd;

	h_pair_open(&p);
	for (fd = 3; fd < 512; fd++) {
		if (fd == p.cfd || fd == p.sfd)
			continue;
		close(fd);
	}
	for (fd = 0; fd < 500; fd++)
		CHECK(open("/dev/null", O_RDWR | O_CLOEXEC) != -1);
	h_pair_echo(&p);
	tls_free(p.client);
	tls_free(p.server);
	tls_free(p.base);
	for (fd = 3; fd < 500; fd++) {
		CHECK_INT(fstat(fd, &st), 0);
		CHECK(fd == p.cfd || fd == p.sfd || S_ISCHR(st.st_mode));
	}
	close_from(3);
	guest_use();
}

static void
low_numbers_occupied(void)
{
	struct stat before[10], after;
	int fd, i, opened = 0;

	for (i = 0; i < 10; i++) {
		if (fcntl(i, F_GETFD) == -1) {
			CHECK((fd = open("/dev/null", O_RDWR)) == i);
			opened = opened == 0 ? i : opened;
		}
		CHECK_INT(fstat(i, &before[i]), 0);
	}
	guest_use();
	for (i = 0; i < 10; i++) {
		CHECK_INT(fstat(i, &after), 0);
		CHECK(before[i].st_ino == after.st_ino &&
		      before[i].st_dev == after.st_dev);
	}
	for (i = opened; opened > 0 && i < 10; i++)
		close(i);
}

/* What the library keeps it does not keep there. */
static void
low_numbers_closed(void)
{
	struct h_pair p;
	int i;

	move_stderr();
	for (i = 0; i < 10; i++)
		close(i);
	h_pair_open(&p);
	for (i = 0; i < 10; i++) {
		if (fcntl(i, F_GETFD) != -1)
			CHECK(i == p.cfd || i == p.sfd);
	}
	h_pair_echo(&p);
	h_pair_free(&p);
	guest_use();
	for (i = 0; i < 10; i++)
		CHECK_INT(fcntl(i, F_GETFD), -1);
	GUEST_END();
}

/* Servers that inetd starts have their connection on 0 and 1. */
static void
connection_on_0_and_1(void)
{
	struct tls_config *cconfig, *sconfig;
	struct h_pair p = { 0 };
	int a, b;

	move_stderr();
	h_tcp_pair(&a, &b);
	CHECK_INT(dup2(b, 0), 0);
	CHECK_INT(dup2(b, 1), 1);
	close(b);
	h_nonblock(a, 1);
	cconfig = h_client_config();
	sconfig = h_server_config("ecdsa");
	p.client = h_client(cconfig);
	p.base = h_server(sconfig);
	p.cfd = a;
	p.sfd = 0;
	h_nonblock(0, 1);
	CHECK_TLS(p.client, tls_connect_socket(p.client, a, "localhost"));
	CHECK_TLS(p.base, tls_accept_fds(p.base, &p.server, 0, 1));
	CHECK_PAIR(&p);
	h_write(p.server, 1, "hello", 5);
	h_pair_free(&p);
	tls_config_free(cconfig);
	tls_config_free(sconfig);
	GUEST_END();
}

static void
close_before_free(void)
{
	struct h_pair p;

	h_pair_open(&p);
	h_pair_echo(&p);
	close(p.cfd);
	close(p.sfd);
	tls_free(p.client);
	tls_free(p.server);
	tls_free(p.base);
}

/* The descriptor is the program's, open and good for a close(2). */
static void
free_before_close(void)
{
	struct h_pair p;

	h_pair_open(&p);
	h_pair_echo(&p);
	tls_free(p.base);
	tls_free(p.server);
	tls_free(p.client);
	CHECK_INT(close(p.cfd), 0);
	CHECK_INT(close(p.sfd), 0);
}

/* nc leaks its context after a failed handshake; others at their end. */
static void
leaked_context(void)
{
	static struct h_pair leaked[4];
	int i;

	for (i = 0; i < 4; i++) {
		h_pair_open(&leaked[i]);
		close(leaked[i].cfd);
		close(leaked[i].sfd);
	}
	guest_use();
	GUEST_END();
}

/* A program that ends with all of it open. */
static void
everything_left_open(void)
{
	static struct h_pair left[4];
	int i;

	for (i = 0; i < 4; i++) {
		h_pair_open(&left[i]);
		h_pair_echo(&left[i]);
	}
	GUEST_END();
}

/* pounce does it around every tls_write. */
static void
nonblock_toggled(void)
{
	static uint8_t buf[100000], got[100000];
	struct tls_config *cconfig, *sconfig;
	struct h_stream s = { .seed = 1 }, want = { .seed = 1 };
	struct h_pair p;
	size_t sent = 0, have = 0;
	ssize_t n;
	int rv;

	cconfig = h_client_config();
	sconfig = h_server_config("ecdsa");
	h_pair_start(&p, cconfig, sconfig, "localhost");
	tls_config_free(cconfig);
	tls_config_free(sconfig);
	p.crv = p.srv = TLS_WANT_POLLIN;
	while (p.crv != 0 || p.srv != 0) {
		/* One waits, and only then the other must not. */
		if (p.crv != 0) {
			h_nonblock(p.cfd, 1);
			p.crv = tls_handshake(p.client);
			CHECK(p.crv != -1);
			h_nonblock(p.cfd, 0);
		}
		if (p.srv != 0) {
			h_nonblock(p.sfd, 1);
			p.srv = tls_handshake(p.server);
			CHECK(p.srv != -1);
			h_nonblock(p.sfd, 0);
		}
	}
	h_stream_fill(&s, buf, sizeof(buf));
	while (have < sizeof(buf)) {
		if (sent < sizeof(buf)) {
			h_nonblock(p.cfd, 1);
			n = tls_write(p.client, buf + sent, sizeof(buf) - sent);
			h_nonblock(p.cfd, 0);
			CHECK(n != -1);
			sent += n > 0 ? (size_t)n : 0;
		}
		h_nonblock(p.sfd, sent < sizeof(buf));
		n = tls_read(p.server, got, sizeof(got));
		h_nonblock(p.sfd, 0);
		CHECK(n > 0 || n == TLS_WANT_POLLIN);
		if (n > 0) {
			h_stream_check(&want, got, (size_t)n);
			have += (size_t)n;
		}
	}
	h_nonblock(p.sfd, 1);
	CHECK_INT(tls_read(p.server, got, 1), TLS_WANT_POLLIN);
	h_nonblock(p.sfd, 0);
	do {
		h_nonblock(p.cfd, 1);
		rv = tls_close(p.client);
		h_nonblock(p.cfd, 0);
	} while (rv == TLS_WANT_POLLIN || rv == TLS_WANT_POLLOUT);
	CHECK_TLS(p.client, rv);
	CHECK_INT(tls_read(p.server, got, 1), 0);
	h_pair_free(&p);
}

/* A copy of the number is as good as the number. */
static void
used_through_a_copy(void)
{
	struct h_pair p;
	int copy;
	char c;

	h_pair_open(&p);
	CHECK((copy = fcntl(p.sfd, F_DUPFD_CLOEXEC, 3)) != -1);
	h_write(p.client, p.cfd, "x", 1);
	/* What a program may do with it is wait. */
	h_poll(copy, POLLIN, H_WAIT);
	h_read(p.server, copy, &c, 1);
	CHECK_INT(c, 'x');
	close(copy);
	h_pair_echo(&p);
	h_pair_free(&p);
}

static const struct CMUnitTest tests[] = {
	GUEST(closefrom_3_before),
	GUEST(closefrom_4_before),
	GUEST(closefrom_3_after),
	GUEST_FLAGS(closefrom_4_after, GUEST_NO_APP),
	GUEST(closed_and_taken),
	GUEST_FLAGS(taken_while_in_use, GUEST_NO_APP),
	GUEST(low_numbers_occupied),
	GUEST(low_numbers_closed),
	GUEST(connection_on_0_and_1),
	GUEST(close_before_free),
	GUEST(free_before_close),
	GUEST(leaked_context),
	GUEST(everything_left_open),
	GUEST(nonblock_toggled),
	GUEST(used_through_a_copy),
};

static const struct h_peer peers[] = { GUEST_PEER };

GUEST_MAIN(tests, peers)

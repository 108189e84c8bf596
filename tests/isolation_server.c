/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * usage: isolation_server cert key
 *
 * The application of the test isolation: prints the port that it listens on,
 * and sends back what its clients send. Reads commands from standard input, a
 * line each, and answers each with a line:
 *
 *	ticket HEX	adds a ticket key, and keeps no copy of its own
 *	configure	calls tls_configure again
 *	info		prints what tls_proxy_info(3) has
 *	free		frees contexts and configuration
 *
 * Ends when standard input does.
 */

#include <sys/socket.h>

#include <netinet/in.h>

#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tls.h>
#include <tls_proxy.h>

#define CONNS_MAX 128

struct conn {
	struct tls *tls;
	int fd; /* -1: free */
	int shaken;
	short events;
	char buf[16384];
	size_t len, done; /* received, and sent back of it */
};

static struct conn conns[CONNS_MAX];
static struct tls_config *config;
static struct tls *server;

static void
end(struct conn *c)
{
	if (c->fd == -1)
		return;
	tls_free(c->tls);
	close(c->fd);
	c->fd = -1;
}

/* Goes on for as long as there is something to do. */
static void
step(struct conn *c)
{
	ssize_t n;

	for (;;) {
		if (!c->shaken)
			n = tls_handshake(c->tls);
		else if (c->done < c->len)
			n = tls_write(c->tls, c->buf + c->done,
			    c->len - c->done);
		else
			n = tls_read(c->tls, c->buf, sizeof(c->buf));
		if (n == TLS_WANT_POLLIN || n == TLS_WANT_POLLOUT) {
			c->events = n == TLS_WANT_POLLIN ? POLLIN : POLLOUT;
			return;
		}
		if (n == -1 && !c->shaken)
			warnx("tls_handshake: %s", tls_error(c->tls));
		if (n == -1 || (n == 0 && c->shaken)) {
			end(c);
			return;
		}
		if (!c->shaken)
			c->shaken = 1;
		else if (c->done < c->len)
			c->done += (size_t)n;
		else {
			c->len = (size_t)n;
			c->done = 0;
		}
	}
}

static void
accept_conn(int listener)
{
	struct conn *c;
	int fd;

	if ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) == -1)
		err(1, "accept");
	for (c = conns; c < conns + CONNS_MAX && c->fd != -1; c++)
		continue;
	if (c == conns + CONNS_MAX)
		errx(1, "too many connections");
	memset(c, 0, sizeof(*c));
	c->fd = fd;
	if (tls_accept_socket(server, &c->tls, fd) == -1)
		errx(1, "tls_accept_socket: %s", tls_error(server));
	step(c);
}

static void
add_ticket_key(char *hex)
{
	static uint32_t revision;
	unsigned char key[48];
	size_t i;

	for (i = 0; i < sizeof(key); i++)
		if (sscanf(hex + 2 * i, "%2hhx", &key[i]) != 1)
			errx(1, "not a ticket key");
	if (tls_config_add_ticket_key(config, ++revision, key, sizeof(key)) ==
	    -1)
		errx(1, "tls_config_add_ticket_key: %s",
		    tls_config_error(config));
	explicit_bzero(key, sizeof(key));
	puts("added");
}

static void
print_info(void)
{
	struct tls_proxy_info info;
	const char *errstr;

	if (tls_proxy_info(&info, sizeof(info), &errstr) == -1)
		errx(1, "tls_proxy_info: %s", errstr);
	printf("workers %" PRIu32 " deaths %" PRIu32 " configs %" PRIu32
	       " keys %" PRIu32 " signatures %" PRIu64 " refused %" PRIu64
	       " (%s)\n",
	    info.workers, info.deaths, info.configs, info.keys, info.signatures,
	    info.refused, info.refused_last);
}

static void
command(void)
{
	static char line[256];
	ssize_t n;

	/* A pipe gives what was written to it at once. */
	if ((n = read(0, line, sizeof(line) - 1)) == -1)
		err(1, "read");
	if (n == 0)
		exit(0);
	line[n] = '\0';
	if (strncmp(line, "ticket ", 7) == 0)
		add_ticket_key(line + 7);
	else if (strcmp(line, "info\n") == 0)
		print_info();
	else if (strcmp(line, "configure\n") == 0) {
		tls_reset(server);
		if (tls_configure(server, config) == -1)
			errx(1, "tls_configure: %s", tls_error(server));
		puts("configured");
	} else if (strcmp(line, "free\n") == 0) {
		tls_free(server);
		tls_config_free(config);
		server = NULL;
		config = NULL;
		puts("freed");
	} else
		errx(1, "no such command: %s", line);
	explicit_bzero(line, sizeof(line));
	fflush(stdout);
}

static int
listen_loopback(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd;

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fd == -1 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    listen(fd, CONNS_MAX) == -1 ||
	    getsockname(fd, (struct sockaddr *)&sin, &len) == -1)
		err(1, "listen");
	printf("%d\n", ntohs(sin.sin_port));
	fflush(stdout);
	return fd;
}

int
main(int argc, char *argv[])
{
	struct pollfd fds[2 + CONNS_MAX];
	int listener, i;

	if (argc != 3)
		errx(1, "usage: isolation_server cert key");
	for (i = 0; i < CONNS_MAX; i++)
		conns[i].fd = -1;
	if ((config = tls_config_new()) == NULL ||
	    (server = tls_server()) == NULL)
		err(1, NULL);
	if (tls_config_set_keypair_file(config, argv[1], argv[2]) == -1 ||
	    tls_config_set_session_lifetime(config, 3600) == -1)
		errx(1, "%s", tls_config_error(config));
	if (tls_configure(server, config) == -1)
		errx(1, "tls_configure: %s", tls_error(server));
	listener = listen_loopback();

	for (;;) {
		fds[0].fd = 0;
		fds[1].fd = listener;
		fds[0].events = fds[1].events = POLLIN;
		for (i = 0; i < CONNS_MAX; i++) {
			fds[2 + i].fd = conns[i].fd;
			fds[2 + i].events = conns[i].events;
		}
		if (poll(fds, 2 + CONNS_MAX, -1) == -1)
			err(1, "poll");
		for (i = 0; i < CONNS_MAX; i++)
			if (fds[2 + i].fd != -1 && fds[2 + i].revents != 0)
				step(&conns[i]);
		if (fds[0].revents != 0)
			command();
		if (fds[1].revents != 0)
			accept_conn(listener);
	}
}

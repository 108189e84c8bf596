/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * usage: names [-P file] directory host port
 *
 * A server that has no certificate until a client asks for a name: NAME.pem
 * and NAME.key of the directory are for NAME. Another process looks for them,
 * the only one here that knows the directory, and may take its time: only the
 * one handshake waits for it. Nothing in the loop waits, not for goproxy
 * either, and the sockets stay this program's. Whoever gets through is told
 * the name. -P writes the port to a file.
 *
 * It needs what <tls_proxy.h> adds to libtls.
 */

#include <sys/socket.h>
#include <sys/uio.h>

#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tls.h>
#include <tls_proxy.h>
#include <unistd.h>

#include "net.h"

#define TIMEOUT	 10 /* seconds that a client may be silent */
#define NAME_LEN 253

/* The process that looks for certificates. */

/* A client chooses the name: it leads to no other directory. */
static bool
is_name(const char *name)
{
	const char *p;

	for (p = name; *p != '\0'; p++) {
		if (!isalnum((unsigned char)*p) && *p != '-' && *p != '.')
			return false;
	}
	return *name != '\0' && *name != '.';
}

static int
open_file(int dir, const char *name, const char *suffix)
{
	char path[NAME_LEN + 8];

	snprintf(path, sizeof(path), "%s%s", name, suffix);
	return openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

/* Answers a name with two descriptors, or with none. */
static void
send_pair(int fd, int cert, int key)
{
	union {
		char buf[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr header;
	} control = { 0 };
	int fds[2] = { cert, key };
	char found = cert != -1 && key != -1;
	struct iovec iov = { .iov_base = &found, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg = &control.header;

	if (found) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(fds));
		memcpy(CMSG_DATA(cmsg), fds, sizeof(fds));
	}
	if (sendmsg(fd, &msg, MSG_NOSIGNAL) == -1)
		_exit(0); /* the server has ended */
}

static void
look_up(int fd, const char *directory)
{
	char name[NAME_LEN + 1];
	int dir, cert, key;
	ssize_t n;

	if ((dir = open(directory, O_DIRECTORY | O_CLOEXEC)) == -1)
		err(1, "%s", directory);
	while ((n = recv(fd, name, sizeof(name) - 1, 0)) > 0) {
		name[n] = '\0';
		cert = key = -1;
		if (is_name(name)) {
			cert = open_file(dir, name, ".pem");
			key = open_file(dir, name, ".key");
		}
		send_pair(fd, cert, key);
		if (cert != -1)
			close(cert);
		if (key != -1)
			close(key);
	}
	_exit(0);
}

/* The server: requests that wait for the other process. */

struct lookup {
	struct lookup *next;
	struct tls_request *request;
};

static struct {
	struct event_base *base;
	struct tls *tls;
	int lookups; /* to the other process, which answers in order */
	struct lookup *first, **last;
	struct event *accepting;
	struct event *found; /* it is there */
} server;

static int
receive_pair(int *cert, int *key)
{
	union {
		char buf[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr header;
	} control;
	int fds[2] = { -1, -1 };
	char found;
	struct iovec iov = { .iov_base = &found, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf) };
	struct cmsghdr *cmsg;

	if (recvmsg(server.lookups, &msg, MSG_CMSG_CLOEXEC) != 1)
		return -1;
	/* There is one of them where there was no room for both. */
	if ((cmsg = CMSG_FIRSTHDR(&msg)) != NULL)
		memcpy(fds, CMSG_DATA(cmsg), cmsg->cmsg_len - CMSG_LEN(0));
	*cert = fds[0];
	*key = fds[1];
	return 0;
}

/* Answers the first request. */
static void
on_found(evutil_socket_t fd, short what, void *arg)
{
	struct lookup *l = server.first;
	int cert, key, rv;

	(void)fd;
	(void)what;
	(void)arg;
	if (receive_pair(&cert, &key) == -1)
		errx(1, "nobody looks for certificates any more");
	if (key == -1)
		rv = tls_request_refuse(l->request, "unknown name");
	else
		rv = tls_request_answer_keypair(l->request, cert, key);
	if (rv == -1) {
		warnx("%s", tls_request_error(l->request));
		tls_request_free(l->request);
	}
	if (cert != -1)
		close(cert);
	if (key != -1)
		close(key);
	if ((server.first = l->next) == NULL)
		server.last = &server.first;
	else
		event_add(server.found, NULL);
	free(l);
}

static void
on_requests(evutil_socket_t fd, short what, void *arg)
{
	struct tls_request *request;
	const char *name;
	struct lookup *l;

	(void)fd;
	(void)what;
	(void)arg;
	while ((request = tls_request_next(server.tls)) != NULL) {
		name = tls_request_facts(request)->servername;
		if (name == NULL || strlen(name) > NAME_LEN ||
		    (l = calloc(1, sizeof(*l))) == NULL) {
			tls_request_free(request); /* which refuses it */
			continue;
		}
		if (send(server.lookups, name, strlen(name),
			MSG_NOSIGNAL | MSG_DONTWAIT) == -1) {
			warn("%s", name);
			tls_request_free(request);
			free(l);
			continue;
		}
		l->request = request;
		if (server.first == NULL)
			event_add(server.found, NULL);
		*server.last = l;
		server.last = &l->next;
	}
}

/* Connections. */

struct client {
	struct tls *tls;
	struct event *event;
	int fd;
	enum { HANDSHAKE, HELLO, CLOSE } state;
	char hello[NAME_LEN + 2];
	size_t sent;
};

static void
client_free(struct client *c)
{
	event_free(c->event);
	tls_free(c->tls);
	close(c->fd);
	free(c);
	event_add(server.accepting, NULL);
}

/* What the client is at. Returns as the functions of libtls do. */
static ssize_t
client_step(struct client *c)
{
	ssize_t n;

	switch (c->state) {
	case HANDSHAKE:
		if ((n = tls_handshake(c->tls)) != 0)
			return n;
		snprintf(c->hello, sizeof(c->hello), "%s\n",
		    tls_conn_servername(c->tls));
		c->state = HELLO;
		/* FALLTHROUGH */
	case HELLO:
		while (c->sent < strlen(c->hello)) {
			n = tls_write(c->tls, c->hello + c->sent,
			    strlen(c->hello) - c->sent);
			if (n < 0)
				return n;
			c->sent += (size_t)n;
		}
		c->state = CLOSE;
		/* FALLTHROUGH */
	case CLOSE:
		return tls_close(c->tls);
	}
	return 0;
}

static void
on_client(evutil_socket_t ready, short what, void *arg)
{
	static const struct timeval timeout = { TIMEOUT, 0 };
	struct client *c = arg;
	int fd = -1;
	ssize_t rv;

	(void)ready;
	if ((what & EV_TIMEOUT) != 0) {
		client_free(c);
		return;
	}
	rv = client_step(c);
	if (rv == -1)
		warnx("%s", tls_error(c->tls));
	if (rv == 0 || rv == -1) {
		client_free(c);
		return;
	}
	/* Either goproxy is at work, or the network is waited for. */
	if (rv == TLS_WANT_POLLIN)
		fd = tls_engine_fd(c->tls);
	event_assign(c->event, server.base, fd != -1 ? fd : c->fd,
	    rv == TLS_WANT_POLLOUT ? EV_WRITE : EV_READ, on_client, c);
	event_add(c->event, &timeout);
}

static void
on_accept(evutil_socket_t listener, short what, void *arg)
{
	struct client *c;
	int fd;

	(void)what;
	(void)arg;
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd == -1) {
		/* Without room, up to the end of a client. */
		if (errno == EMFILE || errno == ENFILE)
			event_del(server.accepting);
		return;
	}
	if ((c = calloc(1, sizeof(*c))) == NULL ||
	    (c->event = event_new(server.base, fd, EV_READ, on_client, c)) ==
		NULL)
		err(1, NULL);
	c->fd = fd;
	if (tls_accept_socket(server.tls, &c->tls, fd) == -1 ||
	    tls_engine_set_nonblock(c->tls, 1) == -1) {
		warnx("%s", tls_error(server.tls));
		client_free(c);
		return;
	}
	on_client(fd, 0, c);
}

static void
configure(void)
{
	struct tls_config *config;

	if ((config = tls_config_new()) == NULL ||
	    (server.tls = tls_server()) == NULL)
		errx(1, "out of memory");
	if (tls_config_set_transport(config, TLS_TRANSPORT_APP) == -1 ||
	    tls_config_set_requests(config, TLS_REQUEST_CERTIFICATE,
		TIMEOUT * 1000) == -1)
		errx(1, "%s", tls_config_error(config));
	if (tls_configure(server.tls, config) == -1)
		errx(1, "%s", tls_error(server.tls));
	tls_config_free(config);
}

/* Starts the other process. */
static void
start_lookups(const char *directory)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1)
		err(1, "socketpair");
	switch (fork()) {
	case -1:
		err(1, "fork");
	case 0:
		close(pair[0]);
		look_up(pair[1], directory);
	}
	close(pair[1]);
	server.lookups = pair[0];
	server.last = &server.first;
}

static struct event *
new_event(int fd, short what, event_callback_fn fn)
{
	struct event *event;

	if ((event = event_new(server.base, fd, what, fn, NULL)) == NULL)
		errx(1, "out of memory");
	return event;
}

static void
usage(void)
{
	fprintf(stderr, "usage: names [-P file] directory host port\n");
	exit(1);
}

int
main(int argc, char **argv)
{
	const char *port_file = NULL;
	int ch, listener, requests;

	while ((ch = getopt(argc, argv, "P:")) != -1) {
		if (ch != 'P')
			usage();
		port_file = optarg;
	}
	argc -= optind;
	argv += optind;
	if (argc != 3)
		usage();
	start_lookups(argv[0]);
	configure();
	if ((listener = net_listen(argv[1], argv[2])) == -1 ||
	    net_set_nonblock(listener, true) == -1)
		return 1;
	if ((requests = tls_request_fd(server.tls)) == -1)
		errx(1, "%s", tls_error(server.tls));
	if ((server.base = event_base_new()) == NULL)
		errx(1, "no event loop");
	server.found = new_event(server.lookups, EV_READ, on_found);
	server.accepting = new_event(listener, EV_READ | EV_PERSIST, on_accept);
	event_add(server.accepting, NULL);
	event_add(new_event(requests, EV_READ | EV_PERSIST, on_requests), NULL);
	if (port_file != NULL &&
	    net_write_number(port_file, net_port(listener)) == -1)
		return 1;
	return event_base_dispatch(server.base) == -1;
}

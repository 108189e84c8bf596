/* SPDX-License-Identifier: ISC */

/* What the example programs need of sockets; nothing here knows of TLS. */

#include <sys/types.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <netinet/in.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "net.h"

#define BACKLOG 128

long long
net_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (long long)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int
net_set_nonblock(int fd, bool nonblock)
{
	int flags;

	if ((flags = fcntl(fd, F_GETFL)) == -1)
		return -1;
	if (nonblock)
		flags |= O_NONBLOCK;
	else
		flags &= ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags);
}

void
net_name(const struct sockaddr *addr, socklen_t len, char *name)
{
	char host[64], port[8];

	if (getnameinfo(addr, len, host, sizeof(host), port, sizeof(port),
		NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
		snprintf(name, NET_NAME_MAX, "unknown");
		return;
	}
	snprintf(name, NET_NAME_MAX, "%s port %s", host, port);
}

int
net_addresses(int fd, char *local, char *peer)
{
	union {
		struct sockaddr_storage storage;
		struct sockaddr sa;
	} addr;
	socklen_t len = sizeof(addr);

	if (getsockname(fd, &addr.sa, &len) == -1 ||
	    getnameinfo(&addr.sa, len, local, NET_ADDRESS_MAX, NULL, 0,
		NI_NUMERICHOST) != 0)
		return -1;
	len = sizeof(addr);
	if (getpeername(fd, &addr.sa, &len) == -1 ||
	    getnameinfo(&addr.sa, len, peer, NET_ADDRESS_MAX, NULL, 0,
		NI_NUMERICHOST) != 0)
		return -1;
	return 0;
}

static struct addrinfo *
resolve(const struct net_options *how, const char *host, const char *port,
    int flags)
{
	struct addrinfo hints, *list;
	int error;

	memset(&hints, 0, sizeof(hints));
	hints.ai_family = how->family;
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = flags | (how->numeric ? AI_NUMERICHOST : 0);
	if ((error = getaddrinfo(host, port, &hints, &list)) != 0) {
		warnx("%s port %s: %s", host != NULL ? host : "any address",
		    port != NULL ? port : "any", gai_strerror(error));
		return NULL;
	}
	return list;
}

int
net_wait(int fd, short events, long long deadline)
{
	struct pollfd pfd = { .fd = fd, .events = events };
	long long left;
	int n;

	do {
		if ((left = deadline - net_now()) < 0)
			left = 0;
		n = poll(&pfd, 1, left > INT_MAX ? INT_MAX : (int)left);
	} while (n == -1 && errno == EINTR);
	if (n == 0)
		errno = ETIMEDOUT;
	return n == 1 ? 0 : -1;
}

static int
wait_connected(int fd, long long deadline)
{
	socklen_t len;
	int error;

	if (net_wait(fd, POLLOUT, deadline) == -1)
		return -1;
	len = sizeof(error);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		return -1;
	errno = error;
	return error == 0 ? 0 : -1;
}

/* The source's address for a destination of that family. */
static int
bind_source(const struct net_options *how, int fd, int family)
{
	struct net_options source = { .family = family, .numeric = true };
	struct addrinfo *list;
	int error, on = 1;

	if (how->source == NULL && how->source_port == NULL)
		return 0;
	list = resolve(&source, how->source, how->source_port, AI_PASSIVE);
	if (list == NULL) {
		errno = EADDRNOTAVAIL;
		return -1;
	}
	error = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (error == 0)
		error = bind(fd, list->ai_addr, list->ai_addrlen);
	freeaddrinfo(list);
	return error;
}

int
net_connect_with(const struct net_options *how, const char *host,
    const char *port, int timeout)
{
	struct addrinfo *list, *ai;
	char name[NET_NAME_MAX];
	long long deadline;
	int fd = -1;

	if ((list = resolve(how, host, port, 0)) == NULL)
		return -1;
	deadline = net_now() + timeout;
	for (ai = list; ai != NULL; ai = ai->ai_next) {
		net_name(ai->ai_addr, ai->ai_addrlen, name);
		fd = socket(ai->ai_family,
		    ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    ai->ai_protocol);
		if (fd == -1) {
			warn("socket");
			continue;
		}
		if (bind_source(how, fd, ai->ai_family) == 0 &&
		    (connect(fd, ai->ai_addr, ai->ai_addrlen) == 0 ||
			(errno == EINPROGRESS &&
			    wait_connected(fd, deadline) == 0)))
			break;
		warn("connect to %s", name);
		close(fd);
		fd = -1;
	}
	freeaddrinfo(list);
	return fd;
}

int
net_connect(const char *host, const char *port, int timeout)
{
	static const struct net_options any;

	return net_connect_with(&any, host, port, timeout);
}

int
net_listen_with(const struct net_options *how, const char *host,
    const char *port)
{
	struct addrinfo *list, *ai;
	char name[NET_NAME_MAX];
	int fd = -1, on = 1;

	if ((list = resolve(how, host, port, AI_PASSIVE)) == NULL)
		return -1;
	for (ai = list; ai != NULL; ai = ai->ai_next) {
		net_name(ai->ai_addr, ai->ai_addrlen, name);
		fd = socket(ai->ai_family,
		    ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    ai->ai_protocol);
		if (fd == -1) {
			warn("socket");
			continue;
		}
		if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ==
			0 &&
		    bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 &&
		    listen(fd, BACKLOG) == 0)
			break;
		warn("listen on %s", name);
		close(fd);
		fd = -1;
	}
	freeaddrinfo(list);
	return fd;
}

int
net_listen(const char *host, const char *port)
{
	static const struct net_options any;

	return net_listen_with(&any, host, port);
}

int
net_port(int fd)
{
	union {
		struct sockaddr_storage storage;
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} addr;
	socklen_t len = sizeof(addr);

	if (getsockname(fd, &addr.sa, &len) == -1)
		return -1;
	if (addr.sa.sa_family == AF_INET6)
		return ntohs(addr.in6.sin6_port);
	return ntohs(addr.in.sin_port);
}

int
net_write_number(const char *path, long number)
{
	char temporary[PATH_MAX];
	int fd, n;

	n = snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
	if (n < 0 || (size_t)n >= sizeof(temporary)) {
		warnx("%s: name too long", path);
		return -1;
	}
	if ((fd = mkstemp(temporary)) == -1) {
		warn("%s", temporary);
		return -1;
	}
	if (dprintf(fd, "%ld\n", number) < 0 || fchmod(fd, 0644) == -1) {
		warn("%s", temporary);
		close(fd);
		goto err;
	}
	if (close(fd) == -1 || rename(temporary, path) == -1) {
		warn("%s", path);
		goto err;
	}
	return 0;

err:
	unlink(temporary);
	return -1;
}

int
net_seconds(const char *text)
{
	char *end;
	long seconds;

	errno = 0;
	seconds = strtol(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0 || seconds < 1 ||
	    seconds > INT_MAX / 1000)
		return -1;
	return (int)seconds;
}

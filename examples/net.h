/* SPDX-License-Identifier: ISC */

#ifndef NET_H
#define NET_H

#include <sys/socket.h>

#include <stdbool.h>
#include <stddef.h>

#define NET_NAME_MAX	80
#define NET_ADDRESS_MAX 64

/* How to get a connection; zero is any way. */
struct net_options {
	int family;			  /* AF_INET or AF_INET6 */
	bool numeric;			  /* hosts are addresses */
	const char *source, *source_port; /* of the one who connects */
};

/* Connects within timeout milliseconds; -1 with a message on stderr. */
int net_connect(const char *host, const char *port, int timeout);
int net_connect_with(const struct net_options *how, const char *host,
    const char *port, int timeout);
/* Listens on the first address of host that can be had; -1 as above. */
int net_listen(const char *host, const char *port);
int net_listen_with(const struct net_options *how, const char *host,
    const char *port);
int net_port(int fd);
/* The addresses of a connection, in NET_ADDRESS_MAX bytes each; 0 or -1. */
int net_addresses(int fd, char *local, char *peer);
/* Waits for events until net_now() is deadline; -1 with errno. */
int net_wait(int fd, short events, long long deadline);
int net_set_nonblock(int fd, bool nonblock);
/* "address port" of a peer, in name of NET_NAME_MAX bytes. */
void net_name(const struct sockaddr *addr, socklen_t len, char *name);
/* Whoever waits for the file sees all of the number or no file at all. */
int net_write_number(const char *path, long number);
/* Milliseconds of a clock that nobody sets. */
long long net_now(void);

/* A number of seconds, of which the milliseconds fit an int; -1 for others. */
int net_seconds(const char *text);

#endif

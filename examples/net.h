/* SPDX-License-Identifier: ISC */

#ifndef NET_H
#define NET_H

#include <sys/socket.h>

#include <stdbool.h>
#include <stddef.h>

#define NET_NAME_MAX 80

/* Connects within timeout milliseconds; -1 with a message on stderr. */
int net_connect(const char *host, const char *port, int timeout);
/* Listens on the first address of host that can be had; -1 as above. */
int net_listen(const char *host, const char *port);
int net_port(int fd);
int net_set_nonblock(int fd, bool nonblock);
/* "address port" of a peer, in name of NET_NAME_MAX bytes. */
void net_name(const struct sockaddr *addr, socklen_t len, char *name);
/* Whoever waits for the file sees all of the number or no file at all. */
int net_write_number(const char *path, long number);
/* Milliseconds of a clock that nobody sets. */
long long net_now(void);

#endif

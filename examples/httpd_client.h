/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef HTTPD_CLIENT_H
#define HTTPD_CLIENT_H

#include <sys/socket.h>

#include "httpd_serve.h"

/* Takes the socket over, and goes into the list of clients if it can. */
void client_new(struct serve *serve, struct listener *listener,
    struct tls *context, int fd, const struct sockaddr *addr, socklen_t len);
void client_free(struct client *client);
/* Has it end after the request that it is at, if there is one. */
void client_finish(struct client *client);
void client_finish_all(struct serve *serve);

#endif

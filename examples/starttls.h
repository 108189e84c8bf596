/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef STARTTLS_H
#define STARTTLS_H

#include <stdbool.h>

bool starttls_known(const char *protocol);
/*
 * Asks the server on fd, as a client of protocol, to go on with TLS as name;
 * -1 with a message on stderr. Afterwards not a byte of the TLS connection was
 * read. The timeout is in milliseconds.
 */
int starttls(int fd, const char *protocol, const char *name, int timeout,
    bool verbose);

#endif

/* SPDX-License-Identifier: ISC */

#ifndef STARTTLS_H
#define STARTTLS_H

#include <stdbool.h>

bool starttls_known(const char *protocol);
/*
 * Asks the server on fd, as a client of protocol, to go on with TLS; -1 with
 * a message on stderr. Afterwards not a byte of the TLS connection was read.
 */
int starttls(int fd, const char *protocol, int timeout, bool verbose);

#endif

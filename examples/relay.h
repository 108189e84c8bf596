/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef RELAY_H
#define RELAY_H

#include <stdbool.h>

#include "peer.h"

struct relay_options {
	bool no_input;	 /* standard input is not read */
	bool half_close; /* the end of one direction is passed on */
	bool more;	 /* comes to standard output after this peer's end */
	bool quit;	 /* the end of the input is the end of it all */
	int timeout;	 /* of silence, in milliseconds, or -1 */
};

/*
 * Copies both ways between standard input and output and the peer, until
 * there is nothing more to do; -1 with a message if something went wrong.
 */
int relay(struct peer *peer, const struct relay_options *how);

#endif

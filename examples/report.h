/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef REPORT_H
#define REPORT_H

#include <tls.h>

/* Who the peer of a connection is, for people; all of it where full is set. */
void report(struct tls *tls, const char *peer, int full);

#endif

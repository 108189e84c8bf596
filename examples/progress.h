/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef PROGRESS_H
#define PROGRESS_H

#include <sys/types.h>

/* A bar on standard error, if that is a terminal. One at a time. */
void progress_enable(void);
/* have bytes are there at the beginning; total is -1 if unknown. */
void progress_begin(const char *name, off_t have, off_t total);
void progress_update(off_t have);
/* The last bar, with the end of its line. */
void progress_end(void);

/*
 * warnx(3) for a terminal that may have a bar. What servers say may be among
 * the arguments: control characters become question marks.
 */
__attribute__((format(printf, 1, 2))) void complain(const char *format, ...);

#endif

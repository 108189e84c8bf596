/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* What differs between kernels; a port is one more platform_*.c. */

#ifndef TLSP_PLATFORM_H
#define TLSP_PLATFORM_H

#include <sys/types.h>

#include <stddef.h>

/*
 * Opens a program so that tlsp_platform_spawn() can start it later, whatever
 * the process may have given up by then. -1 with errno.
 */
int tlsp_platform_open_program(const char *path);

/*
 * Starts the supervisor with descriptor 3 control and 4 goproxy, as a process
 * that is no child of the caller, in a session of its own and with nothing of
 * the caller's environment and other descriptors. Returns 0 when the keeper
 * runs, or -1 with errno, and *stage names the program that did not start.
 */
int tlsp_platform_spawn(int supervisor, int goproxy, int control,
    const char **stage);

/*
 * write(2) without the signals that it may raise, SIGPIPE and SIGXFSZ: they
 * are errors alone.
 */
ssize_t tlsp_platform_quiet_write(int fd, const void *buf, size_t len);

/* As tlsp_memory_fd() in proxy.h. */
int tlsp_platform_memory_fd(const void *buf, size_t len);

#endif

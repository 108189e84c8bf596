/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* What differs between kernels; a port is one more platform_*.c. */

#ifndef TLSP_PLATFORM_H
#define TLSP_PLATFORM_H

#include <sys/types.h>

#include <stddef.h>
#include <stdint.h>

/*
 * Opens a program so that tlsp_platform_spawn() can start it later, whatever
 * the process may have given up by then. -1 with errno.
 */
int tlsp_platform_open_program(const char *path);

/* What the supervisor has to say when all is well: of SSLKEYLOGFILE. */
enum tlsp_note_kind {
	TLSP_NOTE_NONE,
	TLSP_NOTE_KEYLOG_ON = 2,
	TLSP_NOTE_KEYLOG_NOT_ALLOWED,
	TLSP_NOTE_KEYLOG_NOT_OPENED,
};

struct tlsp_note {
	enum tlsp_note_kind what;
	int errnum; /* why not */
};

/*
 * Starts the supervisor with descriptor 3 control and 4 goproxy, as a process
 * that is no child of the caller, in a session of its own and with nothing of
 * the caller's other descriptors and, but for variable unless it is NULL, his
 * environment. Returns 0 when the keeper runs, or -1 with errno, and *stage
 * names the program that did not start. *note is set in any case.
 */
int tlsp_platform_spawn(int supervisor, int goproxy, int control,
    const char *variable, struct tlsp_note *note, const char **stage);

/*
 * write(2) without the signals that it may raise, SIGPIPE and SIGXFSZ: they
 * are errors alone.
 */
ssize_t tlsp_platform_quiet_write(int fd, const void *buf, size_t len);

/*
 * A descriptor that is readable while one of those is that were added to it.
 * Pollers may look all the same to struct tlsp_handle: *mark is a descriptor
 * for it alone, by which tlsp_platform_poller_has() knows the poller again.
 * -1 with errno.
 */
int tlsp_platform_poller(int *mark);
/* Adds fd under a number that is not 0. -1 with errno. */
int tlsp_platform_poller_add(int poller, int fd, uint64_t number);
void tlsp_platform_poller_remove(int poller, int fd);
/* The number of one that is readable or has ended, each in turn, or 0. */
uint64_t tlsp_platform_poller_ready(int poller);
int tlsp_platform_poller_has(int poller, int mark);

/* As tlsp_memory_fd() in proxy.h. */
int tlsp_platform_memory_fd(const void *buf, size_t len);

#endif

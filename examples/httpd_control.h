/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef HTTPD_CONTROL_H
#define HTTPD_CONTROL_H

#include <stddef.h>

/*
 * What parent and server processes say to each other, over a socket pair. Its
 * end tells either that the other one is gone.
 */
#define CONTROL_READY 'r' /* the server process serves */
#define CONTROL_LOGS  'l' /* new descriptors for all logs, in their order */

int control_pair(int pair[2]);
/* Never waits; 0, or -1 and errno. */
int control_send(int fd, char command, const int *fds, size_t nfds);
/*
 * Never waits: the command, 0 at the end, or -1 and errno. *nfds is how many
 * descriptors there is room for, and then how many there are.
 */
int control_recv(int fd, int *fds, size_t *nfds);

#endif

/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"
#include "platform.h"
#include "trace.h"
#include "wire.h"

int tlsp_trace_on;

/* The program may close it, and open something else by that number. */
static struct tlsp_handle output = TLSP_HANDLE_NONE;
static const char *problem;

void
tlsp_trace_open(void)
{
	const char *name = secure_getenv(TLSP_TRACE_VARIABLE);
	int fd;

	if (name == NULL || *name == '\0')
		return;
	if (strcmp(name, "stderr") == 0)
		fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
	else if (*name == '/')
		fd = open(name,
		    O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC |
			O_NOCTTY,
		    0600);
	else {
		problem = TLSP_TRACE_VARIABLE
		    " wants 'stderr' or the absolute path of a file";
		return;
	}
	if (fd == -1) {
		problem = "failed to open the file that " TLSP_TRACE_VARIABLE
			  " names";
		return;
	}
	tlsp_handle_set(&output, tlsp_fd_move_high(fd));
	tlsp_trace_on = 1;
}

void
tlsp_trace_close(void)
{
	tlsp_trace_on = 0;
	tlsp_handle_close(&output);
}

const char *
tlsp_trace_problem(void)
{
	return problem;
}

/* Writes a line with one call, so that those of several processes stay whole.
 */
static void
write_line(const char *text)
{
	char line[512];
	struct timespec now;
	int fd, n;
	char *p;

	if ((fd = tlsp_handle_fd(&output)) == -1)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	n = snprintf(line, sizeof(line) - 1, "%lld.%06ld libtls-proxy[%ld] %s",
	    (long long)now.tv_sec, now.tv_nsec / 1000, (long)getpid(), text);
	if (n < 0)
		return;
	if ((size_t)n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	/* A peer can have a say in the text of an error. */
	for (p = line; *p != '\0'; p++) {
		if (*p < ' ' || *p > '~')
			*p = '?';
	}
	line[n] = '\n';
	/* There is nobody to tell of a failure. */
	(void)tlsp_platform_quiet_write(fd, line, (size_t)n + 1);
}

void
tlsp_trace_write_text(const char *what, const char *text)
{
	char line[400];
	int saved = errno;

	(void)snprintf(line, sizeof(line), "%s: %s", what, text);
	write_line(line);
	errno = saved;
}

/*
 * The first half of a connection's number, which is enough to tell them apart
 * and not enough to ask for one.
 */
static void
append_connection(char *text, size_t size, const struct tlsp_message *row,
    const void *message)
{
	const struct tlsp_field *f;
	const size_t used = strlen(text);
	uint64_t number;

	for (f = row->fields; f->type != TLSP_TYPE_end; f++) {
		if (f->type != TLSP_TYPE_u64 ||
		    strcmp(f->name, "connection") != 0)
			continue;
		memcpy(&number, (const char *)message + f->offset,
		    sizeof(number));
		(void)snprintf(text + used, size - used,
		    ", connection %08" PRIx64, number >> 32);
	}
}

void
tlsp_trace_write_message(const char *direction, int fd, unsigned int number,
    const void *message, size_t len, size_t nfds, int rv)
{
	const struct tlsp_message *row = tlsp_wire_message(number);
	char line[400], where[32] = "";
	int saved = errno;
	size_t used;

	if (row == NULL)
		return;
	if (fd != -1)
		(void)snprintf(where, sizeof(where), " on %d", fd);
	(void)snprintf(line, sizeof(line),
	    "%s %s%s, %zu bytes, %zu descriptors", direction, row->name, where,
	    len, nfds);
	used = strlen(line);
	if (rv == -1)
		(void)snprintf(line + used, sizeof(line) - used, ", FAILED: %s",
		    *direction == '-' ? strerror(saved)
				      : "not as it should be");
	else
		append_connection(line, sizeof(line), row, message);
	write_line(line);
	errno = saved;
}

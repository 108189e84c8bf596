/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * LIBTLS_PROXY_DEBUG: which messages pass between the library and goproxy, and
 * never what is in them. Off it costs a test of one variable a message.
 */

#ifndef TLSP_TRACE_H
#define TLSP_TRACE_H

#include <stddef.h>

#define TLSP_TRACE_VARIABLE "LIBTLS_PROXY_DEBUG"

/* Whether there is a trace; not to be changed by others. */
extern int tlsp_trace_on;

/*
 * Opens what the variable names, when the library is loaded, and closes it.
 * What is wrong with it is a static text, NULL for nothing: an error of who
 * first needs goproxy.
 */
void tlsp_trace_open(void);
void tlsp_trace_close(void);
const char *tlsp_trace_problem(void);

void tlsp_trace_write_text(const char *what, const char *text);
void tlsp_trace_write_message(const char *direction, int fd,
    unsigned int number, const void *message, size_t len, size_t nfds, int rv);

/* These keep errno. rv is what sending or decoding has returned. */

/* fd is -1 for what goes into a document. */
static inline void
tlsp_trace_sent(int fd, unsigned int number, const void *message, size_t len,
    size_t nfds, int rv)
{
	if (__builtin_expect(tlsp_trace_on, 0))
		tlsp_trace_write_message("->", fd, number, message, len, nfds,
		    rv);
}

static inline void
tlsp_trace_received(unsigned int number, const void *message, size_t len,
    size_t nfds, int rv)
{
	if (__builtin_expect(tlsp_trace_on, 0))
		tlsp_trace_write_message("<-", -1, number, message, len, nfds,
		    rv);
}

static inline void
tlsp_trace_text(const char *what, const char *text)
{
	if (__builtin_expect(tlsp_trace_on, 0))
		tlsp_trace_write_text(what, text);
}

#endif

/* SPDX-License-Identifier: ISC */

#ifndef RESPONSE_H
#define RESPONSE_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

#include "httpd_config.h"
#include "httpd_expand.h"
#include "range.h"
#include "request.h"

/* Text up to an offset, and then some of the file. */
struct part {
	size_t text_end;
	off_t first, count;
};

struct response {
	int status;
	bool keep_alive;
	char *text; /* head and all that is not in a file */
	size_t text_len;
	size_t head_len;
	int file;			   /* or -1 */
	struct part parts[RANGES_MAX + 1]; /* and the end of them all */
	size_t nparts;

	/* How far it has been sent. */
	size_t part, text_off;
	off_t file_off;
	off_t sent;
};

/*
 * These make a response, which is to be cleared; without memory for it text is
 * NULL. The first says no more than the status.
 */
void response_status(struct response *p, const struct request *r, int status);
void response_redirect(struct response *p, const struct request *r, int status,
    const char *url, const struct expansion *e);
/* What the request's path names. */
void response_file(struct response *p, const struct request *r,
    const struct config *config, const struct policy *policy);

void response_init(struct response *p);
void response_clear(struct response *p);

/*
 * Copies what comes next into a buffer. With sendfile a large part of a file
 * is left out. The number of bytes; 0 if there are none before that or the
 * end; -1 and errno.
 */
ssize_t response_fill(struct response *p, char *buf, size_t size,
    bool sendfile);
/*
 * Moves up to size bytes of such a part into a descriptor: as sendfile(2), but
 * never 0.
 */
ssize_t response_sendfile(struct response *p, int fd, size_t size);
bool response_is_sent(const struct response *p);
/* How much of what comes behind the head. */
off_t response_body_sent(const struct response *p);

#endif

/* SPDX-License-Identifier: ISC */

#ifndef RESPONSE_H
#define RESPONSE_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

#include "request.h"

#define RESPONSE_SIZE 16384

/* What is to be sent: what is in buf, and then the rest of a file. */
struct response {
	int status;
	off_t length; /* of the body */
	bool keep_alive;
	size_t off, len;
	char buf[RESPONSE_SIZE];
	int file; /* or -1 */
	off_t left;
};

/* A response that says no more than its status. */
void response_status(struct response *p, const struct request *r, int status);
/* What the request names beneath the directory root. */
void response_file(struct response *p, const struct request *r, int root);
/* The next bytes into an empty buf: 1, or 0 at the end, or -1 and errno. */
int response_fill(struct response *p);
void response_clear(struct response *p);

#endif

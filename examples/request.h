/* SPDX-License-Identifier: ISC */

#ifndef REQUEST_H
#define REQUEST_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

#define REQUEST_MAX 8192

/* An HTTP request without a body; the strings are in head. */
struct request {
	char head[REQUEST_MAX + 1];
	const char *method, *target; /* NULL if it is not that far */
	bool is_head;		     /* the method, that is */
	bool keep_alive;
	const char *range, *if_range, *if_modified_since;
};

/* Takes a head, which ends with an empty line, apart: 200 or what is wrong. */
int request_parse(struct request *r, const char *head, size_t len);
/* The part of a file that is wanted: 206, 200 for all of it, or 416. */
int request_range(const char *range, off_t size, off_t *first, off_t *count);
/* Copies the path of the target, decoded, to path of REQUEST_MAX bytes. */
bool request_path(const struct request *r, char *path);

#endif

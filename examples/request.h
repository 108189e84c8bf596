/* SPDX-License-Identifier: ISC */

#ifndef REQUEST_H
#define REQUEST_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

/* An HTTP request; the strings are in head, and NULL where there is none. */
struct request {
	char *head;
	char *path;		     /* of the target: decoded, without dots */
	const char *method, *target; /* NULL if it is not that far */
	const char *version;
	const char *query;
	const char *host; /* in lower case, without the port */
	bool is_head;	  /* the method, that is */
	bool keep_alive;  /* false as well if its end is not known */
	bool expects;	  /* 100 (Continue) before its body */
	off_t body;	  /* its length */
	const char *if_match, *if_none_match;
	const char *if_modified_since, *if_unmodified_since;
	const char *if_range, *range;
	const char *referer, *user_agent;
};

/*
 * Takes apart a head of len bytes, which end with an empty line and a NUL:
 * 200 or the status that tells what is wrong. The request owns the head, and
 * is to be cleared, whatever the result.
 */
int request_parse(struct request *r, char *head, size_t len, int max_fields);
void request_clear(struct request *r);

#endif

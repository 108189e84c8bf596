/* SPDX-License-Identifier: ISC */

#ifndef URL_H
#define URL_H

#include <stdbool.h>

/* A https URL. */
struct url {
	char host[256];
	char port[6];
	char path[4096]; /* and the query */
};

/*
 * Follows a reference from where url is, or any whole URL where url is all
 * zero; the cause if that cannot be, and url as it was, or NULL.
 */
const char *url_follow(struct url *url, const char *s);
/* The last part of the path, which may be empty; to be freed, or NULL. */
char *url_file_name(const struct url *url);

#endif

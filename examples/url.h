/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef URL_H
#define URL_H

#include <stdbool.h>
#include <stddef.h>

enum url_scheme {
	URL_NONE, /* an empty struct url */
	URL_HTTP,
	URL_HTTPS,
	URL_FTP,
	URL_FTPS, /* TLS from the first byte on */
};

struct url {
	enum url_scheme scheme;
	char host[256]; /* without the brackets of an IPv6 address */
	char port[6];
	char path[4096]; /* and the query, as it stands in the URL */
	/* Without percent signs; empty where the URL has none. */
	char user[128], password[128];
};

/*
 * These return the cause of a failure, which leaves url as it was, or NULL.
 *
 * url_follow follows a reference of a http or https server from where url is.
 * User and password stay only while the server does, and never come from the
 * reference.
 */
const char *url_parse(struct url *url, const char *s);
const char *url_follow(struct url *url, const char *s);

/* Scheme, host and port are the same. */
bool url_same_server(const struct url *a, const struct url *b);
bool url_has_default_port(const struct url *url);
/* The host as it stands in a URL, into size bytes: with brackets. */
void url_host(const struct url *url, char *text, size_t size);
/*
 * Undoes percent signs in len bytes of s; false if there is no room, or for
 * control characters, which no name has that a server is asked for.
 */
bool url_decode(char *text, size_t size, const char *s, size_t len);
/*
 * The last part of the path as the name of a file, into size bytes; empty if
 * there is none, false if it cannot be one.
 */
bool url_file_name(const struct url *url, char *name, size_t size);
/* Overwrites what stands in a URL before its '@'. */
void url_hide_user(char *s);

#endif

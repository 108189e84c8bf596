/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef HTTPD_EXPAND_H
#define HTTPD_EXPAND_H

#include <stdio.h>

/* What "block return" puts for its macros. */
struct expansion {
	const char *document_uri; /* decoded */
	const char *http_host;
	const char *query_string;
	const char *remote_addr;
	const char *request_uri;
	const char *server_name;
};

/* Why a URL with macros cannot be used, or NULL. */
const char *expand_check(const char *url);
/* Writes it; it has been checked. */
void expand(FILE *out, const char *url, const struct expansion *e);

#endif

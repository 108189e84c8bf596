/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* The macros in URLs that clients are sent to. */

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#include "httpd_escape.h"
#include "httpd_expand.h"

static const struct {
	const char *name;
	size_t offset;
} macros[] = {
	{ "DOCUMENT_URI", offsetof(struct expansion, document_uri) },
	{ "HTTP_HOST", offsetof(struct expansion, http_host) },
	{ "QUERY_STRING", offsetof(struct expansion, query_string) },
	{ "REMOTE_ADDR", offsetof(struct expansion, remote_addr) },
	{ "REQUEST_URI", offsetof(struct expansion, request_uri) },
	{ "SERVER_NAME", offsetof(struct expansion, server_name) },
};

#define NMACROS (sizeof(macros) / sizeof(macros[0]))

/* The macro at the beginning of s, behind its '$', and how long it is. */
static size_t
find_macro(const char *s, size_t *len)
{
	size_t i;

	for (*len = 0; isupper((unsigned char)s[*len]) || s[*len] == '_';)
		++*len;
	for (i = 0; i < NMACROS; i++)
		if (strlen(macros[i].name) == *len &&
		    memcmp(macros[i].name, s, *len) == 0)
			break;
	return i;
}

const char *
expand_check(const char *url)
{
	size_t len;

	for (; *url != '\0'; url++) {
		if (!isgraph((unsigned char)*url))
			return "a URL has neither blanks nor other signs that "
			       "cannot be seen";
		if (*url == '$' && find_macro(url + 1, &len) == NMACROS)
			return "there is no such macro";
	}
	return NULL;
}

void
expand(FILE *out, const char *url, const struct expansion *e)
{
	const char *value;
	size_t i, len;

	while (*url != '\0') {
		if (*url != '$') {
			fputc(*url++, out);
			continue;
		}
		i = find_macro(url + 1, &len);
		url += 1 + len;
		memcpy(&value, (const char *)e + macros[i].offset,
		    sizeof(value));
		if (value == NULL)
			continue;
		/* The others are as the client sent them, without blanks. */
		if (value == e->document_uri)
			escape_url(out, value);
		else
			fputs(value, out);
	}
}

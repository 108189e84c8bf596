/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* Dates, entity tags, and requests that depend on them. */

#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "condition.h"

void
http_date(time_t t, char date[DATE_SIZE])
{
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(date, DATE_SIZE, "%a, %d %b %Y %H:%M:%S GMT", &tm) == 0)
		date[0] = '\0';
}

bool
http_date_parse(const char *date, time_t *t)
{
	static const char *const forms[] = {
		"%a, %d %b %Y %H:%M:%S GMT",
		"%a, %d-%b-%y %H:%M:%S GMT", /* also with the whole day */
		"%a %b %e %H:%M:%S %Y",
	};
	const char *end;
	struct tm tm;
	size_t i;

	for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		memset(&tm, 0, sizeof(tm));
		end = strptime(date, forms[i], &tm);
		if (end != NULL && *end == '\0') {
			*t = timegm(&tm);
			return true;
		}
	}
	return false;
}

/* A file that changes has another one, as the clock is finer than that. */
void
http_etag(const struct stat *st, char etag[ETAG_SIZE])
{
	snprintf(etag, ETAG_SIZE, "\"%llx.%lx-%llx\"",
	    (unsigned long long)st->st_mtim.tv_sec,
	    (unsigned long)st->st_mtim.tv_nsec,
	    (unsigned long long)st->st_size);
}

/* Whether a list of entity tags, or "*", has this one, which is strong. */
static bool
matches(const char *list, const char *etag, bool weak)
{
	size_t len;

	if (strcmp(list, "*") == 0)
		return true;
	for (;;) {
		list += strspn(list, ", \t");
		if (strncmp(list, "W/\"", 3) == 0) {
			if (!weak) {
				list += 3;
				list += strcspn(list, "\"");
				if (*list++ == '\0')
					return false;
				continue;
			}
			list += 2;
		}
		if (*list != '"')
			return false;
		len = 1 + strcspn(list + 1, "\"");
		if (list[len++] == '\0')
			return false;
		if (len == strlen(etag) && memcmp(list, etag, len) == 0)
			return true;
		list += len;
	}
}

/* The order is that of RFC 9110, 13.2.2. */
int
condition_check(const struct request *r, const struct stat *st)
{
	char etag[ETAG_SIZE];
	time_t t;

	http_etag(st, etag);
	if (r->if_match != NULL) {
		if (!matches(r->if_match, etag, false))
			return 412;
	} else if (r->if_unmodified_since != NULL &&
		   http_date_parse(r->if_unmodified_since, &t) &&
		   st->st_mtime > t) {
		return 412;
	}
	if (r->if_none_match != NULL) {
		if (matches(r->if_none_match, etag, true))
			return 304;
	} else if (r->if_modified_since != NULL &&
		   http_date_parse(r->if_modified_since, &t) &&
		   st->st_mtime <= t) {
		return 304;
	}
	return 200;
}

bool
condition_range(const struct request *r, const struct stat *st)
{
	char etag[ETAG_SIZE];
	time_t t;

	if (r->if_range == NULL)
		return true;
	if (r->if_range[0] == '"') {
		http_etag(st, etag);
		return strcmp(r->if_range, etag) == 0;
	}
	return http_date_parse(r->if_range, &t) && t == st->st_mtime;
}

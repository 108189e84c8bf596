/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* Which proxy, if any. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "progress.h"
#include "proxy.h"

/*
 * An entry is "*", a name, which stands for all names that end with it as well,
 * or an address, each perhaps with a port.
 */
static bool
matches(const char *entry, size_t len, const struct url *url)
{
	const char *colon;
	size_t host = strlen(url->host);

	if (len == 1 && *entry == '*')
		return true;
	if (strchr(url->host, ':') != NULL) {
		if (len > 0 && *entry == '[') {
			if ((colon = memchr(entry, ']', len)) == NULL)
				return false;
			return (size_t)(colon - entry) - 1 == host &&
			       strncasecmp(entry + 1, url->host, host) == 0;
		}
		return len == host && strncasecmp(entry, url->host, len) == 0;
	}
	if ((colon = memchr(entry, ':', len)) != NULL) {
		if (len - (size_t)(colon - entry) - 1 != strlen(url->port) ||
		    strncmp(colon + 1, url->port, strlen(url->port)) != 0)
			return false;
		len = (size_t)(colon - entry);
	}
	if (len > 0 && *entry == '.') {
		entry++;
		len--;
	}
	if (len == 0 || len > host ||
	    strncasecmp(url->host + host - len, entry, len) != 0)
		return false;
	return len == host || url->host[host - len - 1] == '.';
}

bool
proxy_excepts(const char *list, const struct url *url)
{
	size_t len;

	for (; *list != '\0'; list += len) {
		list += strspn(list, ", \t");
		len = strcspn(list, ", \t");
		if (matches(list, len, url))
			return true;
	}
	return false;
}

static const char *
environment(const char *lower, const char *upper)
{
	const char *value = getenv(lower);

	if (value == NULL && upper != NULL)
		value = getenv(upper);
	return value != NULL && *value != '\0' ? value : NULL;
}

int
proxy_find(const struct url *url, struct url *proxy)
{
	const char *cause, *list, *value, *name;
	char *whole = NULL;
	int rv = -1;

	if (url->scheme == URL_HTTPS) {
		name = "https_proxy";
		value = environment(name, "HTTPS_PROXY");
	} else if (url->scheme == URL_HTTP) {
		/* HTTP_PROXY may be a header that a client of CGI has sent. */
		name = "http_proxy";
		value = environment(name, NULL);
	} else {
		return 0;
	}
	list = environment("no_proxy", "NO_PROXY");
	if (value == NULL || (list != NULL && proxy_excepts(list, url)))
		return 0;
	if (strstr(value, "://") == NULL) {
		if (asprintf(&whole, "http://%s", value) == -1) {
			complain("out of memory");
			return -1;
		}
		value = whole;
	}
	cause = url_parse(proxy, value);
	if (cause == NULL && proxy->scheme != URL_HTTP)
		cause = "not a URL of http";
	if (cause != NULL)
		complain("%s: %s", name, cause);
	else
		rv = 1;
	free(whole);
	return rv;
}

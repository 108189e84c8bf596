/* SPDX-License-Identifier: ISC */

/* Where ftp finds things. */

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "url.h"

static bool
is_clean(const char *s)
{
	for (; *s != '\0'; s++)
		if (!isgraph((unsigned char)*s))
			return false;
	return true;
}

/* What begins after "https:"; the cause, or NULL for success. */
static const char *
parse_authority(struct url *url, const char *s)
{
	const char *end, *port;
	size_t len;

	s += 2;
	len = strcspn(s, "/?#");
	if (memchr(s, '@', len) != NULL)
		return "user names are not supported";
	if (*s == '[') {
		s++;
		if ((end = strchr(s, ']')) == NULL)
			return "no ']' after the address";
		port = end + 1;
	} else {
		end = port = s + strcspn(s, ":/?#");
	}
	len = (size_t)(end - s);
	if (len == 0 || len >= sizeof(url->host))
		return "invalid host";
	memcpy(url->host, s, len);
	url->host[len] = '\0';

	s = port + strcspn(port, "/?#");
	if (port == s) {
		strcpy(url->port, "443");
	} else {
		len = (size_t)(s - port) - 1;
		if (*port != ':' || len == 0 || len >= sizeof(url->port) ||
		    strspn(port + 1, "0123456789") < len)
			return "invalid port";
		memcpy(url->port, port + 1, len);
		url->port[len] = '\0';
	}
	len = strcspn(s, "#");
	if (len + 2 > sizeof(url->path))
		return "path too long";
	snprintf(url->path, sizeof(url->path), "%s%.*s", *s == '/' ? "" : "/",
	    (int)len, s);
	return NULL;
}

const char *
url_follow(struct url *url, const char *s)
{
	struct url next = *url;
	const char *cause;
	size_t keep, len, scheme;

	if (!is_clean(s))
		return "blanks or control characters";
	scheme = strcspn(s, ":/?#");
	if (s[scheme] == ':') {
		if (scheme != 5 || strncasecmp(s, "https", 5) != 0)
			return "not a https URL";
		s += scheme + 1;
		if (strncmp(s, "//", 2) != 0)
			return "no host";
	}
	if (strncmp(s, "//", 2) == 0) {
		if ((cause = parse_authority(&next, s)) == NULL)
			*url = next;
		return cause;
	}
	if (url->host[0] == '\0')
		return "not a https URL";
	keep = strcspn(next.path, "?");
	len = strcspn(s, "#");
	if (*s == '/') {
		keep = 0;
	} else if (*s != '?') {
		while (keep > 0 && next.path[keep - 1] != '/')
			keep--;
	}
	if (keep + len >= sizeof(next.path))
		return "path too long";
	memcpy(next.path + keep, s, len);
	next.path[keep + len] = '\0';
	*url = next;
	return NULL;
}

char *
url_file_name(const struct url *url)
{
	size_t start, end;

	end = strcspn(url->path, "?");
	for (start = end; start > 0 && url->path[start - 1] != '/'; start--)
		continue;
	return strndup(url->path + start, end - start);
}

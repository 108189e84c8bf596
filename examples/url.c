/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* Where ftp finds things. */

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "url.h"

static const struct {
	enum url_scheme scheme;
	const char *name, *port;
} schemes[] = {
	{ URL_HTTP, "http", "80" },
	{ URL_HTTPS, "https", "443" },
	{ URL_FTP, "ftp", "21" },
	{ URL_FTPS, "ftps", "990" },
};

#define SCHEMES (sizeof(schemes) / sizeof(schemes[0]))

static bool
is_clean(const char *s)
{
	for (; *s != '\0'; s++)
		if (!isgraph((unsigned char)*s))
			return false;
	return true;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
url_decode(char *text, size_t size, const char *s, size_t len)
{
	size_t i, n = 0;
	int c;

	for (i = 0; i < len; i++) {
		c = (unsigned char)s[i];
		if (c == '%') {
			if (len - i < 3 || hex_digit(s[i + 1]) == -1 ||
			    hex_digit(s[i + 2]) == -1)
				return false;
			c = hex_digit(s[i + 1]) * 16 + hex_digit(s[i + 2]);
			i += 2;
		}
		if (c < ' ' || c == 0x7f || n + 1 >= size)
			return false;
		text[n++] = (char)c;
	}
	text[n] = '\0';
	return true;
}

/* "user:password" of len bytes */
static bool
parse_user(struct url *url, const char *s, size_t len)
{
	const char *colon = memchr(s, ':', len);
	size_t user = colon != NULL ? (size_t)(colon - s) : len;

	return user > 0 && url_decode(url->user, sizeof(url->user), s, user) &&
	       (colon == NULL ||
		   url_decode(url->password, sizeof(url->password), colon + 1,
		       len - user - 1));
}

/* What begins after "//"; the cause, or NULL for success. */
static const char *
parse_authority(struct url *url, const char *s, const char *default_port)
{
	const char *at, *end, *port, *user = s;
	size_t len;

	len = strcspn(s, "/?#");
	url->user[0] = url->password[0] = '\0';
	if ((at = memchr(s, '@', len)) != NULL) {
		s = at + 1;
		if (memchr(s, '@', len - (size_t)(s - user)) != NULL ||
		    !parse_user(url, user, (size_t)(at - user)))
			return "invalid user or password";
	}
	if (*s == '[') {
		s++;
		end = s + strspn(s, "0123456789abcdefABCDEF:.");
		if (*end != ']')
			return "no ']' after the address";
		port = end + 1;
	} else {
		/* What names of hosts have, so that they fit everywhere. */
		end = port = s + strspn(s, "abcdefghijklmnopqrstuvwxyz"
					   "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
					   "0123456789._-");
	}
	len = (size_t)(end - s);
	if (len == 0 || len >= sizeof(url->host))
		return "invalid host";
	memcpy(url->host, s, len);
	url->host[len] = '\0';

	s = port + strcspn(port, "/?#");
	if (port == s) {
		snprintf(url->port, sizeof(url->port), "%s", default_port);
	} else {
		if (*port != ':')
			return "invalid host";
		len = (size_t)(s - port) - 1;
		if (len == 0 || len >= sizeof(url->port) ||
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

/* A whole URL: the number of bytes before "//", or 0 if it is none. */
static size_t
parse_scheme(const char *s, size_t *scheme)
{
	size_t i, len = strcspn(s, ":/?#");

	for (i = 0; i < SCHEMES && s[len] == ':'; i++)
		if (strlen(schemes[i].name) == len &&
		    strncasecmp(s, schemes[i].name, len) == 0) {
			*scheme = i;
			return len + 1;
		}
	return 0;
}

const char *
url_parse(struct url *url, const char *s)
{
	struct url next = { 0 };
	const char *cause;
	size_t i, len;

	if (!is_clean(s))
		return "blanks or control characters";
	if ((len = parse_scheme(s, &i)) == 0)
		return "not a URL of http, https, ftp or ftps";
	if (strncmp(s + len, "//", 2) != 0)
		return "no host";
	next.scheme = schemes[i].scheme;
	cause = parse_authority(&next, s + len + 2, schemes[i].port);
	if (cause == NULL)
		*url = next;
	return cause;
}

/* "/a/./b/../c" becomes "/a/c"; what comes after a '?' stays as it is. */
static void
remove_dots(char *path)
{
	char *in = path, *out = path;
	size_t len;

	while (*in == '/') {
		len = 1 + strcspn(in + 1, "/?");
		if (len == 3 && strncmp(in, "/..", 3) == 0) {
			while (out > path && *--out != '/')
				continue;
		} else if (len != 2 || in[1] != '.') {
			memmove(out, in, len);
			out += len;
			in += len;
			continue;
		}
		in += len;
		/* A dot at the end leaves its directory. */
		if (*in != '/')
			*out++ = '/';
	}
	memmove(out, in, strlen(in) + 1);
}

const char *
url_follow(struct url *url, const char *s)
{
	struct url next = *url;
	const char *cause;
	size_t i, keep, len;

	if (!is_clean(s))
		return "blanks or control characters";
	if ((len = parse_scheme(s, &i)) > 0) {
		if ((cause = url_parse(&next, s)) != NULL)
			return cause;
		if (next.scheme != URL_HTTP && next.scheme != URL_HTTPS)
			return "not a URL of http or https";
	} else if (s[strcspn(s, ":/?#")] == ':') {
		return "not a URL of http or https";
	} else if (strncmp(s, "//", 2) == 0) {
		cause = parse_authority(&next, s + 2,
		    next.scheme == URL_HTTP ? "80" : "443");
		if (cause != NULL)
			return cause;
	} else {
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
	}
	remove_dots(next.path);
	memset(next.user, 0, sizeof(next.user));
	memset(next.password, 0, sizeof(next.password));
	if (url_same_server(url, &next)) {
		memcpy(next.user, url->user, sizeof(next.user));
		memcpy(next.password, url->password, sizeof(next.password));
	}
	*url = next;
	return NULL;
}

bool
url_same_server(const struct url *a, const struct url *b)
{
	return a->scheme == b->scheme && strcasecmp(a->host, b->host) == 0 &&
	       strcmp(a->port, b->port) == 0;
}

bool
url_has_default_port(const struct url *url)
{
	size_t i;

	for (i = 0; i < SCHEMES; i++)
		if (schemes[i].scheme == url->scheme)
			return strcmp(schemes[i].port, url->port) == 0;
	return false;
}

void
url_host(const struct url *url, char *text, size_t size)
{
	bool address = strchr(url->host, ':') != NULL;

	snprintf(text, size, "%s%s%s", address ? "[" : "", url->host,
	    address ? "]" : "");
}

bool
url_file_name(const struct url *url, char *name, size_t size)
{
	bool http = url->scheme == URL_HTTP || url->scheme == URL_HTTPS;
	size_t start, end;

	end = http ? strcspn(url->path, "?") : strlen(url->path);
	for (start = end; start > 0 && url->path[start - 1] != '/'; start--)
		continue;
	return url_decode(name, size, url->path + start, end - start) &&
	       strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

void
url_hide_user(char *s)
{
	char *start, *at;
	size_t len;

	if ((start = strstr(s, "://")) == NULL)
		return;
	start += 3;
	len = strcspn(start, "/?#");
	if ((at = memchr(start, '@', len)) != NULL)
		memset(start, '*', (size_t)(at - start));
}

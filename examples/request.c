/* SPDX-License-Identifier: ISC */

/* What a client of httpd asks for. */

#include <sys/types.h>

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "request.h"

/* What matters only until the head is read. */
struct fields {
	const char *host, *length, *coding, *expect;
	bool close, keep_alive;
};

/* Cuts the next line off the head. */
static char *
next_line(char **head)
{
	char *line = *head, *end = strstr(line, "\r\n");

	*end = '\0';
	*head = end + 2;
	return line;
}

/* Whether a list such as that of Connection has token. */
static bool
has_token(const char *list, const char *token)
{
	size_t len;

	while (*list != '\0') {
		list += strspn(list, ", \t");
		len = strcspn(list, ", \t");
		if (len == strlen(token) && strncasecmp(list, token, len) == 0)
			return true;
		list += len;
	}
	return false;
}

static bool
is_word(const char *s)
{
	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++)
		if (!isgraph((unsigned char)*s))
			return false;
	return true;
}

/* A method, or the name of a field. */
static bool
is_token(const char *s)
{
	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++)
		if (!isalnum((unsigned char)*s) &&
		    strchr("!#$%&'*+-.^_`|~", *s) == NULL)
			return false;
	return true;
}

static bool
parse_field(struct request *r, struct fields *f, char *line)
{
	const struct {
		const char *name, **value;
	} wanted[] = {
		{ "Content-Length", &f->length },
		{ "Expect", &f->expect },
		{ "Host", &f->host },
		{ "If-Match", &r->if_match },
		{ "If-Modified-Since", &r->if_modified_since },
		{ "If-None-Match", &r->if_none_match },
		{ "If-Range", &r->if_range },
		{ "If-Unmodified-Since", &r->if_unmodified_since },
		{ "Range", &r->range },
		{ "Referer", &r->referer },
		{ "Transfer-Encoding", &f->coding },
		{ "User-Agent", &r->user_agent },
	};
	char *value, *end;
	size_t i;

	if ((value = strchr(line, ':')) == NULL)
		return false;
	*value++ = '\0';
	/* A blank in or before the name is a folded line, or a trap. */
	if (!is_token(line))
		return false;
	value += strspn(value, " \t");
	end = value + strlen(value);
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';

	if (strcasecmp(line, "Connection") == 0) {
		f->close = f->close || has_token(value, "close");
		f->keep_alive = f->keep_alive || has_token(value, "keep-alive");
		return true;
	}
	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		if (strcasecmp(line, wanted[i].name) != 0)
			continue;
		/* Who takes which of two is what smugglers live on. */
		if (*wanted[i].value != NULL)
			return false;
		*wanted[i].value = value;
		break;
	}
	return true;
}

/*
 * Takes "name", "192.0.2.1" or "[2001:db8::1]" and leaves the port out; a host
 * that is empty is none. The memory is the head's.
 */
static bool
parse_host(struct request *r, char *host, size_t len)
{
	const char *allowed = "-._~";
	size_t i, n = 0;

	if (len > 0 && host[0] == '[') {
		while (n < len && host[n] != ']')
			n++;
		if (n == len)
			return false;
		n++;
		for (i = 1; i < n - 1; i++)
			if (!isxdigit((unsigned char)host[i]) &&
			    host[i] != ':' && host[i] != '.')
				return false;
	} else {
		while (n < len && host[n] != ':')
			n++;
		for (i = 0; i < n; i++)
			if (!isalnum((unsigned char)host[i]) &&
			    (host[i] == '\0' ||
				strchr(allowed, host[i]) == NULL))
				return false;
	}
	for (i = n; i < len; i++)
		if (i == n ? host[i] != ':' : !isdigit((unsigned char)host[i]))
			return false;
	for (i = 0; i < n; i++)
		host[i] = (char)tolower((unsigned char)host[i]);
	/* "example.com." is the same. */
	if (n > 1 && host[n - 1] == '.')
		n--;
	host[n] = '\0';
	r->host = n == 0 ? NULL : host;
	return true;
}

/* A body, or none: 200, or what is wrong. */
static int
parse_body(struct request *r, const struct fields *f)
{
	const char *p = f->length;
	bool old = strcmp(r->version, "HTTP/1.0") == 0;

	if (f->coding != NULL)
		return old || f->length != NULL ? 400 : 501;
	if (p == NULL)
		return 200;
	if (*p == '\0')
		return 400;
	for (; *p != '\0'; p++) {
		if (!isdigit((unsigned char)*p) ||
		    r->body > (INT64_MAX - 9) / 10)
			return 400;
		r->body = r->body * 10 + (*p - '0');
	}
	return 200;
}

static int
parse_method(struct request *r)
{
	static const char *const known[] = { "POST", "PUT", "DELETE", "CONNECT",
		"OPTIONS", "TRACE", "PATCH" };
	size_t i;

	if (r->is_head || strcmp(r->method, "GET") == 0)
		return 200;
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(r->method, known[i]) == 0)
			return 405;
	return 501;
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool
percent_decode(char *s)
{
	char *to = s;
	int high, low;

	for (; *s != '\0'; s++) {
		if (*s != '%') {
			*to++ = *s;
			continue;
		}
		if ((high = hex(s[1])) == -1 || (low = hex(s[2])) == -1 ||
		    (high == 0 && low == 0))
			return false;
		*to++ = (char)(high * 16 + low);
		s += 2;
	}
	*to = '\0';
	return true;
}

/* Takes "//", "/./" and "/x/../" out; nothing is above "/". */
static void
remove_dots(char *path)
{
	const char *from = path;
	char *to = path;
	size_t len;

	while (*from == '/') {
		from += strspn(from, "/");
		len = strcspn(from, "/");
		if (len == 0 || (len == 1 && from[0] == '.')) {
			/* The slash before it remains, if it is the last. */
			if (from[len] == '\0')
				*to++ = '/';
		} else if (len == 2 && memcmp(from, "..", 2) == 0) {
			while (to > path && *--to != '/')
				;
			if (from[len] == '\0')
				*to++ = '/';
		} else {
			*to++ = '/';
			memmove(to, from, len);
			to += len;
		}
		from += len;
	}
	*to = '\0';
}

static bool
has_scheme(const char *target, const char *scheme)
{
	return strncasecmp(target, scheme, strlen(scheme)) == 0;
}

/* The path of the target, which is "/path?query" or "https://host/path". */
static int
parse_target(struct request *r, char *target)
{
	size_t len;

	if (has_scheme(target, "https://") || has_scheme(target, "http://")) {
		target = strchr(target, ':') + 3;
		len = strcspn(target, "/?");
		/* Its host goes before the field; there is a byte to spare. */
		memmove(target - 1, target, len);
		if (len == 0 || !parse_host(r, target - 1, len) ||
		    r->host == NULL)
			return 400;
		target += len;
		r->target = *target == '\0' ? "/" : target;
	}
	if (r->target[0] != '/' || strchr(r->target, '#') != NULL)
		return 400;
	len = strcspn(r->target, "?");
	r->query = r->target[len] == '?' ? r->target + len + 1 : NULL;
	if ((r->path = strndup(r->target, len)) == NULL)
		return 500;
	if (!percent_decode(r->path))
		return 400;
	remove_dots(r->path);
	return 200;
}

static int
parse_first_line(struct request *r, char *line)
{
	char *target, *version;

	if ((target = strchr(line, ' ')) == NULL)
		return 400;
	*target++ = '\0';
	if ((version = strchr(target, ' ')) == NULL)
		return 400;
	*version++ = '\0';
	if (!is_token(line) || !is_word(target) ||
	    strncmp(version, "HTTP/", 5) != 0)
		return 400;
	r->method = line;
	r->is_head = strcmp(line, "HEAD") == 0;
	r->target = target;
	r->version = version;
	return strcmp(version, "HTTP/1.0") == 0 ||
		       strcmp(version, "HTTP/1.1") == 0
		   ? 200
		   : 505;
}

/* What the fields say of connection, body and host. */
static int
evaluate(struct request *r, const struct fields *f)
{
	bool old = strcmp(r->version, "HTTP/1.0") == 0;
	int status;

	if (!old && f->host == NULL)
		return 400;
	if (f->host != NULL &&
	    !parse_host(r, r->head + (f->host - r->head), strlen(f->host)))
		return 400;
	if ((status = parse_body(r, f)) != 200)
		return status;
	r->keep_alive = !f->close && (!old || f->keep_alive);
	if (f->expect != NULL && !old) {
		if (strcasecmp(f->expect, "100-continue") != 0)
			return 417;
		r->expects = r->body > 0;
	}
	return 200;
}

int
request_parse(struct request *r, char *head, size_t len, int max_fields)
{
	struct fields f = { .host = NULL };
	char *line, *next = head, *p;
	int status;

	memset(r, 0, sizeof(*r));
	r->head = head;
	for (p = head; p < head + len; p++) {
		if (*p == '\r' && p[1] == '\n')
			p++;
		else if (iscntrl((unsigned char)*p) && *p != '\t')
			return 400;
	}
	if ((status = parse_first_line(r, next_line(&next))) != 200)
		return status;
	while (*(line = next_line(&next)) != '\0') {
		if (max_fields-- == 0)
			return 431;
		if (!parse_field(r, &f, line))
			return 400;
	}
	if ((status = evaluate(r, &f)) != 200 ||
	    (status = parse_method(r)) != 200)
		return status;
	return parse_target(r, head + (r->target - head));
}

void
request_clear(struct request *r)
{
	free(r->head);
	free(r->path);
	memset(r, 0, sizeof(*r));
}

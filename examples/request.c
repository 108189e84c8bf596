/* SPDX-License-Identifier: ISC */

/* What a client of httpd asks for. */

#include <sys/types.h>

#include <ctype.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "request.h"

/* What matters only until the head is read. */
struct fields {
	bool host, body, close, keep_alive;
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

static bool
parse_field(struct request *r, struct fields *f, char *line)
{
	char *value, *end;

	if ((value = strchr(line, ':')) == NULL)
		return false;
	*value++ = '\0';
	/* A blank in or before the name is a folded line, or a trap. */
	if (!is_word(line))
		return false;
	value += strspn(value, " \t");
	end = value + strlen(value);
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';

	if (strcasecmp(line, "Host") == 0) {
		if (f->host)
			return false;
		f->host = true;
	} else if (strcasecmp(line, "Connection") == 0) {
		f->close = f->close || has_token(value, "close");
		f->keep_alive = f->keep_alive || has_token(value, "keep-alive");
	} else if (strcasecmp(line, "Content-Length") == 0) {
		f->body = f->body || strcmp(value, "0") != 0;
	} else if (strcasecmp(line, "Transfer-Encoding") == 0) {
		f->body = true;
	} else if (strcasecmp(line, "Range") == 0) {
		r->range = value;
	} else if (strcasecmp(line, "If-Range") == 0) {
		r->if_range = value;
	} else if (strcasecmp(line, "If-Modified-Since") == 0) {
		r->if_modified_since = value;
	}
	return true;
}

int
request_parse(struct request *r, const char *head, size_t len)
{
	struct fields f = { .host = false };
	char *line, *next, *target, *version, *p;

	memset(r, 0, sizeof(*r));
	memcpy(r->head, head, len);
	for (p = r->head; p < r->head + len; p++) {
		if (*p == '\r' && p[1] == '\n')
			p++;
		else if (iscntrl((unsigned char)*p) && *p != '\t')
			return 400;
	}
	next = r->head;
	line = next_line(&next);
	if ((target = strchr(line, ' ')) == NULL)
		return 400;
	*target++ = '\0';
	if ((version = strchr(target, ' ')) == NULL)
		return 400;
	*version++ = '\0';
	if (!is_word(line) || !is_word(target) ||
	    strncmp(version, "HTTP/", 5) != 0)
		return 400;
	r->method = line;
	r->target = target;
	r->is_head = strcmp(line, "HEAD") == 0;
	if (strcmp(version, "HTTP/1.0") != 0 &&
	    strcmp(version, "HTTP/1.1") != 0)
		return 505;

	while (*(line = next_line(&next)) != '\0')
		if (!parse_field(r, &f, line))
			return 400;
	if (version[7] == '1' && !f.host)
		return 400;
	r->keep_alive = !f.close && (version[7] == '1' || f.keep_alive);
	/* "https://host/path" means the same as "/path". */
	if (strncasecmp(r->target, "https://", 8) == 0) {
		r->target += 8;
		r->target += strcspn(r->target, "/");
	}
	if (r->target[0] != '/')
		return 400;
	if (!r->is_head && strcmp(r->method, "GET") != 0)
		return 405;
	return f.body ? 413 : 200;
}

static bool
parse_number(const char **s, off_t *number)
{
	const char *p = *s;
	off_t n = 0;

	while (isdigit((unsigned char)*p)) {
		if (n > (INT64_MAX - 9) / 10)
			return false;
		n = n * 10 + (*p++ - '0');
	}
	if (p == *s)
		return false;
	*s = p;
	*number = n;
	return true;
}

/*
 * Understands one range, "bytes=first-last", "bytes=first-" or "bytes=-count",
 * and ignores others, as it may.
 */
int
request_range(const char *s, off_t size, off_t *first, off_t *count)
{
	off_t from, to = size - 1;

	if (s == NULL || strncasecmp(s, "bytes=", 6) != 0)
		return 200;
	s += 6;
	if (*s == '-') {
		s++;
		if (!parse_number(&s, &to) || *s != '\0')
			return 200;
		if (to == 0 || size == 0)
			return 416;
		from = to < size ? size - to : 0;
		to = size - 1;
	} else {
		if (!parse_number(&s, &from) || *s++ != '-')
			return 200;
		if (*s != '\0' && (!parse_number(&s, &to) || to < from))
			return 200;
		if (*s != '\0')
			return 200;
		if (from >= size)
			return 416;
		if (to >= size)
			to = size - 1;
	}
	*first = from;
	*count = to - from + 1;
	return 206;
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

bool
request_path(const struct request *r, char *path)
{
	size_t len = strcspn(r->target, "?");

	memcpy(path, r->target, len);
	path[len] = '\0';
	return percent_decode(path);
}

/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* The heads of HTTP's replies. */

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "http_head.h"
#include "progress.h"

#define FIELDS_MAX  100
#define REPLIES_MAX 10 /* 1xx before the real one */

bool
http_number(const char **s, int base, off_t *number)
{
	static const char digits[] = "0123456789abcdef";
	const char *p, *digit;
	off_t n = 0;

	for (p = *s; *p != '\0'; p++) {
		digit = strchr(digits, tolower((unsigned char)*p));
		if (digit == NULL || digit - digits >= base)
			break;
		if (n > (INT64_MAX - (digit - digits)) / base)
			return false;
		n = n * base + (digit - digits);
	}
	if (p == *s)
		return false;
	*s = p;
	*number = n;
	return true;
}

/* "bytes first-last/total", where a '*' is something unknown */
static bool
parse_content_range(struct http_head *h, const char *s)
{
	if (strncasecmp(s, "bytes ", 6) != 0)
		return false;
	s += 6;
	if (*s == '*')
		s++;
	else if (!http_number(&s, 10, &h->first) || *s++ != '-' ||
		 !http_number(&s, 10, &h->last) || h->last < h->first)
		return false;
	if (*s++ != '/')
		return false;
	if (strcmp(s, "*") == 0)
		return true;
	return http_number(&s, 10, &h->total) && *s == '\0' &&
	       h->last < h->total;
}

static bool
parse_length(struct http_head *h, const char *s)
{
	off_t length;

	if (!http_number(&s, 10, &length) || *s != '\0' ||
	    (h->length != -1 && h->length != length))
		return false;
	h->length = length;
	return true;
}

/* Is word in a list such as "close, upgrade"? */
static bool
has_word(const char *list, const char *word)
{
	size_t len;

	for (; *list != '\0'; list += len) {
		list += strspn(list, ", \t");
		len = strcspn(list, ", \t");
		if (len == strlen(word) && strncasecmp(list, word, len) == 0)
			return true;
	}
	return false;
}

static time_t
parse_date(const char *s)
{
	struct tm tm = { 0 };
	const char *end;

	end = strptime(s, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	return end != NULL && *end == '\0' ? timegm(&tm) : -1;
}

void
http_date(time_t t, char *text, size_t size)
{
	struct tm tm;

	*text = '\0';
	if (gmtime_r(&t, &tm) != NULL)
		strftime(text, size, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

static bool
is_token(const char *s)
{
	const char *p;

	for (p = s; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p) &&
		    strchr("!#$%&'*+-.^_`|~", *p) == NULL)
			return false;
	return p > s;
}

bool
http_head_field(struct http_head *h, char *line)
{
	char *value;
	size_t len;

	if ((value = strchr(line, ':')) == NULL)
		return false;
	*value++ = '\0';
	if (!is_token(line) || strchr(value, '\r') != NULL)
		return false;
	value += strspn(value, " \t");
	len = strlen(value);
	while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		value[--len] = '\0';

	if (strcasecmp(line, "Content-Length") == 0)
		return parse_length(h, value);
	if (strcasecmp(line, "Content-Range") == 0)
		return h->last == -1 && parse_content_range(h, value);
	if (strcasecmp(line, "Transfer-Encoding") == 0) {
		if (h->chunked || strcasecmp(value, "chunked") != 0)
			return false;
		h->chunked = true;
	} else if (strcasecmp(line, "Connection") == 0) {
		if (has_word(value, "close"))
			h->keep = false;
	} else if (strcasecmp(line, "Last-Modified") == 0) {
		h->modified = parse_date(value);
	} else if (strcasecmp(line, "Location") == 0) {
		snprintf(h->location, sizeof(h->location), "%s", value);
	}
	return true;
}

bool
http_head_status(struct http_head *h, const char *line)
{
	memset(h, 0, sizeof(*h));
	h->length = h->first = h->last = h->total = -1;
	h->modified = -1;
	if (strncmp(line, "HTTP/1.", 7) != 0 ||
	    !isdigit((unsigned char)line[7]) || line[8] != ' ' ||
	    strspn(line + 9, "0123456789") != 3 ||
	    (line[12] != ' ' && line[12] != '\0'))
		return false;
	h->keep = line[7] != '0';
	h->status =
	    (line[9] - '0') * 100 + (line[10] - '0') * 10 + line[11] - '0';
	if (line[12] == ' ')
		snprintf(h->reason, sizeof(h->reason), "%s", line + 13);
	return h->status >= 100;
}

static int
read_one(struct conn *c, struct http_head *h)
{
	char line[CONN_LINE];
	int i, n;

	if ((n = conn_line(c, line, false)) != 1)
		return n;
	if (!http_head_status(h, line)) {
		complain("%s: the server does not speak HTTP/1.1", c->host);
		return -1;
	}
	for (i = 0; i < FIELDS_MAX; i++) {
		if ((n = conn_line(c, line, false)) != 1)
			goto err;
		if (line[0] == '\0')
			break;
		if (!http_head_field(h, line)) {
			complain("%s: an invalid %s header", c->host, line);
			return -1;
		}
	}
	if (i == FIELDS_MAX) {
		complain("%s: too many headers", c->host);
		return -1;
	}
	/* Whoever believes the one and not the other sees other data. */
	if (h->chunked && h->length != -1) {
		complain("%s: the server sends two lengths", c->host);
		return -1;
	}
	return 1;

err:
	if (n == 0)
		complain("%s: the server ended the connection early", c->host);
	return -1;
}

int
http_head_read(struct conn *c, struct http_head *h, bool verbose)
{
	int i, n;

	for (i = 0; i < REPLIES_MAX; i++) {
		n = read_one(c, h);
		if (n == 1 && verbose)
			complain("%s: %d %s", c->host, h->status, h->reason);
		if (n != 1)
			return i == 0 ? n : -1;
		if (h->status >= 200)
			return 1;
	}
	complain("%s: the server sends no final reply", c->host);
	return -1;
}

bool
http_head_has_body(const struct http_head *h)
{
	return h->status != 204 && h->status != 304 && h->length != 0;
}

/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* The data of HTTP's replies. */

#include <string.h>

#include "http_body.h"
#include "progress.h"

#define TRAILERS_MAX 100
#define SKIP_MAX     (64 * 1024)

/* Where data go: to a file, or if there is none, so much of it nowhere. */
struct sink {
	struct output *output;
	off_t room;
};

static enum fetch_result
put(struct sink *sink, const char *data, size_t len)
{
	if (sink->output == NULL) {
		sink->room -= (off_t)len;
		return sink->room >= 0 ? FETCH_DONE : FETCH_REFUSED;
	}
	return output_write(sink->output, data, len) == 0 ? FETCH_DONE
							  : FETCH_FILE;
}

static enum fetch_result
truncated(struct sink *sink)
{
	struct output *o = sink->output;

	if (o != NULL && o->total >= 0)
		complain("%s: truncated: %lld of %lld bytes", o->name,
		    (long long)o->have, (long long)o->total);
	else if (o != NULL)
		complain("%s: truncated: %lld bytes and no proper end", o->name,
		    (long long)o->have);
	return FETCH_TRUNCATED;
}

static enum fetch_result
copy_bytes(struct conn *c, struct sink *sink, off_t left)
{
	enum fetch_result result;
	const char *data;
	size_t len;

	while (left > 0) {
		if (conn_fill(c) != 1)
			return truncated(sink);
		len = left < CONN_LINE * 4 ? (size_t)left : CONN_LINE * 4;
		data = conn_take(c, &len);
		if ((result = put(sink, data, len)) != FETCH_DONE)
			return result;
		left -= (off_t)len;
	}
	return FETCH_DONE;
}

static enum fetch_result
invalid(struct conn *c, const char *what)
{
	complain("%s: the server sends %s", c->host, what);
	return FETCH_NETWORK;
}

/* A line of the framing; FETCH_DONE if there is one. */
static enum fetch_result
framing(struct conn *c, struct sink *sink, char *line)
{
	int n = conn_line(c, line, true);

	if (n == 0)
		return truncated(sink);
	return n == 1 ? FETCH_DONE : FETCH_NETWORK;
}

static enum fetch_result
copy_chunks(struct conn *c, struct sink *sink)
{
	enum fetch_result result;
	char line[CONN_LINE];
	const char *s;
	off_t size;
	int i;

	for (;;) {
		if ((result = framing(c, sink, line)) != FETCH_DONE)
			return result;
		s = line;
		if (!http_number(&s, 16, &size) ||
		    (*s != '\0' && strchr("; \t", *s) == NULL))
			return invalid(c, "an invalid chunk");
		if (size == 0)
			break;
		if ((result = copy_bytes(c, sink, size)) != FETCH_DONE ||
		    (result = framing(c, sink, line)) != FETCH_DONE)
			return result;
		if (line[0] != '\0')
			return invalid(c, "an invalid chunk");
	}
	for (i = 0; i < TRAILERS_MAX; i++) {
		if ((result = framing(c, sink, line)) != FETCH_DONE)
			return result;
		if (line[0] == '\0')
			return FETCH_DONE;
	}
	return invalid(c, "too many trailers");
}

/*
 * The end of the connection ends the data: then only a close_notify, which
 * tls_close knows about, tells the end from a connection that was cut.
 */
static enum fetch_result
copy_rest(struct conn *c, struct sink *sink)
{
	enum fetch_result result;
	const char *data;
	size_t len;
	int n;

	while ((n = conn_fill(c)) == 1) {
		len = sizeof(c->buf);
		data = conn_take(c, &len);
		if ((result = put(sink, data, len)) != FETCH_DONE)
			return result;
	}
	if (n == 0 && conn_ended(c) == 0)
		return FETCH_DONE;
	return truncated(sink);
}

static enum fetch_result
copy(struct conn *c, const struct http_head *h, struct sink *sink)
{
	if (!http_head_has_body(h))
		return FETCH_DONE;
	if (h->chunked)
		return copy_chunks(c, sink);
	if (h->length >= 0)
		return copy_bytes(c, sink, h->length);
	return copy_rest(c, sink);
}

enum fetch_result
http_body_copy(struct conn *c, const struct http_head *h, struct output *o)
{
	struct sink sink = { .output = o };
	enum fetch_result result = copy(c, h, &sink);

	/* What Content-Range has announced is more than the data were. */
	if (result == FETCH_DONE && o->total >= 0 && o->have != o->total)
		result = truncated(&sink);
	return result;
}

bool
http_body_skip(struct conn *c, const struct http_head *h)
{
	struct sink sink = { .room = SKIP_MAX };

	if (!h->keep ||
	    (!h->chunked && (h->length == -1 || h->length > SKIP_MAX)))
		return h->keep && !http_head_has_body(h);
	return copy(c, h, &sink) == FETCH_DONE;
}

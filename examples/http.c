/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* Files from servers of HTTP, with and without TLS. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "http.h"
#include "http_body.h"
#include "http_head.h"
#include "progress.h"
#include "proxy.h"

#define REDIRECTS_MAX 10

/* One request: where it goes, and on behalf of whom. */
struct request {
	struct url url;
	struct url proxy;
	bool proxied;
	bool user;   /* it is the server that the user has named */
	bool reused; /* the connection, which may be gone by now */
};

void
http_close(struct http *h)
{
	if (h->conn == NULL)
		return;
	/* Mere politeness: the length said that this is the end. */
	conn_goodbye(h->conn);
	conn_free(h->conn);
	h->conn = NULL;
}

static void
drop(struct http *h)
{
	conn_free(h->conn);
	h->conn = NULL;
}

/* "Name: Basic ...", with the end of its line, or nothing without a user. */
static void
authorization(char *text, size_t size, const char *name, const struct url *url)
{
	char basic[AUTH_BASIC_MAX];

	*text = '\0';
	if (url->user[0] == '\0')
		return;
	auth_basic(url, basic);
	snprintf(text, size, "%s: %s\r\n", name, basic);
}

/* A tunnel through the proxy to the server. */
static enum fetch_result
open_tunnel(struct fetch *f, struct conn *c, struct request *r)
{
	char request[4096], host[300], login[AUTH_BASIC_MAX + 40];
	struct http_head *head;
	enum fetch_result result = FETCH_NETWORK;

	if ((head = malloc(sizeof(*head))) == NULL) {
		complain("out of memory");
		return FETCH_NETWORK;
	}
	url_host(&r->url, host, sizeof(host));
	authorization(login, sizeof(login), "Proxy-Authorization", &r->proxy);
	snprintf(request, sizeof(request),
	    "CONNECT %s:%s HTTP/1.1\r\n"
	    "Host: %s:%s\r\n"
	    "User-Agent: libtls-ftp\r\n"
	    "%s\r\n",
	    host, r->url.port, host, r->url.port, login);
	if (conn_write(c, request, strlen(request)) == -1)
		goto err;
	switch (http_head_read(c, head, f->verbose)) {
	case 0:
		complain("%s: the proxy ended the connection", c->host);
		goto err;
	case -1:
		goto err;
	}
	if (head->status >= 300) {
		complain("%s: the proxy says: %d %s", c->host, head->status,
		    head->reason);
		result = FETCH_REFUSED;
		goto err;
	}
	/* From here on it is the server who speaks. */
	snprintf(c->host, sizeof(c->host), "%s", r->url.host);
	result = FETCH_DONE;

err:
	explicit_bzero(request, sizeof(request));
	free(head);
	return result;
}

static enum fetch_result
connect_server(struct fetch *f, struct http *h, struct request *r)
{
	bool tls = r->url.scheme == URL_HTTPS;
	const struct url *next = r->proxied ? &r->proxy : &r->url;
	/* A proxy of plaintext serves all servers. */
	const struct url *server = tls ? &r->url : next;
	enum fetch_result result;

	r->reused = h->conn != NULL && h->user == r->user &&
		    url_same_server(&h->server, server);
	if (r->reused)
		return FETCH_DONE;
	http_close(h);
	if (tls && secure_session(&f->secure, &r->url, r->user, false) == -1)
		return FETCH_FILE;
	h->conn = conn_open(&f->net, next->host, next->port, f->timeout);
	if (h->conn == NULL)
		return FETCH_NETWORK;
	h->server = *server;
	h->user = r->user;
	if (tls && r->proxied &&
	    (result = open_tunnel(f, h->conn, r)) != FETCH_DONE) {
		drop(h);
		return result;
	}
	if (tls && secure_start(&f->secure, h->conn, r->user) == -1) {
		drop(h);
		return FETCH_NETWORK;
	}
	return FETCH_DONE;
}

/* What was fetched before goes on only if it has not changed since. */
static void
condition(const struct output *o, char *text, size_t size)
{
	char date[40];

	*text = '\0';
	if (o->start > 0) {
		http_date(o->started, date, sizeof(date));
		snprintf(text, size, "Range: bytes=%lld-\r\nIf-Range: %s\r\n",
		    (long long)o->start, date);
	} else if (o->whole != -1) {
		http_date(o->whole_modified, date, sizeof(date));
		snprintf(text, size, "If-Modified-Since: %s\r\n", date);
	}
}

static int
send_request(struct conn *c, struct request *r, const struct output *o)
{
	char *request, host[300], port[8] = "", range[160];
	char login[AUTH_BASIC_MAX + 40], proxy_login[AUTH_BASIC_MAX + 40] = "";
	bool absolute = r->proxied && r->url.scheme == URL_HTTP;
	int len, rv;

	url_host(&r->url, host, sizeof(host));
	if (!url_has_default_port(&r->url))
		snprintf(port, sizeof(port), ":%s", r->url.port);
	condition(o, range, sizeof(range));
	authorization(login, sizeof(login), "Authorization", &r->url);
	if (absolute)
		authorization(proxy_login, sizeof(proxy_login),
		    "Proxy-Authorization", &r->proxy);
	len = asprintf(&request,
	    "GET %s%s%s%s HTTP/1.1\r\n"
	    "Host: %s%s\r\n"
	    "User-Agent: libtls-ftp\r\n"
	    "Accept: */*\r\n"
	    "Accept-Encoding: identity\r\n"
	    "%s%s%s\r\n",
	    absolute ? "http://" : "", absolute ? host : "",
	    absolute ? port : "", r->url.path, host, port, range, login,
	    proxy_login);
	if (len == -1) {
		complain("out of memory");
		return -1;
	}
	rv = conn_write(c, request, (size_t)len);
	explicit_bzero(request, (size_t)len);
	free(request);
	return rv;
}

/* The head of the reply to a request. */
static enum fetch_result
exchange(struct fetch *f, struct http *h, struct request *r, struct output *o,
    struct http_head *head)
{
	enum fetch_result result;
	int n = -1;

	do {
		if ((result = connect_server(f, h, r)) != FETCH_DONE)
			return result;
		if (send_request(h->conn, r, o) == 0)
			n = http_head_read(h->conn, head, f->verbose);
		if (n == 1)
			return FETCH_DONE;
		drop(h);
		/* One that was kept has perhaps been given up meanwhile. */
	} while (r->reused);
	if (n == 0)
		complain("%s: the server ended the connection early",
		    r->url.host);
	return FETCH_NETWORK;
}

static bool
is_redirect(const struct http_head *head)
{
	return head->status == 301 || head->status == 302 ||
	       head->status == 303 || head->status == 307 ||
	       head->status == 308;
}

static enum fetch_result
redirect(struct fetch *f, struct request *r, const struct http_head *head,
    const struct url *named)
{
	bool tls = r->url.scheme == URL_HTTPS;
	const char *cause;

	cause = head->location[0] != '\0' ? url_follow(&r->url, head->location)
					  : "no location";
	if (cause == NULL && tls && r->url.scheme == URL_HTTP && !f->downgrade)
		cause = "from https to http";
	if (cause != NULL) {
		complain("redirection to '%s': %s", head->location, cause);
		return FETCH_NETWORK;
	}
	if (f->verbose)
		complain("redirection to %s", head->location);
	r->user = r->user && url_same_server(&r->url, named);
	return FETCH_DONE;
}

/* FETCH_DONE if there is something to copy or *nothing to do. */
static enum fetch_result
judge(struct output *o, const struct http_head *head, bool *nothing)
{
	if (head->status == 304 && o->start == 0 && o->whole != -1) {
		complain("%s: nothing is missing", o->name);
		*nothing = true;
		return FETCH_DONE;
	}
	if (head->status == 206 && o->start > 0) {
		if (head->first != o->start ||
		    (head->modified != -1 && head->modified != o->started) ||
		    (head->length != -1 &&
			head->length != head->last - head->first + 1)) {
			complain("%s: the server sends another range", o->name);
			return FETCH_NETWORK;
		}
		o->total = head->total != -1 ? head->total : head->last + 1;
		o->modified = o->started;
		return FETCH_DONE;
	}
	if (head->status == 200) {
		if (o->start > 0)
			complain("%s: has changed, or the server cannot "
				 "resume: starting again",
			    o->name);
		o->start = 0;
		o->total = http_head_has_body(head) ? head->length : 0;
		o->modified = head->modified;
		return FETCH_DONE;
	}
	complain("%s: the server says: %d %s", o->name, head->status,
	    head->reason);
	return FETCH_REFUSED;
}

static enum fetch_result
save(struct http *h, const struct http_head *head, struct output *o)
{
	enum fetch_result result;
	bool nothing = false;

	result = judge(o, head, &nothing);
	if (result != FETCH_DONE || nothing) {
		if (!http_body_skip(h->conn, head))
			drop(h);
		return result;
	}
	if (output_open(o) == -1) {
		drop(h);
		return FETCH_FILE;
	}
	result = http_body_copy(h->conn, head, o);
	if (output_close(o, result == FETCH_DONE) == -1 && result == FETCH_DONE)
		result = FETCH_FILE;
	if (result != FETCH_DONE)
		drop(h);
	else if (!head->keep || (http_head_has_body(head) && !head->chunked &&
				    head->length == -1))
		http_close(h);
	return result;
}

/* The part turns out to be the whole: it only lacks its name. */
static enum fetch_result
complete(struct output *o)
{
	complain("%s: nothing is missing", o->name);
	o->total = o->start;
	o->modified = o->started;
	if (output_open(o) == -1 || output_close(o, true) == -1)
		return FETCH_FILE;
	return FETCH_DONE;
}

enum fetch_result
http_fetch(struct fetch *f, struct http *h, const struct url *url,
    struct output *o)
{
	struct http_head *head;
	struct request r = { .url = *url, .user = true };
	enum fetch_result result = FETCH_NETWORK;
	int i, n;

	if ((head = malloc(sizeof(*head))) == NULL) {
		complain("out of memory");
		return FETCH_NETWORK;
	}
	for (i = 0; i <= REDIRECTS_MAX; i++) {
		result = FETCH_USAGE;
		/* Without TLS only what was asked for is told to everybody. */
		if (r.url.scheme == URL_HTTPS &&
		    auth_netrc(f->netrc, &r.url) == -1)
			goto err;
		if ((n = proxy_find(&r.url, &r.proxy)) == -1)
			goto err;
		r.proxied = n == 1;
		if ((result = exchange(f, h, &r, o, head)) != FETCH_DONE)
			goto err;
		if (head->status == 416 && o->start > 0) {
			if (!http_body_skip(h->conn, head))
				drop(h);
			if (head->total == o->start) {
				result = complete(o);
				goto err;
			}
			o->start = 0;
			continue;
		}
		if (!is_redirect(head)) {
			result = save(h, head, o);
			goto err;
		}
		if (!http_body_skip(h->conn, head))
			drop(h);
		if ((result = redirect(f, &r, head, url)) != FETCH_DONE)
			goto err;
	}
	complain("too many redirections");
	result = FETCH_NETWORK;

err:
	explicit_bzero(&r, sizeof(r));
	free(head);
	return result;
}

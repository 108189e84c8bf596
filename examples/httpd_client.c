/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* A connection: handshake, requests, responses, good-bye. */

#include <sys/types.h>
#include <sys/socket.h>

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bufferevent_tls.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <tls.h>

#include "httpd_client.h"
#include "httpd_log.h"
#include "httpd_transport.h"
#include "net.h"
#include "request.h"
#include "response.h"

#define DRAIN_MAX     (256 * 1024)
#define FILL_SIZE     (64 * 1024)
#define SENDFILE_SIZE (1024 * 1024) /* before others have their turn */
#define CLOSE_TIMEOUT 5

enum state {
	HANDSHAKE,
	REQUEST,
	BODY, /* of a request that will be answered */
	RESPONSE,
	DRAIN, /* the request was refused unread: the client may still send */
	CLOSE,
};

struct client {
	LIST_ENTRY(client) entry;
	struct serve *serve;
	struct site *site; /* under which it began */
	struct listener *listener;
	struct tls *tls; /* NULL without TLS, and before a handshake */
	struct bufferevent *bev;
	struct event *timer;
	struct event *writable; /* for sendfile */
	enum state state;
	bool eof;	/* the client has said its last word */
	bool last;	/* no further request */
	bool receiving; /* a request has begun */
	bool sendfile;
	char peer[NET_NAME_MAX];
	char host[64];

	struct server *greeted; /* the one that the handshake was for */
	struct server *server;	/* the one that the request is for */
	const struct policy *policy;
	size_t scanned; /* no end of a head begins before this */
	int nrequests;
	struct request request;
	struct response response;
	off_t left;   /* of the body */
	bool refused; /* the rest of the request is still to come */
};

static void client_run(struct bufferevent *bev, void *arg);

/* --- life --- */

static void
log_response(struct client *c)
{
	const struct log_access access = {
		.policy = c->policy,
		.server = STAILQ_FIRST(&c->server->names)->pattern,
		.peer = c->host,
		.request = &c->request,
		.tls = c->tls,
		.status = c->response.status,
		.sent = response_body_sent(&c->response),
	};

	log_access(&access);
	response_clear(&c->response);
	request_clear(&c->request);
}

void
client_free(struct client *c)
{
	struct serve *serve = c->serve;

	if (c->state == RESPONSE)
		log_response(c);
	LIST_REMOVE(c, entry);
	event_free(c->timer);
	if (c->writable != NULL)
		event_free(c->writable);
	bufferevent_free(c->bev);
	response_clear(&c->response);
	request_clear(&c->request);
	site_unref(c->site);
	free(c);
	serve_client_gone(serve);
}

static void
set_timer(struct client *c, int seconds)
{
	const struct timeval tv = { .tv_sec = seconds };

	event_add(c->timer, &tv);
}

/*
 * Ends it properly. Without TLS the end is that of the descriptor, and the
 * client's own is waited for, as unread data would make a reset of it.
 */
static void
begin_close(struct client *c)
{
	if (c->tls != NULL)
		bufferevent_flush(c->bev, EV_WRITE, BEV_FINISHED);
	else
		shutdown(bufferevent_getfd(c->bev), SHUT_WR);
}

static void
client_enter(struct client *c, enum state state)
{
	const struct limits *limits = &c->server->limits;
	struct timeval tv = { .tv_sec = limits->timeout };

	c->state = state;
	switch (state) {
	case HANDSHAKE:
	case BODY:
		set_timer(c, limits->request_timeout);
		break;
	case REQUEST:
		c->receiving = false;
		c->scanned = 0;
		set_timer(c, c->nrequests == 0 ? limits->request_timeout
					       : limits->timeout);
		break;
	case RESPONSE:
		event_del(c->timer);
		break;
	case DRAIN:
	case CLOSE:
		c->left = DRAIN_MAX;
		set_timer(c, CLOSE_TIMEOUT);
		break;
	}
	/* A response takes as long as it needs if only some of it moves. */
	bufferevent_set_timeouts(c->bev, NULL, state == RESPONSE ? &tv : NULL);
	/* One request at a time. */
	if (state == RESPONSE)
		bufferevent_disable(c->bev, EV_READ);
	else
		bufferevent_enable(c->bev, EV_READ);
	if (state == CLOSE)
		begin_close(c);
}

static bool
is_idle(const struct client *c)
{
	return c->state == REQUEST && !c->receiving;
}

void
client_finish(struct client *c)
{
	c->last = true;
	if (is_idle(c))
		client_enter(c, CLOSE);
}

void
client_finish_all(struct serve *serve)
{
	struct client *c;

	LIST_FOREACH(c, &serve->clients, entry)
	client_finish(c);
}

/* --- answers --- */

static int
respond(struct client *c)
{
	if (c->response.text == NULL) {
		logit(LOG_ERR, "%s: out of memory", c->peer);
		return -1;
	}
	client_enter(c, RESPONSE);
	return 1;
}

static int
answer_status(struct client *c, int status)
{
	response_status(&c->response, &c->request, status);
	return respond(c);
}

/* Refuses what was not, or will not be, read to its end. */
static int
refuse(struct client *c, int status)
{
	c->request.keep_alive = false;
	c->refused = true;
	return answer_status(c, status);
}

static bool
has_certificate(const struct client *c)
{
	return c->tls != NULL && tls_peer_cert_provided(c->tls) == 1;
}

/* What server and location say before there is a look at files. */
static int
check_access(const struct client *c)
{
	const struct tls_settings *tls = &c->server->tls;

	/*
	 * A server that looks at certificates is one for those who have named
	 * it in the handshake, with its rules.
	 */
	if (c->listener->tls && c->server != c->greeted && tls->ca != NULL)
		return 421;
	if (c->listener->tls && tls->ca != NULL && !tls->ca_optional &&
	    !has_certificate(c))
		return 403;
	if (c->policy->client_cert && !has_certificate(c))
		return 403;
	return 200;
}

static int
answer(struct client *c)
{
	const struct policy *policy = c->policy;
	const struct request *r = &c->request;
	const struct expansion e = {
		.document_uri = r->path,
		.http_host = r->host != NULL
				 ? r->host
				 : STAILQ_FIRST(&c->server->names)->pattern,
		.query_string = r->query,
		.remote_addr = c->host,
		.request_uri = r->target,
		.server_name = STAILQ_FIRST(&c->server->names)->pattern,
	};
	int status;

	if ((status = check_access(c)) != 200)
		return answer_status(c, status);
	if (policy->block == BLOCK_NOT)
		response_file(&c->response, r, c->site->config, policy);
	else if (policy->url != NULL)
		response_redirect(&c->response, r, policy->block, policy->url,
		    &e);
	else
		response_status(&c->response, r, policy->block);
	return respond(c);
}

/* The head of a request is whole. */
static int
handle(struct client *c, char *head, size_t len)
{
	struct request *r = &c->request;
	int status;

	c->nrequests++;
	c->refused = false;
	status = request_parse(r, head, len, c->greeted->limits.max_fields);
	c->server = config_server(c->listener, r->host);
	c->policy = config_policy(c->server, r->path == NULL ? "/" : r->path);
	if (c->last || c->nrequests >= c->server->limits.max_requests)
		r->keep_alive = false;
	if (status == 200 && r->body > c->server->limits.max_body)
		status = 413;
	if (c->policy->block == BLOCK_DROP)
		return -1;
	if (status != 200 && (!r->keep_alive || r->body > 0))
		return refuse(c, status);
	if (status != 200)
		return answer_status(c, status);
	if (r->expects) {
		/* It is answered now, and may send its body or not. */
		r->keep_alive = false;
		c->refused = true;
	} else if (r->body > 0) {
		c->left = r->body;
		client_enter(c, BODY);
		return 1;
	}
	return answer(c);
}

/* --- steps --- */

/*
 * They return 1 when there is more to do at once, 0 when the client has to wait
 * for its bufferevent, and -1 when it is done for.
 */

static int
enter_close(struct client *c)
{
	client_enter(c, CLOSE);
	return 1;
}

/* Copies a head out of the input. */
static int
take_head(struct client *c, size_t len)
{
	struct evbuffer *input = bufferevent_get_input(c->bev);
	char *head;

	if ((head = malloc(len + 1)) == NULL)
		return -1;
	if (evbuffer_remove(input, head, len) != (int)len) {
		free(head);
		return -1;
	}
	head[len] = '\0';
	return handle(c, head, len);
}

static int
step_request(struct client *c)
{
	struct evbuffer *input = bufferevent_get_input(c->bev);
	const size_t max = (size_t)c->greeted->limits.max_header;
	struct evbuffer_ptr from, end;
	char crlf[2];
	size_t len;

	/* Some send an empty line more than they should. */
	while (!c->receiving && evbuffer_copyout(input, crlf, 2) == 2 &&
	       memcmp(crlf, "\r\n", 2) == 0)
		evbuffer_drain(input, 2);
	if ((len = evbuffer_get_length(input)) > 0 && !c->receiving) {
		c->receiving = true;
		set_timer(c, c->server->limits.request_timeout);
	}
	evbuffer_ptr_set(input, &from, c->scanned, EVBUFFER_PTR_SET);
	end = evbuffer_search(input, "\r\n\r\n", 4, &from);
	if (end.pos != -1 && (size_t)end.pos + 4 <= max)
		return take_head(c, (size_t)end.pos + 4);
	if (len >= max) {
		end = evbuffer_search(input, "\r\n", 2, NULL);
		c->nrequests++;
		return refuse(c, end.pos == -1 ? 414 : 431);
	}
	c->scanned = len < 3 ? 0 : len - 3;
	return c->eof ? enter_close(c) : 0;
}

/* Takes from the input what nobody wants to have; false at the last of it. */
static bool
discard(struct client *c)
{
	struct evbuffer *input = bufferevent_get_input(c->bev);
	size_t len = evbuffer_get_length(input);

	if ((off_t)len > c->left)
		len = (size_t)c->left;
	evbuffer_drain(input, len);
	c->left -= (off_t)len;
	return c->left > 0;
}

static int
step_body(struct client *c)
{
	if (!discard(c))
		return answer(c);
	return c->eof ? -1 : 0;
}

static int
response_done(struct client *c)
{
	bool keep_alive = c->response.keep_alive && !c->last;

	log_response(c);
	if (keep_alive)
		client_enter(c, REQUEST);
	else /* without TLS there is half an end, which CLOSE begins with */
		client_enter(c, c->refused && c->tls != NULL ? DRAIN : CLOSE);
	return 1;
}

/* Has the loop call again when there is room. */
static int
wait_writable(struct client *c)
{
	const struct timeval tv = { .tv_sec = c->server->limits.timeout };

	return event_add(c->writable, &tv);
}

static int
step_sendfile(struct client *c)
{
	ssize_t n;

	n = response_sendfile(&c->response, bufferevent_getfd(c->bev),
	    SENDFILE_SIZE);
	if (n >= 0)
		return response_is_sent(&c->response) ? 1 : wait_writable(c);
	switch (errno) {
	case EINTR:
		return 1;
	case EAGAIN:
		return wait_writable(c);
	case EINVAL:
	case ENOSYS:
		/* A file of a kind that has to be read. */
		c->sendfile = false;
		return 1;
	}
	logit(LOG_NOTICE, "%s: sendfile: %s", c->peer, strerror(errno));
	return -1;
}

static int
step_response(struct client *c)
{
	char buf[FILL_SIZE];
	ssize_t n;

	/* What the bufferevent has goes before what sendfile sends. */
	if (evbuffer_get_length(bufferevent_get_output(c->bev)) > 0)
		return 0;
	if (response_is_sent(&c->response))
		return response_done(c);
	n = response_fill(&c->response, buf, sizeof(buf), c->sendfile);
	if (n == -1) {
		/* No close_notify: the client shall see that it broke. */
		logit(LOG_ERR, "%s: %s: %s", c->peer, c->request.target,
		    strerror(errno));
		return -1;
	}
	if (n == 0)
		return step_sendfile(c);
	return bufferevent_write(c->bev, buf, (size_t)n);
}

/*
 * A close with data unread would make the kernel reset the connection, and
 * the client might lose the response that tells it why.
 */
static int
step_drain(struct client *c)
{
	if (!discard(c))
		return -1;
	return c->eof ? enter_close(c) : 0;
}

static int
step_close(struct client *c)
{
	if (c->tls != NULL)
		return 0;
	return discard(c) && !c->eof ? 0 : -1;
}

static int
client_step(struct client *c)
{
	switch (c->state) {
	case REQUEST:
		return step_request(c);
	case BODY:
		return step_body(c);
	case RESPONSE:
		return step_response(c);
	case DRAIN:
		return step_drain(c);
	case CLOSE:
		return step_close(c);
	case HANDSHAKE:
		break;
	}
	return 0;
}

static void
client_run(struct bufferevent *bev, void *arg)
{
	struct client *c = arg;
	int rv;

	(void)bev;
	do
		rv = client_step(c);
	while (rv == 1);
	if (rv == -1)
		client_free(c);
}

/* --- what the loop calls --- */

static void
timed_out(struct client *c)
{
	logit(LOG_NOTICE, "%s: timed out", c->peer);
	client_free(c);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	(void)fd;
	(void)what;
	switch (c->state) {
	case REQUEST:
		if (c->receiving) {
			c->nrequests++;
			if (refuse(c, 408) == -1)
				client_free(c);
			else
				client_run(c->bev, c);
			break;
		}
		/* FALLTHROUGH */
	case DRAIN:
		/* An idle client may as well be told properly. */
		client_enter(c, CLOSE);
		break;
	case BODY:
		if (refuse(c, 408) == -1)
			client_free(c);
		else
			client_run(c->bev, c);
		break;
	case HANDSHAKE:
	case RESPONSE:
		timed_out(c);
		break;
	case CLOSE:
		client_free(c);
		break;
	}
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	(void)fd;
	if (what & EV_TIMEOUT)
		timed_out(c);
	else
		client_run(c->bev, c);
}

static void
on_connected(struct client *c)
{
	c->tls = bufferevent_tls_get_tls(c->bev);
	c->greeted = c->server =
	    config_server(c->listener, tls_conn_servername(c->tls));
	c->policy = &c->server->policy;
	bufferevent_setwatermark(c->bev, EV_READ, 0,
	    (size_t)c->greeted->limits.max_header);
	client_enter(c, REQUEST);
	client_run(c->bev, c);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct client *c = arg;
	const char *error = bufferevent_tls_get_error(bev);

	if (what & BEV_EVENT_CONNECTED) {
		on_connected(c);
	} else if (what & BEV_EVENT_TIMEOUT) {
		timed_out(c);
	} else if (c->state == CLOSE && (what & BEV_EVENT_WRITING)) {
		/* Closed, or nothing more can be done about it. */
		client_free(c);
	} else if (what & BEV_EVENT_ERROR) {
		if (error == NULL)
			error = evutil_socket_error_to_string(
			    EVUTIL_SOCKET_ERROR());
		if (c->state != CLOSE && c->state != DRAIN)
			logit(LOG_NOTICE, "%s: %s", c->peer, error);
		client_free(c);
	} else if (what & BEV_EVENT_EOF) {
		c->eof = true;
		client_run(bev, c);
	}
}

/* --- the beginning --- */

static void
set_names(struct client *c, const struct sockaddr *addr, socklen_t len)
{
	net_name(addr, len, c->peer);
	if (getnameinfo(addr, len, c->host, sizeof(c->host), NULL, 0,
		NI_NUMERICHOST) != 0)
		strcpy(c->host, "unknown");
}

static struct bufferevent *
bufferevent_new(struct client *c, struct tls *context, int fd)
{
	struct event_base *base = c->serve->base;
	struct bufferevent *bev;

	if (context == NULL)
		return bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	bev = bufferevent_tls_socket_new(base, fd, context,
	    BUFFEREVENT_TLS_ACCEPTING, NULL, BEV_OPT_CLOSE_ON_FREE);
	/* Who has asked and then ended is still answered. */
	if (bev != NULL)
		bufferevent_tls_set_allow_dirty_shutdown(bev, 1);
	return bev;
}

void
client_new(struct serve *serve, struct listener *listener, struct tls *context,
    int fd, const struct sockaddr *addr, socklen_t len)
{
	struct client *c;
	const char *cause;

	if ((c = calloc(1, sizeof(*c))) == NULL) {
		logit(LOG_ERR, "out of memory");
		close(fd);
		return;
	}
	c->serve = serve;
	c->site = serve->site;
	c->listener = listener;
	c->greeted = c->server = config_server(listener, NULL);
	c->policy = &c->server->policy;
	c->sendfile =
	    context == NULL ? transport_has_sendfile() : c->site->sendfile;
	response_init(&c->response);
	set_names(c, addr, len);
	c->bev = bufferevent_new(c, context, fd);
	c->timer = evtimer_new(serve->base, on_timer, c);
	if (c->sendfile)
		c->writable =
		    event_new(serve->base, fd, EV_WRITE, on_writable, c);
	if (c->bev == NULL || c->timer == NULL ||
	    (c->sendfile && c->writable == NULL)) {
		cause = context == NULL ? NULL : tls_error(context);
		logit(LOG_ERR, "%s: %s", c->peer,
		    cause == NULL ? "out of memory" : cause);
		goto err;
	}
	site_ref(c->site);
	LIST_INSERT_HEAD(&serve->clients, c, entry);
	serve->nclients++;
	bufferevent_setwatermark(c->bev, EV_READ, 0,
	    (size_t)c->greeted->limits.max_header);
	bufferevent_setcb(c->bev, client_run, client_run, on_event, c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	client_enter(c, context == NULL ? REQUEST : HANDSHAKE);
	return;

err:
	if (c->timer != NULL)
		event_free(c->timer);
	if (c->writable != NULL)
		event_free(c->writable);
	if (c->bev != NULL)
		bufferevent_free(c->bev);
	else
		close(fd);
	free(c);
}

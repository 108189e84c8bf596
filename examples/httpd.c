/* SPDX-License-Identifier: ISC */

/*
 * A small https server for static files, on libevent.
 *
 *	cc -o httpd httpd.c net.c request.c response.c tlsopt.c \
 *	    -ltls_event -ltls -levent
 *
 * It serves regular files beneath the document root, without following
 * symbolic links and without showing names that begin with a dot. SIGHUP
 * loads certificate and key again and keeps the old ones if that fails.
 */

#include <sys/types.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <bufferevent_tls.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <tls.h>

#include "net.h"
#include "request.h"
#include "response.h"
#include "tlsopt.h"

#define DRAIN_MAX	 (256 * 1024)
#define CLIENTS_MAX	 512
#define ACCEPTS_MAX	 16

#define REQUEST_TIMEOUT	 (30 * 1000)
#define RESPONSE_TIMEOUT (60 * 1000)
#define CLOSE_TIMEOUT	 (5 * 1000)
#define ACCEPT_PAUSE	 (200 * 1000) /* microseconds */

enum state {
	HANDSHAKE,
	REQUEST,
	RESPONSE,
	DRAIN, /* the request was refused unread: the client may still send */
	CLOSE,
};

/* A certificate; libtls needs the context while connections are accepted. */
struct context {
	struct tls *tls;
	int users;
};

struct client {
	LIST_ENTRY(client) entry;
	struct server *server;
	struct context *context;
	struct bufferevent *bev;
	struct event *timer;
	enum state state;
	bool eof; /* the client has said its last word */
	char peer[NET_NAME_MAX];

	char in[REQUEST_MAX + 1];
	size_t inlen;
	size_t scanned; /* no end of a head begins before this */

	struct response response;
	bool refused; /* the rest of the request is still to come */
	size_t drained;
};

struct server {
	struct event_base *base;
	struct event *listener, *resume;
	struct event *on_term, *on_int, *on_hup;
	struct context *context;
	int fd;
	int root;
	int clients;
	LIST_HEAD(, client) list;
};

static struct options {
	bool debug;
	const char *cert, *key, *client_ca;
	const char *root;
	const char *addr, *port;
	const char *port_file, *pid_file;
	const char *tls_options;
} opt = { .root = ".", .addr = "127.0.0.1", .port = "443" };

static bool use_syslog;

static void
usage(void)
{
	fprintf(stderr,
	    "usage: httpd [-d] -c cert -k key [-C clientca] [-i pidfile] "
	    "[-l address]\n"
	    "             [-P portfile] [-p port] [-r docroot] [-T options]\n");
	exit(1);
}

__attribute__((format(printf, 2, 3))) static void
logit(int priority, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (!use_syslog) {
		vfprintf(stderr, format, ap);
		fputc('\n', stderr);
	} else {
		vsyslog(priority, format, ap);
	}
	va_end(ap);
}

static const char *
tls_cause(struct tls *tls)
{
	const char *cause = tls_error(tls);

	return cause != NULL ? cause : "unknown error";
}

static void
context_release(struct context *context)
{
	if (context == NULL || --context->users > 0)
		return;
	tls_free(context->tls);
	free(context);
}

/* A context made of the files as they are now, or NULL. */
static struct context *
context_new(void)
{
	struct context *context;
	struct tls_config *config;
	char cause[512];

	config = tls_config_new();
	context = calloc(1, sizeof(*context));
	if (config == NULL || context == NULL ||
	    (context->tls = tls_server()) == NULL) {
		logit(LOG_ERR, "TLS: out of memory");
		goto err;
	}
	context->users = 1;
	if (tls_config_set_keypair_file(config, opt.cert, opt.key) == -1 ||
	    tls_config_set_alpn(config, "http/1.1") == -1 ||
	    (opt.client_ca != NULL &&
		tls_config_set_ca_file(config, opt.client_ca) == -1)) {
		logit(LOG_ERR, "TLS: %s", tls_config_error(config));
		goto err;
	}
	if (opt.client_ca != NULL)
		tls_config_verify_client(config);
	if (opt.tls_options != NULL &&
	    tlsopt_apply(config, opt.tls_options, cause, sizeof(cause)) == -1) {
		logit(LOG_ERR, "%s", cause);
		goto err;
	}
	if (tls_configure(context->tls, config) == -1) {
		logit(LOG_ERR, "TLS: %s", tls_cause(context->tls));
		goto err;
	}
	tls_config_free(config);
	return context;

err:
	tls_config_free(config);
	context_release(context);
	return NULL;
}

static void
client_free(struct client *c)
{
	struct server *s = c->server;

	LIST_REMOVE(c, entry);
	event_free(c->timer);
	bufferevent_free(c->bev);
	context_release(c->context);
	response_clear(&c->response);
	free(c);
	if (s->clients-- == CLIENTS_MAX)
		event_add(s->listener, NULL);
}

/* A response takes as long as it needs if only some of it moves. */
static void
client_enter(struct client *c, enum state state, int timeout)
{
	struct timeval tv;

	c->state = state;
	tv.tv_sec = timeout / 1000;
	tv.tv_usec = timeout % 1000 * 1000;
	if (state == RESPONSE)
		event_del(c->timer);
	else
		event_add(c->timer, &tv);
	bufferevent_set_timeouts(c->bev, NULL, state == RESPONSE ? &tv : NULL);
	/* One request at a time. */
	if (state == RESPONSE)
		bufferevent_disable(c->bev, EV_READ);
	else
		bufferevent_enable(c->bev, EV_READ);
	if (state == CLOSE)
		bufferevent_flush(c->bev, EV_WRITE, BEV_FINISHED);
}

static void
respond(struct client *c, const struct request *r)
{
	const struct response *p = &c->response;

	logit(LOG_INFO, "%s: %s %s %d %lld", c->peer,
	    r->method != NULL ? r->method : "-",
	    r->target != NULL ? r->target : "-", p->status,
	    (long long)p->length);
	client_enter(c, RESPONSE, RESPONSE_TIMEOUT);
}

/* Refuses what was not, or will not be, read to its end. */
static void
refuse(struct client *c, struct request *r, int status)
{
	r->keep_alive = false;
	c->refused = true;
	response_status(&c->response, r, status);
	respond(c, r);
}

/* The buffer begins with a request of len bytes. */
static void
handle(struct client *c, size_t len)
{
	struct request r;
	int status;

	status = request_parse(&r, c->in, len);
	/* What is left belongs to the next request. */
	c->inlen -= len;
	memmove(c->in, c->in + len, c->inlen + 1);
	c->scanned = 0;
	if (status != 200) {
		refuse(c, &r, status);
		return;
	}
	response_file(&c->response, &r, c->server->root);
	respond(c, &r);
}

/*
 * The steps return 1 when there is more to do at once, 0 when the client has
 * to wait for its bufferevent, and -1 when it is done for.
 */

static int
step_request(struct client *c)
{
	struct request r;
	const char *end;
	size_t n;

	if ((end = strstr(c->in + c->scanned, "\r\n\r\n")) != NULL) {
		handle(c, (size_t)(end - c->in) + 4);
		return 1;
	}
	/* A NUL byte hides what comes after it from strstr. */
	if (c->inlen == REQUEST_MAX || strlen(c->in) != c->inlen) {
		memset(&r, 0, sizeof(r));
		refuse(c, &r, c->inlen == REQUEST_MAX ? 431 : 400);
		return 1;
	}
	c->scanned = c->inlen < 3 ? 0 : c->inlen - 3;
	n = bufferevent_read(c->bev, c->in + c->inlen, REQUEST_MAX - c->inlen);
	if (n > 0) {
		c->inlen += n;
		c->in[c->inlen] = '\0';
		return 1;
	}
	if (c->eof)
		client_enter(c, CLOSE, CLOSE_TIMEOUT);
	return 0;
}

static int
step_response(struct client *c)
{
	struct response *p = &c->response;
	ssize_t n;

	/* No more than one buffer of it at a time. */
	if (evbuffer_get_length(bufferevent_get_output(c->bev)) > 0)
		return 0;
	if (p->off == p->len) {
		if ((n = response_fill(p)) == -1) {
			/* No close_notify: the client shall see that it broke.
			 */
			logit(LOG_ERR, "%s: %s", c->peer, strerror(errno));
			return -1;
		}
		if (n == 0) {
			response_clear(p);
			if (p->keep_alive)
				client_enter(c, REQUEST, REQUEST_TIMEOUT);
			else
				client_enter(c, c->refused ? DRAIN : CLOSE,
				    CLOSE_TIMEOUT);
			return 1;
		}
	}
	if (bufferevent_write(c->bev, p->buf + p->off, p->len - p->off) == -1)
		return -1;
	p->off = p->len;
	return 0;
}

/*
 * A close with data unread would make the kernel reset the connection, and
 * the client might lose the response that tells it why.
 */
static int
step_drain(struct client *c)
{
	size_t n;

	n = bufferevent_read(c->bev, c->in, REQUEST_MAX);
	c->drained += n;
	if (c->drained >= DRAIN_MAX)
		return -1;
	if (n > 0)
		return 1;
	if (c->eof)
		client_enter(c, CLOSE, CLOSE_TIMEOUT);
	return 0;
}

static int
client_step(struct client *c)
{
	switch (c->state) {
	case REQUEST:
		return step_request(c);
	case RESPONSE:
		return step_response(c);
	case DRAIN:
		return step_drain(c);
	case HANDSHAKE:
	case CLOSE:
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

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	(void)fd;
	(void)what;
	/* An idle client may as well be told properly. */
	if ((c->state == REQUEST && c->inlen == 0) || c->state == DRAIN) {
		client_enter(c, CLOSE, CLOSE_TIMEOUT);
	} else {
		logit(LOG_NOTICE, "%s: timed out", c->peer);
		client_free(c);
	}
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct client *c = arg;
	struct tls *tls = bufferevent_tls_get_tls(bev);
	const char *error = bufferevent_tls_get_error(bev);

	if (what & BEV_EVENT_CONNECTED) {
		logit(LOG_INFO, "%s: %s %s %s", c->peer, tls_conn_version(tls),
		    tls_conn_cipher(tls),
		    tls_peer_cert_provided(tls) ? tls_peer_cert_subject(tls)
						: "");
		client_enter(c, REQUEST, REQUEST_TIMEOUT);
	} else if (what & BEV_EVENT_TIMEOUT) {
		logit(LOG_NOTICE, "%s: timed out", c->peer);
		client_free(c);
	} else if (c->state == CLOSE && (what & BEV_EVENT_WRITING)) {
		/* Closed, or nothing more can be done about it. */
		client_free(c);
	} else if (what & BEV_EVENT_ERROR) {
		if (c->state != CLOSE && c->state != DRAIN)
			logit(LOG_NOTICE, "%s: %s", c->peer,
			    error != NULL ? error : "unknown error");
		client_free(c);
	} else if (what & BEV_EVENT_EOF) {
		c->eof = true;
		client_run(bev, c);
	}
}

static void
client_new(struct server *s, int fd, const struct sockaddr *addr, socklen_t len)
{
	struct client *c;

	if ((c = calloc(1, sizeof(*c))) == NULL) {
		logit(LOG_ERR, "out of memory");
		close(fd);
		return;
	}
	c->server = s;
	c->response.file = -1;
	net_name(addr, len, c->peer);
	c->timer = evtimer_new(s->base, on_timer, c);
	c->bev = bufferevent_tls_socket_new(s->base, fd, s->context->tls,
	    BUFFEREVENT_TLS_ACCEPTING, NULL, BEV_OPT_CLOSE_ON_FREE);
	if (c->timer == NULL || c->bev == NULL) {
		logit(LOG_ERR, "%s: %s", c->peer, tls_cause(s->context->tls));
		if (c->timer != NULL)
			event_free(c->timer);
		if (c->bev != NULL)
			bufferevent_free(c->bev);
		else
			close(fd);
		free(c);
		return;
	}
	c->context = s->context;
	c->context->users++;
	LIST_INSERT_HEAD(&s->list, c, entry);
	if (++s->clients == CLIENTS_MAX)
		event_del(s->listener);
	/* Who has asked and then ended is still answered. */
	bufferevent_tls_set_allow_dirty_shutdown(c->bev, 1);
	bufferevent_setwatermark(c->bev, EV_READ, 0, REQUEST_MAX);
	bufferevent_setcb(c->bev, client_run, client_run, on_event, c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	client_enter(c, HANDSHAKE, REQUEST_TIMEOUT);
}

static void
on_accept(evutil_socket_t lfd, short what, void *arg)
{
	static const struct timeval pause = { 0, ACCEPT_PAUSE };
	union {
		struct sockaddr_storage storage;
		struct sockaddr sa;
	} addr;
	struct server *s = arg;
	socklen_t len;
	int fd, i;

	(void)what;
	for (i = 0; i < ACCEPTS_MAX && s->clients < CLIENTS_MAX; i++) {
		len = sizeof(addr);
		if ((fd = accept(lfd, &addr.sa, &len)) == -1) {
			if (errno == EAGAIN || errno == EINTR ||
			    errno == ECONNABORTED)
				return;
			/* Most likely descriptors ran out: not for long. */
			logit(LOG_ERR, "accept: %s", strerror(errno));
			event_del(s->listener);
			event_add(s->resume, &pause);
			return;
		}
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) == -1 ||
		    net_set_nonblock(fd, true) == -1) {
			logit(LOG_ERR, "fcntl: %s", strerror(errno));
			close(fd);
			continue;
		}
		client_new(s, fd, &addr.sa, len);
	}
}

static void
on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;

	(void)fd;
	(void)what;
	if (s->clients < CLIENTS_MAX)
		event_add(s->listener, NULL);
}

static void
on_end(evutil_socket_t signal, short what, void *arg)
{
	struct server *s = arg;

	(void)what;
	logit(LOG_NOTICE, "ends after signal %d", (int)signal);
	event_base_loopbreak(s->base);
}

static void
on_reload(evutil_socket_t signal, short what, void *arg)
{
	struct server *s = arg;
	struct context *context;

	(void)signal;
	(void)what;
	if ((context = context_new()) == NULL) {
		logit(LOG_ERR, "keeps the old certificate");
		return;
	}
	context_release(s->context);
	s->context = context;
	logit(LOG_NOTICE, "uses the new certificate");
}

static int
run(struct server *s)
{
	int rv = -1;

	if ((s->base = event_base_new()) == NULL)
		goto err;
	s->listener =
	    event_new(s->base, s->fd, EV_READ | EV_PERSIST, on_accept, s);
	s->resume = evtimer_new(s->base, on_resume, s);
	s->on_term = evsignal_new(s->base, SIGTERM, on_end, s);
	s->on_int = evsignal_new(s->base, SIGINT, on_end, s);
	s->on_hup = evsignal_new(s->base, SIGHUP, on_reload, s);
	if (s->listener == NULL || s->resume == NULL || s->on_term == NULL ||
	    s->on_int == NULL || s->on_hup == NULL ||
	    event_add(s->listener, NULL) == -1 ||
	    event_add(s->on_term, NULL) == -1 ||
	    event_add(s->on_int, NULL) == -1 ||
	    event_add(s->on_hup, NULL) == -1)
		goto err;
	/* Who waits for these files may connect and send signals. */
	if ((opt.pid_file != NULL &&
		net_write_number(opt.pid_file, getpid()) == -1) ||
	    (opt.port_file != NULL &&
		net_write_number(opt.port_file, net_port(s->fd)) == -1))
		goto err;
	logit(LOG_NOTICE, "listening on %s port %d", opt.addr, net_port(s->fd));
	rv = event_base_dispatch(s->base);
	while (!LIST_EMPTY(&s->list))
		client_free(LIST_FIRST(&s->list));

err:
	if (rv == -1)
		logit(LOG_ERR, "failed to run the event loop");
	if (s->listener != NULL)
		event_free(s->listener);
	if (s->resume != NULL)
		event_free(s->resume);
	if (s->on_term != NULL)
		event_free(s->on_term);
	if (s->on_int != NULL)
		event_free(s->on_int);
	if (s->on_hup != NULL)
		event_free(s->on_hup);
	if (s->base != NULL)
		event_base_free(s->base);
	libevent_global_shutdown();
	return rv;
}

static void
parse_options(int argc, char *argv[])
{
	int c;

	while ((c = getopt(argc, argv, "C:c:di:k:l:P:p:r:T:")) != -1) {
		switch (c) {
		case 'C':
			opt.client_ca = optarg;
			break;
		case 'c':
			opt.cert = optarg;
			break;
		case 'd':
			opt.debug = true;
			break;
		case 'i':
			opt.pid_file = optarg;
			break;
		case 'k':
			opt.key = optarg;
			break;
		case 'l':
			opt.addr = optarg;
			break;
		case 'P':
			opt.port_file = optarg;
			break;
		case 'p':
			opt.port = optarg;
			break;
		case 'r':
			opt.root = optarg;
			break;
		case 'T':
			opt.tls_options = optarg;
			break;
		default:
			usage();
		}
	}
	if (optind != argc || opt.cert == NULL || opt.key == NULL)
		usage();
}

int
main(int argc, char *argv[])
{
	static struct server server;
	int rv;

	parse_options(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	openlog("httpd", LOG_PID | LOG_NDELAY, LOG_DAEMON);

	if ((server.context = context_new()) == NULL)
		return 1;
	server.root = open(opt.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (server.root == -1)
		err(1, "%s", opt.root);
	if ((server.fd = net_listen(opt.addr, opt.port)) == -1)
		return 1;
	if (!opt.debug) {
		/* The working directory stays: SIGHUP needs the files. */
		if (daemon(1, 0) == -1)
			err(1, "daemon");
		use_syslog = true;
	}

	rv = run(&server);
	close(server.fd);
	close(server.root);
	context_release(server.context);
	return rv == -1 ? 1 : 0;
}

/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* The loop of a process that serves. */

#define _GNU_SOURCE
#include <sys/types.h>
#include <sys/socket.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <tls.h>

#include "httpd_client.h"
#include "httpd_control.h"
#include "httpd_log.h"
#include "httpd_serve.h"

#define ACCEPTS_MAX   16
#define ACCEPT_PAUSE  (200 * 1000) /* microseconds */
#define GRACE_SECONDS 60

struct accepting {
	struct serve *serve;
	struct listener *listener;
	struct tls *context; /* NULL without TLS */
	struct event *event;
};

/* --- accepting --- */

static void
accept_start(struct serve *s)
{
	size_t i;

	for (i = 0; i < s->naccepting; i++)
		event_add(s->accepting[i].event, NULL);
}

static void
accept_stop(struct serve *s)
{
	size_t i;

	for (i = 0; i < s->naccepting; i++)
		event_del(s->accepting[i].event);
}

static void
on_accept(evutil_socket_t lfd, short what, void *arg)
{
	static const struct timeval pause = { 0, ACCEPT_PAUSE };
	union {
		struct sockaddr_storage storage;
		struct sockaddr sa;
	} addr;
	struct accepting *a = arg;
	struct serve *s = a->serve;
	socklen_t len;
	int fd, i;

	(void)what;
	for (i = 0;
	     i < ACCEPTS_MAX && s->nclients < s->site->config->max_clients;
	     i++) {
		len = sizeof(addr);
		fd = accept4(lfd, &addr.sa, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd == -1) {
			if (errno == EAGAIN || errno == EINTR ||
			    errno == ECONNABORTED)
				return;
			/* Most likely descriptors ran out: not for long. */
			logit(LOG_ERR, "accept: %s", strerror(errno));
			accept_stop(s);
			event_add(s->resume, &pause);
			return;
		}
		client_new(s, a->listener, a->context, fd, &addr.sa, len);
	}
	if (s->nclients >= s->site->config->max_clients)
		accept_stop(s);
}

static void
on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct serve *s = arg;

	(void)fd;
	(void)what;
	if (!s->draining && s->nclients < s->site->config->max_clients)
		accept_start(s);
}

void
serve_client_gone(struct serve *s)
{
	s->nclients--;
	if (!s->draining) {
		if (s->nclients == s->site->config->max_clients - 1)
			accept_start(s);
	} else if (s->nclients == 0) {
		event_base_loopbreak(s->base);
	}
}

static void
accepting_free(struct serve *s)
{
	size_t i;

	for (i = 0; i < s->naccepting; i++)
		if (s->accepting[i].event != NULL)
			event_free(s->accepting[i].event);
	free(s->accepting);
	s->accepting = NULL;
	s->naccepting = 0;
}

/* Accepts for a site, and no longer for the one before. */
static int
accepting_new(struct serve *s, struct site *site)
{
	struct accepting *list, *a;
	struct listener *l;
	size_t n = 0;

	STAILQ_FOREACH(l, &site->config->listeners, entry)
	n++;
	if ((list = calloc(n, sizeof(*list))) == NULL)
		return -1;
	a = list;
	STAILQ_FOREACH(l, &site->config->listeners, entry)
	{
		a->serve = s;
		a->listener = l;
		a->context = site->contexts[a - list];
		a->event = event_new(s->base, l->fd, EV_READ | EV_PERSIST,
		    on_accept, a);
		if (a->event == NULL) {
			while (a-- > list)
				event_free(a->event);
			free(list);
			return -1;
		}
		a++;
	}
	accepting_free(s);
	s->accepting = list;
	s->naccepting = n;
	s->site = site;
	return 0;
}

/* --- signals and commands --- */

/* Ends when all clients have got what they have asked for. */
static void
drain(struct serve *s, bool hurry)
{
	static const struct timeval grace = { GRACE_SECONDS, 0 };

	if (!s->draining) {
		s->draining = true;
		accept_stop(s);
		event_del(s->resume);
		site_close_listeners(s->site);
		client_finish_all(s);
	}
	if (hurry)
		event_add(s->grace, &grace);
	if (s->nclients == 0)
		event_base_loopbreak(s->base);
}

static void
on_term(evutil_socket_t signal, short what, void *arg)
{
	struct serve *s = arg;

	(void)what;
	/* A parent says what happens, and may say it twice. */
	if (s->control == -1)
		logit(LOG_NOTICE, "ends after signal %d", (int)signal);
	if (s->control == -1 && s->draining)
		event_base_loopbreak(s->base);
	else
		drain(s, s->control == -1);
}

static void
on_int(evutil_socket_t signal, short what, void *arg)
{
	struct serve *s = arg;

	(void)what;
	if (s->control == -1)
		logit(LOG_NOTICE, "ends after signal %d", (int)signal);
	event_base_loopbreak(s->base);
}

static void
on_grace(evutil_socket_t fd, short what, void *arg)
{
	struct serve *s = arg;

	(void)fd;
	(void)what;
	event_base_loopbreak(s->base);
}

static void
on_hup(evutil_socket_t signal, short what, void *arg)
{
	struct serve *s = arg;
	struct site *old = s->site, *site;

	(void)signal;
	(void)what;
	if (s->draining)
		return;
	if ((site = s->reload(old)) == NULL || s->ready(site) == -1 ||
	    accepting_new(s, site) == -1) {
		site_unref(site);
		logit(LOG_ERR, "keeps the old configuration");
		return;
	}
	client_finish_all(s);
	site_close_listeners(old);
	site_unref(old);
	if (s->nclients < site->config->max_clients)
		accept_start(s);
	logit(LOG_NOTICE, "uses the new configuration");
}

static void
on_usr1(evutil_socket_t signal, short what, void *arg)
{
	(void)signal;
	(void)what;
	(void)arg;
	site_reopen_logs();
}

/* The parent has opened the logs again. */
static void
take_logs(struct serve *s, const int *fds, size_t nfds)
{
	struct log_file *log;
	size_t i = 0;

	STAILQ_FOREACH(log, &s->site->config->logs, entry)
	{
		if (i == nfds)
			break;
		if (log->fd != -1)
			close(log->fd);
		log->fd = fds[i++];
	}
	while (i < nfds)
		close(fds[i++]);
}

static void
on_control(evutil_socket_t fd, short what, void *arg)
{
	struct serve *s = arg;
	int fds[CONFIG_LOGS_MAX], command;
	size_t nfds = CONFIG_LOGS_MAX;

	(void)what;
	command = control_recv(fd, fds, &nfds);
	if (command == CONTROL_LOGS) {
		take_logs(s, fds, nfds);
	} else if (command == 0 || (errno != EAGAIN && errno != EINTR)) {
		/* Without a parent there is nobody to say when to end. */
		event_del(s->on_control);
		drain(s, true);
	}
}

/* --- life --- */

static int
add_signal(struct serve *s, size_t i, int signal, event_callback_fn callback)
{
	s->signals[i] = evsignal_new(s->base, signal, callback, s);
	return s->signals[i] == NULL ? -1 : event_add(s->signals[i], NULL);
}

static int
serve_init(struct serve *s)
{
	if ((s->base = event_base_new()) == NULL)
		return -1;
	s->resume = evtimer_new(s->base, on_resume, s);
	s->grace = evtimer_new(s->base, on_grace, s);
	if (s->resume == NULL || s->grace == NULL ||
	    accepting_new(s, s->site) == -1 ||
	    add_signal(s, 0, SIGTERM, on_term) == -1 ||
	    add_signal(s, 1, SIGINT, on_int) == -1)
		return -1;
	if (s->control == -1)
		return add_signal(s, 2, SIGHUP, on_hup) == -1 ||
			       add_signal(s, 3, SIGUSR1, on_usr1) == -1
			   ? -1
			   : 0;
	s->on_control =
	    event_new(s->base, s->control, EV_READ | EV_PERSIST, on_control, s);
	if (s->on_control == NULL || event_add(s->on_control, NULL) == -1)
		return -1;
	return 0;
}

static void
serve_clear(struct serve *s)
{
	size_t i;

	s->draining = true;
	while (!LIST_EMPTY(&s->clients))
		client_free(LIST_FIRST(&s->clients));
	accepting_free(s);
	for (i = 0; i < sizeof(s->signals) / sizeof(s->signals[0]); i++)
		if (s->signals[i] != NULL)
			event_free(s->signals[i]);
	if (s->on_control != NULL)
		event_free(s->on_control);
	if (s->resume != NULL)
		event_free(s->resume);
	if (s->grace != NULL)
		event_free(s->grace);
	if (s->base != NULL)
		event_base_free(s->base);
	libevent_global_shutdown();
	site_unref(s->site);
}

int
serve_run(struct site *site, int control, int (*ready)(struct site *),
    struct site *(*reload)(const struct site *))
{
	struct serve s = { .site = site,
		.control = control,
		.ready = ready,
		.reload = reload };
	int rv;

	LIST_INIT(&s.clients);
	if (serve_init(&s) == -1) {
		logit(LOG_ERR, "failed to set up the event loop");
		rv = -1;
	} else {
		accept_start(&s);
		rv = control == -1
			 ? ready(site)
			 : control_send(control, CONTROL_READY, NULL, 0);
	}
	if (rv == 0 && event_base_dispatch(s.base) == -1) {
		logit(LOG_ERR, "failed to run the event loop");
		rv = -1;
	}
	serve_clear(&s);
	return rv;
}

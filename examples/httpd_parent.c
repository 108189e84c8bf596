/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* The process that keeps its rights, and serves nobody. */

#define _GNU_SOURCE
#include <sys/types.h>
#include <sys/queue.h>
#include <sys/wait.h>

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "httpd_control.h"
#include "httpd_log.h"
#include "httpd_parent.h"
#include "httpd_serve.h"
#include "net.h"

/* Milliseconds. */
#define READY_TIMEOUT 10000
#define RESTART_PAUSE 1000
#define GRACE	      60000

struct child {
	LIST_ENTRY(child) entry;
	struct site *site;
	pid_t pid;
	int control;
	bool ready;
};

struct parent {
	struct site *site;	     /* the one that new children serve */
	LIST_HEAD(, child) children; /* of older ones as well */
	sigset_t unblocked;
	bool ending;
	long long restart, kill; /* when to; 0 for never */
};

static volatile sig_atomic_t got_hup, got_usr1, got_term, got_int;

static void
on_signal(int signal)
{
	switch (signal) {
	case SIGHUP:
		got_hup = 1;
		break;
	case SIGUSR1:
		got_usr1 = 1;
		break;
	case SIGTERM:
		got_term = 1;
		break;
	case SIGINT:
		got_int = 1;
		break;
	}
}

/* --- children --- */

/* For good: into the directory, and the user's rights alone. */
static int
drop_rights(const struct config *config)
{
	const struct passwd *pw = NULL;
	const char *what;

	what = config->user;
	if (config->user != NULL &&
	    ((pw = getpwnam(config->user)) == NULL ||
		initgroups(config->user, pw->pw_gid) == -1))
		goto err;
	what = config->chroot;
	if (config->chroot != NULL &&
	    (chroot(config->chroot) == -1 || chdir("/") == -1))
		goto err;
	what = config->user;
	if (pw != NULL &&
	    (setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) == -1 ||
		setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) == -1))
		goto err;
	return 0;

err:
	logit(LOG_ERR, "%s: %s", what, strerror(errno));
	return -1;
}

/* In the new process. */
static int
child_run(struct parent *p, struct site *site, int control)
{
	static const int signals[] = { SIGHUP, SIGUSR1, SIGTERM, SIGINT,
		SIGCHLD };
	struct child *c;
	size_t i;

	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_DFL);
	/* A terminal or a script may mean all of the group. */
	signal(SIGHUP, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	while ((c = LIST_FIRST(&p->children)) != NULL) {
		LIST_REMOVE(c, entry);
		close(c->control);
		free(c);
	}
	site_keep_only(site);
	site->users = 1;
	sigprocmask(SIG_SETMASK, &p->unblocked, NULL);
	if (drop_rights(site->config) == -1) {
		site_unref(site);
		return -1;
	}
	return serve_run(site, control, NULL, NULL);
}

static struct child *
child_start(struct parent *p, struct site *site)
{
	struct child *c = NULL;
	int pair[2] = { -1, -1 }, rv;

	if ((c = calloc(1, sizeof(*c))) == NULL || control_pair(pair) == -1 ||
	    (c->pid = fork()) == -1) {
		logit(LOG_ERR, "failed to start a process: %s",
		    strerror(errno));
		goto err;
	}
	if (c->pid == 0) {
		close(pair[0]);
		free(c);
		rv = child_run(p, site, pair[1]);
		close(pair[1]);
		exit(rv == 0 ? 0 : 1);
	}
	close(pair[1]);
	c->control = pair[0];
	c->site = site;
	site_ref(site);
	LIST_INSERT_HEAD(&p->children, c, entry);
	return c;

err:
	if (pair[0] != -1) {
		close(pair[0]);
		close(pair[1]);
	}
	free(c);
	return NULL;
}

static void
child_free(struct child *c)
{
	LIST_REMOVE(c, entry);
	close(c->control);
	site_unref(c->site);
	free(c);
}

/* Waits until a child serves; 0, or -1 if it does not come to that. */
static int
child_wait(struct child *c, long long deadline)
{
	struct pollfd pfd = { .fd = c->control, .events = POLLIN };
	size_t nfds = 0;
	long long left;

	while (!c->ready) {
		if ((left = deadline - net_now()) < 0)
			left = 0;
		if (poll(&pfd, 1, (int)left) == 0)
			return -1;
		switch (control_recv(c->control, NULL, &nfds)) {
		case CONTROL_READY:
			c->ready = true;
			break;
		case -1:
			if (errno == EAGAIN || errno == EINTR)
				break;
			/* FALLTHROUGH */
		default:
			return -1;
		}
	}
	return 0;
}

static void
signal_children(struct parent *p, const struct site *site, int signal)
{
	struct child *c;

	LIST_FOREACH(c, &p->children, entry)
	if (site == NULL || c->site == site)
		kill(c->pid, signal);
}

/* Starts all children of a site; without one of them there is none. */
static int
site_start(struct parent *p, struct site *site)
{
	long long deadline = net_now() + READY_TIMEOUT;
	struct child *c;
	int i;

	for (i = 0; i < site->config->prefork; i++)
		if (child_start(p, site) == NULL)
			return -1;
	LIST_FOREACH(c, &p->children, entry)
	{
		if (c->site == site && child_wait(c, deadline) == -1) {
			logit(LOG_ERR, "a server process does not serve");
			return -1;
		}
	}
	return 0;
}

static int
count_children(const struct parent *p, const struct site *site)
{
	const struct child *c;
	int n = 0;

	LIST_FOREACH(c, &p->children, entry)
	n += c->site == site;
	return n;
}

static void
reap(struct parent *p)
{
	struct child *c, *next;
	int status;

	for (c = LIST_FIRST(&p->children); c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		if (waitpid(c->pid, &status, WNOHANG) != c->pid)
			continue;
		if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL &&
		    WTERMSIG(status) != SIGTERM && WTERMSIG(status) != SIGINT)
			logit(LOG_ERR, "process %d has crashed: signal %d",
			    (int)c->pid, WTERMSIG(status));
		else if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
			logit(LOG_ERR, "process %d has failed: status %d",
			    (int)c->pid, WEXITSTATUS(status));
		if (c->site == p->site && !p->ending && p->restart == 0) {
			logit(LOG_ERR, "process %d has ended, starts another",
			    (int)c->pid);
			p->restart = net_now() + RESTART_PAUSE;
		}
		child_free(c);
	}
}

/* --- what signals ask for --- */

static void
reload_site(struct parent *p, int (*ready)(struct site *),
    struct site *(*reload)(const struct site *))
{
	struct site *old = p->site, *site;

	if ((site = reload(old)) == NULL || site_start(p, site) == -1 ||
	    ready(site) == -1) {
		if (site != NULL)
			signal_children(p, site, SIGKILL);
		site_unref(site);
		logit(LOG_ERR, "keeps the old configuration");
		return;
	}
	p->site = site;
	p->restart = 0;
	signal_children(p, old, SIGTERM);
	site_close_listeners(old);
	site_unref(old);
	logit(LOG_NOTICE, "uses the new configuration");
}

static void
reopen_logs(struct parent *p)
{
	int fds[CONFIG_LOGS_MAX];
	struct log_file *log;
	struct child *c;
	size_t n;

	site_reopen_logs();
	LIST_FOREACH(c, &p->children, entry)
	{
		n = 0;
		STAILQ_FOREACH(log, &c->site->config->logs, entry)
		fds[n++] = log->fd;
		if (n > 0 &&
		    control_send(c->control, CONTROL_LOGS, fds, n) == -1)
			logit(LOG_ERR, "process %d keeps its logs: %s",
			    (int)c->pid, strerror(errno));
	}
}

static void
restart_children(struct parent *p)
{
	p->restart = 0;
	while (count_children(p, p->site) < p->site->config->prefork)
		if (child_start(p, p->site) == NULL) {
			p->restart = net_now() + RESTART_PAUSE;
			return;
		}
}

static void
end(struct parent *p, int signal)
{
	logit(LOG_NOTICE, "ends after signal %d", signal);
	/* Who asks twice does not want to wait. */
	if (p->ending)
		signal = SIGINT;
	p->ending = true;
	p->kill = net_now() + (signal == SIGTERM ? GRACE : RESTART_PAUSE);
	signal_children(p, NULL, signal);
}

static void
handle_signals(struct parent *p, int (*ready)(struct site *),
    struct site *(*reload)(const struct site *))
{
	if (got_term) {
		got_term = 0;
		end(p, SIGTERM);
	}
	if (got_int) {
		got_int = 0;
		end(p, SIGINT);
	}
	if (got_hup) {
		got_hup = 0;
		if (!p->ending)
			reload_site(p, ready, reload);
	}
	if (got_usr1) {
		got_usr1 = 0;
		reopen_logs(p);
	}
}

static void
wait_for_signal(const struct parent *p)
{
	long long when = p->ending ? p->kill : p->restart, left;
	struct timespec ts;

	left = when == 0 ? 0 : when - net_now();
	if (left < 0)
		left = 0;
	ts.tv_sec = (time_t)(left / 1000);
	ts.tv_nsec = (long)(left % 1000) * 1000000;
	ppoll(NULL, 0, when == 0 ? NULL : &ts, &p->unblocked);
}

static void
watch(struct parent *p, int (*ready)(struct site *),
    struct site *(*reload)(const struct site *))
{
	while (!p->ending || !LIST_EMPTY(&p->children)) {
		wait_for_signal(p);
		reap(p);
		handle_signals(p, ready, reload);
		if (p->ending && net_now() >= p->kill)
			signal_children(p, NULL, SIGKILL);
		else if (!p->ending && p->restart != 0 &&
			 net_now() >= p->restart)
			restart_children(p);
	}
}

static void
catch_signals(struct parent *p)
{
	static const int signals[] = { SIGHUP, SIGUSR1, SIGTERM, SIGINT,
		SIGCHLD };
	struct sigaction sa = { .sa_handler = on_signal };
	sigset_t blocked;
	size_t i;

	sigemptyset(&blocked);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		sigaddset(&blocked, signals[i]);
		sigaction(signals[i], &sa, NULL);
	}
	/* They come while it waits, and at no other time. */
	sigprocmask(SIG_BLOCK, &blocked, &p->unblocked);
}

int
parent_run(struct site *site, int (*ready)(struct site *),
    struct site *(*reload)(const struct site *))
{
	struct parent p = { .site = site };
	int rv = 0;

	LIST_INIT(&p.children);
	catch_signals(&p);
	if (site_start(&p, site) == -1 || ready(site) == -1) {
		rv = -1;
		p.ending = true;
		p.kill = net_now();
		signal_children(&p, NULL, SIGKILL);
	}
	watch(&p, ready, reload);
	site_unref(p.site);
	return rv;
}

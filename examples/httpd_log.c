/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* Messages, and what clients get. */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "httpd_escape.h"
#include "httpd_log.h"

static bool use_syslog;

void
log_to_syslog(void)
{
	/* Connected now, as there may be no /dev/log later. */
	openlog("httpd", LOG_PID | LOG_NDELAY, LOG_DAEMON);
	use_syslog = true;
}

void
logit(int priority, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (!use_syslog) {
		char line[4096];
		int n = vsnprintf(line, sizeof(line) - 1, format, ap);

		if (n >= (int)sizeof(line) - 1)
			n = (int)sizeof(line) - 2;
		if (n >= 0) {
			/* At once, as other processes write there as well. */
			line[n++] = '\n';
			(void)!write(STDERR_FILENO, line, (size_t)n);
		}
	} else {
		vsyslog(priority, format, ap);
	}
	va_end(ap);
}

static int
open_file(const char *path)
{
	int fd;

	fd = open(path,
	    O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK | O_CLOEXEC,
	    0640);
	if (fd == -1)
		logit(LOG_ERR, "%s: %s", path, strerror(errno));
	return fd;
}

int
log_open(struct config *config)
{
	struct log_file *log;

	STAILQ_FOREACH(log, &config->logs, entry)
	if (log->fd == -1 && (log->fd = open_file(log->path)) == -1)
		return -1;
	return 0;
}

void
log_reopen(struct config *config)
{
	struct log_file *log;
	int fd;

	STAILQ_FOREACH(log, &config->logs, entry)
	{
		if ((fd = open_file(log->path)) == -1)
			continue;
		if (log->fd != -1)
			close(log->fd);
		log->fd = fd;
	}
}

void
log_close(struct config *config)
{
	struct log_file *log;

	STAILQ_FOREACH(log, &config->logs, entry)
	{
		if (log->fd != -1)
			close(log->fd);
		log->fd = -1;
	}
}

static void
write_quoted(FILE *out, const char *s)
{
	fputs(" \"", out);
	escape_log(out, s == NULL ? "-" : s);
	fputc('"', out);
}

/* host - - [date] "request" status bytes */
static void
write_common(FILE *out, const struct log_access *a)
{
	const struct request *r = a->request;
	char date[64] = "-";
	time_t now = time(NULL);
	struct tm tm;

	if (localtime_r(&now, &tm) != NULL)
		strftime(date, sizeof(date), "%d/%b/%Y:%H:%M:%S %z", &tm);
	fprintf(out, "%s - - [%s] \"", a->peer, date);
	if (r->method == NULL) {
		fputc('-', out);
	} else {
		escape_log(out, r->method);
		fputc(' ', out);
		escape_log(out, r->target);
		fputc(' ', out);
		escape_log(out, r->version);
	}
	fprintf(out, "\" %d %lld", a->status, (long long)a->sent);
}

/* server version cipher "subject" hash */
static void
write_tls(FILE *out, const struct log_access *a)
{
	bool cert;

	fputc(' ', out);
	escape_log(out, a->server);
	if (a->tls == NULL) {
		fputs(" - - \"-\" -", out);
		return;
	}
	cert = tls_peer_cert_provided(a->tls) == 1;
	fprintf(out, " %s %s", tls_conn_version(a->tls),
	    tls_conn_cipher(a->tls));
	write_quoted(out, cert ? tls_peer_cert_subject(a->tls) : NULL);
	fprintf(out, " %s", cert ? tls_peer_cert_hash(a->tls) : "-");
}

void
log_access(const struct log_access *a)
{
	const struct policy *policy = a->policy;
	char *line = NULL;
	size_t len;
	FILE *out;

	if (!policy->log || (out = open_memstream(&line, &len)) == NULL)
		return;
	write_common(out, a);
	if (policy->style != LOG_STYLE_COMMON) {
		write_quoted(out, a->request->referer);
		write_quoted(out, a->request->user_agent);
	}
	if (policy->style == LOG_STYLE_TLS)
		write_tls(out, a);
	if (policy->access != NULL)
		fputc('\n', out);
	if (fclose(out) == 0) {
		/* One write(2), so that lines of processes do not mix. */
		if (policy->access == NULL)
			logit(LOG_INFO, "%s", line);
		else
			(void)!write(policy->access->fd, line, len);
	}
	free(line);
}

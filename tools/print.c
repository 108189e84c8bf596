/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * Names of peers are the peers' choice: a terminal gets printable ASCII, and
 * JSON nothing but valid UTF-8.
 */

#include <inttypes.h>
#include <string.h>

#include "status.h"
#include "wire.h"

/* Text for a terminal; "-" for an empty one. */
static const char *
safe(const char *s, char *buf, size_t size)
{
	size_t n = 0;

	if (*s == '\0')
		return "-";
	for (; *s != '\0' && n + 5 < size; s++) {
		if (*s > ' ' && *s < 0x7f && *s != '\\')
			buf[n++] = *s;
		else if (*s == ' ')
			buf[n++] = ' ';
		else
			n += (size_t)snprintf(buf + n, size - n, "\\x%02x",
			    (unsigned int)(unsigned char)*s);
	}
	buf[n] = '\0';
	return buf;
}

static const char *
state_name(int state)
{
	switch (state) {
	case TLSP_STATE_HANDSHAKE:
		return "handshake";
	case TLSP_ENDING_OPEN:
		return "open";
	case TLSP_ENDING_CLOSE_NOTIFY:
		return "close_notify";
	case TLSP_ENDING_EOF:
		return "eof";
	case TLSP_ENDING_FAILED:
		return "failed";
	default:
		return "unknown";
	}
}

static const char *
role_name(int role)
{
	return role == TLSP_ROLE_CLIENT	  ? "client"
	       : role == TLSP_ROLE_SERVER ? "server"
					  : "unknown";
}

/* Milliseconds as people read them. */
static const char *
span(uint64_t ms, char *buf, size_t size)
{
	const uint64_t s = ms / 1000;

	if (s < 60)
		(void)snprintf(buf, size, "%" PRIu64 ".%" PRIu64 "s", s,
		    ms % 1000 / 100);
	else if (s < 3600)
		(void)snprintf(buf, size, "%" PRIu64 "m%02" PRIu64 "s", s / 60,
		    s % 60);
	else if (s < 86400)
		(void)snprintf(buf, size, "%" PRIu64 "h%02" PRIu64 "m",
		    s / 3600, s % 3600 / 60);
	else
		(void)snprintf(buf, size, "%" PRIu64 "d%02" PRIu64 "h",
		    s / 86400, s % 86400 / 3600);
	return buf;
}

static void
print_process(FILE *f, const char *role, const struct process *p)
{
	char buf[512];

	(void)fprintf(f, "  %-10s  %7ld  %10ld  ", role, (long)p->pid, p->uid);
	if (p->uid == -1) {
		(void)fprintf(f, "has ended\n");
		return;
	}
	(void)fprintf(f, "%s, %s, %s, root %s%s\n",
	    p->seccomp == 2 ? "seccomp filter" : "no seccomp filter",
	    p->no_new_privs == 1 ? "no_new_privs" : "may gain privileges",
	    p->capable == 0 ? "no capabilities" : "HAS CAPABILITIES",
	    *p->root == '\0' ? "known to root only"
			     : safe(p->root, buf, sizeof(buf)),
	    p->exposed == 1 ? ", EXPOSED: see goproxy --self-test" : "");
}

static void
print_connection(FILE *f, const struct connection *c)
{
	char version[32], cipher[64], name[320], peer[320], address[64],
	    age[32];

	(void)fprintf(f,
	    "  %-6s  %-12s  %-7s  %-29s  %-7s  %12" PRIu64 "  %12" PRIu64
	    "  %7s  %s  %s  %s\n",
	    role_name(c->role), state_name(c->state),
	    safe(c->version, version, sizeof(version)),
	    safe(c->cipher, cipher, sizeof(cipher)),
	    c->resumed ? "resumed" : "full", c->received, c->sent,
	    span(c->age, age, sizeof(age)),
	    safe(c->address, address, sizeof(address)),
	    safe(c->servername, name, sizeof(name)),
	    safe(c->common_name, peer, sizeof(peer)));
}

static void
print_worker(FILE *f, const struct worker *worker)
{
	char age[32], cause[768];
	size_t i;

	(void)fprintf(f,
	    "\n  worker %ld, %s old: %" PRIu64 " full handshakes, %" PRIu64
	    " resumed, %" PRIu64 " failed; %" PRIu64
	    " connections failed later\n",
	    (long)worker->process.pid, span(worker->age, age, sizeof(age)),
	    worker->full, worker->resumed, worker->failed, worker->broken);
	for (i = 0; i < worker->nfailures; i++)
		(void)fprintf(f, "  %6" PRIu64 " times: %s\n",
		    worker->failures[i].count,
		    safe(worker->failures[i].cause, cause, sizeof(cause)));
	if (worker->nconnections == 0)
		return;
	(void)fprintf(f,
	    "  %-6s  %-12s  %-7s  %-29s  %-7s  %12s  %12s  %7s  %s\n", "ROLE",
	    "STATE", "VERSION", "CIPHER", "SESSION", "RECEIVED", "SENT", "AGE",
	    "ADDRESS  NAME  PEER");
	for (i = 0; i < worker->nconnections; i++)
		print_connection(f, &worker->connections[i]);
}

void
print_table(FILE *f, const struct program *program, const struct report *report)
{
	struct process app;
	char buf[512];
	size_t i;

	for (i = 0; i < program->npids; i++) {
		process_get(&app, program->pids[i]);
		(void)fprintf(f, "%s%s (%ld)", i == 0 ? "" : ", ",
		    safe(app.name, buf, sizeof(buf)), (long)app.pid);
	}
	(void)fprintf(f, ": libtls-proxy %s\n",
	    safe(report->release, buf, sizeof(buf)));
	(void)fprintf(f, "  %-10s  %7s  %10s  %s\n", "PROCESS", "PID", "USER",
	    "SANDBOX");
	print_process(f, "supervisor", &report->supervisor);
	print_process(f, "keeper", &report->keeper);
	for (i = 0; i < report->workers_len; i++)
		print_process(f, "worker", &report->workers[i].process);
	(void)fprintf(f,
	    "\n  keeper: %" PRIu32 " keys in %" PRIu32
	    " configurations, %" PRIu64 " signatures, %" PRIu64
	    " refused, %" PRIu32 " workers have died\n",
	    report->keys, report->configs, report->signatures, report->refused,
	    report->deaths);
	if (*report->refused_last != '\0')
		(void)fprintf(f, "  last refused: %s\n",
		    safe(report->refused_last, buf, sizeof(buf)));
	for (i = 0; i < report->workers_len; i++)
		print_worker(f, &report->workers[i]);
	if (!report->complete)
		(void)fprintf(f, "\n  not all workers have answered\n");
}

/* The length of the UTF-8 character at s that is not a control one, or 0. */
static size_t
utf8_length(const unsigned char *s)
{
	size_t i, n;

	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f;
	n = s[0] >= 0xc2 && s[0] <= 0xdf   ? 2
	    : (s[0] & 0xf0) == 0xe0	   ? 3
	    : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
					   : 0;
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	/* C1 controls, overlong forms, surrogates, what is beyond Unicode. */
	if ((s[0] == 0xc2 && s[1] < 0xa0) || (s[0] == 0xe0 && s[1] < 0xa0) ||
	    (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static void
json_string(FILE *f, const char *key, const char *value, const char *after)
{
	const unsigned char *s = (const unsigned char *)value;
	size_t n;

	(void)fprintf(f, "\"%s\":\"", key);
	while (*s != '\0') {
		n = utf8_length(s);
		if (*s == '"' || *s == '\\')
			(void)fprintf(f, "\\%c", *s++);
		else if (n > 0) {
			(void)fwrite(s, 1, n, f);
			s += n;
		} else if (*s < 0x80)
			(void)fprintf(f, "\\u%04x", *s++);
		else {
			(void)fputs("\\ufffd", f);
			s++;
		}
	}
	(void)fprintf(f, "\"%s", after);
}

static void
json_number(FILE *f, const char *key, uint64_t value, const char *after)
{
	(void)fprintf(f, "\"%s\":%" PRIu64 "%s", key, value, after);
}

/* What is not known is null. */
static void
json_flag(FILE *f, const char *key, int value, const char *after)
{
	(void)fprintf(f, "\"%s\":%s%s", key,
	    value == -1 ? "null"
	    : value	? "true"
			: "false",
	    after);
}

static void
json_process(FILE *f, const struct process *p)
{
	json_number(f, "pid", p->pid > 0 ? (uint64_t)p->pid : 0, ",");
	if (p->uid == -1)
		(void)fprintf(f, "\"uid\":null,");
	else
		json_number(f, "uid", (uint64_t)p->uid, ",");
	json_flag(f, "seccomp", p->seccomp == -1 ? -1 : p->seccomp == 2, ",");
	json_flag(f, "no_new_privs", p->no_new_privs, ",");
	json_flag(f, "capabilities", p->capable, ",");
	json_flag(f, "exposed", p->exposed, ",");
	if (*p->root == '\0')
		(void)fprintf(f, "\"root\":null");
	else
		json_string(f, "root", p->root, "");
}

static void
json_connection(FILE *f, const struct connection *c)
{
	(void)fprintf(f, "{");
	json_string(f, "role", role_name(c->role), ",");
	json_string(f, "state", state_name(c->state), ",");
	json_string(f, "transport", c->transport ? "engine" : "socket", ",");
	json_string(f, "version", c->version, ",");
	json_string(f, "cipher", c->cipher, ",");
	json_string(f, "alpn", c->alpn, ",");
	json_string(f, "servername", c->servername, ",");
	json_string(f, "common_name", c->common_name, ",");
	json_string(f, "address", c->address, ",");
	json_flag(f, "resumed", c->resumed != 0, ",");
	json_number(f, "received", c->received, ",");
	json_number(f, "sent", c->sent, ",");
	json_number(f, "age_ms", c->age, "}");
}

static void
json_worker(FILE *f, const struct worker *worker)
{
	size_t i;

	(void)fprintf(f, "{");
	json_process(f, &worker->process);
	(void)fprintf(f, ",");
	json_number(f, "age_ms", worker->age, ",");
	(void)fprintf(f, "\"handshakes\":{");
	json_number(f, "full", worker->full, ",");
	json_number(f, "resumed", worker->resumed, ",");
	json_number(f, "failed", worker->failed, "},");
	json_number(f, "connections_failed", worker->broken, ",");
	(void)fprintf(f, "\"failures\":[");
	for (i = 0; i < worker->nfailures; i++) {
		(void)fprintf(f, "%s{", i == 0 ? "" : ",");
		json_string(f, "cause", worker->failures[i].cause, ",");
		json_number(f, "count", worker->failures[i].count, "}");
	}
	(void)fprintf(f, "],\"connections\":[");
	for (i = 0; i < worker->nconnections; i++) {
		(void)fprintf(f, "%s", i == 0 ? "" : ",");
		json_connection(f, &worker->connections[i]);
	}
	(void)fprintf(f, "]}");
}

void
print_json(FILE *f, const struct program *program, const struct report *report)
{
	struct process app;
	size_t i;

	(void)fprintf(f, "{\"processes\":[");
	for (i = 0; i < program->npids; i++) {
		process_get(&app, program->pids[i]);
		(void)fprintf(f, "%s{", i == 0 ? "" : ",");
		json_number(f, "pid", (uint64_t)app.pid, ",");
		json_string(f, "name", app.name, "}");
	}
	(void)fprintf(f, "],");
	json_string(f, "release", report->release, ",");
	(void)fprintf(f, "\"supervisor\":{");
	json_process(f, &report->supervisor);
	(void)fprintf(f, "},\"keeper\":{");
	json_process(f, &report->keeper);
	(void)fprintf(f, ",");
	json_number(f, "configurations", report->configs, ",");
	json_number(f, "keys", report->keys, ",");
	json_number(f, "signatures", report->signatures, ",");
	json_number(f, "refused", report->refused, ",");
	json_string(f, "refused_last", report->refused_last, ",");
	json_number(f, "workers_died", report->deaths, "},");
	(void)fprintf(f, "\"workers\":[");
	for (i = 0; i < report->workers_len; i++) {
		(void)fprintf(f, "%s", i == 0 ? "" : ",");
		json_worker(f, &report->workers[i]);
	}
	(void)fprintf(f, "],");
	json_flag(f, "complete", report->complete, "}");
}

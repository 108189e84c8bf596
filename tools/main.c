/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "status.h"

static const char usage[] = "usage: tls-proxy-status [-j | --json] [pid ...]\n";

void *
grow(void *list, size_t len, size_t size)
{
	/* It doubles whenever len is a power of two. */
	if ((len & (len - 1)) != 0)
		return list;
	list = reallocarray(list, len == 0 ? 1 : len * 2, size);
	if (list == NULL) {
		(void)fputs("tls-proxy-status: out of memory\n", stderr);
		exit(1);
	}
	return list;
}

/* Why a process of the user's own is closed to him, if Yama is the reason. */
static const char *
yama(void)
{
	char scope = '0';
	FILE *f;

	if ((f = fopen("/proc/sys/kernel/yama/ptrace_scope", "re")) != NULL) {
		if (fread(&scope, 1, 1, f) != 1)
			scope = '0';
		(void)fclose(f);
	}
	return scope == '0' ? "" : " (kernel.yama.ptrace_scope is set)";
}

/* Returns -1 for a process that is none, or none of ours. */
static int
add_process(struct programs *programs, const char *arg)
{
	char *end;
	long pid;
	int n;

	errno = 0;
	pid = strtol(arg, &end, 10);
	if (errno != 0 || pid <= 0 || pid > INT_MAX || *arg == '\0' ||
	    *end != '\0') {
		(void)fprintf(stderr,
		    "tls-proxy-status: '%s' is not a process number\n", arg);
		return -1;
	}
	if ((n = programs_add(programs, (pid_t)pid)) == -1) {
		if (errno == EPERM || errno == EACCES)
			(void)fprintf(stderr,
			    "tls-proxy-status: process %ld may be asked by its "
			    "own user and root alone%s: run as root\n",
			    pid, yama());
		else
			(void)fprintf(stderr,
			    "tls-proxy-status: process %ld: %s\n", pid,
			    strerror(errno));
		return -1;
	}
	if (n == 0) {
		(void)fprintf(stderr,
		    "tls-proxy-status: process %ld has no goproxy\n", pid);
		return -1;
	}
	return 0;
}

int
main(int argc, char *argv[])
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "json", no_argument, NULL, 'j' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	struct programs programs = { 0 };
	struct report report;
	const char *errstr;
	char buf[256];
	size_t i, shown = 0;
	int ch, json = 0, status = 0;

	while ((ch = getopt_long(argc, argv, "hjV", options, NULL)) != -1) {
		switch (ch) {
		case 'h':
			(void)fputs(usage, stdout);
			return 0;
		case 'j':
			json = 1;
			break;
		case 'V':
			(void)puts("tls-proxy-status " TLSP_VERSION);
			return 0;
		default:
			(void)fputs(usage, stderr);
			return 2;
		}
	}
	for (ch = optind; ch < argc; ch++) {
		if (add_process(&programs, argv[ch]) == -1)
			status = 1;
	}
	if (optind == argc) {
		programs_add_all(&programs);
		if (programs.len == 0) {
			(void)fprintf(stderr,
			    "tls-proxy-status: no program with a goproxy%s%s\n",
			    programs.forbidden > 0 ? ", but some of which only "
						     "root can know"
						   : "",
			    programs.forbidden > 0 ? yama() : "");
			status = 1;
		}
	}
	if (json)
		(void)putchar('[');
	for (i = 0; i < programs.len; i++) {
		if (report_get(&report, programs.list[i].control, buf,
			sizeof(buf), &errstr) == -1) {
			(void)fprintf(stderr,
			    "tls-proxy-status: process %ld: %s\n",
			    (long)programs.list[i].pids[0], errstr);
			status = 1;
			continue;
		}
		if (json) {
			(void)fputs(shown > 0 ? ",\n" : "", stdout);
			print_json(stdout, &programs.list[i], &report);
		} else {
			(void)fputs(shown > 0 ? "\n" : "", stdout);
			print_table(stdout, &programs.list[i], &report);
		}
		shown++;
		report_free(&report);
	}
	if (json)
		(void)puts("]");
	programs_free(&programs);
	if (fflush(stdout) == EOF) {
		perror("tls-proxy-status");
		status = 1;
	}
	return status;
}

/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * tls-proxy-status(1). Its view of a program comes from three places: the
 * descriptors of the program (find.c), what goproxy answers on one of them
 * (ask.c), and what the kernel says of goproxy's processes (process.c).
 *
 * What a program's channel answers is not to be trusted: the program may have
 * been taken over, and root asks as well.
 */

#ifndef STATUS_H
#define STATUS_H

#include <sys/types.h>

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What the kernel says of a process; -1 or "" where it does not. */
struct process {
	pid_t pid;
	pid_t parent;
	char name[64];
	long uid;    /* effective */
	int seccomp; /* 2 with a filter */
	int no_new_privs;
	int capable; /* whether it has any effective capability */
	int exposed; /* goproxy says that it lacks a part of the sandbox */
	char root[256];
};

/* Never fails: what has ended has a pid and nothing else. */
void process_get(struct process *process, pid_t pid);

struct connection {
	int role, state, transport, resumed;
	uint64_t age, received, sent;
	/* All from malloc(3). */
	char *version, *cipher, *alpn, *servername, *common_name, *address;
};

struct failure {
	char *cause;
	uint64_t count;
};

struct worker {
	struct process process;
	uint64_t age, full, resumed, failed, broken;
	uint32_t want_connections, want_causes; /* how many were announced */
	struct connection *connections;
	size_t nconnections;
	struct failure *failures;
	size_t nfailures;
};

struct report {
	char *release;
	char *refused_last;
	uint32_t nworkers, deaths, configs, keys;
	uint64_t signatures, refused;
	struct process supervisor, keeper;
	struct worker *workers;
	size_t workers_len;
	int complete; /* everything that was announced has come */
};

/*
 * Asks on a control channel. Returns 0, or -1 and *errstr, which is a static
 * text or in buf.
 */
int report_get(struct report *report, int control, char *buf, size_t size,
    const char **errstr);
void report_free(struct report *report);

/* A control channel and the processes that have it. */
struct program {
	char name[128]; /* of the channel */
	int control;	/* a copy */
	pid_t *pids;
	size_t npids;
};

struct programs {
	struct program *list;
	size_t len;
	/* How many processes there were that may not be looked into. */
	size_t forbidden;
};

/*
 * Adds the control channels of a process. Returns how many it has, or -1 with
 * errno: EACCES or EPERM for a process that may not be looked into, ESRCH for
 * none.
 */
int programs_add(struct programs *programs, pid_t pid);
/* Adds those of all processes that the caller may look into. */
void programs_add_all(struct programs *programs);
void programs_free(struct programs *programs);

void print_table(FILE *f, const struct program *program,
    const struct report *report);
/* One member of an array. */
void print_json(FILE *f, const struct program *program,
    const struct report *report);

/* Memory, or the end of the program. */
void *grow(void *list, size_t len, size_t size);

#endif

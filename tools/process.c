/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "status.h"

/* The name of a goproxy that lacks a part of its sandbox, goproxy(8). */
#define EXPOSED "goproxy-exposed"

static void
parse_line(struct process *p, const char *line)
{
	unsigned long long caps;
	long uid;
	int n;

	if (sscanf(line, "Name: %63[^\n]", p->name) == 1)
		p->exposed = strcmp(p->name, EXPOSED) == 0;
	else if (sscanf(line, "PPid: %d", &n) == 1)
		p->parent = n;
	else if (sscanf(line, "Uid: %*d %ld", &uid) == 1)
		p->uid = uid;
	else if (sscanf(line, "NoNewPrivs: %d", &n) == 1)
		p->no_new_privs = n;
	else if (sscanf(line, "Seccomp: %d", &n) == 1)
		p->seccomp = n;
	else if (sscanf(line, "CapEff: %llx", &caps) == 1)
		p->capable = caps != 0;
}

void
process_get(struct process *p, pid_t pid)
{
	char path[64], line[512];
	ssize_t n;
	FILE *f;

	memset(p, 0, sizeof(*p));
	p->pid = pid;
	p->parent = -1;
	p->uid = p->seccomp = p->no_new_privs = p->capable = p->exposed = -1;
	(void)snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
	if ((f = fopen(path, "re")) == NULL)
		return;
	while (fgets(line, sizeof(line), f) != NULL)
		parse_line(p, line);
	(void)fclose(f);
	/* Of what is not dumpable only root may know. */
	(void)snprintf(path, sizeof(path), "/proc/%ld/root", (long)pid);
	n = readlink(path, p->root, sizeof(p->root) - 1);
	p->root[n == -1 ? 0 : n] = '\0';
}

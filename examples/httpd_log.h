/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef HTTPD_LOG_H
#define HTTPD_LOG_H

#include <sys/types.h>

#include <stdbool.h>
#include <syslog.h>

#include <tls.h>

#include "httpd_config.h"
#include "request.h"

/* Messages go to standard error until syslog(3) takes over. */
void log_to_syslog(void);
__attribute__((format(printf, 2, 3))) void logit(int priority,
    const char *format, ...);

/* Opens all logs of a configuration that are not; 0, or -1 after a message. */
int log_open(struct config *config);
/* Opens them again, under their names; those that fail stay as they are. */
void log_reopen(struct config *config);
void log_close(struct config *config);

/* What was answered; tls is NULL for a connection without it. */
struct log_access {
	const struct policy *policy;
	const char *server, *peer;
	const struct request *request;
	struct tls *tls;
	int status;
	off_t sent;
};

void log_access(const struct log_access *access);

#endif

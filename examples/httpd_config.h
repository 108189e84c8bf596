/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef HTTPD_CONFIG_H
#define HTTPD_CONFIG_H

#include <sys/types.h>
#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What httpd.conf(5) says; all of it belongs to the configuration. */

#define CONFIG_ERROR_MAX  8192
#define CONFIG_LOGS_MAX	  64
#define CONFIG_HEADER_MAX 65536

enum log_style {
	LOG_STYLE_TLS, /* combined, the name of the server, and TLS */
	LOG_STYLE_COMBINED,
	LOG_STYLE_COMMON,
};

/* A log may be used by several; the parent opens it. */
struct log_file {
	STAILQ_ENTRY(log_file) entry;
	const char *path;
	int fd; /* -1 while it is not open */
};

enum {
	BLOCK_NOT,
	BLOCK_DROP, /* without an answer */
		    /* or a status */
};

/* What a location may have otherwise than its server. */
struct policy {
	const char *root;
	const char *index; /* NULL for none */
	bool auto_index;
	int block;
	const char *url;  /* for 3xx, with macros; else NULL */
	bool client_cert; /* is needed */
	bool log;
	enum log_style style;
	struct log_file *access; /* NULL: where messages go */

	/* What was said, and is not to be inherited. */
	bool has_root, has_index, has_auto_index, has_block, has_client_cert,
	    has_log, has_style, has_access;
};

struct location {
	STAILQ_ENTRY(location) entry;
	const char *pattern;
	struct policy policy;
};

struct tls_settings {
	const char *cert, *key, *ocsp;
	const char *ca, *crl;
	bool ca_optional;
	const char *protocols, *ciphers, *curves;
	int lifetime;	     /* of tickets, in seconds; 0 for none */
	const char *options; /* of the command line */
	bool has_lifetime;
};

/* Sizes in bytes, times in seconds. */
struct limits {
	int timeout;	     /* nothing moves, or no request comes */
	int request_timeout; /* for a handshake, and for a request's head */
	int max_requests;    /* on a connection */
	int max_header;
	int max_fields;
	off_t max_body;
	bool has_timeout, has_request_timeout, has_max_requests, has_max_header,
	    has_max_fields, has_max_body;
};

struct server_name {
	STAILQ_ENTRY(server_name) entry;
	const char *pattern;
};

/* A line of a server that says where it listens. */
struct endpoint {
	STAILQ_ENTRY(endpoint) entry;
	const char *address, *port;
	bool tls;
	const char *file;
	int line;
};

struct server {
	STAILQ_ENTRY(server) entry;
	STAILQ_HEAD(, server_name) names; /* the first one is its own */
	STAILQ_HEAD(, endpoint) endpoints;
	STAILQ_HEAD(, location) locations;
	struct policy policy;
	bool has_tls;
	struct tls_settings tls;
	struct limits limits;
	const char *file;
	int line;
};

/* The servers of one address and port. */
struct shared_server {
	STAILQ_ENTRY(shared_server) entry;
	struct server *server;
};

struct listener {
	STAILQ_ENTRY(listener) entry;
	const char *address, *port;
	bool tls;
	STAILQ_HEAD(, shared_server) servers; /* the first is the default */
	size_t nservers;
	int fd; /* -1 while it does not listen */
};

struct media_type {
	const char *suffix, *type;
};

struct chunk;

struct config {
	const char *chroot, *user, *default_type;
	int prefork; /* 0: one process does all */
	int max_clients;
	bool has_prefork, has_max_clients, has_types;
	struct media_type *types;
	size_t ntypes, types_size;
	STAILQ_HEAD(, server) servers;
	STAILQ_HEAD(, listener) listeners;
	STAILQ_HEAD(, log_file) logs;
	int nlogs;
	struct chunk *memory;
};

struct config *config_new(void);
void config_free(struct config *config);
/* Zeroed memory that goes with the configuration; the program ends without. */
void *config_alloc(struct config *config, size_t size);
char *config_strdup(struct config *config, const char *s);

/* The log of that name, or NULL if there are too many. */
struct log_file *config_log(struct config *config, const char *path);
void config_add_type(struct config *config, const char *suffix,
    const char *type);
struct server *config_add_server(struct config *config, const char *name);
void config_add_name(struct config *config, struct server *server,
    const char *name);
struct location *config_add_location(struct config *config,
    struct server *server, const char *pattern);
struct endpoint *config_add_endpoint(struct config *config,
    struct server *server, const char *address, const char *port, bool tls);

/*
 * The configuration in a file, or in data that is called name, and NULL with
 * the reason. It has been checked as far as that goes without looking at other
 * files.
 */
struct config *config_load(const char *path, char error[CONFIG_ERROR_MAX]);
struct config *config_parse(const char *name, const char *data, size_t len,
    char error[CONFIG_ERROR_MAX]);
/* Fills in what was left open, and puts listeners together; 0 or -1. */
int config_finish(struct config *config, char error[CONFIG_ERROR_MAX]);

/* The server that a host, or NULL, means: the listener's default otherwise. */
struct server *config_server(const struct listener *listener, const char *host);
/* What holds for a path of a server. */
const struct policy *config_policy(const struct server *server,
    const char *path);
const char *config_type(const struct config *config, const char *path);

#endif

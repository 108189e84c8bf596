/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* A configuration in memory, and what requests ask of it. */

#define _GNU_SOURCE
#include <err.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "httpd_config.h"

#define PREFORK_DEFAULT	    3
#define MAX_CLIENTS_DEFAULT 512

static const struct limits default_limits = {
	.timeout = 60,
	.request_timeout = 30,
	.max_requests = 1000,
	.max_header = 8192,
	.max_fields = 100,
	.max_body = 0,
};

/* Used where the configuration has none; sorted. */
static const struct media_type default_types[] = {
	{ "avif", "image/avif" },
	{ "css", "text/css" },
	{ "gif", "image/gif" },
	{ "gz", "application/gzip" },
	{ "htm", "text/html; charset=utf-8" },
	{ "html", "text/html; charset=utf-8" },
	{ "ico", "image/x-icon" },
	{ "jpeg", "image/jpeg" },
	{ "jpg", "image/jpeg" },
	{ "js", "text/javascript" },
	{ "json", "application/json" },
	{ "mjs", "text/javascript" },
	{ "mp3", "audio/mpeg" },
	{ "mp4", "video/mp4" },
	{ "ogg", "audio/ogg" },
	{ "otf", "font/otf" },
	{ "pdf", "application/pdf" },
	{ "png", "image/png" },
	{ "svg", "image/svg+xml" },
	{ "ttf", "font/ttf" },
	{ "txt", "text/plain; charset=utf-8" },
	{ "wasm", "application/wasm" },
	{ "webm", "video/webm" },
	{ "webp", "image/webp" },
	{ "woff", "font/woff" },
	{ "woff2", "font/woff2" },
	{ "xml", "application/xml" },
	{ "zip", "application/zip" },
};

/* All of a configuration's memory, so that it is freed as it was made. */
struct chunk {
	struct chunk *next;
	max_align_t data[];
};

void *
config_alloc(struct config *config, size_t size)
{
	struct chunk *chunk;

	if ((chunk = calloc(1, sizeof(*chunk) + size)) == NULL)
		err(1, NULL);
	chunk->next = config->memory;
	config->memory = chunk;
	return chunk->data;
}

char *
config_strdup(struct config *config, const char *s)
{
	size_t size = strlen(s) + 1;

	return memcpy(config_alloc(config, size), s, size);
}

struct config *
config_new(void)
{
	struct config *config;

	if ((config = calloc(1, sizeof(*config))) == NULL)
		err(1, NULL);
	STAILQ_INIT(&config->servers);
	STAILQ_INIT(&config->listeners);
	STAILQ_INIT(&config->logs);
	return config;
}

void
config_free(struct config *config)
{
	struct chunk *chunk;

	if (config == NULL)
		return;
	while ((chunk = config->memory) != NULL) {
		config->memory = chunk->next;
		free(chunk);
	}
	free(config->types);
	free(config);
}

/* --- what the parser adds --- */

struct log_file *
config_log(struct config *config, const char *path)
{
	struct log_file *log;

	STAILQ_FOREACH(log, &config->logs, entry)
	if (strcmp(log->path, path) == 0)
		return log;
	if (config->nlogs == CONFIG_LOGS_MAX)
		return NULL;
	log = config_alloc(config, sizeof(*log));
	log->path = config_strdup(config, path);
	log->fd = -1;
	config->nlogs++;
	STAILQ_INSERT_TAIL(&config->logs, log, entry);
	return log;
}

void
config_add_type(struct config *config, const char *suffix, const char *type)
{
	size_t size = config->types_size;
	struct media_type *types;

	if (config->ntypes == size) {
		size = size == 0 ? 64 : 2 * size;
		types = reallocarray(config->types, size, sizeof(*types));
		if (types == NULL)
			err(1, NULL);
		config->types = types;
		config->types_size = size;
	}
	config->types[config->ntypes].suffix = config_strdup(config, suffix);
	config->types[config->ntypes].type = type;
	config->ntypes++;
}

struct server *
config_add_server(struct config *config, const char *name)
{
	struct server *server = config_alloc(config, sizeof(*server));

	STAILQ_INIT(&server->names);
	STAILQ_INIT(&server->endpoints);
	STAILQ_INIT(&server->locations);
	STAILQ_INSERT_TAIL(&config->servers, server, entry);
	config_add_name(config, server, name);
	return server;
}

void
config_add_name(struct config *config, struct server *server, const char *name)
{
	struct server_name *n = config_alloc(config, sizeof(*n));

	n->pattern = config_strdup(config, name);
	STAILQ_INSERT_TAIL(&server->names, n, entry);
}

struct location *
config_add_location(struct config *config, struct server *server,
    const char *pattern)
{
	struct location *location = config_alloc(config, sizeof(*location));

	location->pattern = config_strdup(config, pattern);
	STAILQ_INSERT_TAIL(&server->locations, location, entry);
	return location;
}

struct endpoint *
config_add_endpoint(struct config *config, struct server *server,
    const char *address, const char *port, bool tls)
{
	struct endpoint *endpoint = config_alloc(config, sizeof(*endpoint));

	endpoint->address = config_strdup(config, address);
	endpoint->port = config_strdup(config, port);
	endpoint->tls = tls;
	STAILQ_INSERT_TAIL(&server->endpoints, endpoint, entry);
	return endpoint;
}

/* --- what follows from it --- */

static void
inherit(struct policy *to, const struct policy *from)
{
	if (!to->has_root)
		to->root = from->root;
	if (!to->has_index)
		to->index = from->index;
	if (!to->has_auto_index)
		to->auto_index = from->auto_index;
	if (!to->has_block) {
		to->block = from->block;
		to->url = from->url;
	}
	if (!to->has_client_cert)
		to->client_cert = from->client_cert;
	if (!to->has_log)
		to->log = from->log;
	if (!to->has_style)
		to->style = from->style;
	if (!to->has_access)
		to->access = from->access;
}

static void
fill_limits(struct limits *limits)
{
	const struct limits *d = &default_limits;

	if (!limits->has_timeout)
		limits->timeout = d->timeout;
	if (!limits->has_request_timeout)
		limits->request_timeout = d->request_timeout;
	if (!limits->has_max_requests)
		limits->max_requests = d->max_requests;
	if (!limits->has_max_header)
		limits->max_header = d->max_header;
	if (!limits->has_max_fields)
		limits->max_fields = d->max_fields;
	if (!limits->has_max_body)
		limits->max_body = d->max_body;
}

__attribute__((format(printf, 4, 5))) static int
fail(char *error, const char *file, int line, const char *format, ...)
{
	va_list ap;
	int n;

	n = snprintf(error, CONFIG_ERROR_MAX,
	    "%s:%d: ", file == NULL ? "command line" : file, line);
	if (n < 0 || n >= CONFIG_ERROR_MAX)
		n = 0;
	va_start(ap, format);
	vsnprintf(error + n, (size_t)(CONFIG_ERROR_MAX - n), format, ap);
	va_end(ap);
	return -1;
}

static bool
same(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* What one handshake cannot have in two ways, the name not being known yet. */
static const char *
tls_conflict(const struct tls_settings *a, const struct tls_settings *b)
{
	if (!same(a->protocols, b->protocols))
		return "protocols";
	if (!same(a->ciphers, b->ciphers))
		return "ciphers";
	if (!same(a->curves, b->curves))
		return "ecdhe";
	if (a->lifetime != b->lifetime)
		return "ticket lifetime";
	if (a->ca != NULL && b->ca != NULL &&
	    (!same(a->ca, b->ca) || !same(a->crl, b->crl)))
		return "client ca";
	return NULL;
}

static struct listener *
listener_of(struct config *config, const struct endpoint *endpoint)
{
	struct listener *l;

	STAILQ_FOREACH(l, &config->listeners, entry)
	if (same(l->address, endpoint->address) &&
	    same(l->port, endpoint->port))
		return l;
	l = config_alloc(config, sizeof(*l));
	STAILQ_INIT(&l->servers);
	l->address = endpoint->address;
	l->port = endpoint->port;
	l->tls = endpoint->tls;
	l->fd = -1;
	STAILQ_INSERT_TAIL(&config->listeners, l, entry);
	return l;
}

static int
share_listener(struct config *config, struct server *server,
    const struct endpoint *endpoint, char *error)
{
	struct listener *l = listener_of(config, endpoint);
	struct shared_server *shared;
	const char *what;

	if (l->tls != endpoint->tls)
		return fail(error, endpoint->file, endpoint->line,
		    "%s port %s is with tls for one server and without for "
		    "another",
		    l->address, l->port);
	STAILQ_FOREACH(shared, &l->servers, entry)
	{
		if (shared->server == server)
			return fail(error, endpoint->file, endpoint->line,
			    "listens twice on %s port %s", l->address, l->port);
		what = l->tls ? tls_conflict(&shared->server->tls, &server->tls)
			      : NULL;
		if (what != NULL)
			return fail(error, endpoint->file, endpoint->line,
			    "servers on %s port %s differ in %s", l->address,
			    l->port, what);
	}
	shared = config_alloc(config, sizeof(*shared));
	shared->server = server;
	STAILQ_INSERT_TAIL(&l->servers, shared, entry);
	l->nservers++;
	return 0;
}

static int
finish_tls(const struct server *server, char *error)
{
	const struct tls_settings *tls = &server->tls;
	const struct endpoint *endpoint;
	bool used = false;

	STAILQ_FOREACH(endpoint, &server->endpoints, entry)
	used = used || endpoint->tls;
	if (used && (tls->cert == NULL || tls->key == NULL))
		return fail(error, server->file, server->line,
		    "server listens with tls and has no %s",
		    tls->cert == NULL ? "certificate" : "key");
	if (!used && server->has_tls)
		return fail(error, server->file, server->line,
		    "server has tls settings and does not listen with tls");
	return 0;
}

static int
finish_policy(const struct server *server, const struct policy *policy,
    const char *what, char *error)
{
	if (policy->block == BLOCK_NOT && policy->root == NULL)
		return fail(error, server->file, server->line,
		    "%s has neither root nor block", what);
	if (policy->client_cert && server->tls.ca == NULL)
		return fail(error, server->file, server->line,
		    "%s requires a client certificate, and there is no client "
		    "ca",
		    what);
	return 0;
}

static int
finish_server(struct config *config, struct server *server, char *error)
{
	static const struct policy defaults = {
		.index = "index.html",
		.log = true,
	};
	struct location *location;
	struct endpoint *endpoint;

	if (STAILQ_EMPTY(&server->endpoints))
		return fail(error, server->file, server->line,
		    "server listens nowhere");
	inherit(&server->policy, &defaults);
	fill_limits(&server->limits);
	if (finish_tls(server, error) == -1)
		return -1;
	if (finish_policy(server, &server->policy, "server", error) == -1)
		return -1;
	STAILQ_FOREACH(location, &server->locations, entry)
	{
		inherit(&location->policy, &server->policy);
		if (finish_policy(server, &location->policy, location->pattern,
			error) == -1)
			return -1;
	}
	STAILQ_FOREACH(endpoint, &server->endpoints, entry)
	if (share_listener(config, server, endpoint, error) == -1)
		return -1;
	return 0;
}

static int
compare_types(const void *a, const void *b)
{
	const struct media_type *one = a, *two = b;

	return strcasecmp(one->suffix, two->suffix);
}

/* Sorts them; of those with the same suffix the last one counts. */
static void
finish_types(struct config *config)
{
	size_t i, n = 0;

	/* By insertion: qsort(3) does not keep the order of equals. */
	for (i = 1; i < config->ntypes; i++) {
		struct media_type type = config->types[i];
		size_t low = 0, high = i, middle;

		while (low < high) {
			middle = (low + high) / 2;
			if (compare_types(&config->types[middle], &type) <= 0)
				low = middle + 1;
			else
				high = middle;
		}
		memmove(&config->types[low + 1], &config->types[low],
		    (i - low) * sizeof(type));
		config->types[low] = type;
	}
	for (i = 0; i < config->ntypes; i++) {
		if (n > 0 && compare_types(&config->types[n - 1],
				 &config->types[i]) == 0)
			n--;
		config->types[n++] = config->types[i];
	}
	config->ntypes = n;
}

int
config_finish(struct config *config, char error[CONFIG_ERROR_MAX])
{
	struct server *server;

	if (STAILQ_EMPTY(&config->servers)) {
		snprintf(error, CONFIG_ERROR_MAX, "there is no server");
		return -1;
	}
	if (!config->has_prefork)
		config->prefork = PREFORK_DEFAULT;
	if (!config->has_max_clients)
		config->max_clients = MAX_CLIENTS_DEFAULT;
	if (config->default_type == NULL)
		config->default_type = "application/octet-stream";
	if (config->prefork == 0 &&
	    (config->chroot != NULL || config->user != NULL)) {
		/* It could not read new keys any more. */
		snprintf(error, CONFIG_ERROR_MAX,
		    "chroot and user need a prefork of 1 or more");
		return -1;
	}
	finish_types(config);
	STAILQ_FOREACH(server, &config->servers, entry)
	if (finish_server(config, server, error) == -1)
		return -1;
	return 0;
}

/* --- what requests ask --- */

struct server *
config_server(const struct listener *listener, const char *host)
{
	const struct shared_server *shared;
	const struct server_name *name;

	if (host != NULL)
		STAILQ_FOREACH(shared, &listener->servers, entry)
	STAILQ_FOREACH(name, &shared->server->names, entry)
	if (fnmatch(name->pattern, host, FNM_CASEFOLD) == 0)
		return shared->server;
	return STAILQ_FIRST(&listener->servers)->server;
}

const struct policy *
config_policy(const struct server *server, const char *path)
{
	const struct location *location;

	STAILQ_FOREACH(location, &server->locations, entry)
	if (fnmatch(location->pattern, path, 0) == 0)
		return &location->policy;
	return &server->policy;
}

const char *
config_type(const struct config *config, const char *path)
{
	const size_t ndefault =
	    sizeof(default_types) / sizeof(default_types[0]);
	const char *name = strrchr(path, '/'), *dot;
	const struct media_type *type;
	struct media_type wanted;

	name = name == NULL ? path : name + 1;
	if ((dot = strrchr(name, '.')) == NULL)
		return config->default_type;
	wanted.suffix = dot + 1;
	if (config->has_types)
		type = config->ntypes == 0
			   ? NULL
			   : bsearch(&wanted, config->types, config->ntypes,
				 sizeof(*type), compare_types);
	else
		type = bsearch(&wanted, default_types, ndefault, sizeof(*type),
		    compare_types);
	return type == NULL ? config->default_type : type->type;
}

/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* The grammar of httpd.conf(5). */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tls.h>

#include "httpd_config.h"
#include "httpd_expand.h"
#include "httpd_lex.h"
#include "httpd_reason.h"

#define SECONDS_MAX (24 * 60 * 60)

struct parser {
	struct lex lex;
	struct config *config;
	struct server *server; /* whose block it is */
	bool included;	       /* the statement has no end of its own */
};

/* What stands first in a statement. They return false with the error set. */
struct directive {
	const char *name;
	bool (*parse)(struct parser *p, void *object);
};

/* --- words --- */

static bool
expected(struct parser *p, const char *what)
{
	switch (p->lex.token) {
	case TOKEN_ERROR:
		return false;
	case TOKEN_WORD:
		return lex_error(&p->lex, "expected %s instead of '%s'", what,
		    p->lex.word);
	case TOKEN_OPEN:
	case TOKEN_CLOSE:
		return lex_error(&p->lex, "expected %s instead of '%c'", what,
		    p->lex.token == TOKEN_OPEN ? '{' : '}');
	case TOKEN_BREAK:
	case TOKEN_END:
		break;
	}
	return lex_error(&p->lex, "expected %s", what);
}

/* Goes past this word if it is the next one. */
static bool
accept_word(struct parser *p, const char *word)
{
	if (p->lex.token != TOKEN_WORD || p->lex.quoted ||
	    strcmp(p->lex.word, word) != 0)
		return false;
	lex_next(&p->lex);
	return true;
}

static bool
expect_word(struct parser *p, const char *word)
{
	char what[32];

	if (accept_word(p, word))
		return true;
	snprintf(what, sizeof(what), "'%s'", word);
	return expected(p, what);
}

/* A word that is kept, or NULL. */
static const char *
expect_string(struct parser *p, const char *what)
{
	const char *s;

	if (p->lex.token != TOKEN_WORD) {
		expected(p, what);
		return NULL;
	}
	if (p->lex.word[0] == '\0') {
		lex_error(&p->lex, "%s is empty", what);
		return NULL;
	}
	s = config_strdup(p->config, p->lex.word);
	return lex_next(&p->lex) == TOKEN_ERROR ? NULL : s;
}

static bool
expect_number(struct parser *p, const char *what, long long min, long long max,
    long long *number)
{
	char *end;

	if (p->lex.token != TOKEN_WORD)
		return expected(p, what);
	errno = 0;
	*number = strtoll(p->lex.word, &end, 10);
	/* No blank and no sign either. */
	if (p->lex.word[0] < '0' || p->lex.word[0] > '9' || *end != '\0' ||
	    errno != 0 || *number < min || *number > max)
		return lex_error(&p->lex, "%s is '%s', not from %lld to %lld",
		    what, p->lex.word, min, max);
	return lex_next(&p->lex) != TOKEN_ERROR;
}

static bool
once(struct parser *p, bool *has, const char *what)
{
	if (*has)
		return lex_error(&p->lex, "%s is set twice", what);
	*has = true;
	return true;
}

static bool
set_string(struct parser *p, const char **s, const char *what)
{
	if (*s != NULL)
		return lex_error(&p->lex, "%s is set twice", what);
	return (*s = expect_string(p, what)) != NULL;
}

static bool
set_number(struct parser *p, int *number, bool *has, const char *what, int min,
    int max)
{
	long long value = 0;

	if (!once(p, has, what) || !expect_number(p, what, min, max, &value))
		return false;
	*number = (int)value;
	return true;
}

/* --- blocks --- */

/* One statement without its end. */
static bool
parse_statement(struct parser *p, const struct directive *table, void *object)
{
	const struct directive *d;

	if (accept_word(p, "include")) {
		if (p->lex.token != TOKEN_WORD)
			return expected(p, "name of a file");
		if (!lex_include(&p->lex, p->lex.word))
			return false;
		p->included = true;
		return lex_next(&p->lex) != TOKEN_ERROR;
	}
	if (p->lex.token != TOKEN_WORD)
		return expected(p, "a keyword");
	for (d = table; d->name != NULL; d++)
		if (!p->lex.quoted && strcmp(d->name, p->lex.word) == 0)
			break;
	if (d->name == NULL && d->parse == NULL)
		return lex_error(&p->lex, "'%s' is not known here",
		    p->lex.word);
	/* A table may end with one for all other words. */
	if (d->name != NULL && lex_next(&p->lex) == TOKEN_ERROR)
		return false;
	return d->parse(p, object);
}

/* Statements until the end of the file or block, which is left. */
static bool
parse_statements(struct parser *p, const struct directive *table, void *object)
{
	for (;;) {
		while (p->lex.token == TOKEN_BREAK)
			lex_next(&p->lex);
		if (p->lex.token == TOKEN_CLOSE || p->lex.token == TOKEN_END)
			return true;
		if (p->lex.token == TOKEN_ERROR)
			return false;
		p->included = false;
		if (!parse_statement(p, table, object))
			return false;
		if (!p->included && p->lex.token != TOKEN_BREAK &&
		    p->lex.token != TOKEN_CLOSE && p->lex.token != TOKEN_END)
			return expected(p, "end of the line");
	}
}

static bool
parse_block(struct parser *p, const struct directive *table, void *object)
{
	if (p->lex.token != TOKEN_OPEN)
		return expected(p, "'{'");
	lex_next(&p->lex);
	if (!parse_statements(p, table, object))
		return false;
	if (p->lex.token != TOKEN_CLOSE)
		return expected(p, "'}'");
	p->included = false;
	return lex_next(&p->lex) != TOKEN_ERROR;
}

/* "x { a; b }" or, where there is only one, "x a". */
static bool
parse_group(struct parser *p, const struct directive *table, void *object)
{
	if (p->lex.token == TOKEN_OPEN)
		return parse_block(p, table, object);
	return parse_statement(p, table, object);
}

/* --- what servers and locations have --- */

static bool
parse_root(struct parser *p, void *object)
{
	struct policy *policy = object;

	return once(p, &policy->has_root, "root") &&
	       (policy->root = expect_string(p, "root")) != NULL;
}

static bool
parse_index(struct parser *p, void *object)
{
	struct policy *policy = object;

	if (!once(p, &policy->has_index, "index") ||
	    (policy->index = expect_string(p, "index")) == NULL)
		return false;
	if (strchr(policy->index, '/') != NULL || policy->index[0] == '.')
		return lex_error(&p->lex, "index '%s' is no name of a file",
		    policy->index);
	return true;
}

static bool
parse_auto(struct parser *p, void *object)
{
	struct policy *policy = object;

	policy->auto_index = true;
	return once(p, &policy->has_auto_index, "auto index") &&
	       expect_word(p, "index");
}

static bool
parse_no_directory(struct parser *p, void *object)
{
	struct policy *policy = object;

	if (accept_word(p, "auto")) {
		policy->auto_index = false;
		return once(p, &policy->has_auto_index, "auto index") &&
		       expect_word(p, "index");
	}
	policy->index = NULL;
	return once(p, &policy->has_index, "index") && expect_word(p, "index");
}

static const struct directive directory_table[] = {
	{ "auto", parse_auto },
	{ "index", parse_index },
	{ "no", parse_no_directory },
	{ NULL, NULL },
};

static bool
parse_directory(struct parser *p, void *object)
{
	return parse_group(p, directory_table, object);
}

static bool
parse_block_directive(struct parser *p, void *object)
{
	struct policy *policy = object;
	const char *cause;
	long long status;

	if (!once(p, &policy->has_block, "block"))
		return false;
	if (accept_word(p, "drop")) {
		policy->block = BLOCK_DROP;
		return true;
	}
	policy->block = 403;
	if (!accept_word(p, "return"))
		return p->lex.token != TOKEN_ERROR;
	if (!expect_number(p, "status", 300, 599, &status))
		return false;
	policy->block = (int)status;
	if (!reason_is_known(policy->block) || status == 304)
		return lex_error(&p->lex, "status %lld cannot be returned",
		    status);
	if (status >= 400)
		return true;
	if ((policy->url = expect_string(p, "URL")) == NULL)
		return false;
	if ((cause = expand_check(policy->url)) != NULL)
		return lex_error(&p->lex, "'%s': %s", policy->url, cause);
	return true;
}

static bool
parse_pass(struct parser *p, void *object)
{
	struct policy *policy = object;

	policy->block = BLOCK_NOT;
	return once(p, &policy->has_block, "block");
}

static bool
parse_require(struct parser *p, void *object)
{
	struct policy *policy = object;

	policy->client_cert = true;
	return once(p, &policy->has_client_cert, "client certificate") &&
	       expect_word(p, "client") && expect_word(p, "certificate");
}

static bool
parse_access(struct parser *p, void *object)
{
	struct policy *policy = object;
	const char *path;

	if (!once(p, &policy->has_access, "access log") ||
	    (path = expect_string(p, "name of a file")) == NULL)
		return false;
	if ((policy->access = config_log(p->config, path)) == NULL)
		return lex_error(&p->lex, "more than %d logs", CONFIG_LOGS_MAX);
	return true;
}

static bool
parse_style(struct parser *p, void *object)
{
	struct policy *policy = object;

	if (!once(p, &policy->has_style, "style"))
		return false;
	if (accept_word(p, "tls"))
		policy->style = LOG_STYLE_TLS;
	else if (accept_word(p, "combined"))
		policy->style = LOG_STYLE_COMBINED;
	else if (accept_word(p, "common"))
		policy->style = LOG_STYLE_COMMON;
	else
		return expected(p, "'tls', 'combined' or 'common'");
	return true;
}

static const struct directive log_table[] = {
	{ "access", parse_access },
	{ "style", parse_style },
	{ NULL, NULL },
};

static bool
parse_log(struct parser *p, void *object)
{
	struct policy *policy = object;

	if (policy->has_log && !policy->log)
		return lex_error(&p->lex, "log after no log");
	policy->log = policy->has_log = true;
	return parse_group(p, log_table, object);
}

static bool
parse_no(struct parser *p, void *object)
{
	struct policy *policy = object;

	policy->log = false;
	return once(p, &policy->has_log, "log") && expect_word(p, "log");
}

static const struct directive location_table[] = {
	{ "block", parse_block_directive },
	{ "directory", parse_directory },
	{ "log", parse_log },
	{ "no", parse_no },
	{ "pass", parse_pass },
	{ "require", parse_require },
	{ "root", parse_root },
	{ NULL, NULL },
};

static bool
parse_location(struct parser *p, void *object)
{
	struct location *location;

	(void)object;
	if (p->lex.token != TOKEN_WORD)
		return expected(p, "pattern of a path");
	if (p->lex.word[0] != '/' && p->lex.word[0] != '*')
		return lex_error(&p->lex,
		    "pattern '%s' begins with neither '/' nor '*'",
		    p->lex.word);
	location = config_add_location(p->config, p->server, p->lex.word);
	lex_next(&p->lex);
	return parse_block(p, location_table, &location->policy);
}

/* --- tls --- */

static bool
parse_certificate(struct parser *p, void *object)
{
	struct tls_settings *tls = object;

	return set_string(p, &tls->cert, "certificate");
}

static bool
parse_key(struct parser *p, void *object)
{
	struct tls_settings *tls = object;

	return set_string(p, &tls->key, "key");
}

static bool
parse_ocsp(struct parser *p, void *object)
{
	struct tls_settings *tls = object;

	return set_string(p, &tls->ocsp, "ocsp");
}

static bool
parse_client(struct parser *p, void *object)
{
	struct tls_settings *tls = object;

	if (!expect_word(p, "ca") || !set_string(p, &tls->ca, "client ca"))
		return false;
	if (accept_word(p, "crl") && !set_string(p, &tls->crl, "crl"))
		return false;
	tls->ca_optional = accept_word(p, "optional");
	return p->lex.token != TOKEN_ERROR;
}

static bool
parse_protocols(struct parser *p, void *object)
{
	struct tls_settings *tls = object;
	uint32_t protocols;

	if (!set_string(p, &tls->protocols, "protocols"))
		return false;
	if (tls_config_parse_protocols(&protocols, tls->protocols) == -1)
		return lex_error(&p->lex, "protocols '%s' are not known",
		    tls->protocols);
	return true;
}

static bool
parse_ciphers(struct parser *p, void *object)
{
	struct tls_settings *tls = object;

	return set_string(p, &tls->ciphers, "ciphers");
}

static bool
parse_ecdhe(struct parser *p, void *object)
{
	struct tls_settings *tls = object;

	return set_string(p, &tls->curves, "ecdhe");
}

static bool
parse_ticket(struct parser *p, void *object)
{
	struct tls_settings *tls = object;

	return expect_word(p, "lifetime") &&
	       set_number(p, &tls->lifetime, &tls->has_lifetime,
		   "ticket lifetime", 0, SECONDS_MAX);
}

static const struct directive tls_table[] = {
	{ "certificate", parse_certificate },
	{ "ciphers", parse_ciphers },
	{ "client", parse_client },
	{ "ecdhe", parse_ecdhe },
	{ "key", parse_key },
	{ "ocsp", parse_ocsp },
	{ "protocols", parse_protocols },
	{ "ticket", parse_ticket },
	{ NULL, NULL },
};

/* --- servers --- */

static bool
parse_alias(struct parser *p, void *object)
{
	const char *name;

	if ((name = expect_string(p, "name of a server")) == NULL)
		return false;
	config_add_name(p->config, object, name);
	return true;
}

static bool
parse_listen(struct parser *p, void *object)
{
	const char *address;
	struct endpoint *endpoint;
	char digits[8];
	long long port;
	bool tls;

	if (!expect_word(p, "on") ||
	    (address = expect_string(p, "address")) == NULL)
		return false;
	tls = accept_word(p, "tls");
	if (!expect_word(p, "port"))
		return false;
	if (accept_word(p, "http"))
		port = 80;
	else if (accept_word(p, "https"))
		port = 443;
	else if (!expect_number(p, "port", 0, 65535, &port))
		return false;
	snprintf(digits, sizeof(digits), "%lld", port);
	endpoint = config_add_endpoint(p->config, object, address, digits, tls);
	endpoint->file =
	    config_strdup(p->config, p->lex.sources[p->lex.depth - 1].name);
	endpoint->line = p->lex.line;
	return true;
}

static bool
parse_max(struct parser *p, void *object)
{
	struct limits *limits = object;
	long long size;

	if (accept_word(p, "requests"))
		return set_number(p, &limits->max_requests,
		    &limits->has_max_requests, "max requests", 1, INT_MAX);
	if (!expect_word(p, "request"))
		return false;
	if (accept_word(p, "header"))
		return set_number(p, &limits->max_header,
		    &limits->has_max_header, "max request header", 256,
		    CONFIG_HEADER_MAX);
	if (accept_word(p, "fields"))
		return set_number(p, &limits->max_fields,
		    &limits->has_max_fields, "max request fields", 1, 10000);
	if (!expect_word(p, "body") ||
	    !once(p, &limits->has_max_body, "max request body") ||
	    !expect_number(p, "max request body", 0, LLONG_MAX, &size))
		return false;
	limits->max_body = (off_t)size;
	return true;
}

static bool
parse_request(struct parser *p, void *object)
{
	struct limits *limits = object;

	return expect_word(p, "timeout") &&
	       set_number(p, &limits->request_timeout,
		   &limits->has_request_timeout, "request timeout", 1,
		   SECONDS_MAX);
}

static bool
parse_timeout(struct parser *p, void *object)
{
	struct limits *limits = object;

	return set_number(p, &limits->timeout, &limits->has_timeout, "timeout",
	    1, SECONDS_MAX);
}

static const struct directive connection_table[] = {
	{ "max", parse_max },
	{ "request", parse_request },
	{ "timeout", parse_timeout },
	{ NULL, NULL },
};

static bool
parse_connection(struct parser *p, void *object)
{
	(void)object;
	return parse_group(p, connection_table, &p->server->limits);
}

static bool
parse_tls(struct parser *p, void *object)
{
	struct server *server = object;

	server->has_tls = true;
	return parse_group(p, tls_table, &server->tls);
}

/* What is not a server's alone is as in a location. */
static bool
parse_policy(struct parser *p, void *object)
{
	struct server *server = object;

	return parse_statement(p, location_table, &server->policy);
}

static const struct directive server_table[] = {
	{ "alias", parse_alias },
	{ "connection", parse_connection },
	{ "listen", parse_listen },
	{ "location", parse_location },
	{ "tls", parse_tls },
	{ NULL, parse_policy },
};

static bool
parse_server(struct parser *p, void *object)
{
	const char *name;

	(void)object;
	if ((name = expect_string(p, "name of a server")) == NULL)
		return false;
	p->server = config_add_server(p->config, name);
	p->server->file =
	    config_strdup(p->config, p->lex.sources[p->lex.depth - 1].name);
	p->server->line = p->lex.line;
	return parse_block(p, server_table, p->server);
}

/* --- what holds for all --- */

static bool
parse_chroot(struct parser *p, void *object)
{
	struct config *config = object;

	if (!set_string(p, &config->chroot, "chroot"))
		return false;
	if (config->chroot[0] != '/')
		return lex_error(&p->lex, "chroot '%s' does not begin with '/'",
		    config->chroot);
	return true;
}

static bool
parse_user(struct parser *p, void *object)
{
	struct config *config = object;

	return set_string(p, &config->user, "user");
}

static bool
parse_default(struct parser *p, void *object)
{
	struct config *config = object;

	return expect_word(p, "type") &&
	       set_string(p, &config->default_type, "default type");
}

static bool
parse_prefork(struct parser *p, void *object)
{
	struct config *config = object;

	return set_number(p, &config->prefork, &config->has_prefork, "prefork",
	    0, 64);
}

static bool
parse_clients(struct parser *p, void *object)
{
	struct config *config = object;

	return expect_word(p, "clients") &&
	       set_number(p, &config->max_clients, &config->has_max_clients,
		   "max clients", 1, 100000);
}

/* "text/html html htm", and also what mime.types has without a suffix. */
static bool
parse_type(struct parser *p, void *object)
{
	const char *type;

	if (p->lex.token == TOKEN_WORD && strchr(p->lex.word, '/') == NULL)
		return expected(p, "a media type");
	if ((type = expect_string(p, "media type")) == NULL)
		return false;
	while (p->lex.token == TOKEN_WORD) {
		config_add_type(object, p->lex.word, type);
		lex_next(&p->lex);
	}
	return p->lex.token != TOKEN_ERROR;
}

static const struct directive types_table[] = {
	{ NULL, parse_type },
};

static bool
parse_types(struct parser *p, void *object)
{
	struct config *config = object;

	return once(p, &config->has_types, "types") &&
	       parse_block(p, types_table, object);
}

static const struct directive main_table[] = {
	{ "chroot", parse_chroot },
	{ "default", parse_default },
	{ "max", parse_clients },
	{ "prefork", parse_prefork },
	{ "server", parse_server },
	{ "types", parse_types },
	{ "user", parse_user },
	{ NULL, NULL },
};

struct config *
config_parse(const char *name, const char *data, size_t len,
    char error[CONFIG_ERROR_MAX])
{
	struct parser *p;
	struct config *config;
	bool ok;

	config = config_new();
	if ((p = calloc(1, sizeof(*p))) == NULL) {
		snprintf(error, CONFIG_ERROR_MAX, "out of memory");
		goto err;
	}
	p->config = config;
	lex_init(&p->lex, name, data, len);
	ok = parse_statements(p, main_table, config) &&
	     (p->lex.token == TOKEN_END || expected(p, "a keyword"));
	if (!ok)
		snprintf(error, CONFIG_ERROR_MAX, "%s", p->lex.error);
	lex_clear(&p->lex);
	free(p);
	if (ok && config_finish(config, error) == 0)
		return config;

err:
	config_free(config);
	return NULL;
}

struct config *
config_load(const char *path, char error[CONFIG_ERROR_MAX])
{
	struct config *config;
	size_t len;
	char *data;

	if ((data = lex_load(path, &len)) == NULL) {
		snprintf(error, CONFIG_ERROR_MAX, "%s: %s", path,
		    strerror(errno));
		return NULL;
	}
	config = config_parse(path, data, len, error);
	free(data);
	return config;
}

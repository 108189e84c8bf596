/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */
/*
 * What the example httpd reads: configuration files and requests. The first
 * byte says which of the two it is.
 */

#include "../examples/condition.c"
#include "../examples/httpd_config.c"
#include "../examples/httpd_escape.c"
#include "../examples/httpd_expand.c"
#include "../examples/httpd_lex.c"
#include "../examples/httpd_parse.c"
#include "../examples/httpd_reason.c"
#include "../examples/range.c"
#include "../examples/request.c"
#include "fuzzer.h"

static void
require(bool cond)
{
	if (!cond)
		abort();
}

static void
fuzz_config(const char *data, size_t size)
{
	char error[CONFIG_ERROR_MAX] = "";
	struct config *config;
	struct listener *l;
	struct server *server;

	config = config_parse("fuzz", data, size, error);
	if (config == NULL) {
		require(error[0] != '\0');
		return;
	}
	require(!STAILQ_EMPTY(&config->listeners));
	STAILQ_FOREACH(l, &config->listeners, entry)
	{
		server = config_server(l, "localhost");
		require(server != NULL);
		(void)config_policy(server, "/x/y.html");
	}
	require(config_type(config, "/x/y.html") != NULL);
	config_free(config);
}

/* Nothing of a path leads upwards, and there is nothing that C ends at. */
static void
check_path(const char *path)
{
	require(path[0] == '/' && strstr(path, "//") == NULL);
	require(strstr(path, "/../") == NULL && strstr(path, "/./") == NULL);
	if (strlen(path) >= 3)
		require(strcmp(path + strlen(path) - 3, "/..") != 0);
}

static void
check_ranges(const struct request *r, const struct stat *st)
{
	struct range ranges[RANGES_MAX];
	off_t total = 0;
	size_t i, n;
	int status;

	status = range_parse(r->range, st->st_size, ranges, &n);
	require(status == 200 || status == 206 || status == 416);
	if (status != 206)
		return;
	require(n > 0 && n <= RANGES_MAX);
	for (i = 0; i < n; i++) {
		require(ranges[i].first >= 0 && ranges[i].count > 0);
		require(ranges[i].count <= st->st_size - ranges[i].first);
		total += ranges[i].count;
	}
	require(total <= st->st_size);
}

static void
check_location(const struct request *r)
{
	static const char url[] = "https://$HTTP_HOST$REQUEST_URI?$QUERY_STRING"
				  "$DOCUMENT_URI$SERVER_NAME$REMOTE_ADDR";
	const struct expansion e = { .document_uri = r->path,
		.http_host = r->host,
		.query_string = r->query,
		.request_uri = r->target };
	char *text = NULL;
	size_t i, len;
	FILE *out;

	require(expand_check(url) == NULL);
	require((out = open_memstream(&text, &len)) != NULL);
	expand(out, url, &e);
	require(fclose(out) == 0);
	for (i = 0; i < len; i++)
		require(isgraph((unsigned char)text[i]));
	free(text);
}

static void
fuzz_request(const char *data, size_t size)
{
	const struct stat st = { .st_size = 1000, .st_mtime = 784111777 };
	struct request r;
	const char *end;
	size_t len;
	char *head;
	int status;

	/* The server gives it a head that ends where it ends first. */
	if ((end = memmem(data, size, "\r\n\r\n", 4)) == NULL)
		return;
	len = (size_t)(end - data) + 4;
	if ((head = malloc(len + 1)) == NULL)
		return;
	memcpy(head, data, len);
	head[len] = '\0';
	status = request_parse(&r, head, len, 20);
	require(reason_is_known(status));
	require(r.body >= 0);
	if (status == 200) {
		check_path(r.path);
		check_ranges(&r, &st);
		check_location(&r);
		(void)condition_check(&r, &st);
		(void)condition_range(&r, &st);
	}
	request_clear(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 1)
		fuzz_config((const char *)data + 1, size - 1);
	else
		fuzz_request((const char *)data + 1, size - 1);
	return 0;
}

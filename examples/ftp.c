/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * Fetches files from servers of HTTP and FTP, and brings some to the latter;
 * see ftp.1.
 */

#include <err.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch.h"
#include "ftp_control.h"
#include "ftp_get.h"
#include "ftp_put.h"
#include "http.h"
#include "output.h"
#include "progress.h"
#include "url.h"

#define TIMEOUT 60 /* seconds */

static struct fetch fetch = { .timeout = TIMEOUT };
static struct http http;
static struct ftp_control control;
static const char *output_name;
static bool quiet, upload;

static void
usage(void)
{
	fprintf(stderr,
	    "usage: ftp [-46ACcDMPRv] [-H hash] [-N netrc] [-o output] "
	    "[-S options]\n"
	    "           [-s sessions] [-w seconds] url ...\n"
	    "       ftp -u [-46AcMPRv] [-H hash] [-N netrc] [-S options] "
	    "[-s sessions]\n"
	    "           [-w seconds] url file ...\n");
	exit(FETCH_USAGE);
}

static bool
is_ftp(const struct url *url)
{
	return url->scheme == URL_FTP || url->scheme == URL_FTPS;
}

static bool
ends_with_slash(const char *path)
{
	return *path == '\0' || path[strlen(path) - 1] == '/';
}

/*
 * The path for FTP's commands: below the directory that the login leads to,
 * unless it begins with "//" or "/%2F".
 */
static enum fetch_result
ftp_path(const struct url *url, char *path, size_t size)
{
	if (url_decode(path, size, url->path + 1, strlen(url->path + 1)))
		return FETCH_DONE;
	complain("%s: cannot be a path", url->path);
	return FETCH_USAGE;
}

static enum fetch_result
name_of(const struct url *url, char *name, size_t size)
{
	if (output_name != NULL)
		snprintf(name, size, "%s", output_name);
	else if (!url_file_name(url, name, size) || *name == '\0') {
		complain("%s: names no file, use -o", url->path);
		return FETCH_USAGE;
	}
	return FETCH_DONE;
}

/* A directory's name is what stands before the slash. */
static enum fetch_result
get_directory(struct url *url)
{
	char path[sizeof(url->path)], name[PATH_MAX];
	enum fetch_result result;
	size_t len;

	if ((result = ftp_path(url, path, sizeof(path))) != FETCH_DONE)
		return result;
	for (len = strlen(url->path); len > 1 && url->path[len - 1] == '/';)
		url->path[--len] = '\0';
	if ((result = name_of(url, name, sizeof(name))) != FETCH_DONE)
		return result;
	result = ftp_control_open(&control, &fetch, url);
	if (result == FETCH_DONE)
		result = ftp_get_tree(&control, path, name);
	return result;
}

static enum fetch_result
get_ftp(const struct url *url, struct output *o)
{
	char path[sizeof(url->path)];
	enum fetch_result result;

	if ((result = ftp_path(url, path, sizeof(path))) != FETCH_DONE ||
	    (result = ftp_control_open(&control, &fetch, url)) != FETCH_DONE)
		return result;
	return ends_with_slash(path) ? ftp_get_listing(&control, path, o)
				     : ftp_get_file(&control, path, o);
}

static enum fetch_result
get(struct url *url)
{
	enum fetch_result result;
	char name[PATH_MAX];
	struct output o;

	if (is_ftp(url) && fetch.recursive)
		return get_directory(url);
	if (fetch.recursive) {
		complain("-R is for ftp and ftps");
		return FETCH_USAGE;
	}
	if ((result = name_of(url, name, sizeof(name))) != FETCH_DONE)
		return result;
	if (output_init(&o, name) == -1)
		return FETCH_FILE;
	if (fetch.resume && output_measure(&o) == -1)
		result = FETCH_FILE;
	else
		result = is_ftp(url) ? get_ftp(url, &o)
				     : http_fetch(&fetch, &http, url, &o);
	output_clear(&o);
	return result;
}

static enum fetch_result
put(const struct url *url, const char *name)
{
	char path[sizeof(url->path)], whole[sizeof(url->path) + NAME_MAX + 1];
	enum fetch_result result;
	const char *last;
	size_t len = strlen(name);

	if ((result = ftp_path(url, path, sizeof(path))) != FETCH_DONE)
		return result;
	snprintf(whole, sizeof(whole), "%s", path);
	if (ends_with_slash(path)) {
		while (len > 1 && name[len - 1] == '/')
			len--;
		for (last = name + len; last > name && last[-1] != '/'; last--)
			continue;
		len -= (size_t)(last - name);
		if (len == 0 || len > NAME_MAX ||
		    (len <= 2 && strspn(last, ".") == len)) {
			complain("%s: has no name for the server", name);
			return FETCH_USAGE;
		}
		snprintf(whole, sizeof(whole), "%s%.*s", path, (int)len, last);
	}
	result = ftp_control_open(&control, &fetch, url);
	if (result == FETCH_DONE)
		result = ftp_put(&control, name, whole);
	return result;
}

/* What is in a URL before its '@' is nobody else's business. */
static enum fetch_result
parse(struct url *url, char *argument)
{
	const char *cause = url_parse(url, argument);

	url_hide_user(argument);
	if (cause == NULL)
		return FETCH_DONE;
	complain("%s: %s", argument, cause);
	return FETCH_USAGE;
}

static enum fetch_result
get_all(int count, char *arguments[])
{
	enum fetch_result result, first = FETCH_DONE;
	struct url *urls;
	int i;

	if ((urls = calloc((size_t)count, sizeof(*urls))) == NULL)
		errx(FETCH_NETWORK, "out of memory");
	for (i = 0; i < count && first == FETCH_DONE; i++)
		first = parse(&urls[i], arguments[i]);
	if (first == FETCH_DONE && output_name != NULL && count > 1 &&
	    strcmp(output_name, "-") != 0) {
		complain("-o is for one URL");
		first = FETCH_USAGE;
	}
	for (i = 0; i < count && first != FETCH_USAGE; i++) {
		result = get(&urls[i]);
		if (first == FETCH_DONE)
			first = result;
	}
	explicit_bzero(urls, (size_t)count * sizeof(*urls));
	free(urls);
	return first;
}

static enum fetch_result
put_all(char *argument, int count, char *names[])
{
	enum fetch_result result, first;
	static struct url url;
	int i;

	if ((first = parse(&url, argument)) != FETCH_DONE)
		return first;
	if (!is_ftp(&url)) {
		complain("-u is for ftp and ftps");
		return FETCH_USAGE;
	}
	if (count > 1 && !ends_with_slash(url.path)) {
		complain("several files need a URL that ends with a slash");
		return FETCH_USAGE;
	}
	for (i = 0; i < count; i++) {
		result = put(&url, names[i]);
		if (first == FETCH_DONE)
			first = result;
	}
	explicit_bzero(&url, sizeof(url));
	return first;
}

static int
parse_timeout(const char *text)
{
	int seconds = net_seconds(text);

	if (seconds == -1)
		errx(FETCH_USAGE, "invalid time-out '%s'", text);
	return seconds;
}

static void
parse_options(int argc, char *argv[])
{
	int c;

	while ((c = getopt(argc, argv, "46ACcDH:MN:o:PRS:s:uvw:")) != -1) {
		switch (c) {
		case '4':
			fetch.net.family = AF_INET;
			break;
		case '6':
			fetch.net.family = AF_INET6;
			break;
		case 'A':
			fetch.active = true;
			break;
		case 'C':
			fetch.resume = true;
			break;
		case 'c':
			fetch.clear = true;
			break;
		case 'D':
			fetch.downgrade = true;
			break;
		case 'H':
			if (secure_pin(&fetch.secure, optarg) == -1)
				exit(FETCH_USAGE);
			break;
		case 'M':
			quiet = true;
			break;
		case 'N':
			fetch.netrc = optarg;
			break;
		case 'o':
			output_name = optarg;
			break;
		case 'P':
			fetch.plaintext = true;
			break;
		case 'R':
			fetch.recursive = true;
			break;
		case 'S':
			if (secure_options(&fetch.secure, optarg) == -1)
				exit(FETCH_USAGE);
			break;
		case 's':
			fetch.secure.sessions = optarg;
			break;
		case 'u':
			upload = true;
			break;
		case 'v':
			fetch.verbose = fetch.secure.verbose = true;
			break;
		case 'w':
			fetch.timeout = parse_timeout(optarg);
			break;
		default:
			usage();
		}
	}
	if (argc - optind < (upload ? 2 : 1) ||
	    (upload && (fetch.resume || output_name != NULL)))
		usage();
}

int
main(int argc, char *argv[])
{
	enum fetch_result result;

	signal(SIGPIPE, SIG_IGN);
	if (secure_init(&fetch.secure) == -1)
		return FETCH_NETWORK;
	parse_options(argc, argv);
	if (!quiet)
		progress_enable();
	argc -= optind;
	argv += optind;
	result =
	    upload ? put_all(argv[0], argc - 1, argv + 1) : get_all(argc, argv);
	http_close(&http);
	ftp_control_close(&control);
	secure_clear(&fetch.secure);
	return (int)result;
}

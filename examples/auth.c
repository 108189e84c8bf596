/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* Users and passwords. */

#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auth.h"
#include "progress.h"

#define FILE_MAX (64 * 1024)
#define BLANKS	 " \t\r\n"

struct entry {
	const char *machine, *login, *password;
};

/* The next word, which is made a string, or NULL. */
static char *
next_word(char **rest)
{
	char *word = *rest + strspn(*rest, BLANKS);
	size_t len = strcspn(word, BLANKS);

	if (len == 0)
		return NULL;
	*rest = word + len;
	if (**rest != '\0')
		*(*rest)++ = '\0';
	return word;
}

/* A macro's definition lasts until an empty line. */
static void
skip_macro(char **rest)
{
	char *end = strstr(*rest, "\n\n");

	*rest = end != NULL ? end : *rest + strlen(*rest);
}

static bool
fits(const struct entry *e, const struct url *url)
{
	return e->login != NULL &&
	       (e->machine == NULL || strcasecmp(e->machine, url->host) == 0) &&
	       (url->user[0] == '\0' || strcmp(e->login, url->user) == 0);
}

static bool
use(const struct entry *e, struct url *url)
{
	if (!fits(e, url))
		return true;
	if (strlen(e->login) >= sizeof(url->user) ||
	    (e->password != NULL &&
		strlen(e->password) >= sizeof(url->password)))
		return false;
	snprintf(url->user, sizeof(url->user), "%s", e->login);
	snprintf(url->password, sizeof(url->password), "%s",
	    e->password != NULL ? e->password : "");
	return true;
}

/* The first entry that fits; false if the file is not understood. */
static bool
search(char *text, struct url *url)
{
	struct entry e = { 0 };
	char *word, *value;
	bool inside = false;

	while ((word = next_word(&text)) != NULL) {
		if (strcmp(word, "machine") == 0 ||
		    strcmp(word, "default") == 0) {
			if (inside && fits(&e, url))
				break;
			memset(&e, 0, sizeof(e));
			inside = true;
			if (*word == 'm' &&
			    (e.machine = next_word(&text)) == NULL)
				return false;
			continue;
		}
		if (strcmp(word, "macdef") == 0) {
			skip_macro(&text);
			continue;
		}
		if ((value = next_word(&text)) == NULL || !inside)
			return false;
		if (strcmp(word, "login") == 0)
			e.login = value;
		else if (strcmp(word, "password") == 0)
			e.password = value;
		else if (strcmp(word, "account") != 0)
			return false;
	}
	return !inside || use(&e, url);
}

static int
load(FILE *file, const char *path, struct url *url)
{
	char *text;
	size_t len;
	int rv = -1;

	if ((text = calloc(1, FILE_MAX)) == NULL) {
		complain("out of memory");
		return -1;
	}
	len = fread(text, 1, FILE_MAX - 1, file);
	if (ferror(file) || len == FILE_MAX - 1 || strlen(text) < len)
		complain("%s: cannot be read", path);
	else if (!search(text, url))
		complain("%s: not in the form of netrc", path);
	else
		rv = 0;
	explicit_bzero(text, FILE_MAX);
	free(text);
	return rv;
}

int
auth_netrc(const char *path, struct url *url)
{
	const char *home;
	struct stat st;
	char *name = NULL;
	FILE *file;
	int rv = -1;

	if (url->password[0] != '\0')
		return 0;
	if (path == NULL) {
		if ((home = getenv("HOME")) == NULL)
			return 0;
		if (asprintf(&name, "%s/.netrc", home) == -1) {
			complain("out of memory");
			return -1;
		}
	}
	if ((file = fopen(path != NULL ? path : name, "re")) == NULL) {
		if (path == NULL && errno == ENOENT)
			rv = 0;
		else
			complain("%s: %s", path != NULL ? path : name,
			    strerror(errno));
		goto err;
	}
	setvbuf(file, NULL, _IONBF, 0);
	if (fstat(fileno(file), &st) == -1 || (st.st_mode & 077) != 0)
		complain("%s: others than its owner may use it",
		    path != NULL ? path : name);
	else
		rv = load(file, path != NULL ? path : name, url);
	fclose(file);

err:
	free(name);
	return rv;
}

static void
encode(char *out, const unsigned char *in, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned int bits;

	for (; len > 0; in += 3, len -= len < 3 ? len : 3) {
		bits = (unsigned int)in[0] << 16;
		if (len > 1)
			bits |= (unsigned int)in[1] << 8;
		if (len > 2)
			bits |= in[2];
		*out++ = digits[bits >> 18];
		*out++ = digits[bits >> 12 & 63];
		*out++ = len > 1 ? digits[bits >> 6 & 63] : '=';
		*out++ = len > 2 ? digits[bits & 63] : '=';
	}
	*out = '\0';
}

void
auth_basic(const struct url *url, char text[AUTH_BASIC_MAX])
{
	char pair[sizeof(url->user) + sizeof(url->password) + 1];
	int len;

	len = snprintf(pair, sizeof(pair), "%s:%s", url->user, url->password);
	memcpy(text, "Basic ", 6);
	encode(text + 6, (unsigned char *)pair, (size_t)len);
	explicit_bzero(pair, sizeof(pair));
}

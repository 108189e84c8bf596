/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tls_internal.h"

int
tls_host_port(const char *hostport, char **host, char **port)
{
	const char *begin = hostport, *end, *colon;

	*host = *port = NULL;
	if (*begin == '[') {
		begin++;
		end = strchr(begin, ']');
		if (end == NULL || end[1] != ':')
			return 1;
		colon = end + 1;
	} else {
		end = colon = strchr(begin, ':');
		if (end == NULL || strchr(end + 1, ':') != NULL)
			return 1;
	}
	if ((*host = strndup(begin, (size_t)(end - begin))) == NULL ||
	    (*port = strdup(colon + 1)) == NULL) {
		free(*host);
		*host = NULL;
		return -1;
	}
	return 0;
}

int
tls_env_word(const char *variable, const char *const *words,
    struct tls_error *error)
{
	const char *value = secure_getenv(variable);
	const char *between = "";
	char known[64] = "";
	size_t len = 0;
	int i;

	if (value == NULL || *value == '\0')
		return 0;
	for (i = 0; words[i] != NULL; i++) {
		if (strcmp(value, words[i]) == 0)
			return i;
		len += (size_t)snprintf(known + len, sizeof(known) - len,
		    "%s'%s'", between, words[i]);
		if (words[i + 1] != NULL)
			between = words[i + 2] != NULL ? ", " : " or ";
	}
	tls_error_set(error, TLS_ERROR_INVALID_ARGUMENT, 0,
	    "%s is '%s', not %s", variable, value, known);
	return -1;
}

int
tls_set_string(char **dst, const char *src)
{
	char *copy = NULL;

	if (src != NULL && (copy = strdup(src)) == NULL)
		return -1;
	free(*dst);
	*dst = copy;
	return 0;
}

int
tls_set_mem(uint8_t **dst, size_t *dst_len, const void *src, size_t len)
{
	uint8_t *copy = NULL;

	if (src == NULL)
		len = 0;
	if (len > 0) {
		if ((copy = malloc(len)) == NULL)
			return -1;
		memcpy(copy, src, len);
	}
	free(*dst);
	*dst = copy;
	*dst_len = len;
	return 0;
}

/* A call through a volatile pointer is not optimised away before free(3). */
static void *(*const volatile wipe)(void *, int, size_t) = memset;

void
tls_wipe(void *buf, size_t len)
{
	if (len > 0)
		wipe(buf, 0, len);
}

int
tls_open_file(const char *filename, const char *kind, struct tls_error *error)
{
	struct stat sb;
	int fd;

	if (filename == NULL) {
		tls_error_set(error, TLS_ERROR_INVALID_ARGUMENT, 0,
		    "no %s file specified", kind);
		return -1;
	}
	fd = open(filename, O_RDONLY | O_CLOEXEC);
	if (fd == -1 && errno == EACCES) {
		/* Mostly a daemon that has given up its rights too early. */
		tls_error_set(error, 0, EACCES,
		    "failed to open %s file '%s' as user %lu (let it read the "
		    "file, or set it before setuid)",
		    kind, filename, (unsigned long)geteuid());
		return -1;
	}
	if (fd == -1) {
		tls_error_set(error, 0, errno, "failed to open %s file '%s'",
		    kind, filename);
		return -1;
	}
	if (fstat(fd, &sb) == -1) {
		tls_error_set(error, 0, errno, "failed to stat %s file '%s'",
		    kind, filename);
		close(fd);
		return -1;
	}
	if (S_ISDIR(sb.st_mode)) {
		tls_error_set(error, 0, EISDIR, "failed to read %s file '%s'",
		    kind, filename);
		close(fd);
		return -1;
	}
	return fd;
}

int
tls_read_fd(int fd, uint8_t **buf, size_t *len)
{
	uint8_t *data = NULL, *bigger;
	size_t used = 0, size = 0;
	struct stat sb;
	ssize_t n;

	/* One byte more than a regular file has, to see its end. */
	if (fstat(fd, &sb) == 0 && S_ISREG(sb.st_mode) && sb.st_size > 0)
		size = (size_t)sb.st_size + 1;
	if (size < 4096)
		size = 4096;
	if ((data = malloc(size)) == NULL)
		return -1;
	for (;;) {
		if (used == size) {
			/* Not realloc(3): what moves may be a key. */
			if ((bigger = malloc(size * 2)) == NULL)
				goto err;
			memcpy(bigger, data, used);
			tls_wipe(data, used);
			free(data);
			data = bigger;
			size *= 2;
		}
		n = read(fd, data + used, size - used);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			goto err;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	*buf = data;
	*len = used;
	return 0;

err:
	tls_wipe(data, used);
	free(data);
	return -1;
}

int
tls_read_file(const char *filename, const char *kind, uint8_t **buf,
    size_t *len, struct tls_error *error)
{
	int fd, rv;

	if ((fd = tls_open_file(filename, kind, error)) == -1)
		return -1;
	if ((rv = tls_read_fd(fd, buf, len)) == -1)
		tls_error_set(error,
		    errno == ENOMEM ? TLS_ERROR_OUT_OF_MEMORY : 0, errno,
		    "failed to read %s file '%s'", kind, filename);
	close(fd);
	return rv;
}

/* Has goproxy decrypt the private key in fd. */
static uint8_t *
load_encrypted(int fd, size_t *len, const char *password)
{
	struct tlsp_handle draft = TLSP_HANDLE_NONE;
	struct tls_error error = { 0 };
	uint8_t *buf = NULL;
	int reason;

	if (tlsp_draft_open(&draft, &error) == -1 ||
	    tlsp_draft_decrypt_key(&draft, fd, password, &buf, len, &error) ==
		-1)
		buf = NULL;
	reason = error.errno_value != 0 ? error.errno_value : EINVAL;
	tlsp_handle_close(&draft);
	tls_error_clear(&error);
	if (buf == NULL)
		errno = reason;
	return buf;
}

uint8_t *
tls_load_file(const char *name, size_t *len, char *password)
{
	uint8_t *buf = NULL;
	int fd, saved;

	*len = 0;
	if ((fd = open(name, O_RDONLY | O_CLOEXEC)) == -1)
		return NULL;
	if (password != NULL)
		buf = load_encrypted(fd, len, password);
	else if (tls_read_fd(fd, &buf, len) == -1)
		buf = NULL;
	saved = errno;
	close(fd);
	errno = saved;
	return buf;
}

void
tls_unload_file(uint8_t *buf, size_t len)
{
	if (buf == NULL)
		return;
	tls_wipe(buf, len);
	free(buf);
}

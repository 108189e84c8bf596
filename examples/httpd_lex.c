/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* The words and signs of a configuration file. */

#include <sys/types.h>
#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "httpd_lex.h"

bool
lex_error(struct lex *lex, const char *format, ...)
{
	const struct lex_source *source = &lex->sources[lex->depth - 1];
	size_t size = sizeof(lex->error);
	va_list ap;
	int n;

	lex->token = TOKEN_ERROR;
	if (lex->error[0] != '\0')
		return false;
	n = snprintf(lex->error, size, "%s:%d: ", source->name, lex->line);
	if (n < 0 || (size_t)n >= size)
		n = 0;
	va_start(ap, format);
	vsnprintf(lex->error + n, size - (size_t)n, format, ap);
	va_end(ap);
	return false;
}

static bool
push(struct lex *lex, const char *name, char *data, size_t len)
{
	struct lex_source *source;
	char *copy;

	if ((copy = strdup(name)) == NULL)
		return false;
	source = &lex->sources[lex->depth++];
	source->name = copy;
	source->data = data;
	source->len = len;
	source->off = 0;
	source->line = 1;
	return true;
}

static void
pop(struct lex *lex)
{
	struct lex_source *source = &lex->sources[--lex->depth];

	free(source->name);
	free(source->data);
}

void
lex_init(struct lex *lex, const char *name, const char *data, size_t len)
{
	char *copy;

	memset(lex, 0, sizeof(*lex));
	lex->line = 1;
	if ((copy = malloc(len + 1)) != NULL) {
		memcpy(copy, data, len);
		copy[len] = '\0';
	}
	if (copy == NULL || !push(lex, name, copy, len)) {
		free(copy);
		lex->token = TOKEN_ERROR;
		snprintf(lex->error, sizeof(lex->error), "out of memory");
		return;
	}
	lex_next(lex);
}

void
lex_clear(struct lex *lex)
{
	while (lex->depth > 0)
		pop(lex);
}

char *
lex_load(const char *path, size_t *len)
{
	struct stat st;
	char *data = NULL;
	ssize_t n;
	int fd;

	/* O_NONBLOCK, as a fifo would never be opened. */
	if ((fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)) == -1)
		return NULL;
	if (fstat(fd, &st) == -1)
		goto err;
	errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	if (!S_ISREG(st.st_mode))
		goto err;
	errno = EFBIG;
	if (st.st_size > LEX_FILE_MAX ||
	    (data = malloc((size_t)st.st_size + 1)) == NULL)
		goto err;
	*len = 0;
	while (*len < (size_t)st.st_size) {
		n = read(fd, data + *len, (size_t)st.st_size - *len);
		if (n == -1)
			goto err;
		if (n == 0)
			break;
		*len += (size_t)n;
	}
	data[*len] = '\0';
	close(fd);
	return data;

err:
	free(data);
	data = NULL;
	close(fd);
	return data;
}

bool
lex_include(struct lex *lex, const char *path)
{
	const char *from, *slash;
	char whole[PATH_MAX];
	size_t len;
	char *data;
	int n;

	if (lex->depth == LEX_DEPTH_MAX)
		return lex_error(lex, "files are included too deep");
	from = lex->sources[lex->depth - 1].name;
	slash = path[0] == '/' ? NULL : strrchr(from, '/');
	n = snprintf(whole, sizeof(whole), "%.*s%s",
	    slash == NULL ? 0 : (int)(slash + 1 - from), from, path);
	if (n < 0 || (size_t)n >= sizeof(whole))
		return lex_error(lex, "name of a file is too long");
	if ((data = lex_load(whole, &len)) == NULL)
		return lex_error(lex, "%s: %s", whole, strerror(errno));
	if (!push(lex, whole, data, len)) {
		free(data);
		return lex_error(lex, "out of memory");
	}
	return true;
}

static int
peek(const struct lex_source *source)
{
	if (source->off == source->len)
		return EOF;
	return (unsigned char)source->data[source->off];
}

/* Blanks, comments and lines that go on. */
static void
skip(struct lex_source *source)
{
	int c;

	for (;;) {
		c = peek(source);
		if (c == ' ' || c == '\t' || c == '\r') {
			source->off++;
		} else if (c == '\\' && source->off + 1 < source->len &&
			   source->data[source->off + 1] == '\n') {
			source->off += 2;
			source->line++;
		} else if (c == '#') {
			while ((c = peek(source)) != EOF && c != '\n')
				source->off++;
		} else {
			return;
		}
	}
}

static bool
is_bare(int c)
{
	return c > ' ' && c < 0x7f && strchr("{};,#\"\\", c) == NULL;
}

static enum token
bare(struct lex *lex, struct lex_source *source)
{
	size_t n = 0;

	while (is_bare(peek(source)) && n < LEX_WORD_MAX)
		lex->word[n++] = source->data[source->off++];
	lex->word[n] = '\0';
	if (n == 0) {
		lex_error(lex, "character 0x%02x is not allowed here",
		    (unsigned int)peek(source));
		return TOKEN_ERROR;
	}
	if (n == LEX_WORD_MAX) {
		lex_error(lex, "word is too long");
		return TOKEN_ERROR;
	}
	return TOKEN_WORD;
}

static enum token
quoted(struct lex *lex, struct lex_source *source)
{
	size_t n = 0;
	int c;

	source->off++;
	while ((c = peek(source)) != '"') {
		if (c == '\\') {
			source->off++;
			c = peek(source);
			if (c != '"' && c != '\\') {
				lex_error(lex, "'\\' before neither '\"' nor "
					       "'\\'");
				return TOKEN_ERROR;
			}
		} else if (c == EOF || c == '\n') {
			lex_error(lex, "'\"' without another");
			return TOKEN_ERROR;
		}
		if (iscntrl(c) && c != '\t') {
			lex_error(lex, "control character in a string");
			return TOKEN_ERROR;
		}
		if (n == LEX_WORD_MAX) {
			lex_error(lex, "string is too long");
			return TOKEN_ERROR;
		}
		lex->word[n++] = (char)c;
		source->off++;
	}
	source->off++;
	lex->word[n] = '\0';
	/* "a"b would be read in one way and meant in another. */
	if (is_bare(peek(source)) || peek(source) == '"') {
		lex_error(lex, "string and word without a blank between them");
		return TOKEN_ERROR;
	}
	lex->quoted = true;
	return TOKEN_WORD;
}

static enum token
scan(struct lex *lex)
{
	struct lex_source *source = &lex->sources[lex->depth - 1];
	enum token token = TOKEN_WORD;
	int c;

	skip(source);
	lex->line = source->line;
	lex->quoted = false;
	switch (c = peek(source)) {
	case EOF:
		if (lex->depth == 1)
			return TOKEN_END;
		/* The end of a file is the end of a line. */
		pop(lex);
		lex->line = lex->sources[lex->depth - 1].line;
		return TOKEN_BREAK;
	case '\n':
		source->line++;
		token = TOKEN_BREAK;
		break;
	case ';':
	case ',':
		token = TOKEN_BREAK;
		break;
	case '{':
		token = TOKEN_OPEN;
		break;
	case '}':
		token = TOKEN_CLOSE;
		break;
	case '"':
		return quoted(lex, source);
	default:
		return bare(lex, source);
	}
	source->off++;
	return token;
}

enum token
lex_next(struct lex *lex)
{
	if (lex->token != TOKEN_ERROR)
		lex->token = scan(lex);
	return lex->token;
}

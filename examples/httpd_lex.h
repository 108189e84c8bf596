/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef HTTPD_LEX_H
#define HTTPD_LEX_H

#include <stdbool.h>
#include <stddef.h>

#define LEX_WORD_MAX  4096
#define LEX_DEPTH_MAX 8
#define LEX_FILE_MAX  (1024 * 1024)

/* What a configuration file consists of. */
enum token {
	TOKEN_END,   /* of the outermost file */
	TOKEN_BREAK, /* of a line, or ';' or ',' */
	TOKEN_OPEN,  /* '{' */
	TOKEN_CLOSE, /* '}' */
	TOKEN_WORD,
	TOKEN_ERROR, /* the error is set */
};

struct lex_source {
	char *name;
	char *data;
	size_t len, off;
	int line;
};

struct lex {
	struct lex_source sources[LEX_DEPTH_MAX]; /* the last one is read */
	int depth;
	enum token token;	     /* the one that was read last */
	char word[LEX_WORD_MAX + 1]; /* if it is one */
	bool quoted;
	int line; /* where the token is */
	char error[LEX_WORD_MAX + 512];
};

/* Reads the first token of data, which is copied. */
void lex_init(struct lex *lex, const char *name, const char *data, size_t len);
void lex_clear(struct lex *lex);
/* Goes on with a file, relative to the one that is read; false on error. */
bool lex_include(struct lex *lex, const char *path);
enum token lex_next(struct lex *lex);
/* Sets the error, unless there is one, with file and line; false. */
__attribute__((format(printf, 2, 3))) bool lex_error(struct lex *lex,
    const char *format, ...);
/* The file, whole and without a NUL in it, to be freed, or NULL and errno. */
char *lex_load(const char *path, size_t *len);

#endif

/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef HTTPD_FILE_H
#define HTTPD_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a name is one that is shown to nobody. */
bool file_is_hidden(const char *name);
/*
 * Opens what path, which begins with a slash, names beneath the directory root,
 * or the part of it after a directory's descriptor; -1 and errno.
 */
int file_open(const char *root, const char *path);
int file_open_at(int dir, const char *path);
/*
 * A page about a directory; it takes the descriptor over. To be freed, or NULL
 * and errno.
 */
char *file_listing(int dir, const char *path, size_t *len);

#endif

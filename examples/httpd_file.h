/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef HTTPD_FILE_H
#define HTTPD_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a name is one that is shown to nobody. */
bool file_is_hidden(const char *name);
/*
 * Opens what path, which begins with a slash, names beneath the directory root;
 * -1 and errno, which is ENOENT behind links that lead out of root.
 */
int file_open(const char *root, const char *path);
/* The same for a name in the directory path, which ends with a slash. */
int file_open_in(const char *root, const char *path, const char *name);
/*
 * A page about the directory path beneath root, whose descriptor is taken
 * over. To be freed, or NULL and errno.
 */
char *file_listing(int dir, const char *root, const char *path, size_t *len);

#endif

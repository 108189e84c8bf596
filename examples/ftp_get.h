/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef FTP_GET_H
#define FTP_GET_H

#include "fetch.h"
#include "ftp_control.h"
#include "output.h"

/* These leave a control connection that can be used again, or none. */
enum fetch_result ftp_get_file(struct ftp_control *c, const char *path,
    struct output *o);
/* The text that the server has for people. */
enum fetch_result ftp_get_listing(struct ftp_control *c, const char *path,
    struct output *o);
/* What is in a directory and below it, to the directory name. */
enum fetch_result ftp_get_tree(struct ftp_control *c, const char *path,
    const char *name);

#endif

/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef FTP_PUT_H
#define FTP_PUT_H

#include "fetch.h"
#include "ftp_control.h"

/*
 * A file, or a directory with all below it if that is asked for, becomes path
 * on the server. These leave a control connection that can be used again, or
 * none.
 */
enum fetch_result ftp_put(struct ftp_control *c, const char *name,
    const char *path);

#endif

/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef FTP_DATA_H
#define FTP_DATA_H

#include "conn.h"
#include "fetch.h"
#include "ftp_control.h"
#include "output.h"

/*
 * A data connection for a command such as RETR, from start on where that is
 * not 0. After a failure that is not FETCH_REFUSED the control connection can
 * only be closed.
 */
enum fetch_result ftp_data_open(struct ftp_control *c, const char *command,
    const char *argument, off_t start, struct conn **data);
/* Frees it, and reads what the server has to say about the transfer. */
enum fetch_result ftp_data_close(struct ftp_control *c, struct conn *data);

/* Ports in replies; 0 if there is none. */
int ftp_data_epsv_port(const char *reply);
int ftp_data_pasv_port(const char *reply);

#endif

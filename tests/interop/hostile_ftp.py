#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
# Copyright (c) 2026 The libtls-proxy authors
"""
usage: hostile_ftp.py MODE CERTIFICATE KEY PORTFILE

A server of FTP with AUTH TLS that does one thing as no server should, for one
client. PORTFILE is there when it has all of the port's number.
"""

import os
import socket
import ssl
import sys

MODE, CERT, KEY, PORTFILE = sys.argv[1:]
CONTENT = b"0123456789" * 1000

# What MLSD says: a name, and a directory or a file. The text is a line of the
# listing as it is.
NAMES = {
    "up": ["type=file; ../evil"],
    "dots": ["type=file; .."],
    "root": ["type=file; /tmp/evil"],
    "deep": ["type=dir; a/b"],
    "minus": ["type=file; -"],
    "part": ["type=file; x.ftp-part"],
    "escape": ["type=file; \x1b[2Jx"],
    "facts": ["no facts here"],
    "endless": ["type=dir; again"],
    "link": ["type=dir; link"],
    "device": ["type=file; device"],
    "planted": ["type=file; planted"],
    "good": ["type=cdir; .", "type=pdir; ..", "type=file;size=10000; file",
             "type=OS.unix=symlink; symlink"],
}
LISTS = {
    "list": ["total 8", "-rw-r--r-- 1 a b 10000 Jan  1 2020 ../evil"],
    "nonsense": ["total 8", "evil"],
    "windows": ["01-31-26  11:59PM       10000 file",
                "01-31-26  11:59PM       <DIR> .."],
    "cut-line": ["-rw-r--r-- 1 a b 10000 Jan  1 2020 file"],
    "closed": ["drwxr-xr-x 1 a b 1 Jan  1 2020 sub",
               "-rw-r--r-- 1 a b 10000 Jan  1 2020 file"],
    "lost": ["-rw-r--r-- 1 a b 10000 Jan  1 2020 file"],
}


class Client:
    def __init__(self, connection, tls, data_tls):
        self.tls = tls
        self.data_tls = data_tls
        self.connection = connection
        self.protected = False
        self.listener = None
        self.directory = "/"

    def say(self, text):
        self.connection.sendall(text.encode("latin-1") + b"\r\n")

    def line(self):
        line = b""
        while not line.endswith(b"\r\n"):
            byte = self.connection.recv(1)
            if not byte:
                return None
            line += byte
        return line[:-2].decode("latin-1")

    def data(self, content, cut=False):
        self.say("150 here it comes")
        data, _ = self.listener.accept()
        if self.protected:
            data = self.data_tls.wrap_socket(data, server_side=True)
        data.sendall(content)
        if self.protected and not cut:
            try:
                data = data.unwrap()
            except OSError:
                pass
        data.close()
        self.say("226 that was all")

    def listing(self, lines):
        text = "".join(line + "\r\n" for line in lines)
        self.data(text[:-2 if MODE == "cut-line" else None].encode("latin-1"))

    def passive(self, extended):
        self.listener = socket.create_server(("127.0.0.1", 0))
        port = self.listener.getsockname()[1]
        if MODE == "port":
            self.say("229 (|||70000|)")
        elif MODE == "foreign" and extended:
            self.say("500 what?")
        elif extended:
            self.say("229 Extended (|||%d|)" % port)
        else:
            # Somebody else's address, where nobody is to connect to.
            self.say("227 (192,0,2,1,%d,%d)" % divmod(port, 256))

    def serve(self):
        self.say("220-" + "x" * 5000 if MODE == "long" else "220 hello")
        while (line := self.line()) is not None:
            word, _, argument = line.partition(" ")
            if word == "AUTH":
                if MODE == "refuse":
                    self.say("502 no")
                    continue
                if MODE == "inject":
                    self.say("234 go\r\n230 you are in")
                    continue
                self.say("234 go")
                self.connection = self.tls.wrap_socket(
                    self.connection, server_side=True)
            elif word == "PROT":
                self.protected = MODE != "unprotected"
                self.say("200 ok" if MODE != "clear" else "536 no")
            elif word == "FEAT":
                if MODE in LISTS:
                    self.say("502 none")
                else:
                    self.say("211-Features\r\n MLST type*;\r\n211 end")
            elif word == "PWD":
                self.say('257 "/" is it')
            elif word in ("EPSV", "PASV"):
                self.passive(word == "EPSV")
            elif word == "SIZE":
                size = len(CONTENT) + (1 if MODE == "size" else 0)
                self.say("213 %d" % size)
            elif word == "MDTM":
                self.say("550 unknown")
            elif word == "MLSD":
                self.listing(NAMES.get(MODE, NAMES["good"]))
            elif word == "CWD":
                if MODE == "lost" and argument == "/":
                    self.say("550 no way back")
                else:
                    self.directory = os.path.join(self.directory, argument)
                    self.say("250 ok")
            elif word == "LIST" and self.directory == "/x/sub":
                self.say("550 not for you")
            elif word == "LIST":
                self.listing(LISTS[MODE])
            elif word == "RETR":
                path = os.path.join(self.directory, argument)
                if MODE in LISTS and path != "/x/file":
                    print(path, file=sys.stderr)
                    self.say("550 no such file")
                elif MODE == "nonsense-reply":
                    self.say("hello")
                elif MODE == "escape-reply":
                    self.say("550 \x1b[2J")
                elif MODE == "unending":
                    self.say("150-x")
                    try:
                        while True:
                            self.say("x" * 1000)
                    except OSError:
                        return
                else:
                    self.data(CONTENT, cut=MODE == "cut")
            else:
                self.say("200 ok")


def context(cert, key):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    return tls


tls = data_tls = context(CERT, KEY)
if MODE == "certificate":
    # As good as the other one, but another one.
    data_tls = context(CERT.replace("ecdsa", "rsa"),
                       KEY.replace("ecdsa", "rsa"))
server = socket.create_server(("127.0.0.1", 0))
with open(PORTFILE + ".new", "w") as file:
    print(server.getsockname()[1], file=file)
os.rename(PORTFILE + ".new", PORTFILE)
connection, _ = server.accept()
connection.settimeout(20)
try:
    Client(connection, tls, data_tls).serve()
except OSError as error:
    print(error, file=sys.stderr)

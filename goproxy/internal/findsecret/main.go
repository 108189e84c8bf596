// SPDX-License-Identifier: ISC

// Findsecret prints in how many places of a process's memory a secret lies,
// whole or in part.
//
//	findsecret PID <SECRET
//
// Exits with 0 if there is none, 1 if it is found, 2 on failure and 3 if the
// kernel does not let the memory be read.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"libtls-proxy/goproxy/internal/memscan"
)

func main() {
	n, err := find(os.Args[1:])
	switch {
	case errors.Is(err, fs.ErrPermission):
		fmt.Fprintln(os.Stderr, "findsecret:", err)
		os.Exit(3)
	case err != nil:
		fmt.Fprintln(os.Stderr, "findsecret:", err)
		os.Exit(2)
	}
	fmt.Println(n)
	if n != 0 {
		os.Exit(1)
	}
}

func find(args []string) (int, error) {
	if len(args) != 1 {
		return 0, errors.New("usage: findsecret pid <secret")
	}
	pid, err := strconv.Atoi(args[0])
	if err != nil {
		return 0, err
	}
	secret, err := io.ReadAll(os.Stdin)
	if err != nil {
		return 0, err
	}
	hits, err := memscan.Scan(pid, []memscan.Secret{{Name: "the secret", Bytes: secret}})
	return len(hits), err
}

// SPDX-License-Identifier: ISC

//go:debug x509negativeserial=1
//go:debug decoratemappings=0

// Goproxy holds keys and speaks TLS for libtls-proxy; see goproxy(8).
package main

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"libtls-proxy/goproxy/internal/keeper"
	"libtls-proxy/goproxy/internal/sandbox"
	"libtls-proxy/goproxy/internal/wire"
	"libtls-proxy/goproxy/internal/worker"
)

// release is the version of libtls-proxy; the build sets it.
var release = "0.1.0"

const usage = `usage: goproxy keeper | worker [keylog] | --self-test | -h | --version

libtls-proxy's helper. The library starts it; it is of no use by hand.
keeper  holds private keys; descriptor 3 is the control channel,
        4 the supervisor's, 5 the link to the first worker
worker  speaks TLS; descriptor 3 is the link to the keeper, with keylog
        4 a file for the secrets of its sessions
--self-test
        tries what neither may do, and prints what came of it
`

// The descriptors that goproxy is started with.
const (
	firstFd  = 3
	secondFd = 4
	thirdFd  = 5
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	keyLog := worker.NoKeyLog
	if slices.Equal(args, []string{string(sandbox.Worker), "keylog"}) {
		args, keyLog = args[:1], secondFd
	}
	if len(args) == 2 && slices.Contains(sandbox.Roles, sandbox.Role(args[0])) {
		// From the self-test, by way of the supervisor.
		return status(sandbox.Probe(sandbox.Role(args[0]), args[1]))
	}
	if len(args) != 1 {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	switch args[0] {
	case "-h", "--help":
		fmt.Print(usage)
		printLimits()
		return 0
	case "--version":
		fmt.Println("goproxy", release)
		return 0
	case "--self-test":
		ok, err := sandbox.SelfTest(os.Stdout)
		if err == nil && !ok {
			return 1
		}
		return status(err)
	case string(sandbox.Keeper):
		return serve(sandbox.Keeper, func() error { return keeper.Run(firstFd, secondFd, thirdFd, release) })
	case string(sandbox.Worker):
		return serve(sandbox.Worker, func() error { return worker.Run(firstFd, keyLog) })
	}
	fmt.Fprint(os.Stderr, usage)
	return 2
}

func printLimits() {
	fmt.Printf(`
limits:
  message            %d bytes
  document           %d bytes
  private key        %d bytes
  handshake result   %d bytes
  workers            %d
`, wire.MaxMessage, wire.MaxDocument, wire.MaxKey, wire.MaxFrame, keeper.MaxWorkers)
}

func serve(role sandbox.Role, run func() error) int {
	// What a terminal sends is meant for the application. Its end is the
	// end of a descriptor, and what it wrote is still delivered then.
	signal.Ignore(syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGPIPE)
	_, err := sandbox.Apply(role)
	if err == nil {
		err = run()
	}
	if os.Getenv("GOPROXY_DEBUG") == "" && err != nil {
		return 1
	}
	return status(err)
}

// status prints an error, and returns the exit status for it.
func status(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "goproxy:", err)
	return 1
}

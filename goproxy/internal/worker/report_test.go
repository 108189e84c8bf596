// SPDX-License-Identifier: ISC

package worker

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"libtls-proxy/goproxy/internal/channel"
	"libtls-proxy/goproxy/internal/wire"
)

func askReport(t *testing.T, link *channel.Conn) *channel.Conn {
	t.Helper()
	asked, end, err := channel.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(end)
	if err := link.Send(&wire.ReportWorker{}, end); err != nil {
		t.Fatal(err)
	}
	return asked
}

// next returns the next message of a report, nil at its end.
func next(t *testing.T, asked *channel.Conn) wire.Message {
	t.Helper()
	timer := time.AfterFunc(patience, func() { asked.Close() })
	defer timer.Stop()
	b, _, err := asked.Recv()
	if err != nil {
		return nil
	}
	m, err := wire.Decode("worker", "report", b, 0)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestReport(t *testing.T) {
	link, _ := startWorker(t)
	asked := askReport(t, link)
	defer asked.Close()
	state, ok := next(t, asked).(*wire.WorkerState)
	if !ok || state.Full != 0 || state.Connections != 0 || state.Causes != 0 {
		t.Errorf("%+v", state)
	}
	if m := next(t, asked); m != nil {
		t.Errorf("%+v after the end", m)
	}
}

// What is no channel, or is not read, harms nobody but who asked.
func TestReportNotRead(t *testing.T) {
	link, _ := startWorker(t)
	file := document(t)
	if err := link.Send(&wire.ReportWorker{}, file); err != nil {
		t.Fatal(err)
	}
	unix.Close(file)
	for range 10 * maxReports {
		askReport(t, link).Close()
	}
	for deadline := time.Now().Add(patience); ; {
		// One that comes while others are under way may be dropped.
		asked := askReport(t, link)
		m := next(t, asked)
		asked.Close()
		if _, ok := m.(*wire.WorkerState); ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no report any more")
		}
	}
}

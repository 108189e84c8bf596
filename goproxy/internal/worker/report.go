// SPDX-License-Identifier: ISC

package worker

import (
	"time"

	"libtls-proxy/goproxy/internal/channel"
)

const (
	// maxReports bounds the reports that are under way, and reportTime how
	// long one may take: who asked may not read.
	maxReports = 4
	reportTime = 5 * time.Second
)

// startReport tells who has the other end of a report channel what goes on.
func (w *worker) startReport(fd int) {
	c, err := channel.New(fd)
	if err != nil {
		return
	}
	select {
	case w.reports <- struct{}{}:
	default:
		c.Close()
		return
	}
	go func() {
		defer func() { <-w.reports }()
		defer c.Close()
		defer time.AfterFunc(reportTime, c.StopSending).Stop()
		w.report(c)
	}()
}

func (w *worker) report(c *channel.Conn) {
	conns := w.connections()
	state, causes := w.tally.State()
	state.Age = uint64(time.Since(w.started).Milliseconds())
	state.Connections = uint32(len(conns))
	if c.Send(state) != nil {
		return
	}
	for _, cn := range conns {
		if c.Send(cn.State()) != nil {
			return
		}
	}
	for _, cause := range causes {
		if c.Send(cause) != nil {
			return
		}
	}
}

// connections are those of all configurations, as they are now.
func (w *worker) connections() (conns []connection) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, conf := range w.configs {
		conf.mu.Lock()
		for _, cn := range conf.conns {
			conns = append(conns, cn)
		}
		conf.mu.Unlock()
	}
	return conns
}

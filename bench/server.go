package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// A server is a broker to measure against.
type server struct {
	addr string
	pid  int // of its process, 0 where it is not known
	stop func()
}

// embedded starts the product's own broker.
func (o options) embedded(ctx context.Context) (server, error) {
	p, err := start(restCore, o.Weir, "broker", "--data", filepath.Join(o.Dir, "broker"), "--listen", "127.0.0.1:0", "--log-level", "error")
	if err != nil {
		return server{}, fmt.Errorf("%w; `make build` makes %s", err, o.Weir)
	}
	addr, err := p.await(ctx, "127.0.0.1:")
	if err != nil {
		p.stop()
		return server{}, err
	}
	return server{addr, p.cmd.Process.Pid, p.stop}, nil
}

// kafkaScript starts and stops real Kafkas.
const kafkaScript = "scripts/kafka"

// real starts a Kafka for this run, or takes one that runs already. It shares this process's core.
func (o options) real(ctx context.Context) (server, error) {
	if o.Kafka != "" {
		return server{o.Kafka, 0, func() {}}, nil
	}
	dir := filepath.Join(o.Dir, "kafka")
	port, err := freePorts()
	if err != nil {
		return server{}, err
	}
	o.progress("starting a Kafka on port %d", port)
	out, err := exec.CommandContext(ctx, kafkaScript, "start", dir, strconv.Itoa(port)).Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = errors.New(strings.TrimSpace(string(failed.Stderr)))
		}
		return server{}, fmt.Errorf("%s: %w; -kafka HOST:PORT takes one that runs already", kafkaScript, err)
	}
	s := server{addr: strings.TrimSpace(string(out)), stop: func() {
		_ = exec.Command(kafkaScript, "stop", dir, "-9").Run() // its data goes with the run's folder
	}}
	text, err := os.ReadFile(filepath.Join(dir, "kafka.pid"))
	if err == nil {
		s.pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
	}
	if err != nil {
		s.stop()
	}
	return s, err
}

// freePorts finds two ports in a row that nobody listens on, below those that a system gives to clients.
func freePorts() (int, error) {
	for port := 20000; port < 30000; port += 2 {
		free := true
		for i := range 2 {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+i))
			if err != nil {
				free = false
				break
			}
			_ = l.Close() // it was only a question
		}
		if free {
			return port, nil
		}
	}
	return 0, errors.New("no two free ports in a row between 20000 and 30000")
}

package broker

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Options of a Broker. Only Dir is needed.
type Options struct {
	// Dir is the data directory. It is created where it does not exist.
	Dir string
	// Addr is the address to listen on (host:port) of this machine; port 0 takes any free one. Default
	// 127.0.0.1:9092.
	Addr string
	// Clean is how often old records are deleted and compacted topics compacted. Default 10s.
	Clean time.Duration
}

func (o *Options) defaults() {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:9092"
	}
	if o.Clean <= 0 {
		o.Clean = 10 * time.Second
	}
}

// port checks that Addr is on this machine and returns its port.
func (o *Options) port() (int, error) {
	host, text, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return 0, fmt.Errorf("broker: address %q: want host:port, e.g. 127.0.0.1:9092", o.Addr)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("broker: address %q: port %q is not a number from 0 to 65535", o.Addr, text)
	}
	if host != "" && host != "localhost" && host != "127.0.0.1" {
		return 0, fmt.Errorf("broker: address %q: the embedded broker has no authentication and listens on 127.0.0.1 only; for other machines run Apache Kafka", o.Addr)
	}
	return int(port), nil
}

// segmentBytes is the size of a log file. Records are deleted and compacted by files, so small ones keep the
// directory near its bound.
const segmentBytes = 16 << 20

// Broker is a running broker.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
	lock    *os.File
	stop    chan struct{}
	once    sync.Once
	wg      sync.WaitGroup

	survivors atomic.Pointer[survivors] // nil until the broker is open
}

// Open loads a data directory and serves it until Close. A directory has one broker at a time.
func Open(o Options) (*Broker, error) {
	o.defaults()
	port, err := o.port()
	if err != nil {
		return nil, err
	}
	if o.Dir == "" {
		return nil, errors.New("broker: a data directory is needed; name one with --data DIR")
	}
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("broker: data directory: %w", err)
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	whole, err := wasClosed(lock)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	cluster, err := kfake.NewCluster(
		kfake.Ports(port),
		kfake.ClusterID("weir"),
		kfake.DataDir(o.Dir),
		kfake.DefaultNumPartitions(1),
		kfake.GroupMinSessionTimeout(100*time.Millisecond),
		kfake.BrokerConfigs(map[string]string{
			"log.segment.bytes":          strconv.Itoa(segmentBytes),
			"default.replication.factor": "1",
		}),
	)
	if err != nil {
		return nil, errors.Join(explain(err, o), lock.Close())
	}
	b := &Broker{cluster: cluster, addr: cluster.ListenAddrs()[0], lock: lock, stop: make(chan struct{})}
	cluster.ControlKey(int16(kmsg.Produce), b.guard)
	cluster.ControlKey(int16(kmsg.Produce), stamp)
	known := survivors{}
	if !whole {
		if known, err = b.newEpochs(); err != nil {
			cluster.Close()
			return nil, errors.Join(err, lock.Close())
		}
	}
	b.survivors.Store(&known)
	b.wg.Go(func() { b.clean(o.Clean) })
	return b, nil
}

func explain(err error, o Options) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("broker: %s is in use: another broker may be running; choose another address with --listen, e.g. 127.0.0.1:0 for any free port", o.Addr)
	}
	return fmt.Errorf("broker: open %s: %w", o.Dir, err)
}

// Addr is the address that the broker listens on.
func (b *Broker) Addr() string { return b.addr }

// Close stops the broker and leaves the data directory complete.
func (b *Broker) Close() error {
	var err error
	b.once.Do(func() {
		close(b.stop)
		b.wg.Wait()
		b.cluster.Close()
		err = errors.Join(markClosed(b.lock), b.lock.Close())
	})
	return err
}

// clean deletes and compacts. The library's own cleaner runs every hour by default, only for topics with a
// retention of their own, and not at all after a restart.
func (b *Broker) clean(every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			b.cluster.Compact() // applies the retention too
		case <-b.stop:
			return
		}
	}
}

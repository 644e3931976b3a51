package driver

import (
	"context"
	"net"
	"time"
)

// Options of a Cluster. All but Dialer are set.
type Options struct {
	// Brokers are the addresses (host:port) to begin with.
	Brokers []string
	// ClientID is how the broker's logs and quotas call this client.
	ClientID string
	// DialTimeout bounds the opening of one connection.
	DialTimeout time.Duration
	// Dialer opens connections. nil: TCP. All connections of the cluster and of its groups come from it.
	Dialer func(ctx context.Context, network, address string) (net.Conn, error)
}

// Patience is how long a broker may wait for others before it answers: for the replicas of what it stores, and for
// those that have to know a new topic. In milliseconds.
const Patience int32 = 5000

// A Cluster is one Kafka cluster. Its methods may be called from many goroutines. Each of them ends with its
// context, whatever the broker does.
type Cluster interface {
	Log
	Topics
	Groups
	Identities
	// Close breaks all connections. Requests in flight fail at once, and so do later ones. Groups are left before.
	Close() error
}

// AnyBroker stands for the broker of a request that every broker can answer. A broker that the driver cannot find is
// told by BrokerNotAvailable.
const AnyBroker int32 = -1

// A Log reads and writes partitions. The caller names the broker that leads them.
type Log interface {
	// Fetch reads whole batches of several partitions, and waits up to Fetch.Wait for the first record. Answers
	// may lack partitions; theirs come in any order.
	Fetch(ctx context.Context, broker int32, f Fetch) ([]Fetched, error)
	// Produce appends a batch to each of several partitions, with the acknowledgement of all replicas in sync.
	Produce(ctx context.Context, broker int32, batches []Batch) ([]Stored, error)
	// Offsets finds a place in each of several partitions of a topic. A partition whose Err is set has none.
	Offsets(ctx context.Context, broker int32, q OffsetQuery) ([]Offset, error)
}

// A Place is a partition of a topic.
type Place struct {
	Topic     string
	Partition int32
}

// Fetch asks for the records of some partitions of one topic.
type Fetch struct {
	Topic string
	// Wait is how long the broker may wait for the first record, in milliseconds; MaxBytes is what it answers at
	// most, except that a first batch which is larger comes all the same.
	Wait     int32
	MaxBytes int32
	// Committed leaves records of open transactions unread, and lists those that were aborted.
	Committed  bool
	Partitions []FetchPartition
}

// FetchPartition asks for the records of a partition from offset From on.
type FetchPartition struct {
	Partition int32
	From      int64
	MaxBytes  int32
}

// Fetched is what a fetch brought of a partition.
type Fetched struct {
	Partition int32
	// Err is the broker's Code for the partition, or nil.
	Err error
	// End is the offset that the next record will have.
	End int64
	// Aborted lists transactions that were given up and whose records are among Batches.
	Aborted []Aborted
	// Batches are record batches as they came, version 2; the last one may be cut short. Nobody else holds them.
	Batches []byte
}

// Aborted is a transaction that was given up: the producer's batches from First on are void, up to its marker.
type Aborted struct{ Producer, First int64 }

// Batch is a record batch (version 2) for a partition. Raw is borrowed until Produce returns.
type Batch struct {
	Place
	Raw []byte
}

// Stored says where a batch went.
type Stored struct {
	Place
	// Base is the offset of the batch's first record, -1 where the broker does not say.
	Base int64
	// Err is the broker's Code for the partition, or nil.
	Err error
}

// OffsetQuery asks for places in some partitions of a topic.
type OffsetQuery struct {
	Topic      string
	Partitions []int32
	// Time is in Unix milliseconds: the first record stamped then or later. First and End are the other two.
	Time int64
	// Committed makes End the end of what is committed: a transaction that is open hides what follows.
	Committed bool
}

const (
	// End is the place behind a partition's last record, First that of the earliest one.
	End, First int64 = -1, -2
)

// Offset is a place in a partition; -1 where no record is stamped that late.
type Offset struct {
	Partition int32
	Offset    int64
	Err       error
}

// Topics tells of brokers and topics, makes and deletes topics.
type Topics interface {
	// Metadata asks a broker for the cluster's brokers and for some topics; none are named: for the brokers alone.
	// It always asks, and makes no topic.
	Metadata(ctx context.Context, broker int32, topics []string) (Metadata, error)
	// CreateTopics asks a broker, which has to be the controller, and returns an error for each of the topics, in
	// their order, nil for one that was made. It does not wait until others know the topics.
	CreateTopics(ctx context.Context, broker int32, topics []NewTopic) ([]error, error)
	// DeleteTopics asks a broker, which has to be the controller, and returns an error for each of the topics, in
	// their order, nil for one that will be gone. It does not wait for that.
	DeleteTopics(ctx context.Context, broker int32, topics []string) ([]error, error)
}

// Metadata is a broker's view of the cluster.
type Metadata struct {
	Controller int32
	Brokers    []Broker
	Topics     []Topic
}

// Broker is a node of the cluster, at the address that it advertises.
type Broker struct {
	ID   int32
	Host string
	Port int32
}

// Topic is a topic with its leaders by partition, -1 for one that has none now.
type Topic struct {
	Name    string
	Err     error
	Leaders []int32
}

// NewTopic is a topic to make.
type NewTopic struct {
	Name        string
	Partitions  int32
	Replication int16
	Config      map[string]string
}

// Identities are what a broker knows a producer by, so that it can refuse an older one of the same name. The driver
// finds the transaction's coordinator.
type Identities interface {
	// Identify raises the epoch of a name, and gives a new name its first. is, unless NoIdentity, is what the
	// caller believes it to be. timeout is how long a transaction may stay open, in milliseconds. A broker that
	// does not know this request, or the next two, is told by UnsupportedVersion.
	Identify(ctx context.Context, name string, timeout int32, is Identity) (Identity, error)
	// AddPartitions puts partitions into the name's transaction, all or none. The first Code of a partition is the
	// error, unless it says only that another partition failed.
	AddPartitions(ctx context.Context, name string, is Identity, places []Place) error
	// EndTransaction commits the name's transaction; its markers are written some time after.
	EndTransaction(ctx context.Context, name string, is Identity) error
}

// Identity is a producer's id and epoch.
type Identity struct {
	ID    int64
	Epoch int16
}

// NoIdentity is that of who has none yet.
func NoIdentity() Identity { return Identity{-1, -1} }

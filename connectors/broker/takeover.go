package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// closed stands in the lock file of a directory that was closed as it should be.
const closed = "closed\n"

// wasClosed says whether the directory was closed by whoever had it last, or is new. From now on it is open.
func wasClosed(lock *os.File) (bool, error) {
	text := make([]byte, len(closed))
	n, _ := lock.ReadAt(text, 0) // an empty file ends at once
	info, err := lock.Stat()
	if err == nil {
		err = lock.Truncate(0)
	}
	if err == nil {
		_, err = lock.WriteAt([]byte("open\n"), 0)
	}
	if err != nil {
		return false, fmt.Errorf("broker: %s: %w", lock.Name(), err)
	}
	return info.Size() == 0 || string(text[:n]) == closed, nil
}

// markClosed is the end of a broker that leaves its directory complete.
func markClosed(lock *os.File) error {
	err := lock.Truncate(0)
	if err == nil {
		_, err = lock.WriteAt([]byte(closed), 0)
	}
	return err
}

// errOpening closes the connection of a producer that comes too early; it tries again.
var errOpening = errors.New("broker: not open yet")

// After a crash the library has forgotten which batches it has stored: it keeps producers' epochs as they change,
// but the numbers of their batches only when it is closed. It would store a batch, whose acknowledgement the
// crash swallowed, a second time. So every writer of before gets to know, with its next batch, that the broker
// has lost count of its batches; it takes its partitions over anew, and looks into the log for what it has
// written. Producers without a transactional id have no log to look into; theirs are taken as they come.
//
// survivors are the epochs with which writers may write, by producer id: higher ones than before the crash.
type survivors map[int64]int16

// guard refuses producers until the broker is open, and after a crash those of before.
func (b *Broker) guard(req kmsg.Request) (kmsg.Response, error, bool) {
	produce, ok := req.(*kmsg.ProduceRequest)
	if !ok {
		return nil, nil, false
	}
	known := b.survivors.Load()
	if known == nil {
		b.cluster.KeepControl()
		return nil, errOpening, true
	}
	if !known.refuse(produce) {
		return nil, nil, false
	}
	b.cluster.KeepControl()
	return known.refusal(produce), nil, true
}

// refuse says whether a request holds a batch of before the crash.
func (s survivors) refuse(req *kmsg.ProduceRequest) bool {
	if len(s) == 0 {
		return false
	}
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			if s.old(req.Topics[i].Partitions[j].Records) {
				return true
			}
		}
	}
	return false
}

// old says whether a batch is of before the crash.
func (s survivors) old(batch []byte) bool {
	if len(batch) < batchHeader {
		return false
	}
	epoch, ok := s[int64(binary.BigEndian.Uint64(batch[43:]))]
	return ok && int16(binary.BigEndian.Uint16(batch[51:])) < epoch
}

// refusal says which partitions' batches are refused. The others are to be sent again, alone.
func (s survivors) refusal(req *kmsg.ProduceRequest) kmsg.Response {
	res := req.ResponseKind().(*kmsg.ProduceResponse)
	for i := range req.Topics {
		t := kmsg.NewProduceResponseTopic()
		t.Topic, t.TopicID = req.Topics[i].Topic, req.Topics[i].TopicID
		for _, from := range req.Topics[i].Partitions {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition, p.BaseOffset = from.Partition, -1
			p.ErrorCode = kerr.NotLeaderForPartition.Code
			if s.old(from.Records) {
				p.ErrorCode = kerr.OutOfOrderSequenceNumber.Code
			}
			t.Partitions = append(t.Partitions, p)
		}
		res.Topics = append(res.Topics, t)
	}
	return res
}

// openWithin bounds newEpochs: it takes about a millisecond for each transactional id.
const openWithin = time.Minute

// newEpochs raises the epoch of every writer.
func (b *Broker) newEpochs() (survivors, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openWithin)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addr))
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	defer client.Close()
	list, err := kmsg.NewPtrListTransactionsRequest().RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(list.ErrorCode)
	}
	if err != nil {
		return nil, fmt.Errorf("broker: list producers: %w", err)
	}
	s := survivors{}
	for _, state := range list.TransactionStates {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID, req.TransactionTimeoutMillis = &state.TransactionalID, 5000
		res, err := req.RequestWith(ctx, client)
		if err == nil {
			err = kerr.ErrorForCode(res.ErrorCode)
		}
		if err != nil {
			return nil, fmt.Errorf("broker: a new epoch for %s: %w", state.TransactionalID, err)
		}
		s[res.ProducerID] = res.ProducerEpoch
	}
	return s, nil
}
